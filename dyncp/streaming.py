"""The deployed form of the network: one frame in, one frame out, BN folded.

It takes the taps that its depthwise convolutions and moving averages read and
gives the new ones; the caller keeps the rings (:mod:`dyncp.state`, which also
names the tensors). Nothing is carried inside, so that no state is ever copied
or re-quantised in the graph.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dyncp.embedding import NEUTRAL
from dyncp.network import Block, GatedConvFSENet, SpeakerBias


def _factor(norm: nn.BatchNorm2d) -> Tensor:
    """What the normalisation multiplies each channel by in evaluation mode."""
    assert norm.running_var is not None
    return norm.weight / torch.sqrt(norm.running_var + norm.eps)


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A convolution with bias that equals ``norm(conv(x))`` in evaluation mode."""
    assert norm.running_mean is not None
    factor = _factor(norm)
    kernel = (conv.kernel_size[0], conv.kernel_size[1])
    folded = nn.Conv2d(conv.in_channels, conv.out_channels, kernel, groups=conv.groups)
    folded.weight.data = conv.weight.data * factor.reshape(-1, 1, 1, 1)
    bias = conv.bias.data if conv.bias is not None else torch.zeros_like(norm.bias)
    folded.bias = nn.Parameter(norm.bias + (bias - norm.running_mean) * factor)
    return folded


def _with_speaker(conv: nn.Conv2d, speaker: SpeakerBias | None) -> nn.Conv2d:
    """The convolution that takes the embedding's values as inputs behind its own."""
    if speaker is None:
        return conv
    assert conv.bias is not None
    columns = speaker.weight.data
    joined = nn.Conv2d(conv.in_channels + columns.shape[1], conv.out_channels, 1)
    joined.weight.data = torch.cat([conv.weight.data, columns[:, :, None, None]], dim=1)
    joined.bias = nn.Parameter(conv.bias.data - NEUTRAL * columns.sum(dim=1))
    return joined


def _beside(x: Tensor, embedding: Tensor | None) -> Tensor:
    return x if embedding is None else torch.cat([x, embedding], dim=1)


def _gated(x: Tensor, scores: Tensor | None) -> Tensor:
    """``x`` where the gate is open, else 0: GREATER and SELECT_V2 in TFLite."""
    assert scores is not None
    return torch.where(scores > 0, x, torch.zeros_like(x))


class StreamingBlock(nn.Module):
    """One block, one frame. The depthwise reads its dilated taps side by side."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        up_speaker = copy.deepcopy(block.up_speaker)
        if up_speaker is not None:
            up_speaker.weight.data *= _factor(block.up_norm)[:, None]
        self.up = _with_speaker(_fold(block.up, block.up_norm), up_speaker)
        self.depthwise = _fold(block.depthwise, block.depthwise_norm)
        self.down = block.down
        self.site = block.site
        self.pool_frames = block.gate.pool_frames if block.gate is not None else 1
        if block.gate is not None:
            self.squeeze = _with_speaker(block.gate.squeeze, block.gate.squeeze_speaker)
            self.score = block.gate.score
        channels = block.down.out_channels if block.site == "output" else block.up.out_channels
        self.group = block.group
        # One logit serves `group` channels: a gather, which int8 keeps exact.
        self.register_buffer(
            "channel_gate", torch.arange(channels) // block.group, persistent=False
        )

    def forward(
        self, x: Tensor, taps: Tensor, pool: Tensor | None, embedding: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Give the block's output, its logits (None if static) and its hidden frame."""
        logits = scores = None
        if self.site is not None:
            pooled = x
            if pool is not None:
                window = torch.cat([pool, x], dim=2)
                pooled = F.avg_pool2d(window, (self.pool_frames, 1), stride=1)
            logits = scores = self.score(F.relu(self.squeeze(_beside(pooled, embedding))))
            if self.group > 1:
                scores = logits[:, self.channel_gate]
        hidden = F.relu(self.up(_beside(x, embedding)))
        if self.site == "hidden":
            hidden = _gated(hidden, scores)
        y = F.relu(self.depthwise(torch.cat([taps, hidden], dim=2)))
        if self.site == "hidden":
            y = _gated(y, scores)
        y = self.down(y)
        if self.site == "output":
            y = _gated(y, scores)
        return x + y, logits, hidden


class StreamingNet(nn.Module):
    """The deployed graph; inputs and outputs as :func:`input_shapes` lists them."""

    def __init__(self, network: GatedConvFSENet) -> None:
        super().__init__()
        # Of its own: what is frozen here must stay free to be trained in the network given.
        network = copy.deepcopy(network).eval()
        self.preset = network.preset
        self.front, self.back = network.front, network.back
        self.blocks = nn.ModuleList(
            StreamingBlock(block) for block in network.blocks if isinstance(block, Block)
        )
        self.requires_grad_(False)
        self.eval()

    def forward(self, features: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        embedding = None
        if self.preset.speaker:
            *states, embedding = states  # type: ignore[assignment]
        taps = states[: len(self.blocks)]
        pools = states[len(self.blocks) :] or (None,) * len(self.blocks)
        x = F.relu(self.front(features))
        all_logits, new_taps, new_pool = [], [], []
        for block, block_taps, pool in zip(self.blocks, taps, pools, strict=True):
            if pool is not None:
                new_pool.append(x)
            x, logits, hidden = block(x, block_taps, pool, embedding)
            if logits is not None:
                all_logits.append(logits)
            new_taps.append(hidden)
        mask = torch.sigmoid(self.back(x))
        return (mask, *all_logits, *new_taps, *new_pool)
