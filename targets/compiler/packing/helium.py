"""Layouts of Helium's kernels; ``firmware/kernels/helium.h`` says how they are read.

All keep 9 bytes of constants a row: the start of the sum, the multiplier, the shift.
All need the requantisation in vectors to be exact; a layer where it is not stays `plain`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from quantize.arithmetic import INT8_MIN
from quantize.macs import STORAGE, Layout
from targets.compiler.packing.packed import CLOSED_INPUTS, CLOSED_OUTPUTS, Packed, filled
from targets.compiler.plan import ConvolutionPlan, NetworkPlan

_OCTET, _INPUTS = STORAGE["octets"].outputs, STORAGE["octets"].inputs
_EVEN_THEN_ODD = [0, 2, 4, 6, 1, 3, 5, 7]
_OFFSET = -INT8_MIN


def layout_of(network: NetworkPlan, layer: ConvolutionPlan) -> Layout:
    """The layout of a layer whose gates close what ``network`` says."""
    if not _rounds_in_vectors(layer):
        return "plain"
    if layer.name.endswith(".depthwise"):
        return "channels"
    if layer.name.endswith(CLOSED_INPUTS[network.site]) and network.group % 4 == 0:
        # Of closed inputs nothing is left where the zero point is the least byte.
        return "offset_octets" if layer.input_zero_point == INT8_MIN else "plain"
    gated_outputs = layer.name.endswith(CLOSED_OUTPUTS[network.site])
    return "lone_rows" if gated_outputs and network.group % _OCTET else "octets"


def _rounds_in_vectors(layer: ConvolutionPlan) -> bool:
    return bool(
        np.abs(layer.weights.astype(np.int64)).max() <= -INT8_MIN - 1
        and layer.shift.max() <= -1
        and layer.lowest == INT8_MIN
    )


def _start(layer: ConvolutionPlan) -> NDArray[np.int64]:
    """The bias with the input's zero point in it, ``[outputs]``."""
    own = layer.weights.astype(np.int64)
    return layer.bias - layer.input_zero_point * own.sum(axis=1)


def _constants(layer: ConvolutionPlan, start: NDArray[np.int64]) -> NDArray[np.int32]:
    """All starts, all multipliers, all shifts."""
    shifts = np.zeros(-(-layer.outputs // 4) * 4, np.int8)
    shifts[: layer.outputs] = layer.shift
    words = [np.asarray(values, "<i4") for values in (start, layer.multiplier)]
    return np.concatenate([*words, shifts.view("<i4")])


def _constants_of_octets(layer: ConvolutionPlan, start: NDArray[np.int64]) -> NDArray[np.int32]:
    """By octets; what fills them up has 0."""
    padded = np.zeros((3, STORAGE["octets"].rows(layer.outputs)), np.int64)
    padded[:, : layer.outputs] = start, layer.multiplier, layer.shift
    starts, multipliers, shifts = padded.reshape(3, -1, _OCTET)
    words = [
        np.ascontiguousarray(starts, "<i4"),
        np.ascontiguousarray(multipliers[:, _EVEN_THEN_ODD], "<i4"),
        np.ascontiguousarray(shifts[:, _EVEN_THEN_ODD], np.int8).view("<i4"),
    ]
    return np.concatenate(words, axis=1).reshape(-1)


def _interleaved(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Eight rows, 16 inputs of each in turn."""
    return weights.reshape(-1, _OCTET, weights.shape[1] // _INPUTS, _INPUTS).transpose(0, 2, 1, 3)


def _octets(layer: ConvolutionPlan) -> Packed:
    weights = _interleaved(filled(layer, "octets")).astype(np.int8)
    return Packed(weights.reshape(-1), _constants_of_octets(layer, _start(layer)))


def _offset_octets(layer: ConvolutionPlan) -> Packed:
    """Weights plus 128, as unsigned bytes; inputs count from their zero point."""
    weights = _interleaved(filled(layer, "offset_octets")) + _OFFSET
    constants = _constants_of_octets(layer, layer.bias.astype(np.int64))
    return Packed(weights.astype(np.uint8).view(np.int8).reshape(-1), constants)


def _lone_rows(layer: ConvolutionPlan) -> Packed:
    weights = filled(layer, "lone_rows").astype(np.int8)
    return Packed(weights.reshape(-1), _constants(layer, _start(layer)))


def _channels(layer: ConvolutionPlan) -> Packed:
    """A depthwise convolution, tap by tap."""
    weights = np.ascontiguousarray(layer.weights.T)
    return Packed(weights.reshape(-1), _constants(layer, _start(layer)))


PACKINGS: Mapping[Layout, Callable[[ConvolutionPlan], Packed]] = {
    "octets": _octets,
    "offset_octets": _offset_octets,
    "lone_rows": _lone_rows,
    "channels": _channels,
}
