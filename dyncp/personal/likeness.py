"""A start for telling voices apart: likenesses to the embedding, computed by hidden channels.

An embedding is only ever added to sums, so a network has no product of it with what it hears;
learning one from the loss takes very long. Four ReLUs have one for small values (ours):
|v + e| - |v - e| = 2 min(|v|, |e|) sign(v e). A block that is made to start so gives, for each
dimension d of the embedding, v_d from the channels it hears, and the sum over d goes to one
channel of the residual, which the later blocks read. Everything is trained on from there.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dyncp.embedding import RMS
from dyncp.network import Block, GatedConvFSENet

_SIGNS = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
_LIFT = 2.0
"""In standard deviations: the second ReLU of a block shall pass what the first one has made."""
_SHARE = 1 / 6
"""Of each channel in the sum: its deviation is then about that of other channels."""
_ALWAYS_OPEN = 3.0


@torch.no_grad()
def start_likeness(
    network: GatedConvFSENet, number: int, voice: nn.Conv2d, hear: Callable[[], object]
) -> int:
    """Rebuild part of block ``number``; return the residual's channel that has the likeness.

    ``voice``: a 1x1 convolution from the block's input to the embedding's dimensions; its biases
    are left out, since the block normalises. ``hear`` runs the network on typical scenes. The
    hidden channels that give least, four for each dimension, and the quietest channel of the
    residual are taken for it. The block must be gated by its outputs, or not at all.
    """
    block = network.blocks[number]
    assert isinstance(block, Block) and block.up_speaker is not None and block.site != "hidden"
    heard: list[Tensor] = []
    watch = block.register_forward_hook(lambda module, given, out: heard.append(given[0]))
    network.eval()
    hear()
    watch.remove()
    inputs = torch.cat([x.transpose(0, 1).flatten(1) for x in heard], dim=1)
    readout = voice.weight[:, :, 0, 0]
    spread = (readout @ inputs).std(dim=1)
    quietest = int(inputs.std(dim=1).argmin())

    dimensions = len(readout)
    gives = block.down.weight[:, :, 0, 0].norm(dim=0) * block.depthwise_norm.weight.abs()
    units = gives.argsort()[: 4 * dimensions].reshape(dimensions, 4)
    for dimension, four in enumerate(units):
        block.up.weight[four, :, 0, 0] = _SIGNS[:, :1] * readout[dimension]
        block.up_speaker.weight[four] = 0
        block.up_speaker.weight[four, dimension] = _SIGNS[:, 1] * spread[dimension] / RMS
    all_units = units.flatten()
    block.depthwise.weight[all_units] = 1 / block.depthwise.weight.shape[2]
    block.up_norm.weight[all_units], block.up_norm.bias[all_units] = 1, 0
    block.depthwise_norm.weight[all_units], block.depthwise_norm.bias[all_units] = 1, _LIFT
    block.down.weight[:, all_units] = 0
    block.down.weight[quietest] = 0
    assert block.down.bias is not None
    block.down.bias[quietest] = 0
    block.down.weight[quietest, all_units, 0, 0] = _SHARE * _SIGNS.prod(dim=1).repeat(dimensions)
    if block.gate is not None:
        score = block.gate.score
        assert score.bias is not None
        score.weight[quietest], score.bias[quietest] = 0, _ALWAYS_OPEN

    norms = (block.up_norm, block.depthwise_norm)
    momentum = norms[0].momentum
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over what is heard
        norm.train()
    hear()
    for norm in norms:
        norm.momentum = momentum
        norm.eval()
    return quietest
