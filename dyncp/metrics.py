"""Speech quality against a clean reference; thin wrappers over the field's own code."""

from __future__ import annotations

import numpy as np


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
    """Wide-band PESQ, MOS-LQO (ITU-T P.862.2); NaN where no speech is found."""
    from pesq import NoUtterancesError, pesq

    try:
        return float(pesq(sample_rate, np.asarray(clean), np.asarray(estimate), "wb"))
    except NoUtterancesError:
        return float("nan")


def stoi(
    estimate: np.ndarray, clean: np.ndarray, sample_rate: int, extended: bool = False
) -> float:
    """STOI (Taal et al., 2011) or, with ``extended``, ESTOI; 0..1."""
    from pystoi import stoi as measure

    return float(measure(np.asarray(clean), np.asarray(estimate), sample_rate, extended=extended))
