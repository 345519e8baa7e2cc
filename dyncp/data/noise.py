"""Noise by procedure: every class is a function of a random generator.

Each gives float64 ``[samples]`` of unit RMS, with its parameters (pitch, rate,
colour, ...) drawn anew at every call.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.signal import butter, lfilter, sosfilt

NoiseFunction = Callable[[np.random.Generator, int, int], np.ndarray]


def _band(x: np.ndarray, rate: int, low: float, high: float) -> np.ndarray:
    edges = [max(low, 20.0), min(high, rate * 0.49)]
    return sosfilt(butter(2, edges, "bandpass", fs=rate, output="sos"), x)


def _coloured(rng: np.random.Generator, samples: int, exponent: float) -> np.ndarray:
    """Noise whose power falls as 1 / f^exponent."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.maximum(np.arange(len(spectrum)), 1.0)
    return np.fft.irfft(spectrum / frequency ** (exponent / 2), samples)


def _slow(rng: np.random.Generator, samples: int, rate: int, hertz: float) -> np.ndarray:
    """A random curve in about [-1, 1] that moves at about ``hertz``."""
    knots = rng.uniform(-1, 1, int(samples / rate * hertz) + 4)
    return np.interp(np.linspace(0, len(knots) - 1, samples), np.arange(len(knots)), knots)


def _clicks(
    rng: np.random.Generator, samples: int, rate: int, times: np.ndarray, decay: float
) -> np.ndarray:
    """Decaying noise bursts at ``times`` (samples), each of random loudness."""
    length = int(decay * rate * 6)
    out = np.zeros(samples + length)
    envelope = np.exp(-np.arange(length) / (decay * rate))
    for start in times.astype(int):
        out[start : start + length] += (
            rng.uniform(0.2, 1.0) * envelope * rng.standard_normal(length)
        )
    return out[:samples]


def white(rng: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    return rng.standard_normal(samples)


def pink(rng: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    return _coloured(rng, samples, rng.uniform(0.7, 1.6))


def hum(rng: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    """Mains hum with harmonics over a little hiss."""
    base = rng.choice([50.0, 60.0]) * rng.uniform(0.99, 1.01)
    t = np.arange(samples) / rate
    out = 0.05 * rng.standard_normal(samples)
    for harmonic in range(1, int(rng.integers(6, 24))):
        level = rng.uniform(0.2, 1.0) / harmonic ** rng.uniform(0.3, 1.2)
        out += level * np.sin(2 * np.pi * base * harmonic * t + rng.uniform(0, 6.3))
    return out


def car(rng: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    """Tyre rumble and an engine whose speed drifts."""
    rumble = _coloured(rng, samples, 2.2)
    rumble /= rumble.std()
    revolutions = rng.uniform(25, 60) * (1 + 0.15 * _slow(rng, samples, rate, 0.4))
    phase = 2 * np.pi * np.cumsum(revolutions) / rate
    engine = sum(np.sin(k * phase + rng.uniform(0, 6.3)) / k for k in range(1, 8))
    return rumble + rng.uniform(0.2, 0.8) * engine


def wind(rng: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    gusts = np.exp(1.5 * _slow(rng, samples, rate, rng.uniform(0.5, 2.0)))
    return gusts * _band(_coloured(rng, samples, 1.5), rate, 30, rng.uniform(400, 1500))


def rain(rng: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    drops = rng.uniform(0, samples, int(samples / rate * rng.uniform(100, 500)))
    hiss = _band(rng.standard_normal(samples), rate, 1000, 7500)
    return 0.3 * hiss + _band(_clicks(rng, samples, rate, drops, 0.002), rate, 800, 7000)


def keyboard(rng: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    gaps = rng.gamma(2.0, rng.uniform(0.04, 0.1), int(samples / rate * 20) + 8) * rate
    times = np.cumsum(gaps)
    strokes = _clicks(rng, samples, rate, times[times < samples], rng.uniform(0.003, 0.01))
    return _band(strokes, rate, 500, 6000) + 0.01 * rng.standard_normal(samples)


def machinery(rng: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    """Broad noise beating at a fixed rate, with a whine."""
    t = np.arange(samples) / rate
    beat = 1 + rng.uniform(0.4, 0.95) * np.sign(np.sin(2 * np.pi * rng.uniform(4, 18) * t))
    body = _band(rng.standard_normal(samples), rate, rng.uniform(80, 400), rng.uniform(1500, 5000))
    return beat * body + rng.uniform(0.05, 0.4) * np.sin(2 * np.pi * rng.uniform(300, 2500) * t)


def fan(rng: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    t = np.arange(samples) / rate
    blades = 1 + 0.3 * np.sin(2 * np.pi * rng.uniform(15, 45) * t)
    return blades * _band(_coloured(rng, samples, 0.8), rate, 60, rng.uniform(1500, 4000))


def siren(rng: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    t = np.arange(samples) / rate
    low, span = rng.uniform(400, 700), rng.uniform(300, 900)
    sweep = low + span * (0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.2, 2.5) * t))
    phase = 2 * np.pi * np.cumsum(sweep) / rate
    return np.sin(phase) + 0.4 * np.sin(2 * phase) + 0.05 * rng.standard_normal(samples)


def music(rng: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    """Random notes of a scale with decaying harmonics."""
    out = np.zeros(samples)
    scale = 110 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16, 19, 24]) / 12)
    start, beat = 0, int(rate * rng.uniform(0.12, 0.4))
    while start < samples:
        length = min(int(beat * rng.uniform(1, 5)), samples - start)
        t = np.arange(length) / rate
        note = rng.choice(scale) * rng.choice([1, 2, 4])
        tone = sum(np.sin(2 * np.pi * note * k * t) / k**1.3 for k in range(1, 7))
        out[start : start + length] += tone * np.exp(-t * rng.uniform(1, 6)) * rng.uniform(0.4, 1)
        start += int(beat * rng.integers(1, 3))
    return out + 1e-3 * rng.standard_normal(samples)


def crackle(rng: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    """Sparse crackling over resonant rumble, as of a fire."""
    pops = rng.uniform(0, samples, int(samples / rate * rng.uniform(8, 40)))
    ring = lfilter([1.0], [1.0, -2 * 0.97 * np.cos(rng.uniform(0.05, 0.5)), 0.97**2],
                   rng.standard_normal(samples))  # fmt: skip
    return 0.15 * ring / ring.std() + _clicks(rng, samples, rate, pops, 0.004)


NOISES: dict[str, NoiseFunction] = {
    f.__name__: f
    for f in (white, pink, hum, car, wind, rain, keyboard, machinery, fan, siren, music, crackle)
}
"""Every class that is made by procedure; babble is made from speech."""

HELD_OUT = ("siren", "crackle", "machinery")
"""Classes that no network is trained on, for the test of unseen noise."""


def make_noise(kind: str, rng: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    """Noise of a class of :data:`NOISES`: float32 ``[samples]``, unit RMS."""
    x = NOISES[kind](rng, samples, rate)
    x = x - x.mean()
    return (x / np.sqrt(np.mean(x**2))).astype(np.float32)
