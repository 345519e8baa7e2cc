"""Names and shapes of the streaming network's tensors, and the rings of its state.

The names are the contract of every later stage (docs/contracts.md)::

    features            [1, bins, 1, 1]
    taps{i}_in          [1, hidden, 2, 1]     frames t - 2d and t - d, oldest first
    pool{i}_in          [1, channels, N-1, 1] the last N - 1 block inputs, oldest first
    embedding           [1, dimensions, 1, 1] whom to keep; last, of a personalised network only
    mask                [1, bins, 1, 1]
    gate{i}_logits      [1, gates, 1, 1]
    taps{i}_out         [1, hidden, 1, 1]     the hidden frame at t
    pool{i}_out         [1, channels, 1, 1]   the block input at t
"""

from __future__ import annotations

import numpy as np

from dyncp.preset import DEPTHWISE_KERNEL, Preset


def has_pool_state(preset: Preset) -> bool:
    """Whether gates average over more than the present frame."""
    return preset.gate is not None and preset.gate.pool_frames > 1


def input_shapes(preset: Preset) -> dict[str, tuple[int, ...]]:
    """Name and NCHW shape of every input, in order."""
    shapes: dict[str, tuple[int, ...]] = {"features": (1, preset.audio.bins, 1, 1)}
    for index in range(preset.blocks):
        shapes[f"taps{index}_in"] = (1, preset.network.hidden, DEPTHWISE_KERNEL - 1, 1)
    if has_pool_state(preset):
        assert preset.gate
        for index in range(preset.blocks):
            frames = preset.gate.pool_frames - 1
            shapes[f"pool{index}_in"] = (1, preset.network.channels, frames, 1)
    if preset.speaker:
        shapes["embedding"] = (1, preset.speaker.dimensions, 1, 1)
    return shapes


def output_shapes(preset: Preset) -> dict[str, tuple[int, ...]]:
    """Name and NCHW shape of every output, in order."""
    shapes: dict[str, tuple[int, ...]] = {"mask": (1, preset.audio.bins, 1, 1)}
    if preset.gate:
        for index in range(preset.blocks):
            shapes[f"gate{index}_logits"] = (1, preset.gates, 1, 1)
    for index in range(preset.blocks):
        shapes[f"taps{index}_out"] = (1, preset.network.hidden, 1, 1)
    if has_pool_state(preset):
        for index in range(preset.blocks):
            shapes[f"pool{index}_out"] = (1, preset.network.channels, 1, 1)
    return shapes


class StateRings:
    """The caller's side of the state: rings of frames, zero activation at first.

    Works on any dtype; ``fill`` is what "zero activation" is for each input
    (0.0 in float, the zero point in int8). Layout ``[1, C, frames, 1]``.
    """

    def __init__(self, preset: Preset, fill: dict[str, float], dtype: np.dtype | type) -> None:
        self._frames: dict[str, list[np.ndarray]] = {}
        self._reads: dict[str, list[int]] = {}
        for name, shape in input_shapes(preset).items():
            if name in ("features", "embedding"):
                continue
            if name.startswith("taps"):
                index = int(name.removeprefix("taps").removesuffix("_in"))
                dilation = preset.network.block_dilations[index]
                length = dilation * (DEPTHWISE_KERNEL - 1)
                self._reads[name] = list(range(0, length, dilation))
            else:
                length = shape[2]
                self._reads[name] = list(range(length))
            zero = np.full((1, shape[1], 1, 1), fill[name], dtype=dtype)
            self._frames[name] = [zero] * length

    def inputs(self) -> dict[str, np.ndarray]:
        """The state inputs for the next frame, by name."""
        return {
            name: np.concatenate([frames[i] for i in self._reads[name]], axis=2)
            for name, frames in self._frames.items()
        }

    def push(self, outputs: dict[str, np.ndarray]) -> None:
        """Take the ``*_out`` frames that the network just gave."""
        for name, frames in self._frames.items():
            frames.pop(0)
            frames.append(outputs[name.replace("_in", "_out")])
