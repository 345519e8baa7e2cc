"""What is predicted for every frame, and how a prediction is judged.

The tasks and measures are those of arXiv 2602.10666; the labels are defined in
:mod:`dyncp.data.labels`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from dyncp.data.labels import TaskName

Kind = Literal["yes", "class", "value"]

_NO_SPREAD = 1e-9
"""A variance that only rounding makes, in any of the units."""


@dataclass(frozen=True)
class Task:
    """``yes``: is it so (a score above 0)? ``class``: which (the largest score)? ``value``."""

    name: TaskName
    kind: Kind
    unit: str = ""


TASKS = (
    Task("vad", "yes"),
    Task("gender", "yes"),
    Task("noise", "class"),
    Task("snr", "value", "dB"),
    Task("si_sdr", "value", "dB"),
    Task("pesq", "value", "MOS-LQO"),
    Task("f0", "value", "Hz"),
)


def predicted(task: Task, scores: np.ndarray) -> np.ndarray:
    """Predictions of scores ``[frames, rows]``, as labels are given: float ``[frames]``."""
    if task.kind == "class":
        return np.asarray(scores.argmax(axis=1), np.float64)
    return (scores[:, 0] > 0).astype(np.float64) if task.kind == "yes" else scores[:, 0]


@dataclass(frozen=True)
class Judgement:
    """Means over all scored frames, with a 95 % interval, ``low`` to ``high``, of the first.

    ``accuracy`` 0..1 with ``baseline``, that of the answer which is commonest among the
    labels that are judged; or ``r2`` with ``mae`` in the task's unit. What does not apply is
    NaN, and so is ``r2`` where all labels are equal. ``frames``: how many were scored.
    """

    accuracy: float
    baseline: float
    r2: float
    mae: float
    low: float
    high: float
    frames: int

    def to_dict(self) -> dict[str, float]:
        """As plain values, without what does not apply."""
        return {name: value for name, value in asdict(self).items() if not np.isnan(value)}


def judge(task: Task, scores: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> Judgement:
    """Score predictions where there are labels.

    ``groups`` int ``[frames]`` says which frames belong together (one segment, one
    speaker): the interval is a bootstrap over them, since neighbouring frames are alike.
    Groups must be independent; one alone has no interval, NaN. Segments of a speaker who is
    in others too are not, and make it too narrow for what few speakers decide, as ``gender``.
    """
    scored = ~np.isnan(labels)
    if not scored.any():
        nan = float("nan")
        return Judgement(nan, nan, nan, nan, nan, nan, 0)
    truth = labels[scored].astype(np.float64)
    guess = predicted(task, scores[scored])
    _, group = np.unique(groups[scored], return_inverse=True)
    draws = _draws(int(group.max()) + 1)
    counts = np.bincount(group)
    if task.kind == "value":
        error, centred = (guess - truth) ** 2, truth - truth.mean()
        sums = [np.bincount(group, weights) for weights in (error, centred**2, centred)]

        def r2(picked: np.ndarray) -> np.ndarray:
            n = picked @ counts
            squared, square, total = (picked @ s for s in sums)
            spread = square - total**2 / n
            spread[spread <= _NO_SPREAD * n] = np.nan
            return np.asarray(1 - squared / spread)

        sampled = r2(draws)
        known = sampled[~np.isnan(sampled)]
        low, high = _interval(known, len(counts))
        return Judgement(
            accuracy=float("nan"),
            baseline=float("nan"),
            r2=float(r2(np.ones((1, len(counts))))[0]),
            mae=float(np.abs(guess - truth).mean()),
            low=low,
            high=high,
            frames=len(truth),
        )
    right = np.bincount(group, guess == truth)
    low, high = _interval((draws @ right) / (draws @ counts), len(counts))
    _, often = np.unique(truth, return_counts=True)
    return Judgement(
        accuracy=float((guess == truth).mean()),
        baseline=float(often.max() / len(truth)),
        r2=float("nan"),
        mae=float("nan"),
        low=low,
        high=high,
        frames=len(truth),
    )


def _interval(sampled: np.ndarray, groups: int) -> tuple[float, float]:
    if groups == 1 or not len(sampled):
        return float("nan"), float("nan")
    low, high = np.percentile(sampled, [2.5, 97.5])
    return float(low), float(high)


def _draws(groups: int, times: int = 1000) -> np.ndarray:
    """How often each group is in each resample: ``[times, groups]``."""
    rng = np.random.default_rng(20260211)
    return rng.multinomial(groups, np.full(groups, 1 / groups), times).astype(np.float64)
