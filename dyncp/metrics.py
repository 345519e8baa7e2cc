"""Speech quality against a clean reference; thin wrappers over the field's own code."""

from __future__ import annotations

import warnings
from math import gcd

import numpy as np
from scipy.signal import resample_poly

_PESQ_RATE = 16000


def si_sdr(estimate: np.ndarray, clean: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al., 2019).

    Both ``[samples]``, aligned. Means are removed; NaN if either is silent.
    """
    s = np.asarray(clean, np.float64) - np.mean(clean)
    e = np.asarray(estimate, np.float64) - np.mean(estimate)
    energy = float(s @ s)
    if energy == 0.0 or not e.any():
        return float("nan")
    target = (e @ s / energy) * s
    residue = e - target
    return float(10 * np.log10((target @ target) / max(float(residue @ residue), 1e-20)))


def pesq_wb(estimate: np.ndarray, clean: np.ndarray, sample_rate: int) -> float:
    """Wide-band PESQ, MOS-LQO (ITU-T P.862.2); higher rates are resampled to its 16 kHz.

    NaN where no speech is found in either, in less than a quarter of a second, and below
    16 kHz, where there is no wide band.
    """
    from pesq import BufferTooShortError, NoUtterancesError, pesq

    signals = [np.asarray(clean), np.asarray(estimate)]
    if sample_rate < _PESQ_RATE or not all(x.any() for x in signals):
        return float("nan")
    if sample_rate > _PESQ_RATE:
        common = gcd(sample_rate, _PESQ_RATE)
        signals = [resample_poly(x, _PESQ_RATE // common, sample_rate // common) for x in signals]
    try:
        return float(pesq(_PESQ_RATE, *signals, "wb"))
    except (NoUtterancesError, BufferTooShortError):
        return float("nan")


def stoi(
    estimate: np.ndarray, clean: np.ndarray, sample_rate: int, extended: bool = False
) -> float:
    """STOI (Taal et al., 2011) or, with ``extended``, ESTOI; at most 1.

    NaN where either is silent or less than 0.4 s of speech is left to compare.
    """
    from pystoi import stoi as measure

    if not np.any(clean) or not np.any(estimate):
        return float("nan")
    with warnings.catch_warnings():
        # pystoi gives 1e-5 and this warning where it has nothing to measure.
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            value = measure(np.asarray(clean), np.asarray(estimate), sample_rate, extended=extended)
        except RuntimeWarning:
            return float("nan")
    return float(value)
