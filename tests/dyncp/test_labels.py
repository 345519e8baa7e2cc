"""The labels must be those of the frame that the network saw, to the sample."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from dyncp import audio
from dyncp.data import labels
from dyncp.data.labels import (
    LEVEL_RANGE,
    LEVEL_SECONDS,
    active_level,
    fundamental_frequency,
    level_ratios,
    voice_activity,
    window_pesq,
)
from dyncp.metrics import si_sdr
from dyncp.preset import Audio, load_preset
from tests.conftest import tiny_preset

SMALL = dataclasses.replace(tiny_preset().audio, sample_rate=640)
"""n_fft 64, hop 32: the second that SNR is measured over is 20 hops."""
PAPER = load_preset("paper").audio


def window_before(x: np.ndarray, settings: Audio, frame: int, length: int) -> np.ndarray:
    """The last ``length`` samples of a frame's window, silence where there are none."""
    padded = np.concatenate([np.zeros(length), x, np.zeros(settings.n_fft)])
    end = length + min((frame + 1) * settings.hop, len(x) + settings.n_fft)
    return padded[end - length : end]


@given(st.integers(0, 2**32 - 1), st.integers(40, 2000), st.floats(-25, 45))
@hypothesis(max_examples=40)
def test_snr_and_si_sdr_are_those_of_the_second_that_ends_with_the_frame(
    seed: int, samples: int, snr: float
) -> None:
    rng = np.random.default_rng(seed)
    clean = rng.normal(0, 1, samples) * (rng.random(samples) < 0.5)
    clean[: rng.integers(0, samples)] *= rng.integers(0, 2)
    clean = clean.astype(np.float32)
    noise = rng.normal(0, 10 ** (-snr / 20), samples)
    noisy = (clean + noise).astype(np.float32)
    found_snr, found_si_sdr = level_ratios(SMALL, noisy, clean)
    length = round(LEVEL_SECONDS * SMALL.sample_rate)
    assert len(found_snr) == len(found_si_sdr) == audio.spectrum(SMALL, noisy).shape[1]
    for frame in range(len(found_snr)):
        s = window_before(clean.astype(np.float64), SMALL, frame, length)
        e = window_before(noisy.astype(np.float64), SMALL, frame, length)
        if not s.any():
            assert np.isnan(found_snr[frame]) and np.isnan(found_si_sdr[frame])
            continue
        direct = 10 * np.log10((s @ s) / ((e - s) @ (e - s)))
        assert found_snr[frame] == pytest.approx(np.clip(direct, *LEVEL_RANGE), abs=1e-3)
        # Below -15 dB the target is what is left of sums that cancel.
        expected = np.clip(si_sdr(e, s), *LEVEL_RANGE)
        assert found_si_sdr[frame] == pytest.approx(expected, abs=1e-3 if expected > -15 else 0.1)


def test_a_clean_signal_has_the_highest_ratio_and_a_silent_one_none() -> None:
    clean = np.random.default_rng(1).normal(0, 0.1, 1000).astype(np.float32)
    for found in level_ratios(SMALL, clean, clean):
        assert (found == LEVEL_RANGE[1]).all()
    for found in level_ratios(SMALL, clean, np.zeros_like(clean)):
        assert np.isnan(found).all()


@given(st.integers(0, 999).filter(lambda n: n % SMALL.hop != 0))
def test_voice_is_active_in_the_frames_that_the_network_sees_it_in(where: int) -> None:
    """One loud sample; at a window's first sample the Hann window is 0, so not there."""
    clean = np.zeros(1000, np.float32)
    clean[where] = 0.5
    seen = np.abs(audio.spectrum(SMALL, clean)).sum(axis=0) > 0
    np.testing.assert_array_equal(voice_activity(SMALL, clean), seen)


@given(st.integers(0, 60), st.integers(1, 60), st.integers(0, 31))
def test_voice_starts_and_ends_with_the_signal(begin: int, length: int, rest: int) -> None:
    """On for whole hops: active from the frame whose second hop it begins in, to the one whose
    first hop it ends in."""
    hop = SMALL.hop
    clean = np.zeros(130 * hop + rest, np.float32)
    clean[begin * hop : (begin + length) * hop] = 0.1
    expected = np.zeros(130 + (rest > 0), bool)
    expected[begin : begin + length + 1] = True
    np.testing.assert_array_equal(voice_activity(SMALL, clean), expected)


