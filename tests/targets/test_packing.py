"""Weights packed for a core must still be the weights: one bit off and a channel is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from quantize.macs import STORAGE, Layout
from targets.compiler.packing import Packed, layout_of, pack
from targets.compiler.plan import ConvolutionPlan
from tests.targets.built import Built

Integers = NDArray[np.int64]


def layer(outputs: int, inputs: int, seed: int, **changes: object) -> ConvolutionPlan:
    rng = np.random.default_rng(seed)
    plan = ConvolutionPlan(
        name="block0.down",
        weights=rng.integers(-127, 128, (outputs, inputs)).astype(np.int8),
        bias=rng.integers(-3000, 3000, outputs).astype(np.int32),
        multiplier=rng.integers(1 << 30, 1 << 31, outputs),
        shift=rng.integers(-9, -5, outputs),
        input_zero_point=int(rng.integers(-128, 128)),
        output_zero_point=3,
        lowest=-128,
    )
    return replace(plan, **changes)  # type: ignore[arg-type]


def halfwords(packed: Packed) -> Integers:
    return packed.weights.view("<i2").astype(np.int64)


def low_bytes(words: Integers) -> Integers:
    """Sign-extended, as SXTB16 gives them."""
    return words.astype(np.int8).astype(np.int64)


def constants_of(packed: Packed, layout: Layout) -> tuple[Integers, Integers, Integers]:
    """Starts as they are, the shifts in their low bytes, and multipliers of every row."""
    constants = packed.constants.astype(np.int64)
    if layout == "quads":
        starts, multipliers = constants.reshape(-1, 2, 4).transpose(1, 0, 2).reshape(2, -1)
    else:
        starts, multipliers = constants.reshape(-1, 2).T
    return starts, -(starts & 0xFF) - 1, multipliers


def split(x: Integers, columns: int) -> tuple[Integers, Integers]:
    """-u and n of every pair, as ``sluice_dsp_split()`` gives them; anything fills up."""
    q = np.full(columns, 99, np.int64)
    q[: len(x)] = x
    u = q[::2] + 128
    n = 256 * q[1::2] + u
    assert n.min() >= -(1 << 15) and n.max() < 1 << 15
    return -u, n


def accumulators(plan: ConvolutionPlan, layout: Layout, x: Integers) -> Integers:
    """What the kernels of ``firmware/kernels/dsp.h`` compute from the packed bytes, mod 2^32."""
    packed = pack(plan, layout)
    starts, _, _ = constants_of(packed, layout)
    rows, columns = (STORAGE[layout].rows(plan.outputs), STORAGE[layout].columns(plan.inputs))
    words = halfwords(packed)
    if layout == "tiles":
        words = words.reshape(rows // 8, columns // 2, 4, 2).transpose(0, 2, 1, 3)
        words = words.reshape(rows // 2, columns)
        true = np.zeros(columns, np.int64)
        true[: len(x)] = x - plan.input_zero_point
        even = (starts[::2] >> 8) + low_bytes(words) @ true
        mixed = (starts[::2] >> 8) + starts[1::2] + words @ true
        sums = np.stack([256 * even, mixed - even], axis=1).reshape(-1)
    else:
        if layout == "quads":
            words = words.reshape(rows // 4, columns // 4, 4, 2).transpose(0, 2, 1, 3)
        words = words.reshape(rows, columns // 2)
        minus_u, n = split(x, columns)
        sums = starts + words @ minus_u + low_bytes(words) @ n
    return sums.astype(np.int32)[: plan.outputs].astype(np.int64)


SIZES = st.tuples(st.integers(1, 40), st.integers(1, 70), st.integers(0, 2**32 - 1))


@pytest.mark.parametrize("layout", ["rows", "quads", "tiles"])
@given(size=SIZES, extreme=st.booleans())
def test_every_layout_gives_the_sums_of_the_rows(
    layout: Layout, size: tuple[int, int, int], extreme: bool
) -> None:
    """256 times them, with the shift below; at the inputs' ends too."""
    outputs, inputs, seed = size
    plan = layer(outputs, inputs, seed)
    rng = np.random.default_rng(seed + 1)
    x = rng.choice([-128, 127], inputs) if extreme else rng.integers(-128, 128, inputs)
    expected = plan.weights.astype(np.int64) @ (x - plan.input_zero_point) + plan.bias
    results = accumulators(plan, layout, x)
    np.testing.assert_array_equal(results >> 8, expected)
    shifts = results & 0xFF
    if layout == "tiles":
        np.testing.assert_array_equal(shifts[::2], 0)  # taken out on the way
        shifts[::2] = -plan.shift[::2] - 1
    np.testing.assert_array_equal(shifts, -plan.shift - 1)


