"""One rounding that differs from TensorFlow Lite's, and no later rung can be equal."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quantize import arithmetic
from quantize.model import Activation
from tests.quantize import plain

int8 = st.integers(-128, 127)
int32 = st.integers(-(2**31), 2**31 - 1)
multipliers = st.integers(2**30, 2**31 - 1)
scales = st.floats(2.0**-12, 64.0, width=32)
grids = st.builds(Activation, scales, int8)


@given(st.floats(1e-12, 1e9))
@example(2.0**-32)
@example(math.nextafter(2.0**-32, 0))
@example(1.0)
@example(math.nextafter(1.0, 0))  # rounds up to the next power of two
@example((2**30 + 0.5) / 2**31)  # a tie
@example((2**30 + 1.5) / 2**31)
@example(1e9)
def test_a_factor_becomes_the_nearest_multiplier(real: float) -> None:
    expected = plain.multiplier_of(Fraction(real))
    assert arithmetic.quantize_multiplier(real) == expected
    assert expected[0] == 0 or 2**30 <= expected[0] < 2**31


def test_a_factor_of_zero_is_zero() -> None:
    assert arithmetic.quantize_multiplier(0.0) == (0, 0)


@given(int32, st.integers(0, 2**31 - 1))
@example(-(2**30), 1)  # both sides of the ties
@example(2**30, 1)
@example(-(2**30) * 3, 1)
@example(-(2**31), 2**31 - 1)
def test_the_high_multiplication_rounds_as_gemmlowp(a: int, b: int) -> None:
    got = arithmetic.saturating_rounding_doubling_high_multiply(np.int64(a), b)
    assert int(got) == plain.doubling_high_multiply(a, b)


@given(int32, st.integers(0, 31))
@example(-(2**31), 31)
@example(2**31 - 1, 31)
@example(-3, 1)
@example(3, 1)
@example(-6, 2)
def test_the_division_by_a_power_of_two_takes_halves_away_from_zero(x: int, bits: int) -> None:
    got = arithmetic.rounding_divide_by_power_of_two(np.int64(x), bits)
    assert int(got) == plain.half_away(Fraction(x, 2**bits))


@given(int32, multipliers, st.integers(-31, 6), int8, st.booleans())
def test_requantising_rounds_twice_and_clamps(
    accumulator: int, multiplier: int, shift: int, zero_point: int, relu: bool
) -> None:
    accumulator >>= max(shift, 0)  # what the check of the accumulators grants
    lowest = zero_point if relu else -128
    got = arithmetic.requantise(np.int64(accumulator), multiplier, shift, zero_point, lowest)
    wanted = plain.scaled(accumulator, multiplier, shift) + zero_point
    assert int(got) == plain.clamp(wanted, lowest)


def test_two_roundings_are_not_one() -> None:
    """Where they differ the deployed network follows gemmlowp, not the exact quotient."""
    value, multiplier, shift = 5, 2**30, -1  # a factor of a quarter
    assert plain.half_away(Fraction(value, 4)) == 1
    got = arithmetic.multiply_by_quantized_multiplier(np.int64(value), multiplier, shift)
    assert int(got) == 2  # 2.5 to 3, then 1.5 to 2


@given(grids, st.lists(scales, min_size=1, max_size=5), grids)
def test_every_channel_gets_the_multiplier_of_its_own_scale(
    source: Activation, weight_scales: list[float], target: Activation
) -> None:
    found = arithmetic.layer_multipliers(
        source.scale, np.array(weight_scales, np.float32), target.scale
    )
    expected = [
        plain.multiplier_of(plain.real_quotient(source.scale, scale, target.scale))
        for scale in weight_scales
    ]
    assert list(zip(*(part.tolist() for part in found), strict=True)) == expected


@given(st.tuples(grids, grids, grids), st.lists(st.tuples(int8, int8), min_size=1, max_size=20))
def test_the_residual_adds_as_tflite_does(
    trio: tuple[Activation, Activation, Activation], pairs: list[tuple[int, int]]
) -> None:
    addition = arithmetic.Addition(*((grid.scale, grid.zero_point) for grid in trio))
    first, second = np.array(pairs, np.int64).T
    assert addition(first, second).tolist() == [plain.add(pair, trio) for pair in pairs]


@given(st.lists(int8, min_size=1, max_size=300))
@example([-1, 0])
@example([1, 0])
@example([-128] * 256)
@example([-2, -1, 0, 0])
def test_the_moving_average_takes_halves_away_from_zero(values: list[int]) -> None:
    got = arithmetic.average(np.int64(sum(values)), len(values))
    assert int(got) == plain.half_away(Fraction(sum(values), len(values)))


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1), scales, int8)
@example([0.5, 1.5, -0.5, -1.5], 1.0, 0)
def test_floats_are_rounded_onto_the_grid(
    values: list[float], scale: float, zero_point: int
) -> None:
    got = arithmetic.quantise(np.array(values, np.float32), scale, zero_point)
    quotients = [np.float32(value) / np.float32(scale) for value in values]
    expected = [plain.clamp(plain.half_away(Fraction(float(q))) + zero_point) for q in quotients]
    assert got.tolist() == expected
    assert got.dtype == np.int8


@given(st.lists(int8, min_size=1), scales, int8)
def test_what_is_on_the_grid_comes_back(values: list[int], scale: float, zero_point: int) -> None:
    integers = np.array(values, np.int8)
    floats = arithmetic.dequantise(integers, scale, zero_point)
    assert floats.dtype == np.float32
    exact = [Fraction(scale) * (value - zero_point) for value in values]
    assert floats.tolist() == [float(np.float32(float(value))) for value in exact]
    np.testing.assert_array_equal(arithmetic.quantise(floats, scale, zero_point), integers)


@given(st.floats(2.0**-12, 0.5, width=32), int8)
def test_the_sigmoid_table_is_the_sigmoid(scale: float, zero_point: int) -> None:
    table = arithmetic.sigmoid_table(scale, zero_point)
    assert table.dtype == np.int8
    with localcontext() as context:
        context.prec = 40
        for q in range(-128, 128):
            gain = 256 / (1 + (-(q - zero_point) * Decimal(scale)).exp())
            if abs(gain - int(gain) - Decimal("0.5")) > Decimal("1e-9"):
                assert table[q + 128] == plain.clamp(int(gain + Decimal("0.5")) - 128)


@pytest.mark.parametrize("zero_point", [-128, 0, 127])
def test_the_sigmoid_table_saturates_at_its_ends(zero_point: int) -> None:
    table = arithmetic.sigmoid_table(0.5, zero_point)
    assert table[0] == (0 if zero_point == -128 else -128)
    assert table[255] == (0 if zero_point == 127 else 127)
