"""Frames that no recording holds: silence, full scale, impulses, extremes, noise.

Each sequence is long enough for every ring of the network to wrap, so that a state of
another age shows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convert.ladder import FrameSequence
from dyncp.audio import features
from dyncp.preset import DEPTHWISE_KERNEL, Preset
from quantize.arithmetic import quantise
from quantize.model import QuantizedModel

LOWEST, HIGHEST = -128, 127
TURNS = 2
RANDOM_TURNS = 3
_MORE = 6
"""Frames beyond the whole turns, so that a sequence does not end where a ring begins."""


def longest_ring(preset: Preset) -> int:
    """Frames of the longest ring of the network's state."""
    rings = [dilation * (DEPTHWISE_KERNEL - 1) for dilation in preset.network.block_dilations]
    return max([*rings, *([preset.gate.pool_frames - 1] if preset.gate else [])])


def silent_frame(model: QuantizedModel) -> NDArray[np.int8]:
    """The features of silence, int8 ``[bins]``."""
    audio, grid = model.preset.audio, model.activations["features"]
    frame = features(audio, np.zeros(audio.hop, np.float32))[:, 0]
    quantised: NDArray[np.int8] = quantise(frame, grid.scale, grid.zero_point)
    return quantised


def adversarial_sequences(model: QuantizedModel, seed: int = 0) -> list[FrameSequence]:
    """The sequences for a model, each known by its name; ``seed`` decides the random ones."""
    bins, ring = model.preset.audio.bins, longest_ring(model.preset)
    frames, longer = TURNS * ring + _MORE, RANDOM_TURNS * ring + _MORE
    silent = silent_frame(model)
    silence = np.tile(silent, (frames, 1))
    rng = np.random.default_rng([23, seed])

    moving = silence.copy()
    moving[np.arange(frames), np.linspace(0, bins - 1, frames).astype(int)] = HIGHEST
    clicks = silence.copy()
    clicks[:: max(2, ring // 4 + 1)] = HIGHEST
    square = np.full((frames, bins), LOWEST, np.int8)
    square[::2] = HIGHEST
    made = {
        "silence": silence,
        "full scale": np.full((frames, bins), HIGHEST, np.int8),
        "lowest value": np.full((frames, bins), LOWEST, np.int8),
        "an impulse in one bin": moving,
        "single full frames in silence": clicks,
        "extremes in turn": square,
        "random extremes": rng.choice(np.array([LOWEST, HIGHEST], np.int8), (longer, bins)),
        "random values": rng.integers(LOWEST, HIGHEST + 1, (longer, bins)).astype(np.int8),
    }
    return [FrameSequence(name, values, adversarial=True) for name, values in made.items()]
