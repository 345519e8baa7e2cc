"""What calibration hears: features, and whom a personalised network keeps meanwhile.

Needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dyncp.embedding import Embedding, nobody, quantised, real
from dyncp.preset import Preset

Clip = NDArray[np.float32] | tuple[NDArray[np.float32], Embedding]
"""Features float32 ``[bins, frames]``, alone or with an embedding int8 ``[dimensions]``.

Without one a personalised network keeps everybody, as with the embedding of nobody."""

_NOBODY_EVERY = 4


def features_of(clip: Clip) -> NDArray[np.float32]:
    """The features alone."""
    return clip[0] if isinstance(clip, tuple) else clip


def float_inputs(clip: Clip) -> tuple[Tensor, ...]:
    """What the float network takes: features ``[1, bins, frames]``; embedding
    ``[1, dimensions]``."""
    features = torch.from_numpy(np.ascontiguousarray(features_of(clip), np.float32))[None]
    if not isinstance(clip, tuple):
        return (features,)
    return features, torch.from_numpy(real(clip[1]))[None]


def random_embedding(dimensions: int, seed: int) -> Embedding:
    """Somebody who is not there: int8 ``[dimensions]`` of a direction drawn evenly."""
    direction = np.random.default_rng([29, seed]).normal(size=dimensions)
    return quantised(direction / np.linalg.norm(direction))


def personalised(
    preset: Preset, clips: Sequence[NDArray[np.float32]], embeddings: Sequence[Embedding] = ()
) -> list[Clip]:
    """The clips, each with somebody for ``preset`` to keep; as they are if it keeps everybody.

    The ``embeddings`` in turn, or where there are none another random one for each clip;
    every fourth clip has nobody's.
    """
    if preset.speaker is None:
        return list(clips)
    dimensions = preset.speaker.dimensions
    found: list[Clip] = []
    for index, clip in enumerate(clips):
        if index % _NOBODY_EVERY == _NOBODY_EVERY - 1:
            found.append((clip, nobody(dimensions)))
        elif embeddings:
            found.append((clip, embeddings[index % len(embeddings)]))
        else:
            found.append((clip, random_embedding(dimensions, index)))
    return found
