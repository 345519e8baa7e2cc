"""From operators of the graph to the integers of a layer, every assumption checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from convert.topology import Graph, Operator
from dyncp.errors import UserError
from quantize.arithmetic import INT8_MIN, Addition, layer_multipliers
from quantize.checks import overflowing_channels
from targets.compiler.plan import ConvolutionPlan, ResidualPlan, ResidualSide

_ACTIVATION = schema.ActivationFunctionType


def describe(graph: Graph, operator: Operator) -> str:
    """The operator as errors name it: its kind and what it gives."""
    return f"{operator.kind} that gives '{graph.name(operator.output)}'"


def require_unit_steps(graph: Graph, operator: Operator) -> None:
    """Raise unless strides and dilations are 1, which one frame of one column needs."""
    for name in ("strideH", "strideW", "dilationHFactor", "dilationWFactor"):
        value = getattr(operator.options, name, 1)
        if value != 1:
            raise UserError(f"{describe(graph, operator)} has {name} {value}; it must be 1")


def require_no_activation(graph: Graph, operator: Operator) -> None:
    """Raise if an activation is fused into an operator that may have none."""
    if operator.options.fusedActivationFunction != _ACTIVATION.NONE:
        raise UserError(f"{describe(graph, operator)} has a fused activation, which it may not")


def _lowest(graph: Graph, operator: Operator, zero_point: int) -> int:
    """The least output that the fused activation leaves."""
    kind = operator.options.fusedActivationFunction
    if kind == _ACTIVATION.NONE:
        return INT8_MIN
    if kind == _ACTIVATION.RELU:
        return zero_point
    names = {value: name for name, value in vars(_ACTIVATION).items() if isinstance(value, int)}
    raise UserError(
        f"{describe(graph, operator)} has the fused activation {names.get(kind, kind)}; "
        "only RELU can be compiled"
    )


def convolution(
    graph: Graph, operator: Operator, name: str, dimensions: int = 0
) -> ConvolutionPlan:
    """The integers of a CONV_2D (1x1) or DEPTHWISE_CONV_2D; its layer must be ``name``.

    ``dimensions``: how many of its inputs, the last ones, are the embedding's.
    """
    if graph.layer(operator) != name:
        raise UserError(
            f"{describe(graph, operator)} has the weights of {graph.layer(operator)} where "
            f"those of {name} are expected"
        )
    require_unit_steps(graph, operator)
    input_scale, input_zero = graph.grid(operator.inputs[0])
    output_scale, output_zero = graph.grid(operator.output)
    weights, axis = _weights(graph, operator, name)
    outputs = weights.shape[0]
    grid = graph.tensors[operator.inputs[1]].quantization
    scales = np.asarray(grid.scale, np.float32)
    if (scales.size, grid.quantizedDimension) != (outputs, axis) or np.any(grid.zeroPoint):
        raise UserError(f"{name}: its weights need a scale for each output and zero point 0")
    has_bias = len(operator.inputs) > 2 and operator.inputs[2] >= 0
    bias = graph.values(operator.inputs[2]) if has_bias else None
    if bias is None or bias.dtype != np.int32 or bias.shape != (outputs,):
        raise UserError(f"{name}: its bias must be a constant, int32 [{outputs}]")
    _check_bias_grid(graph, operator, name, input_scale * scales.astype(np.float64))
    multiplier, shift = layer_multipliers(input_scale, scales, output_scale)
    lowest = _lowest(graph, operator, output_zero)
    _check_accumulator(name, weights, bias, input_zero, shift)
    columns = np.ascontiguousarray(weights[:, -dimensions:]) if dimensions else None
    own = np.ascontiguousarray(weights[:, : weights.shape[1] - dimensions])
    return ConvolutionPlan(
        name, own, bias, multiplier, shift, input_zero, output_zero, lowest, columns
    )


def _check_bias_grid(
    graph: Graph, operator: Operator, name: str, expected: NDArray[np.float64]
) -> None:
    """Raise if a bias says that it is at another scale than the sums that it is added to."""
    grid = graph.tensors[operator.inputs[2]].quantization
    if grid is None or grid.scale is None or not len(grid.scale):
        return  # it need not say
    scales = np.asarray(grid.scale, np.float64)
    if scales.shape != expected.shape or not np.allclose(scales, expected, rtol=1e-5, atol=0.0):
        raise UserError(f"{name}: its bias must be at the scales of its input times its weights")
    if grid.zeroPoint is not None and np.any(grid.zeroPoint):
        raise UserError(f"{name}: its bias must have zero point 0")


def _weights(graph: Graph, operator: Operator, name: str) -> tuple[NDArray[np.int8], int]:
    """Weights as ``[outputs, inputs]`` and the axis that holds their scales."""
    data: NDArray[Any] | None = graph.values(operator.inputs[1])
    channels = graph.shape(operator.inputs[0])[-1]
    if data is None or data.ndim != 4:
        raise UserError(f"{name}: its weights must be a constant of four dimensions")
    if operator.kind == "CONV_2D":
        if data.shape[1:] != (1, 1, channels):
            raise UserError(f"{name}: a {list(data.shape)} kernel is not a 1x1 convolution")
        return data[:, 0, 0, :], 0
    if data.shape[0] != 1 or data.shape[2:] != (1, channels):
        raise UserError(f"{name}: a {list(data.shape)} kernel is not one filter a channel")
    if operator.options.padding != schema.Padding.VALID:
        raise UserError(f"{name}: padding must be VALID, its taps are the window")
    if operator.options.depthMultiplier != 1:
        raise UserError(
            f"{name}: its depth multiplier is {operator.options.depthMultiplier}; it must be 1"
        )
    return np.ascontiguousarray(data[0, :, 0, :].T), 3


def _check_accumulator(
    name: str,
    weights: NDArray[np.int8],
    bias: NDArray[np.int32],
    zero_point: int,
    shift: NDArray[np.int64],
) -> None:
    """Raise if some input could overflow the int32 sum, or its left shift."""
    overflowing = overflowing_channels(weights, bias, zero_point, shift)
    if overflowing.size:
        raise UserError(f"{name}: channel {overflowing[0]} can overflow its 32-bit accumulator")


def residual(graph: Graph, operator: Operator, x: int, branch: int) -> ResidualPlan:
    """The integers of an ADD; ``x`` and ``branch`` are its operands, told apart."""
    require_no_activation(graph, operator)
    addition = Addition(graph.grid(x), graph.grid(branch), graph.grid(operator.output))
    factors = addition.first, addition.second, addition.output
    sides = [
        ResidualSide(multiplier, shift, zero_point)
        for (multiplier, shift), zero_point in zip(factors, addition.zero_points, strict=True)
    ]
    if any(side.shift > 0 for side in sides):
        raise UserError(f"{describe(graph, operator)}: its output scale is too small")
    return ResidualPlan(*sides)
