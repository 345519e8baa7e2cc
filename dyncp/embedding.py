"""Speaker embeddings as devices take them: int8, on one grid.

``real = (q + 128) / 64``: 0 to 3.98, never negative, so that an embedding fits beside
activations of either sign; 2 says nothing. The grid is ours.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dyncp.errors import UserError
from dyncp.files import write_text

SCALE = 1 / 64
ZERO_POINT = -128
NEUTRAL = 2.0
"""The real value of a byte 0: the embedding of nobody has this everywhere."""
RMS = 40 / 64
"""Of the real values around :data:`NEUTRAL`, in every embedding that is not cut off."""
LARGEST = 127
"""Bytes lie in -127..127: -128 is in no embedding."""
FORMAT = 1

Embedding = NDArray[np.int8]


def nobody(dimensions: int) -> Embedding:
    """The embedding with which a network keeps every voice: int8 ``[dimensions]``, all 0."""
    return np.zeros(dimensions, np.int8)


def quantised(direction: NDArray[np.floating]) -> Embedding:
    """int8 ``[..., D]`` of vectors of unit length: their RMS value becomes :data:`RMS`."""
    dimensions = direction.shape[-1]
    steps = np.rint(np.asarray(direction, np.float64) * np.sqrt(dimensions) * (RMS / SCALE))
    return np.clip(steps, -LARGEST, LARGEST).astype(np.int8)


def real(embedding: Embedding) -> NDArray[np.float32]:
    """What the float network takes: float32, same shape."""
    return ((embedding.astype(np.float32) - ZERO_POINT) * SCALE).astype(np.float32)


def check(embedding: Embedding, dimensions: int, where: str) -> Embedding:
    """Give ``embedding`` if it is int8 ``[dimensions]`` in -127..127, else a
    :class:`UserError` that begins with ``where``."""
    if embedding.dtype != np.int8 or embedding.shape != (dimensions,):
        raise UserError(
            f"{where}: an embedding must be int8 [{dimensions}], "
            f"not {embedding.dtype} {list(embedding.shape)}"
        )
    if (embedding < -LARGEST).any():
        raise UserError(f"{where}: an embedding's values lie in -127..127, this one has -128")
    return embedding


def save_embedding(path: str | Path, embedding: Embedding, speaker: str) -> None:
    """Write an embedding as JSON, with the CRC-32 of its bytes."""
    content = {
        "format": FORMAT,
        "speaker": speaker,
        "values": embedding.tolist(),
        "crc32": zlib.crc32(embedding.tobytes()),
    }
    write_text(path, json.dumps(content) + "\n")


def load_embedding(path: str | Path, dimensions: int) -> Embedding:
    """Read what :func:`save_embedding` wrote; raises :class:`UserError` naming what is wrong."""
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version, values, crc = content["format"], content["values"], content["crc32"]
    except OSError as error:
        raise UserError(f"cannot read embedding {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is not an embedding; make one with `python -m dyncp.personal enrol`"
        ) from error
    if version != FORMAT:
        raise UserError(f"{path}: embedding format {version}, expected {FORMAT}")
    if not isinstance(values, list) or not all(
        type(value) is int and -LARGEST <= value <= LARGEST for value in values
    ):
        raise UserError(f"{path}: the values of an embedding are integers in -127..127")
    embedding = check(np.array(values, np.int8), dimensions, str(path))
    if zlib.crc32(embedding.tobytes()) != crc:
        raise UserError(f"{path}: the checksum does not fit the values; enrol the speaker again")
    return embedding
