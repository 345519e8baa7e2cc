"""Two kinds of network behind one form: where they start, and what recipes share."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dyncp.checkpoint import SHIPPED_FOLDER, load_checkpoint
from dyncp.embedding import NEUTRAL
from dyncp.personal import settings
from dyncp.personal.enhancers import Enhancer
from dyncp.personal.speaker_encoder import SETTINGS

HOP = SETTINGS.hop
DIMENSIONS = settings.encoder_settings()[1]


def made(name: str) -> Enhancer:
    torch.manual_seed(1)
    return Enhancer(settings.network(name), DIMENSIONS).eval()


def given(hops: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.manual_seed(2)
    noisy = 0.1 * torch.randn(1, hops * HOP, generator=generator)
    return noisy, 4 * torch.rand(1, DIMENSIONS, generator=generator)


@torch.no_grad()
@pytest.mark.parametrize("name", ["e3net-small", "personal"])
def test_every_network_gives_aligned_samples_a_hop_shorter(name: str) -> None:
    output = made(name)(*given(7))
    assert output.samples.shape == (1, 6 * HOP)
    gates = [tuple(scores.shape) for scores in output.logits]
    assert gates == ([] if name == "e3net-small" else [(1, 128, 7)] * 9)


@torch.no_grad()
@pytest.mark.parametrize("wanted", ["anybody", "nobody"])
def test_the_gated_network_starts_as_the_one_that_ships(wanted: str) -> None:
    """Its stem learns whom to keep on top of a network that enhances already."""
    enhancer = made("personal")
    enhancer.start()
    noisy, embedding = given(20)
    if wanted == "nobody":
        embedding[:] = NEUTRAL
    features = enhancer.transform.features(enhancer.transform.spectrum(noisy))
    shipped = load_checkpoint(SHIPPED_FOLDER / "paper.pt").network
    expected, gates = shipped(features)
    mask, logits = enhancer.eval().network(features, embedding)
    assert torch.equal(mask, expected)
    assert all(torch.equal(one, other) for one, other in zip(logits, gates, strict=True))


def test_a_network_without_a_start_is_left_as_it_is() -> None:
    enhancer = made("e3net-small")
    before = {name: weight.clone() for name, weight in enhancer.state_dict().items()}
    enhancer.start()
    assert all(torch.equal(before[name], w) for name, w in enhancer.state_dict().items())


def test_only_the_basis_stands_still_in_a_recipe() -> None:
    enhancer = made("e3net-small")
    enhancer.hold_basis()
    held = {name for name, weight in enhancer.named_parameters() if not weight.requires_grad}
    assert held == {"network.encoder.weight", "network.decoder.weight"}
    gated = made("personal")
    gated.hold_basis()
    assert all(weight.requires_grad for weight in gated.parameters())


@torch.no_grad()
def test_an_open_e3net_gives_its_input_back() -> None:
    enhancer = made("e3net-small")
    mask = enhancer.network.mask  # type: ignore[union-attr]
    mask.weight.zero_()  # type: ignore[union-attr, operator]
    mask.bias.fill_(100.0)  # type: ignore[union-attr, operator]
    noisy, embedding = given(8)
    found = enhancer(noisy, embedding).samples
    np.testing.assert_allclose(found, noisy[:, : 7 * HOP], atol=1e-6)
