"""Tests enrol every voice by one fixed recording; a training must not see only that one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dyncp.embedding import NEUTRAL, nobody, real
from dyncp.personal.enrolled import Enrolled
from dyncp.personal.scenes import SceneSource
from dyncp.personal.speaker_encoder import SpeakerEncoder, embed

DIMENSIONS = 6


@pytest.fixture(scope="module")
def encoder() -> SpeakerEncoder:
    torch.manual_seed(1)
    return SpeakerEncoder(DIMENSIONS).eval()


@pytest.fixture(scope="module")
def enrolled(unseen: SceneSource, encoder: SpeakerEncoder) -> Enrolled:
    return Enrolled(unseen, encoder)


def test_the_first_recording_is_the_fixed_one(
    enrolled: Enrolled, unseen: SceneSource, encoder: SpeakerEncoder
) -> None:
    for voice in (0, 4):
        expected = embed(encoder, unseen.enrolment(voice))
        np.testing.assert_array_equal(enrolled.embedding(voice), expected)
        drawn = enrolled.embedding(voice, np.random.default_rng(1))
        np.testing.assert_array_equal(drawn, expected)
    assert enrolled.table.shape == (len(unseen.voices), 1, DIMENSIONS)


def test_nobodys_voice_is_neutral(enrolled: Enrolled) -> None:
    np.testing.assert_array_equal(enrolled.embedding(-1), nobody(DIMENSIONS))
    np.testing.assert_array_equal(
        enrolled.embedding(-1, np.random.default_rng(1)), nobody(DIMENSIONS)
    )


def test_scenes_are_given_the_real_values_of_their_voices(enrolled: Enrolled) -> None:
    scenes: list[Any] = [SimpleNamespace(voice=voice) for voice in (2, -1, 0)]
    found = enrolled.embeddings(scenes)
    assert found.dtype == torch.float32
    for row, voice in zip(found, (2, None, 0), strict=True):
        wanted = np.full(DIMENSIONS, NEUTRAL) if voice is None else real(enrolled.table[voice, 0])
        np.testing.assert_array_equal(row, wanted)


class Made:
    """Two voices of a training, whose recordings differ by what drew them."""

    split = "train"
    voices = (None, None)

    def enrolment(self, voice: int, rng: np.random.Generator | None = None) -> np.ndarray:
        rng = np.random.default_rng(99 + voice) if rng is None else rng
        return rng.normal(0, 0.1, 8000).astype(np.float32)


def test_a_training_hears_each_voice_by_several_recordings(encoder: SpeakerEncoder) -> None:
    source: Any = Made()
    enrolled = Enrolled(source, encoder)
    assert enrolled.table.shape == (2, 6, DIMENSIONS)
    assert len({row.tobytes() for row in enrolled.table.reshape(12, -1)}) == 12
    rng = np.random.default_rng(2)
    drawn = {enrolled.embedding(1, rng).tobytes() for _ in range(60)}
    assert drawn == {row.tobytes() for row in enrolled.table[1]}
    fixed = embed(encoder, source.enrolment(1))
    np.testing.assert_array_equal(enrolled.embedding(1), fixed)
    assert Enrolled(source, encoder).key == enrolled.key


def test_another_encoder_has_another_key(enrolled: Enrolled, unseen: SceneSource) -> None:
    """A run that was begun with other embeddings must not be gone on with."""
    torch.manual_seed(2)
    assert Enrolled(unseen, SpeakerEncoder(DIMENSIONS)).key != enrolled.key
