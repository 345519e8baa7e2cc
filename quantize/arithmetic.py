"""The integer arithmetic of the deployed network, in one place.

Everything that a rung of the parity ladder computes is defined here, after the
int8 reference kernels of TensorFlow Lite (``tensorflow/lite/kernels/internal``,
named per function below) built with gemmlowp's double rounding, their default.
Arrays are int64 so that no intermediate wraps; where C computes in int32 the
values are proven to fit (:func:`quantize.checks.check_accumulators`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

INT8_MIN, INT8_MAX = -128, 127
ADD_LEFT_SHIFT = 20
"""Headroom given to the operands of an int8 ADD (``kernels/add.cc``)."""


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Write a non-negative factor as ``multiplier * 2**(shift - 31)``.

    ``multiplier`` is 0 or lies in ``[2**30, 2**31 - 1]``; a positive ``shift``
    is to the left. Factors below ``2**-32`` become 0.
    Source: ``QuantizeMultiplier``, ``internal/quantization_util.cc``.
    """
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    # std::round: halves go away from zero, Python's round() would go to even.
    multiplier = math.floor(fraction * 2.0**31 + 0.5)
    if multiplier == 1 << 31:
        multiplier //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    return multiplier, shift


def layer_multipliers(
    input_scale: float, weight_scales: NDArray[np.float32], output_scale: float
) -> tuple[Integers, Integers]:
    """Multiplier and shift of each output channel of a convolution.

    The scales are float32 values; the quotient is formed in double precision.
    Source: ``PopulateConvolutionQuantizationParams``, ``kernels/kernel_util.cc``.
    """
    pairs = [
        quantize_multiplier(input_scale * float(weight_scale) / output_scale)
        for weight_scale in weight_scales
    ]
    multipliers, shifts = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return multipliers, shifts


def saturating_rounding_doubling_high_multiply(a: Integers, b: Integers | int) -> Integers:
    """``round(a * b / 2**31)``, exact halves towards plus infinity; a and b are int32 values.

    Source: ``SaturatingRoundingDoublingHighMul``, gemmlowp ``fixedpoint/fixedpoint.h``.
    It adds a nudge with the product's sign and divides with C's truncation,
    which is this floor. Its one saturating case, a = b = -2**31, cannot occur:
    multipliers are not negative.
    """
    return (np.asarray(a, np.int64) * np.asarray(b, np.int64) + (1 << 30)) >> 31


def rounding_divide_by_power_of_two(x: Integers, exponent: Integers | int) -> Integers:
    """``round(x / 2**exponent)``, halves away from zero; exponents 0..31.

    Source: ``RoundingDivideByPOT``, gemmlowp ``fixedpoint/fixedpoint.h``.
    """
    x = np.asarray(x, np.int64)
    exponent = np.asarray(exponent, np.int64)
    mask = (np.int64(1) << exponent) - 1
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + ((x & mask) > threshold)


def multiply_by_quantized_multiplier(
    x: Integers, multiplier: Integers | int, shift: Integers | int
) -> Integers:
    """``x * multiplier * 2**(shift - 31)``, rounded twice as gemmlowp does.

    Source: ``MultiplyByQuantizedMultiplier``, ``internal/common.cc``, without
    ``TFLITE_SINGLE_ROUNDING``.
    """
    shift = np.asarray(shift, np.int64)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    high = saturating_rounding_doubling_high_multiply(np.asarray(x, np.int64) << left, multiplier)
    return rounding_divide_by_power_of_two(high, right)


def requantise(
    accumulator: Integers,
    multiplier: Integers | int,
    shift: Integers | int,
    zero_point: int,
    lowest: int = INT8_MIN,
) -> Integers:
    """An int32 accumulator as an int8 activation of the output's scale.

    ``lowest`` is the zero point where a ReLU is fused. Source: the epilogue of
    ``ConvPerChannel``, ``internal/reference/integer_ops/conv.h``.
    """
    scaled = multiply_by_quantized_multiplier(accumulator, multiplier, shift)
    return np.clip(scaled + zero_point, lowest, INT8_MAX)


