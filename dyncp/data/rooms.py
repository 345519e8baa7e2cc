"""Rooms: impulse responses by the image-source method, a bank of them per split.

Sabine's formula sets the walls' absorption for a drawn reverberation time; the
images are those of pyroomacoustics (Scheibler et al., ICASSP 2018).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.signal import fftconvolve
from tqdm import tqdm

from dyncp.data.speakers import SPLITS, Split
from dyncp.data.speech import CACHE_FOLDER, source_key
from dyncp.files import replacing

_ROOMS: dict[Split, int] = {"train": 60, "validation": 12, "test": 20}
_RT60 = (0.1, 0.6)
"""Seconds: from a furnished small room to a bare office."""
_SMALLEST = np.array([2.5, 2.5, 2.2])
_LARGEST = np.array([8.0, 6.0, 3.5])
_FROM_WALL = 0.4
_DISTANCE = (0.3, 3.0)
"""Metres from mouth to microphone."""
_SPEED_OF_SOUND = 343.0


def _response(rng: np.random.Generator, sample_rate: int) -> np.ndarray:
    import pyroomacoustics

    # Several threads would add the images up in an order of their own.
    pyroomacoustics.constants.set("num_threads", 1)
    rt60 = rng.uniform(*_RT60)
    while True:
        size = rng.uniform(_SMALLEST, _LARGEST)
        walls = 2 * (size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
        # Sabine: walls that swallow everything cannot make a large room dry enough.
        if 0.161 * size.prod() / (walls * rt60) < 0.95:
            break
    while True:
        mouth, ear = rng.uniform(_FROM_WALL, size - _FROM_WALL, (2, 3))
        distance = float(np.linalg.norm(mouth - ear))
        if _DISTANCE[0] <= distance <= _DISTANCE[1]:
            break
    absorption, order = pyroomacoustics.inverse_sabine(rt60, size)
    material = pyroomacoustics.Material(absorption)
    room = pyroomacoustics.ShoeBox(size, fs=sample_rate, materials=material, max_order=order)
    room.add_source(mouth)
    room.add_microphone(ear)
    room.compute_rir()
    # Without the way to the microphone, and without what 60 dB below all makes nothing.
    response = np.asarray(room.rir[0][0])[round(distance / _SPEED_OF_SOUND * sample_rate) :]
    left = np.cumsum(response[::-1] ** 2)[::-1]
    response = response[: np.flatnonzero(left > 1e-6 * left[0])[-1] + 1]
    return (response / np.sqrt(left[0])).astype(np.float32)


def load_rooms(split: Split, sample_rate: int, cache: Path = CACHE_FOLDER) -> list[np.ndarray]:
    """The split's impulse responses, float32 ``[taps]`` of unit energy; cached."""
    count = _ROOMS[split]
    path = cache / f"rooms-{split}-{sample_rate}-{count}-{source_key(Path(__file__))}.npz"
    if not path.is_file():
        numbers = tqdm(range(count), desc=f"rooms ({split})", disable=not sys.stderr.isatty())
        responses = {
            str(number): _response(
                np.random.default_rng([29, SPLITS.index(split), number]), sample_rate
            )
            for number in numbers
        }
        with replacing(path) as temporary:
            np.savez(temporary, **responses)  # type: ignore[arg-type]
    with np.load(path) as stored:
        return [stored[str(number)] for number in range(count)]


def in_room(dry: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Speech as heard in a room, as long as ``dry``: float32 ``[samples]``."""
    return np.asarray(fftconvolve(dry, response)[: len(dry)], np.float32)
