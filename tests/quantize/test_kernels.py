"""The arithmetic against what TensorFlow Lite's reference kernels really give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from quantize import arithmetic
from quantize.calibrate import activation, sigmoid_activation
from quantize.checks import LOGIT_SCALE_MIN
from quantize.ranges import Range
from tests.quantize.one_operator import RUNTIMES, Operand, like, run_operator

EVERY_INT8 = np.arange(-128, 128).astype(np.int8)

pytestmark = pytest.mark.parametrize("runtime", RUNTIMES)


def int8(rng: np.random.Generator, *shape: int) -> NDArray[np.int8]:
    return rng.integers(-128, 128, shape).astype(np.int8)


def valid(kind: str, relu: bool) -> Any:
    """Options of a convolution without padding."""
    options = getattr(schema, f"{kind}OptionsT")()
    options.padding = schema.Padding.VALID
    options.strideW = options.strideH = 1
    options.dilationWFactor = options.dilationHFactor = 1
    options.fusedActivationFunction = int(relu)
    if kind == "DepthwiseConv2D":
        options.depthMultiplier = 1
    return options


@pytest.mark.parametrize("depthwise", [False, True], ids=["1x1", "depthwise"])
@pytest.mark.parametrize("relu", [False, True], ids=["linear", "relu"])
def test_a_convolution_is_requantised_alike(runtime: str, depthwise: bool, relu: bool) -> None:
    """512 channels whose factors run from a left shift to nearly nothing."""
    rng = np.random.default_rng(3)
    channels, frames, inputs = 512, 40, 3 if depthwise else 16
    x = int8(rng, frames, 3, channels) if depthwise else int8(rng, frames, 1, inputs)
    weight = np.maximum(int8(rng, channels, inputs), -127)
    weight_scale = np.exp2(rng.uniform(-12, 1, channels)).astype(np.float32)
    bias = rng.integers(-20000, 20000, channels).astype(np.int32)
    source, target = (np.float32(0.037), 11), (np.float32(0.02), -37)

    centred = x.astype(np.int64) - source[1]
    if depthwise:
        kernel = np.ascontiguousarray(weight.T).reshape(1, 3, 1, channels)
        total = np.einsum("fkc,ck->fc", centred, weight.astype(np.int64))
        data = x.reshape(frames, 3, 1, channels)
    else:
        kernel = weight.reshape(channels, 1, 1, inputs)
        total = centred[:, 0] @ weight.T.astype(np.int64)
        data = x.reshape(frames, 1, 1, inputs)
    multiplier, shift = arithmetic.layer_multipliers(
        float(source[0]), weight_scale, float(target[0])
    )
    assert shift.max() > 0 > shift.min()
    accumulator = total + bias
    lowest = target[1] if relu else -128
    expected = arithmetic.requantise(accumulator, multiplier, shift, target[1], lowest)
    once = np.floor(accumulator * (multiplier * 2.0 ** (shift - 31)) + 0.5).astype(np.int64)
    assert (np.clip(once + target[1], lowest, 127) != expected).any()  # two roundings are needed

    kind = "DepthwiseConv2D" if depthwise else "Conv2D"
    got = run_operator(
        runtime,
        "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
        [
            Operand(data, *source),
            Operand(kernel, weight_scale, axis=3 if depthwise else 0, constant=True),
            Operand(bias, weight_scale * source[0], constant=True),
        ],
        like(np.zeros((frames, 1, 1, channels)), np.int8, *target),
        valid(kind, relu),
    )
    np.testing.assert_array_equal(got.reshape(frames, channels), expected)


def test_the_residual_is_added_alike(runtime: str) -> None:
    """Every pair of int8 values, on grids of like and of very unlike scales."""
    first, second = (part.ravel() for part in np.meshgrid(EVERY_INT8, EVERY_INT8))
    rng = np.random.default_rng(4)
    for _ in range(8):
        trio = [
            (float(np.float32(2.0 ** rng.uniform(-9, 0))), int(rng.integers(-128, 128)))
            for _ in range(3)
        ]
        expected = arithmetic.Addition(*trio)(first.astype(np.int64), second.astype(np.int64))
        got = run_operator(
            runtime,
            "ADD",
            [Operand(first, *trio[0]), Operand(second, *trio[1])],
            like(first, np.int8, *trio[2]),
            schema.AddOptionsT(),
        )
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("frames", [2, 5, 43])
def test_the_moving_average_is_rounded_alike(runtime: str, frames: int) -> None:
    rng = np.random.default_rng(5)
    x = int8(rng, 1, frames, 1, 2000)
    x[:, 1:, :, :600] = rng.integers(-2, 3, (1, frames - 1, 1, 600))  # many sums near ties
    options = schema.Pool2DOptionsT()
    options.padding = schema.Padding.VALID
    options.strideW = options.strideH = options.filterWidth = 1
    options.filterHeight = frames
    grid = (np.float32(0.01), 5)
    got = run_operator(
        runtime,
        "AVERAGE_POOL_2D",
        [Operand(x, *grid)],
        like(x[:, :1], np.int8, *grid),
        options,
    )
    total = x.astype(np.int64).sum(axis=1)
    np.testing.assert_array_equal(got.ravel(), arithmetic.average(total, frames).ravel())


@pytest.mark.parametrize(("low", "high"), [(-3.1, 2.7), (-0.01, 0.4), (-30.0, 1.0), (0.0, 9.0)])
def test_the_sigmoid_table_is_the_runtimes(runtime: str, low: float, high: float) -> None:
    grid = sigmoid_activation(activation(Range(low, high)))
    got = run_operator(
        runtime,
        "LOGISTIC",
        [Operand(EVERY_INT8, grid.scale, grid.zero_point)],
        like(EVERY_INT8, np.int8, 1 / 256, -128),
    )
    np.testing.assert_array_equal(got, arithmetic.sigmoid_table(grid.scale, grid.zero_point))


def gate_test(runtime: str, scale: float, zero_point: int) -> NDArray[np.bool_]:
    """GREATER of every logit and the zero point."""
    threshold = np.full(256, zero_point, np.int8)
    grid = (np.float32(scale), zero_point)
    return run_operator(
        runtime,
        "GREATER",
        [Operand(EVERY_INT8, *grid), Operand(threshold, *grid, constant=True)],
        like(EVERY_INT8, np.bool_),
        schema.GreaterOptionsT(),
    )


@pytest.mark.parametrize("scale", [LOGIT_SCALE_MIN, 0.0021, 0.03, 0.5, 0.9999999])
def test_a_gate_is_open_just_above_its_zero_point(runtime: str, scale: float) -> None:
    for zero_point in [*range(-128, 127, 6), 126, 127]:
        got = gate_test(runtime, scale, zero_point)
        np.testing.assert_array_equal(got, zero_point < EVERY_INT8)


def test_the_least_scale_of_logits_is_not_overcautious(runtime: str) -> None:
    """Below 1/512 the kernel closes a gate that the integer test opens."""
    assert not gate_test(runtime, 1 / 520, 0)[129]


def test_floats_are_quantised_alike(runtime: str) -> None:
    scale, zero_point = np.float32(0.1), 3
    rng = np.random.default_rng(6)
    ties = (np.arange(-130, 130) + 0.5) * scale
    values = np.concatenate([ties, rng.normal(scale=6, size=2000)]).astype(np.float32)
    got = run_operator(
        runtime, "QUANTIZE", [Operand(values)], like(values, np.int8, scale, zero_point)
    )
    np.testing.assert_array_equal(got, arithmetic.quantise(values, float(scale), zero_point))
    back = run_operator(
        runtime, "DEQUANTIZE", [Operand(got, scale, zero_point)], like(got, np.float32)
    )
    np.testing.assert_array_equal(back, arithmetic.dequantise(got, float(scale), zero_point))


def test_a_change_of_grid_is_rounded_alike(runtime: str) -> None:
    """Every byte of an embedding, to finer, equal and coarser grids, with every kind of end."""
    rng = np.random.default_rng(11)
    source = (1 / 64, -128)
    scales = [1 / 64, 1 / 32, 1 / 128, *np.exp2(rng.uniform(-12, 4, 40))]
    for scale in (float(np.float32(scale)) for scale in scales):
        for zero_point in (-128, 127, int(rng.integers(-127, 127))):
            target = (scale, zero_point)
            expected = arithmetic.Requantisation(source, target)(EVERY_INT8.astype(np.int64))
            got = run_operator(
                runtime,
                "QUANTIZE",
                [Operand(EVERY_INT8, *source)],
                like(EVERY_INT8, np.int8, *target),
                schema.QuantizeOptionsT(),
            )
            np.testing.assert_array_equal(got, expected)
