"""The personalised VAD: who speaks, known as it happens."""

from __future__ import annotations

import numpy as np
import torch

from dyncp.personal.pvad import PersonalVad, Speech, speech_labels, target_accuracy, vad_loss
from dyncp.personal.scenes import Scene, SceneSource
from dyncp.personal.speaker_encoder import FRAME_WIDTH, SETTINGS, SpeakerEncoder
from tests.dyncp.personal.counted import counting

DIMENSIONS, WIDTH = 8, 5
HOP = SETTINGS.hop


def small() -> PersonalVad:
    torch.manual_seed(1)
    return PersonalVad(DIMENSIONS, WIDTH).eval()


def given(frames: int, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.manual_seed(2)
    features = 0.2 + torch.rand(batch, SETTINGS.bins, frames, generator=generator)
    return features, 4 * torch.rand(batch, DIMENSIONS, generator=generator)


@torch.no_grad()
def test_later_frames_change_no_decision() -> None:
    vad = small()
    features, wanted = given(50)
    before = vad(features, wanted)
    assert before.shape == (2, len(Speech), 50)
    for frame in (1, 20, 49):
        changed = features.clone()
        changed[:, :, frame:] *= 3
        changed[:, ::2, frame:] += 0.4
        after = vad(changed, wanted)
        torch.testing.assert_close(after[..., :frame], before[..., :frame], rtol=0, atol=1e-6)
        assert not torch.allclose(after[..., frame], before[..., frame], atol=1e-4)


@torch.no_grad()
def test_how_loud_a_recording_is_says_nothing_of_who_speaks() -> None:
    vad = small()
    features, wanted = given(20)
    torch.testing.assert_close(vad(5 * features, wanted), vad(features, wanted))


@torch.no_grad()
def test_the_embedding_decides_whose_voice_it_is() -> None:
    vad = small()
    features, wanted = given(20)
    assert not torch.allclose(vad(features, wanted), vad(features, wanted.flip(1)), atol=1e-4)


@torch.no_grad()
def test_probabilities_are_the_targets_share() -> None:
    vad = small()
    features, wanted = given(6)
    logits = vad(features, wanted).exp()
    torch.testing.assert_close(
        vad.target_probability(features, wanted), logits[:, 2] / logits.sum(dim=1)
    )


@torch.no_grad()
def test_its_multiply_accumulates_are_those_of_its_layers() -> None:
    """As deployed: the projection is done once a frame, its moving average is a sum of those;
    and each of the two likenesses is a product with the embedding."""
    vad, frames = small(), 9
    with counting(vad) as counts:
        vad(*given(frames, batch=1))
    assert counts["voice"] == 2 * frames * FRAME_WIDTH * DIMENSIONS
    counts["voice"] //= 2
    assert sum(counts.values()) + frames * 2 * DIMENSIONS == frames * vad.macs


@torch.no_grad()
def test_it_starts_with_what_the_speaker_encoder_hears() -> None:
    torch.manual_seed(3)
    encoder = SpeakerEncoder(DIMENSIONS)
    vad = small()
    vad.start_as(encoder)
    for name, weight in encoder.frames.state_dict().items():
        assert torch.equal(vad.frames.state_dict()[name], weight), name
    x = torch.randn(1, FRAME_WIDTH, 1)
    deviation = torch.zeros(1, FRAME_WIDTH)
    expected = encoder.project(torch.cat([x[..., 0], deviation], dim=1))
    projected = vad.voice(x)[..., 0] - vad.voice.bias
    torch.testing.assert_close(projected, expected - encoder.project.bias, rtol=1e-4, atol=1e-5)
    # The same frames as the encoder's, as many later as it looks ahead: 2, 2 and 3.
    features, _ = given(40, batch=1)
    heard, causal = encoder.eval().frames(features), vad.eval().frames(features)
    torch.testing.assert_close(causal[..., 20:], heard[..., 13:33], rtol=1e-3, atol=1e-4)


def scene(target: np.ndarray, interferer: np.ndarray) -> Scene:
    noisy = (target + interferer).astype(np.float32)
    return Scene("TS1", noisy, target, interferer, 0, 0.1, "none", 20.0, 0.0)


def test_a_frame_of_both_is_the_targets() -> None:
    rng = np.random.default_rng(1)
    target, other = np.zeros((2, 40 * HOP), np.float32)
    target[10 * HOP : 20 * HOP] = rng.normal(0, 0.1, 10 * HOP)
    other[15 * HOP : 30 * HOP] = rng.normal(0, 0.02, 15 * HOP)
    labels = speech_labels(scene(target, other))
    # Frame t covers the hops t - 1 and t.
    expected = np.full(40, Speech.NONE, np.int64)
    expected[15:31] = Speech.OTHER
    expected[10:21] = Speech.TARGET
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == np.int64


def test_a_silent_target_has_no_frame(unseen: SceneSource) -> None:
    away = unseen.scene(np.random.default_rng(1), 2.0, "TS3")
    assert set(speech_labels(away)) == {Speech.NONE, Speech.OTHER}
    alone = unseen.scene(np.random.default_rng(1), 2.0, "TS2")
    assert set(speech_labels(alone)) == {Speech.NONE, Speech.TARGET}


def test_it_is_judged_by_the_targets_frames() -> None:
    labels = torch.tensor([[Speech.NONE, Speech.OTHER, Speech.TARGET, Speech.TARGET]])
    assert target_accuracy(torch.tensor([[0.1, 0.2, 0.9, 0.8]]), labels) == 1.0
    assert target_accuracy(torch.tensor([[0.1, 0.7, 0.9, 0.3]]), labels) == 0.5
    sure = 20 * torch.nn.functional.one_hot(labels, 3).transpose(1, 2).float()
    assert vad_loss(sure, labels) < 1e-6 < vad_loss(-sure, labels)
