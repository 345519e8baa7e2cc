"""Layouts of the DSP extension's kernels; ``firmware/kernels/dsp.h`` says how they are read.

All keep 8 bytes of constants a row: the accumulator's start, whose low byte is the
right shift less one, and the multiplier. All need the sums to fit 24 bits and the
short requantisation to be exact; a layer that does not fulfil this stays `plain`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from quantize.arithmetic import INT8_MIN
from quantize.macs import STORAGE, Layout
from targets.compiler.packing.packed import CLOSED_INPUTS, CLOSED_OUTPUTS, Packed, filled
from targets.compiler.plan import ConvolutionPlan, NetworkPlan

_LARGEST_INPUT = 255


def layout_of(network: NetworkPlan, layer: ConvolutionPlan) -> Layout:
    """The layout of a layer whose gates close what ``network`` says."""
    if not _is_short(layer):
        return "plain"
    gated_outputs = layer.name.endswith(CLOSED_OUTPUTS[network.site])
    if layer.name.endswith(".depthwise"):
        return "folded"
    if layer.name.endswith(CLOSED_INPUTS[network.site]):
        return "tiles" if network.group % 4 == 0 else "plain"
    return "rows" if gated_outputs and network.group % STORAGE["quads"].outputs else "quads"


def _is_short(layer: ConvolutionPlan) -> bool:
    """Whether 256 times any sum fits 32 bits, and the short requantisation is exact."""
    weights = np.abs(layer.weights.astype(np.int64))
    bound = weights.sum(axis=1) * _LARGEST_INPUT + layer.largest_bias
    return bool(
        weights.max() <= -INT8_MIN - 1
        and (256 * bound).max() < 1 << 31
        and layer.shift.max() <= -1
        and layer.lowest == INT8_MIN
    )


def _constants(
    layer: ConvolutionPlan, start: NDArray[np.int64], layout: Layout
) -> NDArray[np.int32]:
    """``[2, rows]``: starts, then multipliers; what fills up has 0. ``start`` may wrap."""
    constants = np.zeros((2, STORAGE[layout].rows(layer.outputs)), np.int64)
    constants[0, : layer.outputs] = start * 256 + (-layer.shift - 1)
    constants[1, : layer.outputs] = layer.multiplier
    return constants.astype(np.uint32).view(np.int32)


def _in_pairs_of_inputs(
    layer: ConvolutionPlan, layout: Layout
) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Halfwords ``[rows, inputs / 2]`` and the start of every output, for split inputs.

    A halfword is w[odd] - 256 * w[even]. Split inputs are the bytes as they are, the
    even ones 128 more: that and the zero point are the same in every frame.
    """
    weights = filled(layer, layout)
    own = layer.weights.astype(np.int64)
    start = layer.bias - layer.input_zero_point * own.sum(axis=1) - 128 * own[:, ::2].sum(axis=1)
    return (weights[:, 1::2] - 256 * weights[:, ::2]).astype("<i2"), start


def _rows(layer: ConvolutionPlan) -> Packed:
    """Each row by itself."""
    halfwords, start = _in_pairs_of_inputs(layer, "rows")
    constants = _constants(layer, start, "rows").T
    return Packed(_as_bytes(halfwords), np.ascontiguousarray(constants).reshape(-1))


def _quads(layer: ConvolutionPlan) -> Packed:
    """Four rows interleaved word by word; of a quad, four starts and four multipliers."""
    halfwords, start = _in_pairs_of_inputs(layer, "quads")
    words = halfwords.reshape(len(halfwords) // 4, 4, -1, 2).transpose(0, 2, 1, 3)
    constants = _constants(layer, start, "quads").reshape(2, -1, 4).transpose(1, 0, 2)
    return Packed(_as_bytes(words), np.ascontiguousarray(constants).reshape(-1))


def _tiles(layer: ConvolutionPlan) -> Packed:
    """Eight outputs, mixed in pairs: halfwords are 256 * w[odd output] + w[even output]."""
    weights = filled(layer, "tiles")
    mixed = (weights[1::2] * 256 + weights[0::2]).astype("<i2")
    tiles = mixed.reshape(len(weights) // 8, 4, -1, 2).transpose(0, 2, 1, 3)
    constants = _constants(layer, layer.bias.astype(np.int64), "tiles").T
    return Packed(_as_bytes(tiles), np.ascontiguousarray(constants).reshape(-1))


def _folded(layer: ConvolutionPlan) -> Packed:
    """A depthwise convolution with its zero point in the bias."""
    own = layer.weights.astype(np.int64)
    start = layer.bias - layer.input_zero_point * own.sum(axis=1)
    constants = _constants(layer, start, "folded").T
    return Packed(layer.weights.reshape(-1), np.ascontiguousarray(constants).reshape(-1))


def _as_bytes(halfwords: NDArray[np.int16]) -> NDArray[np.int8]:
    return np.ascontiguousarray(halfwords, "<i2").reshape(-1).view(np.int8)


PACKINGS: Mapping[Layout, Callable[[ConvolutionPlan], Packed]] = {
    "rows": _rows,
    "quads": _quads,
    "tiles": _tiles,
    "folded": _folded,
}
