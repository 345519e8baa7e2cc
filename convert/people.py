"""Whom a personalised network keeps on the ladder: nobody in particular, somebody, and changes.

A change of whom to keep must reach every rung at the same frame, and leave the rings alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from convert.ladder import FrameSequence
from dyncp.embedding import LARGEST, Embedding, load_embedding, nobody, quantised
from dyncp.errors import UserError
from dyncp.preset import Preset

_CHANGES = 4
_MOST_FRAMES = 200


def keeping(preset: Preset, path: Path | None) -> Embedding | None:
    """Whom to keep: who is in the file, or everybody; None of a network that takes no embedding.

    Raises :class:`UserError` for a file that does not fit ``preset``.
    """
    if preset.speaker is None:
        if path is not None:
            raise UserError(f"preset '{preset.name}' takes no embedding; omit --embedding")
        return None
    dimensions = preset.speaker.dimensions
    return nobody(dimensions) if path is None else load_embedding(path, dimensions)


def _people(dimensions: int, seed: int) -> list[Embedding]:
    """Somebody drawn at random, the ends of the bytes in turn, nobody, somebody else."""
    drawn = np.random.default_rng([31, seed]).normal(size=(2, dimensions))
    first, second = quantised(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))
    ends = np.where(np.arange(dimensions) % 2, -LARGEST, LARGEST).astype(np.int8)
    return [first, ends, nobody(dimensions), second]


def with_people(
    sequences: Sequence[FrameSequence], preset: Preset, seed: int
) -> list[FrameSequence]:
    """The sequences, each with somebody else to keep, and another from its middle on."""
    if preset.speaker is None:
        return list(sequences)
    people = _people(preset.speaker.dimensions, seed)
    return [
        replace(
            sequence,
            embeddings={
                0: people[index % len(people)],
                len(sequence.frames) // 2: people[(index + 1) % len(people)],
            },
        )
        for index, sequence in enumerate(sequences)
    ]


def changing_people(sequence: FrameSequence, seed: int) -> FrameSequence:
    """The beginning of a sequence, with somebody else to keep every now and then."""
    frames = sequence.frames[:_MOST_FRAMES]
    people = _people(len(sequence.embeddings[0]), seed)
    starts = np.linspace(0, len(frames), _CHANGES, endpoint=False).astype(int)
    embeddings = {int(start): who for start, who in zip(starts, people, strict=True)}
    return FrameSequence(f"{sequence.name}, whom to keep changes", frames, True, embeddings)
