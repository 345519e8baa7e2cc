"""Can the integers of each convolution be executed exactly?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from convert.audit.registry import CannotJudge, Finding, NotApplicable, check
from convert.audit.shapes import require_fixed
from convert.audit.subject import INT32, Step, Subject, extents
from convert.identify import CONVOLUTIONS, matrix_of_kernel
from quantize.arithmetic import layer_multipliers
from quantize.checks import WEIGHT_LIMIT, overflowing_channels

_SCALE_TOLERANCE = 1e-5
"""A bias says its scale as a float32 product; some converters form it in double."""


def int8_layers(s: Subject) -> list[Step]:
    """The convolutions with an int8 output; raises if there are none."""
    found = [step for step in s.steps_of(*CONVOLUTIONS) if s.is_int8(step.output)]
    if not found:
        raise NotApplicable("no convolution is int8")
    return found


def _axis(step: Step) -> int:
    return 0 if step.kind == "CONV_2D" else 3


def _weights(s: Subject, step: Step) -> NDArray[np.int8]:
    """The kernel; raises unless it is a constant that int8-weights lets pass."""
    values = s.values(step.inputs[1])
    if values is None or values.dtype != np.int8 or values.ndim != 4 or not values.size:
        raise CannotJudge(f"'{s.name(step.inputs[1])}' is no int8 kernel (weight-type)")
    return values


def _scales(s: Subject, step: Step) -> NDArray[np.float64]:
    """The scale of each output channel; raises unless there is one for each."""
    kernel = s.tensors[step.inputs[1]].quantization
    found = None if kernel is None else kernel.scale
    s.spend(0 if found is None else 16 * found.size)
    shape = s.shape(step.inputs[1])
    if found is None or len(shape) != 4 or found.size != shape[_axis(step)]:
        raise CannotJudge(f"'{s.name(step.inputs[1])}' lacks scales of its channels (weight-scale)")
    if not (np.isfinite(found).all() and (found > 0).all()):
        raise CannotJudge(f"'{s.name(step.inputs[1])}' has unsound scales (scale-*)")
    return found.astype(np.float64)


def bias_of(step: Step) -> int | None:
    """The bias's tensor, if there is one."""
    return step.inputs[2] if len(step.inputs) > 2 and step.inputs[2] >= 0 else None


@check(
    "weight-type",
    "error",
    "the weights of an int8 convolution are an int8 constant of 4 dimensions",
    "quantise the weights",
)
def _weight_type(s: Subject) -> Iterator[Finding]:
    for step in int8_layers(s):
        kernel = step.inputs[1]
        if not s.is_int8(kernel) or not s.is_constant(kernel) or len(s.shape(kernel)) != 4:
            word = "a constant" if s.is_constant(kernel) else "a computed"
            text = f"is {word} {s.type_name(kernel)} {extents(s.shape(kernel))}, used as weights"
            yield s.on_tensor(kernel, text, s.type_name(kernel))


@check(
    "weight-scale",
    "error",
    "weights have a scale for each output channel",
    "quantise the weights per output channel",
)
def _weight_scale(s: Subject) -> Iterator[Finding]:
    for step in int8_layers(s):
        kernel, axis = step.inputs[1], _axis(step)
        grid, shape = s.tensors[kernel].quantization, s.shape(kernel)
        if len(shape) != 4 or grid is None or grid.scale is None:
            continue  # weight-type, scale-missing
        if grid.scale.size != shape[axis] or grid.quantizedDimension != axis:
            text = (
                f"has {grid.scale.size} scales along dimension {grid.quantizedDimension}, "
                f"not {shape[axis]} along {axis}"
            )
            yield s.on_tensor(kernel, text, [grid.scale.size, grid.quantizedDimension])


@check(
    "weight-zero-point",
    "error",
    "the zero point of weights is 0",
    "quantise the weights symmetrically",
)
def _weight_zero_point(s: Subject) -> Iterator[Finding]:
    for kernel in dict.fromkeys(step.inputs[1] for step in int8_layers(s)):
        grid = s.tensors[kernel].quantization
        if grid is not None and grid.zeroPoint is not None and grid.zeroPoint.any():
            places = np.flatnonzero(grid.zeroPoint)
            value = int(grid.zeroPoint[places[0]])
            text = f"has the zero point {value} at channel {places[0]}"
            yield s.on_tensor(kernel, text, value)