def test_voice_is_held_against_the_level_that_is_given() -> None:
    clean = np.resize(np.array([1, -1], np.float32), 64 * 32)
    clean[1024:] *= 10 ** (-36 / 20)
    assert not voice_activity(SMALL, clean)[33:].any()
    level = np.where(np.arange(64) < 32, 1.0, 10 ** (-36 / 20))
    assert voice_activity(SMALL, clean, level).all()
    assert voice_activity(SMALL, clean * np.float32(1e-3))[:32].all()
    assert not voice_activity(SMALL, np.zeros(640, np.float32)).any()


def test_the_active_level_is_that_of_the_talking() -> None:
    rng = np.random.default_rng(1)
    talking = rng.normal(0, 0.1, 512 * 20).astype(np.float32)
    paused = np.concatenate([talking, np.zeros(512 * 40, np.float32)])
    rms = float(np.sqrt(np.mean(talking.astype(np.float64) ** 2)))
    assert active_level(paused) == pytest.approx(rms, rel=1e-6)
    assert active_level(np.zeros(2000)) == 0.0
    assert active_level(np.zeros(0)) == 0.0


def harmonics(hertz: np.ndarray, rate: int) -> np.ndarray:
    """A buzz whose pitch at every sample is given."""
    phase = 2 * np.pi * np.cumsum(hertz) / rate
    return sum(0.1 / k * np.sin(k * phase) for k in range(1, 12)).astype(np.float32)


@pytest.mark.parametrize("hertz", [90.0, 123.4, 180.0, 251.0])
def test_f0_of_a_tone_is_found_within_two_hertz(hertz: float) -> None:
    found = fundamental_frequency(PAPER, harmonics(np.full(PAPER.sample_rate, hertz), 16000))
    assert len(found) == -(-PAPER.sample_rate // PAPER.hop)
    assert np.abs(found[5:-5] - hertz).max() < 2


@pytest.mark.parametrize("rate", [400, -400])
def test_f0_is_that_of_the_middle_of_the_frame(rate: float) -> None:
    """In a glide of 400 Hz/s, a frame too early or late is 6.4 Hz off."""
    t = np.arange(12800) / 16000
    glide = 250 + rate * (t - 0.4)
    found = fundamental_frequency(PAPER, harmonics(glide, 16000))
    middles = np.arange(len(found)) * PAPER.hop
    error = (found - glide[middles])[8:-8]
    assert abs(np.median(error)) < 1.0
    assert np.abs(error).max() < 3.0


def test_f0_of_what_has_no_pitch_is_nan() -> None:
    quiet = np.zeros(8192, np.float32)
    assert np.isnan(fundamental_frequency(PAPER, quiet)).all()
    quiet[4096:] = harmonics(np.full(4096, 200.0), 16000)
    found = fundamental_frequency(PAPER, quiet)
    assert np.isnan(found[:14]).all()
    assert np.abs(found[20:30] - 200).max() < 2


@given(st.integers(1, 3200))
@hypothesis(max_examples=20)
def test_every_frame_has_a_pitch_or_nan_at_any_length(samples: int) -> None:
    found = fundamental_frequency(PAPER, np.zeros(samples, np.float32))
    assert len(found) == audio.spectrum(PAPER, np.zeros(samples)).shape[1]


@pytest.mark.parametrize("seconds", [1.0, 4.0, 5.9, 6.0, 11.3])
def test_a_frame_has_the_pesq_of_the_window_around_it(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PESQ is replaced by the number of the window's first sample."""
    lengths = []

    def first(noisy: np.ndarray, clean: np.ndarray, rate: int) -> float:
        assert rate == PAPER.sample_rate and noisy[0] == clean[0]
        lengths.append(len(noisy))
        return float(noisy[0])

    monkeypatch.setattr(labels, "pesq_wb", first)
    samples = np.arange(int(seconds * 16000), dtype=np.float32)
    found = window_pesq(PAPER, samples, samples)
    whole = min(64000, len(samples))
    starts = np.arange(0, len(samples) - whole + 1, 32000)
    assert set(lengths) == {whole} and len(lengths) == len(starts)
    for frame, start in enumerate(found):
        distances = np.abs(starts + 32000 - frame * PAPER.hop)
        assert distances[list(starts).index(int(start))] == distances.min()
    assert len(found) == audio.spectrum(PAPER, samples).shape[1]
