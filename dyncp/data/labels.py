"""What a clean reference says of every frame: the truth that probes are scored with.

Frames are those of :func:`dyncp.audio.spectrum`: frame t covers hops t - 1 and t.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dyncp.metrics import pesq_wb
from dyncp.preset import Audio

TaskName = Literal["vad", "gender", "noise", "snr", "si_sdr", "pesq", "f0"]

LEVEL_SECONDS = 1.0
"""Window of ``snr`` and ``si_sdr``; it ends with the frame."""
LEVEL_RANGE = (-20.0, 40.0)
"""dB; what lies outside counts as the nearer end."""
PESQ_SECONDS = 4.0
"""Window of ``pesq``, around the frame."""
_PESQ_HOP_SECONDS = 2.0
F0_RANGE = (60.0, 500.0)
"""Hz; where pitch is looked for."""
_ACTIVE_RANGE = 35.0


def active_level(clean: np.ndarray, frame: int = 512) -> float:
    """RMS over the frames within 30 dB of the loudest; 0 for silence."""
    usable = len(clean) // frame * frame
    if usable == 0:
        return float(np.sqrt(np.mean(np.square(clean)))) if len(clean) else 0.0
    power = np.mean(clean[:usable].reshape(-1, frame).astype(np.float64) ** 2, axis=1)
    return float(np.sqrt(power[power >= power.max() * 1e-3].mean()))


def voice_activity(
    settings: Audio, clean: np.ndarray, level: np.ndarray | float | None = None
) -> np.ndarray:
    """Speech present, per frame: bool ``[frames]``.

    A frame is active when the clean signal's RMS over its window is within 35 dB of
    ``level``, the active level of the stretch that it lies in (one number, or one a
    frame; the whole signal's if None).
    """
    power = _window_sums(np.square(clean, dtype=np.float64), settings, settings.n_fft)
    rms = np.sqrt(np.maximum(power, 0.0) / settings.n_fft)  # a running sum may end below 0
    level = active_level(clean) if level is None else level
    return np.asarray((rms > level * 10 ** (-_ACTIVE_RANGE / 20)) & (rms > 0))


def level_ratios(
    settings: Audio, noisy: np.ndarray, clean: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """SNR and SI-SDR of ``noisy``, dB, float32 ``[frames]`` each, over the second that ends
    with the frame; before the signal there is silence.

    SNR is that of the clean signal's RMS and the RMS of ``noisy - clean``; SI-SDR as
    :func:`dyncp.metrics.si_sdr`, on the window. NaN where ``clean`` is silent in the window.
    """
    window = round(LEVEL_SECONDS * settings.sample_rate)

    def sums(x: np.ndarray) -> np.ndarray:
        return _window_sums(x, settings, window)

    s, e = clean.astype(np.float64), noisy.astype(np.float64)
    snr = _decibels(sums(s * s), sums((e - s) ** 2))
    ss = sums(s * s) - sums(s) ** 2 / window
    ee = sums(e * e) - sums(e) ** 2 / window
    se = sums(s * e) - sums(s) * sums(e) / window
    with np.errstate(divide="ignore", invalid="ignore"):
        target = se**2 / ss
    return snr, _decibels(target, ee - target)


def window_pesq(settings: Audio, noisy: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Wide-band PESQ (MOS-LQO) of the four seconds around each frame: float32 ``[frames]``.

    Measured every two seconds; a frame has the value of the window whose middle is nearest.
    NaN as in :func:`dyncp.metrics.pesq_wb`.
    """
    rate = settings.sample_rate
    length, hop = round(PESQ_SECONDS * rate), round(_PESQ_HOP_SECONDS * rate)
    starts = range(0, max(1, len(clean) - length + 1), hop)

    def measure(start: int) -> float:
        window = slice(start, start + length)
        return pesq_wb(noisy[window], clean[window], rate)

    values = np.array([measure(start) for start in starts])
    frames = np.arange(-(-len(clean) // settings.hop)) * settings.hop
    nearest = np.clip(np.rint((frames - length / 2) / hop).astype(int), 0, len(values) - 1)
    return values[nearest].astype(np.float32)


def fundamental_frequency(settings: Audio, clean: np.ndarray) -> np.ndarray:
    """F0 in Hz at the centre of each frame's window, NaN where unvoiced: float32 ``[frames]``.

    DIO from 60 to 500 Hz, refined by StoneMask (Morise et al., the WORLD vocoder), which may
    go a little beyond.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing pyworld warns of its own packaging
        import pyworld

    x = clean.astype(np.float64)
    rate, period = settings.sample_rate, 1000 * settings.hop / settings.sample_rate
    low, high = F0_RANGE
    coarse, times = pyworld.dio(x, rate, f0_floor=low, f0_ceil=high, frame_period=period)
    f0 = pyworld.stonemask(x, coarse, times, rate)[: -(-len(x) // settings.hop)]
    return np.where(f0 > 0, f0, np.nan).astype(np.float32)


def _window_sums(x: np.ndarray, settings: Audio, window: int) -> np.ndarray:
    """Sums over ``window`` samples that end with each frame: float64 ``[frames]``."""
    frames = -(-len(x) // settings.hop)
    total = np.concatenate([[0.0], np.cumsum(x, dtype=np.float64)])
    ends = np.minimum((np.arange(frames) + 1) * settings.hop, len(x))
    starts = np.maximum((np.arange(frames) + 1) * settings.hop - window, 0)
    return np.asarray(total[ends] - total[np.minimum(starts, len(x))])


def _decibels(power: np.ndarray, other: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 10 * np.log10(power / np.maximum(other, 0.0))
    return np.where(power > 0, np.clip(ratio, *LEVEL_RANGE), np.nan).astype(np.float32)


@dataclass(frozen=True)
class FrameLabels:
    """The truth of every frame, float32 ``[frames]``; NaN where a task has no answer.

    ``vad`` 0 or 1. ``noise``: an index into the classes, NaN for a noise that is none of
    them. Where speech is active only: ``gender`` 1 for a woman's voice, 0 for a man's;
    ``snr`` and ``si_sdr`` in dB; ``pesq`` in MOS-LQO; ``f0`` in Hz, of voiced frames.
    """

    vad: np.ndarray
    gender: np.ndarray
    noise: np.ndarray
    snr: np.ndarray
    si_sdr: np.ndarray
    pesq: np.ndarray
    f0: np.ndarray

    def of(self, task: TaskName) -> np.ndarray:
        """The labels of one task."""
        return np.asarray(getattr(self, task))
