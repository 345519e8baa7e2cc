"""The losses of personalised enhancement (arXiv 2211.02944), frame by frame.

What is published in words only is reconstructed here, and is ours: which frames count as
misclassified, and how the terms are averaged.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from dyncp.training.loss import Transform, compressed

Guidance = Literal["none", "exclude", "noisy", "weight", "noisy-soft"]
"""What the personalised VAD changes in the loss of frames without the target:

``exclude`` (S1)  those that it takes for the target's are left out;
``noisy`` (S2)    those have the noisy signal as reference;
``weight`` (S3)   all are weighted by 1 - p, p the probability that the target speaks;
``noisy-soft``    the reference is p times the noisy signal: S2's soft form.
"""

POWER, ALPHA, BETA = 0.3, 0.5, 1.0
THRESHOLD = 0.5


def frame_losses(estimate: Tensor, reference: Tensor) -> Tensor:
    """Power-law compressed phase-aware loss with the over-suppression term: ``[B, T]``.

    Both spectra are complex ``[B, F, T]`` at unit speech level. By bin: alpha (|S|^p - |S^|^p)^2
    + (1 - alpha) |S|S|^(p-1) - S^|S^|^(p-1)|^2 + beta max(0, |S|^p - |S^|^p)^2, with p 0.3,
    alpha 0.5, beta 1; the mean over bins.
    """
    heard, heard_complex = compressed(estimate, POWER)
    wanted, wanted_complex = compressed(reference, POWER)
    missing = wanted - heard
    difference = wanted_complex - heard_complex
    loss = (
        ALPHA * missing**2
        + (1 - ALPHA) * (difference.real**2 + difference.imag**2)
        + BETA * missing.clamp_min(0) ** 2
    )
    return loss.mean(dim=1)


def guided_loss(
    transform: Transform,
    estimate: Tensor,
    *,
    noisy: Tensor,
    reference: Tensor,
    level: Tensor,
    guidance: Guidance = "none",
    probability: Tensor | None = None,
    target_active: Tensor | None = None,
) -> Tensor:
    """The mean of :func:`frame_losses` over all frames, as ``guidance`` weights them.

    Samples ``[B, N]``; ``level`` ``[B]``: RMS of the active speech; ``probability`` ``[B, T]``:
    the personalised VAD's of the target; ``target_active`` bool ``[B, T]``: where the target
    does speak. T is the estimate's frames.
    """
    scale = (1 / level.clamp_min(1e-4))[:, None]
    heard = transform.spectrum(estimate * scale)
    wanted = transform.spectrum(reference * scale)
    if guidance == "none":
        return frame_losses(heard, wanted).mean()
    assert probability is not None and target_active is not None
    away = ~target_active
    fooled = away & (probability > THRESHOLD)
    weights = torch.ones_like(probability)
    if guidance == "exclude":
        weights = (~fooled).to(probability.dtype)
    elif guidance == "weight":
        weights = torch.where(away, 1 - probability, weights)
    else:
        share = fooled.to(probability.dtype) if guidance == "noisy" else away * probability
        mixed = transform.spectrum(noisy * scale)
        wanted = wanted + share[:, None] * (mixed - wanted)
    losses = frame_losses(heard, wanted)
    return (weights * losses).sum() / weights.sum().clamp_min(1.0)
