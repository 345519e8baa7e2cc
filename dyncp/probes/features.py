"""The sets of features that probes are fitted on, and what a prediction costs on each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dyncp.preset import Preset
from dyncp.probes.observations import Observations

FeatureSet = Literal["binary", "smoothed", "raw", "first2", "top64", "stft", "mask"]

SMOOTHED_FRAMES = 8
"""Frames that `smoothed` averages, the present one included."""
TOP = 64


@dataclass(frozen=True)
class Features:
    """One set. ``binary``: gates, so that a prediction is a sum of weights, without a product."""

    name: FeatureSet
    title: str
    binary: bool
    take: Callable[[Observations, Preset, np.ndarray], np.ndarray]
    """Observations, their preset and the stream of each frame to ``[frames, features]``."""


def _gates(seen: Observations, preset: Preset, stream: np.ndarray) -> np.ndarray:
    return seen.gates


def _smoothed(seen: Observations, preset: Preset, stream: np.ndarray) -> np.ndarray:
    return causal_mean(seen.gates, stream, SMOOTHED_FRAMES)


def _first_blocks(seen: Observations, preset: Preset, stream: np.ndarray) -> np.ndarray:
    return seen.gates[:, : 2 * preset.gates]


FEATURES = (
    Features("binary", "binary masks", True, _gates),
    Features("smoothed", f"binary masks, mean of {SMOOTHED_FRAMES} frames", True, _smoothed),
    Features("top64", f"the {TOP} gates that say most", True, _gates),
    Features("first2", "the first two blocks' masks", True, _first_blocks),
    Features("raw", "raw scores, before the threshold", False, lambda s, p, f: s.logits),
    Features("stft", "the compressed STFT", False, lambda s, p, f: s.features),
    Features("mask", "the suppression mask", False, lambda s, p, f: s.mask),
)


def causal_mean(gates: np.ndarray, stream: np.ndarray, frames: int) -> np.ndarray:
    """Mean of the last ``frames`` frames of the same stream: float32 ``[frames, gates]``.

    ``stream`` int ``[frames]`` in ascending order. At a stream's start: of those there are.
    """
    result = np.empty(gates.shape, np.float32)
    for number in np.unique(stream):
        where = np.flatnonzero(stream == number)
        total = np.cumsum(gates[where[0] : where[-1] + 1], axis=0, dtype=np.float32)
        window = total.copy()
        window[frames:] -= total[:-frames]
        heard = np.minimum(np.arange(len(where)) + 1, frames)
        result[where[0] : where[-1] + 1] = window / heard[:, None]
    return result


def operations(features: Features, taken: np.ndarray, weights: np.ndarray) -> float:
    """Additions, or multiply-accumulates, of a frame's prediction: a mean over frames.

    ``weights`` ``[rows, features]``. A gate costs an addition a row where it is open and
    has a weight. The mean over frames is kept up on the scores, which are linear: an
    addition and a subtraction a row.
    """
    used = (weights != 0).any(axis=0)
    rows = len(weights)
    if not features.binary:
        return float(used.sum() * rows)
    smoothing = 2 * rows if features.name == "smoothed" else 0
    return float(taken[:, used].sum(axis=1, dtype=np.float64).mean() * rows + smoothing)