@check(
    "weight-lowest",
    "error",
    "no weight is -128",
    "quantise the weights symmetrically, to -127..127",
)
def _weight_lowest(s: Subject) -> Iterator[Finding]:
    for step in int8_layers(s):
        count = int((_weights(s, step) < -WEIGHT_LIMIT).sum())
        if count:
            yield s.on_tensor(step.inputs[1], f"has {count} weights of -128", count)


@check(
    "bias-type",
    "error",
    "every convolution has a constant bias, int32, one value for each output",
    "write the bias as int32",
)
def _bias_type(s: Subject) -> Iterator[Finding]:
    for step in int8_layers(s):
        bias, outputs = bias_of(step), s.shape(step.output)[-1:]
        if bias is None:
            yield s.on_step(step, "has no bias")
        elif s.tensors[bias].type != INT32 or not s.is_constant(bias) or s.shape(bias) != outputs:
            word = "a constant" if s.is_constant(bias) else "a computed"
            text = f"is {word} {s.type_name(bias)} {extents(s.shape(bias))}, used as a bias"
            yield s.on_tensor(bias, text, s.type_name(bias))


@check(
    "bias-scale",
    "error",
    "a bias has the scale of its input times that of its weights, and zero point 0",
    "write round(b / (s_in * s_w)) and that scale",
)
def _bias_scale(s: Subject) -> Iterator[Finding]:
    for step in int8_layers(s):
        bias = bias_of(step)
        grid = None if bias is None else s.tensors[bias].quantization
        if bias is None or grid is None or grid.scale is None or not grid.scale.size:
            continue  # it need not say
        wanted = s.need_grid(step.inputs[0])[0] * _scales(s, step)
        if grid.scale.size != wanted.size:
            text = f"has {grid.scale.size} scales for {wanted.size} outputs"
            yield s.on_tensor(bias, text, grid.scale.size)
            continue
        with np.errstate(invalid="ignore"):
            wrong = np.flatnonzero(~(np.abs(grid.scale - wanted) <= _SCALE_TOLERANCE * wanted))
        if wrong.size:
            place = wrong[0]
            text = f"has the scale {grid.scale[place]:g} at channel {place}, not {wanted[place]:g}"
            yield s.on_tensor(bias, text, float(grid.scale[place]))


def _factors(s: Subject, step: Step) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Multiplier and shift of each output channel."""
    source, given = s.need_grid(step.inputs[0]), s.need_grid(step.output)
    return layer_multipliers(source[0], _scales(s, step).astype(np.float32), given[0])


@check(
    "accumulator-overflow",
    "error",
    "no input can overflow a convolution's 32-bit sum or its left shift",
    "calibrate anew; the output's scale is too small for its weights",
)
def _overflow(s: Subject) -> Iterator[Finding]:
    require_fixed(s)
    for step in int8_layers(s):
        kernel = _weights(s, step)
        weights = matrix_of_kernel(kernel, step.kind != "CONV_2D")
        tensor = bias_of(step)
        bias = np.zeros(len(weights), np.int32) if tensor is None else s.values(tensor)
        if bias is None or bias.shape != (len(weights),):
            raise CannotJudge(f"{s.label(step)} has no int32 bias of its outputs (bias-type)")
        _, shift = _factors(s, step)
        zero_point = s.need_grid(step.inputs[0])[1]
        channels = overflowing_channels(weights, bias, zero_point, shift)
        if channels.size:
            text = f"can overflow at {channels.size} of its channels, {channels[0]} the first"
            yield s.on_step(step, text, int(channels[0]))


@check(
    "channel-dead",
    "warning",
    "no convolution has a channel whose factor is too small to give anything",
    "calibrate anew, or leave the channel out",
)
def _dead(s: Subject) -> Iterator[Finding]:
    for step in int8_layers(s):
        multiplier, _ = _factors(s, step)
        dead = np.flatnonzero(multiplier == 0)
        if dead.size:
            text = f"has {dead.size} channels of factor 0, {dead[0]} the first"
            yield s.on_step(step, text, int(dead[0]))
