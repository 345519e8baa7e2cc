"""The embeddings of a split's voices, by several enrolment recordings of each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dyncp.embedding import Embedding, nobody, real
from dyncp.personal.scenes import Scene, SceneSource
from dyncp.personal.speaker_encoder import SpeakerEncoder, embed

_RECORDINGS = 6


class Enrolled:
    """A source of scenes, and int8 embeddings ``[voices, recordings, dimensions]`` beside it.

    The first recording of each is always the same one: that is what tests enrol by.
    """

    def __init__(self, source: SceneSource, encoder: SpeakerEncoder) -> None:
        self.source = source
        count = _RECORDINGS if source.split == "train" else 1
        self.table = np.stack(
            [
                [
                    embed(encoder, source.enrolment(voice, _drawn(voice, number)))
                    for number in range(count)
                ]
                for voice in range(len(source.voices))
            ]
        )

    @property
    def key(self) -> str:
        """What the embeddings are known by: a hash of them all."""
        return hashlib.sha256(self.table.tobytes()).hexdigest()[:16]

    def embedding(self, voice: int, rng: np.random.Generator | None = None) -> Embedding:
        """int8 ``[dimensions]`` of a voice, or of nobody (-1); by a recording that is drawn."""
        if voice < 0:
            return nobody(self.table.shape[2])
        number = int(rng.integers(self.table.shape[1])) if rng else 0
        return np.asarray(self.table[voice, number])

    def embeddings(self, scenes: Sequence[Scene], rng: np.random.Generator | None = None) -> Tensor:
        """Real values ``[B, dimensions]`` for the scenes' voices."""
        chosen = [self.embedding(scene.voice, rng) for scene in scenes]
        return torch.from_numpy(real(np.stack(chosen)))


def _drawn(voice: int, number: int) -> np.random.Generator | None:
    return np.random.default_rng([31, voice, number]) if number else None
