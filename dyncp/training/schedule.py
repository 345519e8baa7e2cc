"""What changes over the steps of a training run."""

from __future__ import annotations

import math
from typing import Protocol

from dyncp.preset import Training

_WARM_UP_STEPS = 200


class Rates(Protocol):
    """What a schedule is made of: of a preset's training, or of another."""

    @property
    def steps(self) -> int: ...

    @property
    def learning_rate(self) -> float: ...

    @property
    def final_learning_rate(self) -> float: ...


def learning_rate(training: Rates, step: int, warm_up_steps: int = _WARM_UP_STEPS) -> float:
    """Cosine from ``learning_rate`` to ``final_learning_rate``, after a short warm-up."""
    warm_up = min(1.0, (step + 1) / max(1, warm_up_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * step / training.steps))
    span = training.learning_rate - training.final_learning_rate
    return warm_up * (training.final_learning_rate + span * cosine)


def utilisation_ramp(training: Training, step: int) -> float:
    """0..1: how much of ``utilisation_weight`` counts at a step; linear from 0."""
    return min(1.0, step / max(1, training.utilisation_ramp_steps))
