"""Are the quantisation blocks well formed, and the scales sound?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from convert.audit.model import Quantization
from convert.audit.registry import Finding, NotApplicable, check
from convert.audit.subject import INT8, Subject
from convert.identify import CONVOLUTIONS
from quantize.checks import LOGIT_SCALE_MIN, SMALLEST_RANGE, SMALLEST_WEIGHT_SCALE

_TYPE = schema.TensorType
_ZERO_POINTS = {
    INT8: (-128, 127),
    _TYPE.UINT8: (0, 255),
    _TYPE.INT16: (-32768, 32767),
    _TYPE.INT32: (0, 0),
    _TYPE.INT4: (-8, 7),
}
_SMALLEST_NORMAL = np.finfo(np.float32).tiny
_STEPS = 255
# The calibrator divides and multiplies in double, then rounds to float32.
_AT_FLOOR = 1 + 4e-6


def _scaled(s: Subject) -> Iterator[tuple[int, Quantization, np.ndarray]]:
    """Tensors with scales; raises if there are none."""
    found = False
    for index, tensor in enumerate(s.tensors):
        grid = tensor.quantization
        if grid is not None and grid.scale is not None and grid.scale.size:
            found = True
            yield index, grid, grid.scale
    if not found:
        raise NotApplicable("no tensor has a scale")


def _scale_findings(s: Subject, wrong: str, what: str) -> Iterator[Finding]:
    """Scales of which the function ``wrong`` holds."""
    for index, _, scales in _scaled(s):
        with np.errstate(invalid="ignore"):
            places = np.flatnonzero(_WRONG[wrong](scales))
        if places.size:
            value = float(scales[places[0]])
            channel = f" of channel {places[0]}" if scales.size > 1 else ""
            yield s.on_tensor(index, f"has the scale {value:g}{channel}, {what}", value)


_WRONG = {
    "not finite": lambda scales: ~np.isfinite(scales),
    "not positive": lambda scales: scales <= 0,
    "denormal": lambda scales: (scales > 0) & (scales < _SMALLEST_NORMAL),
}


@check(
    "scale-missing",
    "error",
    "every int8 tensor that is computed or read as data has a scale and zero point",
    "quantise the tensor; see float-island",
)
def _missing(s: Subject) -> Iterator[Finding]:
    indices = {step.inputs[1] for step in s.steps_of("GATHER")}
    used = dict.fromkeys([*s.computed, *s.consumers])
    int8 = [t for t in used if s.is_int8(t) and t not in indices]
    if not int8:
        raise NotApplicable("no tensor is int8")
    for tensor in int8:
        grid = s.tensors[tensor].quantization
        if grid is None or grid.scale is None or not grid.scale.size:
            yield s.on_tensor(tensor, "is int8 without a scale")


@check("scale-not-finite", "error", "every scale is a finite number", "calibrate anew")
def _not_finite(s: Subject) -> Iterator[Finding]:
    return _scale_findings(s, "not finite", "which is no finite number")


@check("scale-not-positive", "error", "every scale is above 0", "calibrate anew")
def _not_positive(s: Subject) -> Iterator[Finding]:
    return _scale_findings(s, "not positive", "which is not above 0")


@check(
    "scale-denormal",
    "error",
    "no scale is denormal, which some cores take for 0",
    "calibrate anew; a range has collapsed",
)
def _denormal(s: Subject) -> Iterator[Finding]:
    return _scale_findings(s, "denormal", "a denormal number")


@check(
    "scale-count",
    "error",
    "a tensor has one scale, or one for each channel of its quantised dimension",
    "write the quantisation anew",
)
def _count(s: Subject) -> Iterator[Finding]:
    for index, grid, scales in _scaled(s):
        shape, axis = s.shape(index), grid.quantizedDimension
        if scales.size == 1:
            continue
        if not 0 <= axis < len(shape):
            text = f"has scales along dimension {axis} of {len(shape)}"
            yield s.on_tensor(index, text, axis)
        elif shape[axis] != scales.size:
            text = f"has {scales.size} scales for {shape[axis]} channels"
            yield s.on_tensor(index, text, int(scales.size))


@check(
    "scale-per-channel",
    "error",
    "only constants have a scale for each channel",
    "quantise activations per tensor",
)
def _per_channel(s: Subject) -> Iterator[Finding]:
    computed = set(s.computed)
    for index, _, scales in _scaled(s):
        if index in computed and scales.size > 1:
            yield s.on_tensor(index, f"is computed, but has {scales.size} scales", scales.size)


@check(
    "zero-point-count",
    "error",
    "there are as many zero points as scales",
    "write the quantisation anew",
)
def _zero_point_count(s: Subject) -> Iterator[Finding]:
    for index, tensor in enumerate(s.tensors):
        grid = tensor.quantization
        if grid is None:
            continue
        scales, zeros = (0 if v is None else v.size for v in (grid.scale, grid.zeroPoint))
        if scales != zeros:
            yield s.on_tensor(index, f"has {zeros} zero points for {scales} scales", zeros)


@check(
    "zero-point-range",
    "error",
    "a zero point is a value of its tensor's type; an int32's is 0",
    "calibrate anew",
)
def _zero_point_range(s: Subject) -> Iterator[Finding]:
    for index, grid, _ in _scaled(s):
        limits = _ZERO_POINTS.get(s.tensors[index].type)
        if limits is None or grid.zeroPoint is None or not grid.zeroPoint.size:
            continue
        lowest, highest = int(grid.zeroPoint.min()), int(grid.zeroPoint.max())
        if lowest < limits[0] or highest > limits[1]:
            value = lowest if lowest < limits[0] else highest
            text = f"is {s.type_name(index)} with the zero point {value}"
            yield s.on_tensor(index, text, value)


@check(
    "quantisation-details",
    "error",
    "quantisation is by scale and zero point alone",
    "convert without custom or blockwise quantisation",
)
def _details(s: Subject) -> Iterator[Finding]:
    for index, grid, _ in _scaled(s):
        if grid.detailsType:
            yield s.on_tensor(index, f"has details of type {grid.detailsType}", grid.detailsType)


@check(
    "scale-floor",
    "warning",
    "no scale lies at the calibrator's floor, where calibration never woke the tensor",
    "calibrate on audio that uses the layer, or leave the layer out",
)
def _floor(s: Subject) -> Iterator[Finding]:
    computed = [t for t in s.computed if s.is_int8(t)]
    if not computed:
        raise NotApplicable("no computed tensor is int8")
    tested = {_logits(s, step.inputs[0]) for step in s.steps_of("GREATER")}
    for tensor in computed:
        grid = s.grid(tensor)
        if grid is None:
            continue  # scale-missing and others
        lowest = LOGIT_SCALE_MIN if tensor in tested else SMALLEST_RANGE / _STEPS
        if grid[0] <= lowest * _AT_FLOOR:
            yield s.on_tensor(tensor, f"has the scale {grid[0]:g}, the floor", grid[0])
    for kernel in dict.fromkeys(step.inputs[1] for step in s.steps_of(*CONVOLUTIONS)):
        weights = s.tensors[kernel].quantization
        if weights is None or weights.scale is None or not s.is_int8(kernel):
            continue
        low = np.flatnonzero(weights.scale <= SMALLEST_WEIGHT_SCALE * _AT_FLOOR)
        if low.size:
            value = float(weights.scale[low[0]])
            text = f"has {low.size} channels at the floor's scale, {low[0]} the first"
            yield s.on_tensor(kernel, text, value)


def _logits(s: Subject, scores: int) -> int:
    """What a test reads, through the GATHER that spreads a gate over its group."""
    gather = s.producer(scores, "GATHER")
    return gather.inputs[0] if gather else scores
