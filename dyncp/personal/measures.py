"""What a personalised enhancer is judged by, beside :mod:`dyncp.metrics`."""

from __future__ import annotations

import numpy as np

from dyncp import audio
from dyncp.data.labels import active_level, voice_activity
from dyncp.personal.losses import POWER
from dyncp.personal.speaker_encoder import SETTINGS

SUPPRESSED = 0.1
"""Of a frame's energy, after compression: what may be missing from it."""
QUIETEST = 1e-12
"""Mean square of full scale, -120 dB: a quieter output counts as this. It is what clamps the
leakage of an output that is digital silence."""


def over_suppression(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Share of the frames with speech in ``reference`` that are over-suppressed, 0..1 (TSOS).

    Frame t is if ``sum_f max(0, |S|^p - |S^|^p)^2 > 0.1 sum_f |S|^2p``, p = 0.3. The source
    (arXiv 2110.09625) has the left side squared and the right side not, which would depend on
    the level; both squared is our reading. NaN without speech.
    """
    wanted = np.abs(audio.spectrum(SETTINGS, reference)) ** POWER
    heard = np.abs(audio.spectrum(SETTINGS, estimate)) ** POWER
    missing = (np.maximum(wanted - heard, 0) ** 2).sum(axis=0)
    active = voice_activity(SETTINGS, reference, active_level(reference))
    if not active.any():
        return float("nan")
    return float((missing > SUPPRESSED * (wanted**2).sum(axis=0))[active].mean())


def leakage_reduction(noisy: np.ndarray, estimate: np.ndarray) -> float:
    """How far a scene without the target is below what came in, in dB: higher is better (dN).

    Of the mean squares of the two; neither counts as less than :data:`QUIETEST`.
    """

    def power(samples: np.ndarray) -> float:
        return max(float(np.mean(np.square(samples, dtype=np.float64))), QUIETEST)

    return float(10 * np.log10(power(noisy) / power(estimate)))
