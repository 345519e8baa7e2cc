"""A network must begin its training with likenesses to the embedding, and keep the rest."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dyncp.embedding import NEUTRAL, RMS
from dyncp.network import Block, GatedConvFSENet
from dyncp.personal.likeness import start_likeness
from dyncp.preset import parse_preset
from tests.conftest import tiny_values

DIMENSIONS, FRAMES = 4, 400


def network() -> GatedConvFSENet:
    torch.manual_seed(1)
    values = tiny_values()
    values["speaker"] = {"dimensions": DIMENSIONS}
    values["network"] |= {"channels": 16, "hidden": 32}
    return GatedConvFSENet(parse_preset("tiny", values, "tiny")).eval()


@pytest.fixture
def started() -> tuple[GatedConvFSENet, nn.Conv2d, Tensor, int]:
    """The network, the voice's readout, the features of 16 scenes, the channel."""
    net = network()
    voice = nn.Conv2d(16, DIMENSIONS, 1)
    features = torch.rand(16, net.preset.audio.bins, FRAMES)
    embedding = torch.randn(16, DIMENSIONS) * RMS + NEUTRAL
    channel = start_likeness(net, 1, voice, lambda: net(features, embedding))
    return net, voice, features, channel


def at_block(net: GatedConvFSENet, features: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
    """The second block's input, and what it adds: ``[B, C, T]`` each."""
    seen: list[tuple[Tensor, Tensor]] = []
    watch = net.blocks[1].register_forward_hook(
        lambda module, given, out: seen.append((given[0], out[0] - given[0]))
    )
    with torch.no_grad():
        net(features, embedding)
    watch.remove()
    return seen[0][0][..., 0], seen[0][1][..., 0]


def test_the_channel_says_how_like_a_voice_is(
    started: tuple[GatedConvFSENet, nn.Conv2d, Tensor, int],
) -> None:
    """Held against the product that the rectified sums stand for, smoothed over the taps."""
    net, voice, features, channel = started
    embedding = torch.randn(16, DIMENSIONS) * RMS + NEUTRAL
    given, added = at_block(net, features, embedding)
    heard = torch.einsum("dc,bct->bdt", voice.weight[:, :, 0, 0].detach(), given)
    heard = (heard - heard.mean(dim=(0, 2), keepdim=True)) / heard.std(dim=(0, 2), keepdim=True)
    wanted = ((embedding - NEUTRAL) / RMS)[:, :, None]
    alike = (2 * torch.minimum(heard.abs(), wanted.abs()) * (heard * wanted).sign()).sum(dim=1)
    block = net.blocks[1]
    assert isinstance(block, Block)
    step = block.dilation
    shifts = [alike[:, 2 * step - tap * step : FRAMES - tap * step] for tap in range(3)]
    smooth = torch.stack(shifts).mean(dim=0)
    said = added[:, channel, 2 * step :]
    agreement = torch.corrcoef(torch.stack([said.flatten(), smooth.flatten()]))[0, 1]
    assert agreement > 0.95


def test_nobody_is_like_nobody(started: tuple[GatedConvFSENet, nn.Conv2d, Tensor, int]) -> None:
    """Without an embedding the channel must not depend on who speaks."""
    net, _, features, channel = started
    nobody = torch.full((16, DIMENSIONS), NEUTRAL)
    _, still = at_block(net, features, nobody)
    _, moved = at_block(net, features, torch.randn(16, DIMENSIONS) * RMS + NEUTRAL)
    assert still[:, channel, 10:].std() < moved[:, channel, 10:].std() / 3


def test_its_gate_stands_open_and_other_blocks_are_as_they_were(
    started: tuple[GatedConvFSENet, nn.Conv2d, Tensor, int],
) -> None:
    net, _, features, channel = started
    logits = net(features, torch.full((16, DIMENSIONS), NEUTRAL)).logits
    assert (logits[1][:, channel] > 0).all()
    before, after = network().state_dict(), net.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("blocks.1.") for name in changed)
    assert not net.training
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.momentum == 0.1 and not module.training


def test_the_quietest_channel_and_the_least_useful_units_are_taken() -> None:
    net = network()
    block = net.blocks[1]
    assert isinstance(block, Block)
    with torch.no_grad():
        block.down.weight *= torch.linspace(4, 0.1, 32)[None, :, None, None]
    kept = block.up.weight[:4].clone()
    features = torch.rand(4, net.preset.audio.bins, 50)
    embedding = torch.full((4, DIMENSIONS), NEUTRAL)
    given, _ = at_block(net, features, embedding)
    channel = start_likeness(net, 1, nn.Conv2d(16, DIMENSIONS, 1), lambda: net(features, embedding))
    assert channel == int(given.transpose(0, 1).flatten(1).std(dim=1).argmin())
    assert torch.equal(block.up.weight[:4], kept)
