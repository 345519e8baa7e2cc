"""E3Net must be the published network, run on a stream, and be counted rightly."""

from __future__ import annotations

import pytest
import torch

from dyncp.embedding import NEUTRAL
from dyncp.personal import settings
from dyncp.personal.e3net import E3Net, E3NetShape
from dyncp.personal.speaker_encoder import SETTINGS
from tests.dyncp.personal.counted import counting

HOP = SETTINGS.hop
TINY = E3NetShape(encoder=1024, linear=12, recurrent=8, blocks=2)
DIMENSIONS = 6


def tiny() -> E3Net:
    torch.manual_seed(1)
    return E3Net(TINY, DIMENSIONS).eval()


def noise(hops: int, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.manual_seed(2)
    wanted = NEUTRAL + torch.rand(batch, DIMENSIONS, generator=generator)
    return 0.1 * torch.randn(batch, hops * HOP, generator=generator), wanted


def test_the_published_shape_has_the_published_size() -> None:
    shape = settings.network("e3net").shape
    assert isinstance(shape, E3NetShape)
    with torch.device("meta"):
        network = E3Net.__new__(E3Net)  # its start is numbers, which the meta device has none of
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dyncp.personal.e3net._start_as_fourier", lambda *layers: None)
            network.__init__(shape, 32)  # type: ignore[misc]
    assert 9.5e6 < sum(weight.numel() for weight in network.parameters()) < 10.1e6


@torch.no_grad()
def test_later_samples_change_nothing_that_was_given_out() -> None:
    network = tiny()
    noisy, wanted = noise(12)
    before = network(noisy, wanted)
    for hop in (3, 7, 11):
        changed = noisy.clone()
        changed[:, hop * HOP :] += 0.5
        after = network(changed, wanted)
        # An output hop is whole when the frame over the next hop of the input is.
        torch.testing.assert_close(after[:, : (hop - 1) * HOP], before[:, : (hop - 1) * HOP])
        assert not torch.allclose(after[:, (hop - 1) * HOP :], before[:, (hop - 1) * HOP :])


@torch.no_grad()
def test_the_output_is_aligned_with_the_input_and_a_hop_shorter() -> None:
    """With its mask open, the start takes the samples apart and puts them together again."""
    network = tiny()
    network.mask.weight.zero_()
    network.mask.bias.fill_(100.0)
    noisy, wanted = noise(9)
    output = network(noisy, wanted)
    assert output.shape == (2, 8 * HOP)
    torch.testing.assert_close(output, noisy[:, : 8 * HOP], rtol=0, atol=1e-6)


@torch.no_grad()
def test_a_closed_mask_gives_silence() -> None:
    network = tiny()
    network.mask.weight.zero_()
    network.mask.bias.fill_(-1000.0)
    assert not network(*noise(4)).any()


@torch.no_grad()
def test_the_embedding_is_heard_and_nobodys_is_nothing() -> None:
    network = tiny()
    noisy, wanted = noise(6)
    nobody = torch.full_like(wanted, NEUTRAL)
    alone = network(noisy, nobody)
    assert not torch.allclose(network(noisy, wanted), alone)
    network.project.weight[:, TINY.encoder :] = 7.0
    torch.testing.assert_close(network(noisy, nobody), alone)


@torch.no_grad()
@pytest.mark.parametrize("shape", [TINY, E3NetShape(64, 20, 10, 3)], ids=["tiny", "narrow"])
def test_its_multiply_accumulates_are_those_of_its_layers(shape: E3NetShape) -> None:
    network = E3Net(shape, DIMENSIONS).eval()
    with counting(network) as counts:
        network(*noise(7, batch=1))
    assert sum(counts.values()) == 7 * network.macs
