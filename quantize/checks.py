"""What must hold of a quantised model before anything executes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dyncp import embedding
from dyncp.errors import UserError
from dyncp.preset import Preset
from quantize.arithmetic import INT8_MAX, INT8_MIN
from quantize.probes import check_rows
from quantize.wiring import activation_names, layer_specs

if TYPE_CHECKING:
    from quantize.model import Activation, QuantizedLayer, QuantizedModel, QuantizedProbe

WEIGHT_LIMIT = 127
"""Weights are symmetric: -128 has no use and breaks packed multiplication on Cortex-M."""

LOGIT_SCALE_MIN = 0.002
"""TFLite's int8 GREATER reads q = zero point + 1 as "closed" for scales below 1/512."""

LOGIT_SCALE_LIMIT = 1.0
"""TFLite's int8 GREATER aborts on operand scales of 1 and above."""

LOGIT_SHIFT = 127 / 256
"""What a score's bias carries more, in steps of the logit: rounded, a logit of less than half
a step would be the zero point, which is closed. Not quite half: a dead gate's 0 stays closed."""

MASK_SCALE, MASK_ZERO_POINT = 1.0 / 256.0, -128
"""What LOGISTIC's output must have (``SigmoidPrepare``, ``kernels/activations.cc``)."""

SMALLEST_RANGE = 1e-3
"""A range below this belongs to a tensor that calibration never woke."""

SMALLEST_WEIGHT_SCALE = 1e-8
"""A weight scale at this belongs to a channel without weights or bias."""

SIGMOID_TIE_MARGIN = 1e-3
"""How far every entry of the sigmoid table stays from a rounding tie, in output steps."""

ACCUMULATOR_LIMIT, LARGEST_LEFT_SHIFT = 1 << 30, 15
"""What an int32 sum, shifted left, stays below; the other half is the kernels' headroom."""

_INT32_LIMIT = 1 << 31


def check_model(model: QuantizedModel) -> None:
    """Raise :class:`UserError` naming the first part of ``model`` that cannot be right."""
    _check_activations(model)
    for spec in layer_specs(model.preset):
        layer = model.layers.get(spec.name)
        if layer is None:
            raise UserError(f"the layer {spec.name} is missing")
        if layer.spec != spec:
            raise UserError(f"the layer {spec.name} does not fit the preset")
        _check_layer(layer, model.activations[spec.input])
        check_accumulators(model, layer)
    _require_array("sigmoid_table", model.sigmoid_table, np.int8, (256,))
    for probe in model.probes:
        _check_probe(probe, model.preset)
    check_rows([probe.name for probe in model.probes], [probe.scale for probe in model.probes])


def _check_activations(model: QuantizedModel) -> None:
    for name in activation_names(model.preset):
        activation = model.activations.get(name)
        if activation is None:
            raise UserError(f"the activation {name} is missing")
        scale, zero_point = activation.scale, activation.zero_point
        if not (np.isfinite(scale) and scale > 0 and scale == float(np.float32(scale))):
            raise UserError(f"activation {name}: scale {scale} is not a positive float32 value")
        if not INT8_MIN <= zero_point <= INT8_MAX:
            raise UserError(f"activation {name}: zero point {zero_point} is not an int8 value")
        if name.endswith("_logits") and name.startswith("gate"):
            check_logit_scale(name, scale)
    mask = model.activations["mask"]
    if (mask.scale, mask.zero_point) != (MASK_SCALE, MASK_ZERO_POINT):
        raise UserError(f"activation mask must have scale 1/256 and zero point -128, not {mask}")
    if model.preset.speaker:
        found = model.activations["embedding"]
        if (found.scale, found.zero_point) != (embedding.SCALE, embedding.ZERO_POINT):
            raise UserError(
                f"activation embedding must have scale 1/64 and zero point -128, not {found}"
            )


def check_logit_scale(name: str, scale: float) -> None:
    """Raise unless the integer gate test means ``q > zero point`` on every kernel."""
    if not LOGIT_SCALE_MIN <= scale < LOGIT_SCALE_LIMIT:
        raise UserError(
            f"{name} has scale {scale:.6g}; a gate's logits need one from {LOGIT_SCALE_MIN} "
            f"to below {LOGIT_SCALE_LIMIT:g} to be compared exactly"
        )


def _require_array(name: str, array: NDArray, kind: type, shape: tuple[int, ...]) -> None:
    if array.dtype != kind or array.shape != shape:
        raise UserError(
            f"{name} is {array.dtype} {list(array.shape)}, expected {np.dtype(kind)} {list(shape)}"
        )


def _check_layer(layer: QuantizedLayer, source: Activation) -> None:
    name, spec = layer.spec.name, layer.spec
    _require_array(f"{name} weight", layer.weight, np.int8, (spec.outputs, spec.columns))
    _require_array(f"{name} weight_scale", layer.weight_scale, np.float32, (spec.outputs,))
    _require_array(f"{name} bias", layer.bias, np.int32, (spec.outputs,))
    if layer.weight.min() < -WEIGHT_LIMIT:
        raise UserError(f"{name} has a weight of -128; weights must lie in -127..127")
    scales = layer.weight_scale.astype(np.float64) * source.scale
    if not (np.isfinite(scales).all() and (scales > 0).all()):
        raise UserError(f"{name} has a weight scale that is not a positive number")


def check_accumulators(model: QuantizedModel, layer: QuantizedLayer) -> None:
    """Raise if some input could overflow the layer's int32 accumulator or its left shift."""
    zero_point = model.activations[layer.spec.input].zero_point
    _, shift = model.multipliers(layer.spec.name)
    overflowing = overflowing_channels(layer.weight, layer.bias, zero_point, shift)
    if overflowing.size:
        raise UserError(
            f"{layer.spec.name} channel {overflowing[0]} can overflow its 32-bit accumulator; "
            "its output scale is too small for its weights"
        )


def overflowing_channels(
    weights: NDArray[np.int8], bias: NDArray[np.int32], zero_point: int, shift: NDArray[np.int64]
) -> NDArray[np.intp]:
    """Output channels whose int32 sum, or its left shift, some int8 input could overflow.

    ``weights``: ``[outputs, inputs]``, the columns of an embedding among them;
    ``zero_point``: the input's; ``shift``: ``[outputs]``, of
    :func:`quantize.arithmetic.layer_multipliers`.
    """
    largest_input = max(INT8_MAX - zero_point, zero_point - INT8_MIN)
    bound = np.abs(weights.astype(np.int64)).sum(axis=1) * largest_input
    bound += np.abs(bias.astype(np.int64))
    bound <<= np.clip(shift, 0, LARGEST_LEFT_SHIFT)
    return np.flatnonzero((bound >= ACCUMULATOR_LIMIT) | (shift > LARGEST_LEFT_SHIFT))


def _check_probe(probe: QuantizedProbe, preset: Preset) -> None:
    name = f"probe '{probe.name}'"
    _require_array(f"{name} weights", probe.weights, np.int16, (preset.blocks * preset.gates,))
    bound = np.abs(probe.weights.astype(np.int64)).sum() + abs(probe.bias)
    if bound >= _INT32_LIMIT:
        raise UserError(f"{name} can overflow a 32-bit score (bound {bound})")
    if not (np.isfinite(probe.scale) and probe.scale > 0):
        raise UserError(f"{name}: scale {probe.scale} is not a positive number")
