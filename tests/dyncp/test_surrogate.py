"""The gate's gradient is the one that the preset names; its value is a step whatever that is."""

from __future__ import annotations

import pytest
import torch

from dyncp.network import GatedConvFSENet, heaviside
from dyncp.preset import Surrogate, parse_preset
from dyncp.training.loss import utilisation
from tests.conftest import tiny_values

LOGITS = [-4.0, -1.0, -0.75, -0.1, 0.0, 0.1, 0.5, 1.0, 2.5]
SURROGATES: tuple[Surrogate, ...] = ("sigmoid", "triangle")


def formula(surrogate: Surrogate, logits: torch.Tensor) -> torch.Tensor:
    if surrogate == "triangle":
        return torch.maximum(torch.zeros(()), 1 - logits.abs())
    return 4 * torch.exp(-logits) / (1 + torch.exp(-logits)) ** 2


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_a_gate_is_a_step_with_the_gradient_of_its_surrogate(surrogate: Surrogate) -> None:
    logits = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    weights = torch.arange(1.0, len(LOGITS) + 1, dtype=torch.float64)
    openings = heaviside(logits, surrogate)
    assert openings.tolist() == [float(value > 0) for value in LOGITS]
    (openings * weights).sum().backward()
    torch.testing.assert_close(logits.grad, weights * formula(surrogate, logits.detach()))


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_utilisation_is_the_open_share_and_pulls_by_the_surrogate(surrogate: Surrogate) -> None:
    blocks = [torch.tensor([[[-3.0, 0.25], [0.5, 2.0]]], requires_grad=True) for _ in range(2)]
    share = utilisation(blocks, surrogate)
    assert share.item() == 0.75
    share.backward()
    for block in blocks:
        torch.testing.assert_close(block.grad, formula(surrogate, block.detach()) / 8)


@pytest.mark.parametrize("site", ["output", "hidden"])
def test_the_network_takes_the_surrogate_of_its_preset(site: str) -> None:
    """A gate far from its threshold learns with the sigmoid, not with the triangle."""
    learns = {}
    for surrogate in SURROGATES:
        values = tiny_values(site=site, surrogate=surrogate)
        torch.manual_seed(1)
        network = GatedConvFSENet(parse_preset("tiny", values, "tiny"))
        for block in network.blocks:
            torch.nn.init.constant_(block.gate.score.bias, 5.0)
        mask, logits = network(torch.rand(2, 33, 12))
        assert min(scores.abs().min().item() for scores in logits) > 1
        mask.sum().backward()
        learns[surrogate] = network.blocks[0].gate.score.bias.grad.abs().sum().item() > 0
    assert learns == {"sigmoid": True, "triangle": False}
