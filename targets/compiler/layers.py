"""From operators of the graph to the integers of a layer, every assumption checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from dyncp.errors import UserError
from quantize.arithmetic import INT8_MAX, INT8_MIN, Addition, layer_multipliers
from quantize.model import Activation
from targets.compiler.plan import ConvolutionPlan, ResidualPlan, ResidualSide
from targets.compiler.graph import Graph, Operator, Tensor

_ACTIVATION = schema.ActivationFunctionType
_ACCUMULATOR_LIMIT = 1 << 31


def activation_of(tensor: Tensor) -> Activation:
    """Scale and zero point of an int8 activation."""
    if tensor.dtype != "int8" or tensor.scales.size != 1 or tensor.zero_points.size != 1:
        raise UserError(
            f"'{tensor.name}' is {tensor.dtype} with {tensor.scales.size} scales; "
            "an activation must be int8 with one scale and zero point"
        )
    scale, zero_point = float(tensor.scales[0]), int(tensor.zero_points[0])
    if not (np.isfinite(scale) and scale > 0 and INT8_MIN <= zero_point <= INT8_MAX):
        raise UserError(f"'{tensor.name}' has scale {scale} and zero point {zero_point}")
    return Activation(scale, zero_point)


def require_same_quantisation(first: Tensor, second: Tensor, reason: str) -> None:
    """Raise unless two tensors share scale and zero point."""
    if activation_of(first) != activation_of(second):
        raise UserError(
            f"'{first.name}' and '{second.name}' differ in scale or zero point; {reason}"
        )


def constant(graph: Graph, index: int, dtype: str) -> NDArray[Any]:
    """The values of a constant tensor."""
    tensor = graph.tensors[index] if index >= 0 else None
    if tensor is None or tensor.data is None or tensor.dtype != dtype:
        name = tensor.name if tensor else "a missing tensor"
        raise UserError(f"'{name}' must be a constant of type {dtype}")
    return tensor.data


def require_unit_steps(graph: Graph, operator: Operator) -> None:
    """Raise unless strides and dilations are 1, which one frame of one column needs."""
    names = ("strideH", "strideW", "dilationHFactor", "dilationWFactor")
    steps = {name: getattr(operator.options, name, 1) for name in names}
    wrong = [f"{name} {value}" for name, value in steps.items() if value != 1]
    if wrong:
        raise UserError(f"{graph.describe(operator)} has {wrong[0]}; only 1 can be compiled")


def require_no_activation(graph: Graph, operator: Operator) -> None:
    """Raise if an activation is fused into an operator that may have none."""
    if operator.options.fusedActivationFunction != _ACTIVATION.NONE:
        raise UserError(f"{graph.describe(operator)} has a fused activation, which it may not")


def _lowest(graph: Graph, operator: Operator, output: Activation) -> int:
    kind = operator.options.fusedActivationFunction
    if kind == _ACTIVATION.NONE:
        return INT8_MIN
    if kind == _ACTIVATION.RELU:
        return output.zero_point
    names = {value: name for name, value in vars(_ACTIVATION).items() if isinstance(value, int)}
    raise UserError(
        f"{graph.describe(operator)} has the fused activation {names.get(kind, kind)}; "
        "only RELU can be compiled"
    )


def layer_name(graph: Graph, operator: Operator) -> str:
    """The layer that a convolution is, by the name of its weights, `L/weight`."""
    name = graph.tensors[operator.inputs[1]].name
    if not name.endswith("/weight"):
        raise UserError(
            f"{graph.describe(operator)} has weights named '{name}', which names no layer; "
            "make the model with `python -m convert`"
        )
    return name.removesuffix("/weight")


def convolution(graph: Graph, operator: Operator, name: str) -> ConvolutionPlan:
    """The integers of a CONV_2D (1x1) or DEPTHWISE_CONV_2D; its layer must be ``name``."""
    where = graph.describe(operator)
    found = layer_name(graph, operator)
    if found != name:
        raise UserError(f"{where} is the layer {found} where {name} is expected")
    require_unit_steps(graph, operator)
    source = activation_of(graph.tensors[operator.inputs[0]])
    target = activation_of(graph.tensors[operator.outputs[0]])
    kernel = graph.tensors[operator.inputs[1]]
    weights, axis = _weights(graph, operator, name)
    outputs = weights.shape[0]
    if kernel.scales.size != outputs or kernel.axis != axis or kernel.zero_points.any():
        raise UserError(f"{name}: its weights need a scale for each output and zero point 0")
    bias = constant(graph, operator.inputs[2] if len(operator.inputs) > 2 else -1, "int32")
    if bias.shape != (outputs,):
        raise UserError(f"{name}: its bias has shape {list(bias.shape)}, expected [{outputs}]")
    multiplier, shift = layer_multipliers(source.scale, kernel.scales, target.scale)
    plan = ConvolutionPlan(
        name,
        weights,
        bias.astype(np.int32),
        multiplier.astype(np.int32),
        shift.astype(np.int32),
        source.zero_point,
        target.zero_point,
        _lowest(graph, operator, target),
    )
    _check_accumulator(plan)
    return plan


def _weights(graph: Graph, operator: Operator, name: str) -> tuple[NDArray[np.int8], int]:
    """Weights as ``[outputs, inputs]`` and the axis that holds their scales."""
    data = constant(graph, operator.inputs[1], "int8")
    channels = graph.tensors[operator.inputs[0]].shape[-1]
    if operator.kind == "CONV_2D":
        if data.ndim != 4 or data.shape[1:3] != (1, 1) or data.shape[3] != channels:
            raise UserError(f"{name}: a {list(data.shape)} kernel is not a 1x1 convolution")
        return data[:, 0, 0, :], 0
    if data.ndim != 4 or data.shape[0] != 1 or data.shape[2:] != (1, channels):
        raise UserError(f"{name}: a {list(data.shape)} kernel is not one filter a channel")
    if operator.options.padding != schema.Padding.VALID:
        raise UserError(f"{name}: padding must be VALID, its taps are the window")
    return np.ascontiguousarray(data[0, :, 0, :].T), 3


def _check_accumulator(layer: ConvolutionPlan) -> None:
    """Raise if some input could overflow the int32 sum, or its left shift."""
    zero = layer.input_zero_point
    largest = max(INT8_MAX - zero, zero - INT8_MIN)
    bound = np.abs(layer.weights.astype(np.int64)).sum(axis=1) * largest
    bound += np.abs(layer.bias.astype(np.int64))
    bound <<= np.maximum(layer.shift.astype(np.int64), 0)
    if (bound >= _ACCUMULATOR_LIMIT).any() or (layer.shift > 15).any():
        channel = int(np.argmax(bound))
        raise UserError(f"{layer.name}: channel {channel} can overflow its 32-bit accumulator")


def residual(graph: Graph, operator: Operator, x: Tensor, branch: Tensor) -> ResidualPlan:
    """The integers of an ADD, its operands told apart."""
    require_no_activation(graph, operator)
    tensors = x, branch, graph.tensors[operator.outputs[0]]
    parameters = [activation_of(tensor) for tensor in tensors]
    first, second, output = ((p.scale, p.zero_point) for p in parameters)
    addition = Addition(first, second, output)
    factors = addition.first, addition.second, addition.output
    sides = [
        ResidualSide(multiplier, shift, zero_point)
        for (multiplier, shift), zero_point in zip(factors, addition.zero_points, strict=True)
    ]
    if any(side.shift > 0 for side in sides):
        raise UserError(f"{graph.describe(operator)}: its output scale is too small to compile")
    return ResidualPlan(*sides)
