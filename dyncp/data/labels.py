"""What a clean reference says of every frame: the truth that probes are scored with."""

from __future__ import annotations

import numpy as np

from dyncp.preset import Audio


def active_level(clean: np.ndarray, frame: int = 512) -> float:
    """RMS over the frames within 30 dB of the loudest; 0 for silence."""
    usable = len(clean) // frame * frame
    if usable == 0:
        return float(np.sqrt(np.mean(np.square(clean)))) if len(clean) else 0.0
    power = np.mean(clean[:usable].reshape(-1, frame).astype(np.float64) ** 2, axis=1)
    return float(np.sqrt(power[power >= power.max() * 1e-3].mean()))


def voice_activity(settings: Audio, clean: np.ndarray) -> np.ndarray:
    """Speech present, per frame of :func:`dyncp.audio.spectrum`: bool ``[frames]``.

    A frame is active when the clean signal's RMS over its window is within
    35 dB of the active level of the whole stream.
    """
    hops = -(-len(clean) // settings.hop)
    padded = np.zeros((hops + 1) * settings.hop)
    padded[settings.hop : settings.hop + len(clean)] = clean
    frames = np.lib.stride_tricks.sliding_window_view(padded, settings.n_fft)[:: settings.hop]
    rms = np.sqrt(np.mean(frames**2, axis=1))
    return np.asarray(rms > active_level(clean) * 10 ** (-35 / 20)) & (rms > 0)
