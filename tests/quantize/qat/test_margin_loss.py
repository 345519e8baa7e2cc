"""The margin pulls a gate to the float network's side, and lets it be once it is safe there."""

from __future__ import annotations

import pytest
import torch

from quantize.qat.loss import margin_loss

SCALE, STEPS = 0.02, 6.0


def loss_of(logit: float, wanted: float) -> float:
    return margin_loss(
        [torch.full((1, 1, 1), logit)], [torch.full((1, 1, 1), wanted)], [SCALE], STEPS
    ).item()


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_it_is_0_beyond_the_margin_1_at_the_threshold_and_grows_on_the_wrong_side(
    side: float,
) -> None:
    at = [loss_of(side * steps * SCALE, side * 0.3) for steps in (60, 6.001, 3, 0, -6, -60)]
    assert at[:2] == [0, 0]
    assert at[2:] == pytest.approx([0.5, 1, 2, 11])


def test_how_sure_the_float_network_is_does_not_matter() -> None:
    assert loss_of(0.01, 1e-6) == loss_of(0.01, 1e6)
    # At exactly 0 its gate is closed.
    assert loss_of(0.01, 0.0) == loss_of(0.01, -1.0)


def test_its_gradient_opens_what_was_open_and_closes_what_was_closed() -> None:
    logits = torch.tensor([[[-0.01, 0.01, 0.01, -0.01, 1.0, -1.0]]], requires_grad=True)
    wanted = torch.tensor([[[1.0, 1.0, -1.0, -1.0, 1.0, -1.0]]])
    margin_loss([logits], [wanted], [SCALE], STEPS).backward()
    assert logits.grad is not None
    assert torch.sign(-logits.grad).flatten().tolist() == [1, 1, -1, -1, 0, 0]


def test_blocks_count_alike_and_each_in_its_own_steps() -> None:
    quiet, loud = torch.full((1, 4, 3), 0.03), torch.full((1, 2, 9), 0.3)
    ones = [torch.ones_like(quiet), torch.ones_like(loud)]
    assert margin_loss([quiet, loud], ones, [0.01, 0.1], STEPS).item() == pytest.approx(0.5)
    halves = margin_loss([quiet, torch.full((1, 2, 9), 9.0)], ones, [0.01, 0.1], STEPS)
    assert halves.item() == pytest.approx(0.25)