@pytest.mark.parametrize("layout", ["rows", "quads", "tiles"])
@given(size=SIZES)
def test_every_layout_stores_what_is_counted(layout: Layout, size: tuple[int, int, int]) -> None:
    """The counters of weight bytes promise the host and the user how much a frame fetches."""
    outputs, inputs, seed = size
    plan, storage = layer(outputs, inputs, seed), STORAGE[layout]
    packed = pack(plan, layout)
    rows = storage.rows(outputs)
    assert packed.weights.nbytes == rows * storage.columns(inputs)
    assert packed.constants.nbytes == rows * storage.constant_bytes
    starts, shifts, multipliers = constants_of(packed, layout)
    np.testing.assert_array_equal(shifts[:outputs], plan.shift)
    np.testing.assert_array_equal(multipliers[:outputs], plan.multiplier)
    assert not starts[outputs:].any() and not multipliers[outputs:].any()


def test_the_plain_layout_is_the_rows_as_they_are() -> None:
    plan = layer(5, 7, 0)
    packed = pack(plan, "plain")
    np.testing.assert_array_equal(packed.weights.reshape(5, 7), plan.weights)
    expected = np.stack([plan.bias, plan.multiplier, plan.shift], axis=1)
    np.testing.assert_array_equal(packed.constants.reshape(5, 3), expected)


def test_a_folded_depthwise_gives_the_same_sums() -> None:
    """The zero point moves from the inputs into the start, and nothing else changes."""
    plan = layer(6, 3, 0, name="block0.depthwise", input_zero_point=-37)
    x = np.random.default_rng(1).integers(-128, 128, (6, 3))
    packed = pack(plan, "folded")
    weights = packed.weights.reshape(6, 3).astype(np.int64)
    starts, shifts, _ = constants_of(packed, "folded")
    expected = (plan.weights.astype(np.int64) * (x + 37)).sum(axis=1) + plan.bias
    np.testing.assert_array_equal((weights * x).sum(axis=1) + (starts >> 8), expected)
    np.testing.assert_array_equal(shifts, plan.shift)


def short(plan: ConvolutionPlan) -> ConvolutionPlan:
    """As a trained layer is: no fused limit, and a right shift."""
    return replace(plan, bias=plan.bias * 0, shift=plan.shift * 0 - 5, lowest=-128)


@pytest.mark.parametrize(
    ("site", "group", "name", "layout"),
    [
        (None, 1, "block0.up", "quads"),
        ("output", 1, "block0.up", "quads"),
        ("output", 1, "block0.down", "rows"),
        ("output", 4, "block0.down", "quads"),
        ("output", 8, "block0.down", "quads"),
        ("hidden", 1, "block0.up", "rows"),
        ("hidden", 8, "block0.up", "quads"),
        ("hidden", 4, "block0.down", "tiles"),
        ("hidden", 8, "block0.down", "tiles"),
        ("hidden", 1, "block0.down", "plain"),
        ("hidden", 8, "block0.score", "quads"),
        ("hidden", 8, "block0.depthwise", "folded"),
    ],
)
def test_what_gates_close_decides_the_layout(
    output: Built, site: Any, group: int, name: str, layout: Layout
) -> None:
    network = replace(output.plan.network, site=site, group=group)
    plan = short(layer(8, 8, 0, name=name))
    assert layout_of(network, plan, "dsp") == layout
    assert layout_of(network, plan, "portable") == "plain"


def test_layers_that_would_overflow_or_round_otherwise_stay_plain(static: Built) -> None:
    """The shortcuts of the fast kernels are exact only where the compiler has checked them."""
    plan = static.plan.network
    full = np.full((8, 264), 127, np.int8)
    good = layer(8, 264, 0, weights=full // 8)
    assert layout_of(plan, good, "dsp") == "quads"
    for wrong in (
        layer(8, 264, 0, weights=full),  # 256 times the sum reaches 2^31
        layer(8, 264, 0, weights=np.where(np.eye(8, 264) > 0, -128, full // 8).astype(np.int8)),
        replace(good, bias=np.full(8, 1 << 23, np.int32)),
        replace(good, shift=np.zeros(8, np.int64)),
        replace(good, lowest=-20),
    ):
        assert layout_of(plan, wrong, "dsp") == "plain"
