"""What quantisation-aware training asks of the gates, beside the enhancement."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def margin_loss(
    logits: Sequence[Tensor], wanted: Sequence[Tensor], scales: Sequence[float], steps: float
) -> Tensor:
    """How far the logits ``[B, gates, T]`` are from the float network's side of the threshold.

    A hinge: 0 for a logit that is ``steps`` or more of its int8 steps on the side on which
    ``wanted``, the float network's, stands; 1 at the threshold; growing on the wrong side.
    Rounding flips the gates whose logits are within a step or two, and each flip switches
    a whole channel.
    """
    parts = [
        F.relu(1 - torch.where(target > 0, 1.0, -1.0) * ours / (scale * steps)).mean()
        for ours, target, scale in zip(logits, wanted, scales, strict=True)
    ]
    return torch.stack(parts).mean()