class Requantisation:
    """An int8 QUANTIZE of an int8 tensor: the same values on another grid.

    Source: ``kernels/quantize.cc`` (parameters) and ``Requantize``,
    ``internal/reference/requantize.h``. Equal grids give equal bytes.
    """

    def __init__(self, source: tuple[float, int], target: tuple[float, int]) -> None:
        """Each argument is (scale, zero point); scales are float32 values."""
        self.multiplier, self.shift = quantize_multiplier(source[0] / target[0])
        self.zero_points = source[1], target[1]

    def __call__(self, x: Integers) -> Integers:
        zero_source, zero_target = self.zero_points
        return requantise(x - zero_source, self.multiplier, self.shift, zero_target)


class Addition:
    """An int8 ADD of two tensors with scales of their own.

    Source: ``kernels/add.cc`` (parameters) and ``AddElementwise``,
    ``internal/reference/integer_ops/add.h``. Operands are brought to twice the
    larger scale, with 20 bits of headroom.
    """

    def __init__(
        self,
        first: tuple[float, int],
        second: tuple[float, int],
        output: tuple[float, int],
    ) -> None:
        """Each argument is (scale, zero point); scales are float32 values."""
        twice_largest = 2.0 * max(first[0], second[0])
        self.first = quantize_multiplier(first[0] / twice_largest)
        self.second = quantize_multiplier(second[0] / twice_largest)
        self.output = quantize_multiplier(twice_largest / ((1 << ADD_LEFT_SHIFT) * output[0]))
        self.zero_points = first[1], second[1], output[1]

    def __call__(self, first: Integers, second: Integers) -> Integers:
        zero_first, zero_second, zero_output = self.zero_points
        total = multiply_by_quantized_multiplier(
            (first - zero_first) << ADD_LEFT_SHIFT, *self.first
        ) + multiply_by_quantized_multiplier((second - zero_second) << ADD_LEFT_SHIFT, *self.second)
        scaled = multiply_by_quantized_multiplier(total, *self.output)
        return np.clip(scaled + zero_output, INT8_MIN, INT8_MAX)


def average(total: Integers, count: int) -> Integers:
    """Mean of ``count`` int8 values from their sum, halves away from zero.

    The sum is of the raw int8 values; input and output share scale and zero
    point. Source: ``AveragePool``, ``internal/reference/integer_ops/pooling.h``.
    """
    total = np.asarray(total, np.int64)
    magnitude = (np.abs(total) + count // 2) // count
    return np.sign(total) * magnitude


def quantise(values: NDArray[np.floating], scale: float, zero_point: int) -> NDArray[np.int8]:
    """Float values as int8, the quotient in float32, halves away from zero.

    Source: ``AffineQuantize``, ``internal/reference/quantize.h``.
    """
    scaled = (np.asarray(values, np.float32) / np.float32(scale)).astype(np.float64)
    rounded = np.trunc(scaled + np.copysign(0.5, scaled))
    return np.clip(rounded + zero_point, INT8_MIN, INT8_MAX).astype(np.int8)


def dequantise(values: NDArray[np.int8], scale: float, zero_point: int) -> NDArray[np.float32]:
    """The float32 values that int8 values stand for."""
    return ((values.astype(np.int32) - zero_point) * np.float32(scale)).astype(np.float32)


def sigmoid_values(scale: float, zero_point: int) -> NDArray[np.float64]:
    """``256 * sigmoid`` of the 256 int8 inputs, before rounding; -128 first."""
    inputs = np.arange(INT8_MIN, INT8_MAX + 1)
    return 256.0 / (1.0 + np.exp(-(inputs - zero_point) * float(scale)))


def sigmoid_table(scale: float, zero_point: int) -> NDArray[np.int8]:
    """LOGISTIC of the 256 int8 inputs, -128 first; output scale 1/256, zero point -128.

    Source: ``LUTPopulate`` with the transform of ``SigmoidPrepare``,
    ``kernels/activations.cc``. TFLite evaluates it in float32 on the host, so
    the table is made once and stored with the model; calibration keeps
    :func:`sigmoid_values` away from ties, where two libraries could differ.
    """
    rounded = np.floor(sigmoid_values(scale, zero_point) + 0.5) + INT8_MIN
    return np.clip(rounded, INT8_MIN, INT8_MAX).astype(np.int8)
