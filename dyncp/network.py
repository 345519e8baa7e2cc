"""Conv-FSENet with dynamic channel pruning, whole-sequence form (for training).

Shapes follow ``[batch, channels, frames, 1]``: every layer is a 4-D Conv2d, so
that the streaming form converts to TFLite without reshapes. The structure is
that of arXiv 2412.17121 (gates) on the ReLU Conv-FSENet backbone; the gate's
site and grouping beyond ``output`` and 1 are ours.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dyncp.embedding import NEUTRAL
from dyncp.preset import DEPTHWISE_KERNEL, Preset, Surrogate


class _Heaviside(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: torch.autograd.function.FunctionCtx, logits: Tensor, surrogate: Surrogate
    ) -> Tensor:
        ctx.save_for_backward(logits)
        ctx.surrogate = surrogate  # type: ignore[attr-defined]
        return (logits > 0).to(logits.dtype)

    @staticmethod
    def backward(  # type: ignore[override]
        ctx: torch.autograd.function.FunctionCtx, gradient: Tensor
    ) -> tuple[Tensor, None]:
        (logits,) = ctx.saved_tensors  # type: ignore[attr-defined]
        if ctx.surrogate == "triangle":  # type: ignore[attr-defined]
            return gradient * (1 - logits.abs()).clamp_min(0), None
        soft = torch.sigmoid(logits)
        return gradient * 4 * soft * (1 - soft), None


def heaviside(logits: Tensor, surrogate: Surrogate) -> Tensor:
    """1 where the logit is above 0, else 0; its gradient is the preset's surrogate."""
    return _Heaviside.apply(logits, surrogate)


class NetworkOutput(NamedTuple):
    """What the network gives for a sequence.

    ``mask``: suppression gains ``[batch, bins, frames]`` in 0..1.
    ``logits``: one ``[batch, gates, frames]`` per block; a gate is open where > 0.
    """

    mask: Tensor
    logits: list[Tensor]


def moving_average(x: Tensor, frames: int) -> Tensor:
    """Causal mean over the last ``frames`` frames of ``[B, C, T, 1]``.

    History before the first frame counts as zero activation.
    """
    if frames == 1:
        return x
    total = x.cumsum(dim=2)
    return (total - F.pad(total, (0, 0, frames, 0))[:, :, : x.shape[2]]) / frames


class SpeakerBias(nn.Module):
    """What an embedding adds to the outputs of a 1x1 convolution, for as long as it stands.

    Nothing at first, and nothing ever for the embedding of nobody.
    """

    def __init__(self, dimensions: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, dimensions))

    def forward(self, embedding: Tensor) -> Tensor:
        """``[B, dimensions]`` (:mod:`dyncp.embedding`) to ``[B, outputs, 1, 1]``."""
        return F.linear(embedding - NEUTRAL, self.weight)[:, :, None, None]


class GateNet(nn.Module):
    """Moving average -> 1x1 -> ReLU -> 1x1: the logits of one block's gates."""

    def __init__(
        self, channels: int, hidden: int, gates: int, pool_frames: int, speaker: int = 0
    ) -> None:
        super().__init__()
        self.pool_frames = pool_frames
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.score = nn.Conv2d(hidden, gates, 1)
        # Start open: a gate that never opened gets no useful gradient.
        nn.init.constant_(self.score.bias, 1.0)  # type: ignore[arg-type]
        self.squeeze_speaker = SpeakerBias(speaker, hidden) if speaker else None

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        squeezed = self.squeeze(moving_average(x, self.pool_frames))
        if self.squeeze_speaker is not None and embedding is not None:
            squeezed = squeezed + self.squeeze_speaker(embedding)
        return self.score(F.relu(squeezed))


class Block(nn.Module):
    """1x1 up, causal depthwise, 1x1 down, residual; gated at one site."""

    def __init__(self, preset: Preset, dilation: int) -> None:
        super().__init__()
        channels, hidden = preset.network.channels, preset.network.hidden
        self.dilation = dilation
        self.up = nn.Conv2d(channels, hidden, 1, bias=False)
        self.up_norm = nn.BatchNorm2d(hidden)
        self.depthwise = nn.Conv2d(
            hidden,
            hidden,
            (DEPTHWISE_KERNEL, 1),
            dilation=(dilation, 1),
            groups=hidden,
            bias=False,
        )
        self.depthwise_norm = nn.BatchNorm2d(hidden)
        self.down = nn.Conv2d(hidden, channels, 1)
        gate = preset.gate
        self.site = gate.site if gate else None
        self.group = gate.group if gate else 1
        self.surrogate: Surrogate = gate.surrogate if gate else "sigmoid"
        speaker = preset.speaker.dimensions if preset.speaker else 0
        self.up_speaker = SpeakerBias(speaker, hidden) if speaker else None
        self.gate = (
            GateNet(channels, gate.hidden, preset.gates, gate.pool_frames, speaker)
            if gate
            else None
        )

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        logits = openings = None
        if self.gate is not None:
            logits = self.gate(x, embedding)
            openings = heaviside(logits, self.surrogate).repeat_interleave(self.group, dim=1)
        wide = self.up(x)
        if self.up_speaker is not None and embedding is not None:
            wide = wide + self.up_speaker(embedding)
        hidden = F.relu(self.up_norm(wide))
        if openings is not None and self.site == "hidden":
            hidden = hidden * openings
        y = self.causal_depthwise(hidden, self.depthwise.weight[:, 0])
        y = F.relu(self.depthwise_norm(y))
        if openings is not None and self.site == "hidden":
            # Masked again, so that a closed channel leaves nothing of its taps.
            y = y * openings
        y = self.down(y)
        if openings is not None and self.site == "output":
            y = y * openings
        return x + y, logits

    def causal_depthwise(self, hidden: Tensor, weight: Tensor) -> Tensor:
        """The depthwise convolution of ``[B, C, T, 1]`` by ``[C, taps, 1]``, oldest tap first.

        As a sum of shifted products: on a CPU that trains three times as fast as
        ``F.conv2d`` with groups.
        """
        frames = hidden.shape[2]
        padded = F.pad(hidden, (0, 0, self.dilation * (DEPTHWISE_KERNEL - 1), 0))
        return sum(
            (
                padded[:, :, tap * self.dilation : tap * self.dilation + frames] * values[:, None]
                for tap, values in enumerate(weight.unbind(dim=1))
            ),
            start=torch.zeros_like(hidden),
        )


class GatedConvFSENet(nn.Module):
    """The whole network: features in, suppression mask and gate logits out."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.preset = preset
        bins, channels = preset.audio.bins, preset.network.channels
        self.front = nn.Conv2d(bins, channels, 1)
        self.blocks = nn.ModuleList(Block(preset, d) for d in preset.network.block_dilations)
        self.back = nn.Conv2d(channels, bins, 1)

    def forward(self, features: Tensor, embedding: Tensor | None = None) -> NetworkOutput:
        """``features`` are compressed magnitudes ``[batch, bins, frames]``.

        ``embedding`` ``[batch, dimensions]``: whom a personalised network keeps, in the real
        values of :mod:`dyncp.embedding`; None: everybody.
        """
        x = F.relu(self.front(features.unsqueeze(3)))
        logits = []
        for block in self.blocks:
            x, scores = block(x, embedding)
            if scores is not None:
                logits.append(scores.squeeze(3))
        return NetworkOutput(torch.sigmoid(self.back(x)).squeeze(3), logits)
