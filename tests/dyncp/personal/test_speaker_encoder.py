"""An enrolment must say who speaks, and nothing of how loud."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dyncp.embedding import LARGEST
from dyncp.personal.checkpoints import load_encoder
from dyncp.personal.scenes import SceneSource
from dyncp.personal.speaker_encoder import (
    SETTINGS,
    SpeakerEncoder,
    embed,
    equal_error_rate,
    margin_loss,
)


def small() -> SpeakerEncoder:
    torch.manual_seed(1)
    return SpeakerEncoder(12).eval()


@torch.no_grad()
def test_directions_are_of_unit_length_and_do_not_depend_on_the_level() -> None:
    encoder = small()
    features = torch.rand(3, SETTINGS.bins, 40, generator=torch.manual_seed(2))
    directions = encoder(features)
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(encoder(7 * features), directions, rtol=0, atol=1e-5)
    assert (directions[0] - directions[1]).abs().max() > 1e-3


@torch.no_grad()
def test_what_is_heard_in_pauses_says_nothing_of_a_voice() -> None:
    encoder = small()
    features = 0.5 + torch.rand(1, SETTINGS.bins, 90, generator=torch.manual_seed(3))
    features[..., 30:] *= 0.05
    before = encoder(features)
    changed = features.clone()
    changed[..., 40:] = features[..., 40:].flip(1)
    in_pauses = (encoder(changed) - before).norm()
    changed = features.clone()
    changed[..., :20] = features[..., :20].flip(1)
    in_speech = (encoder(changed) - before).norm()
    assert in_pauses < 0.001 and in_speech > 0.01


def test_digital_silence_is_no_nan() -> None:
    embedding = embed(small(), np.zeros(8000, np.float32))
    assert embedding.dtype == np.int8 and embedding.shape == (12,)


def test_an_enrolment_is_the_same_at_every_level(unseen: SceneSource) -> None:
    encoder = load_encoder()
    recording = unseen.enrolment(1)
    embedding = embed(encoder, recording)
    assert embedding.dtype == np.int8 and embedding.min() >= -LARGEST
    # The feature's epsilon is not scaled, and int8 rounds: a few steps of 40 at most.
    quiet = embed(encoder, recording / 8).astype(int)
    assert np.abs(quiet - embedding).max() <= 8


def test_the_encoder_that_ships_tells_new_voices_apart(unseen: SceneSource) -> None:
    encoder = load_encoder()
    found = [
        [embed(encoder, unseen.enrolment(v, np.random.default_rng(n))) for n in range(2)]
        for v in range(4)
    ]
    units = np.array(found, np.float64)
    units /= np.linalg.norm(units, axis=2, keepdims=True)
    cosines = units[:, 0] @ units[:, 1].T
    same, different = np.diag(cosines), cosines[~np.eye(4, dtype=bool)]
    assert same.min() > different.max()


@pytest.mark.parametrize(
    ("same", "different", "rate"),
    [
        ([0.8, 0.9, 1.0], [-0.2, 0.1], 0.0),
        ([-0.5, -0.4], [0.5, 0.6, 0.9], 1.0),
        ([0.1, 0.3, 0.5, 0.7], [0.1, 0.3, 0.5, 0.7], 0.5),
        ([0.5, 0.7, 0.8, 0.9], [0.1, 0.2, 0.3, 0.6], 0.25),
    ],
)
def test_equal_error_rates_that_are_known(
    same: list[float], different: list[float], rate: float
) -> None:
    assert equal_error_rate(np.array(same), np.array(different)) == pytest.approx(rate)


def test_directions_that_move_to_their_centres_cost_less() -> None:
    generator = torch.manual_seed(4)
    centres = 3 * torch.randn(5, 8, generator=generator)
    voices = torch.tensor([0, 3, 4, 4])
    units = torch.nn.functional.normalize(centres)[voices]
    start = torch.nn.functional.normalize(torch.randn(4, 8, generator=generator))
    losses = []
    for share in (0.0, 0.3, 0.6, 1.0):
        moved = torch.nn.functional.normalize((1 - share) * start + share * units)
        losses.append(margin_loss(moved, centres, voices, 0.2, 20.0).item())
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.2 * losses[0]


def test_the_margin_is_asked_of_the_right_centre_alone() -> None:
    centres = torch.eye(3)
    directions, voices = torch.eye(3)[:1], torch.tensor([0])
    found = margin_loss(directions, centres, voices, 0.2, 4.0).item()
    assert found == pytest.approx(np.log1p(2 * np.exp(-4 * 0.8)), rel=1e-3)
