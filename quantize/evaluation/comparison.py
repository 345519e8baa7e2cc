"""Means with intervals, and differences clip by clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 4000
_SEED = 20260211


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval, by a percentile bootstrap over clips."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def interval(values: Sequence[float | None]) -> Interval:
    """Of a list of clips; those without a value are left out."""
    known = _known(values)
    means = known[_picks(len(known))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(known.mean()), float(low), float(high))


def relative_difference(
    values: Sequence[float | None], reference: Sequence[float | None]
) -> Interval:
    """How much the mean lies above the reference's, as a share of it, on the same clips."""
    pairs = [
        (a, b) for a, b in zip(values, reference, strict=True) if a is not None and b is not None
    ]
    ours, theirs = (_known(side) for side in zip(*pairs, strict=True))
    picks = _picks(len(ours))
    ratios = ours[picks].mean(axis=1) / theirs[picks].mean(axis=1) - 1
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Interval(float(ours.mean() / theirs.mean() - 1), float(low), float(high))


def _known(values: Sequence[float | None]) -> NDArray[np.float64]:
    known = np.array([value for value in values if value is not None], np.float64)
    if not len(known):
        raise ValueError("no clip has a value")
    return known


def _picks(count: int) -> NDArray[np.int64]:
    return np.random.default_rng(_SEED).integers(0, count, (_RESAMPLES, count))
