"""Weights packed for Helium must still be the weights: one byte off and a channel is wrong.

Every test computes what ``firmware/kernels/helium.h`` promises from the packed bytes alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

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
SIZES = st.tuples(st.integers(1, 40), st.integers(1, 70), st.integers(0, 2**32 - 1))
OCTET, INPUTS = 8, 16
LEAST = -128


def layer(outputs: int, inputs: int, seed: int, **changes: Any) -> ConvolutionPlan:
    rng = np.random.default_rng(seed)
    plan = ConvolutionPlan(
        name="block0.down",
        weights=rng.integers(-127, 128, (outputs, inputs)).astype(np.int8),
        bias=rng.integers(-3000, 3000, outputs).astype(np.int32),
        multiplier=rng.integers(1 << 30, 1 << 31, outputs),
        shift=rng.integers(-31, 0, outputs),
        input_zero_point=int(rng.integers(-128, 128)),
        output_zero_point=3,
        lowest=LEAST,
    )
    return replace(plan, **changes)


def true_sums(plan: ConvolutionPlan, x: Integers) -> Integers:
    return plan.weights.astype(np.int64) @ (x - plan.input_zero_point) + plan.bias


class Constants(NamedTuple):
    start: Integers
    multiplier: Integers
    shift: Integers


def constants_of_octets(packed: Packed) -> Constants:
    """Eight starts, eight multipliers, the even rows' first, eight bytes of shifts likewise."""
    octets = packed.constants.reshape(-1, 18)
    shifts = np.ascontiguousarray(octets[:, 16:]).view(np.int8)
    in_order = [0, 4, 1, 5, 2, 6, 3, 7]
    parts = octets[:, :8], octets[:, 8:16][:, in_order], shifts[:, in_order]
    return Constants(*(part.reshape(-1).astype(np.int64) for part in parts))


def constants_of_rows(packed: Packed, rows: int) -> Constants:
    """All starts, all multipliers, all shifts."""
    words = packed.constants.astype(np.int64)
    shifts = packed.constants[2 * rows :].view(np.int8).astype(np.int64)
    return Constants(words[:rows], words[rows : 2 * rows], shifts[:rows])


def assert_constants(plan: ConvolutionPlan, found: Constants) -> None:
    np.testing.assert_array_equal(found.multiplier[: plan.outputs], plan.multiplier)
    np.testing.assert_array_equal(found.shift[: plan.outputs], plan.shift)


def filled_up(x: Integers, value: int) -> Integers:
    """To whole vectors, as they lie in memory: what comes after the inputs is anything."""
    return np.concatenate([x, np.full(-len(x) % INPUTS, value, np.int64)])


def inputs_of(plan: ConvolutionPlan, seed: int, extreme: bool) -> Integers:
    rng = np.random.default_rng(seed)
    count = plan.inputs
    return rng.choice([LEAST, 127], count) if extreme else rng.integers(LEAST, 128, count)


@given(size=SIZES, extreme=st.booleans())
def test_octets_give_the_sums_of_the_rows(size: tuple[int, int, int], extreme: bool) -> None:
    plan = layer(*size)
    x, packed = inputs_of(plan, size[2], extreme), pack(plan, "octets")
    constants = constants_of_octets(packed)
    blocks = filled_up(x, 99).reshape(-1, 1, INPUTS)
    octets = packed.weights.astype(np.int64).reshape(-1, len(blocks), OCTET, INPUTS)
    sums = (octets * blocks).sum(axis=(1, 3)).reshape(-1) + constants.start
    np.testing.assert_array_equal(sums[: plan.outputs], true_sums(plan, x))
    assert_constants(plan, constants)


@given(size=SIZES, extreme=st.booleans())
def test_lone_rows_give_the_sums_of_the_rows(size: tuple[int, int, int], extreme: bool) -> None:
    plan = layer(*size)
    x, packed = inputs_of(plan, size[2], extreme), pack(plan, "lone_rows")
    constants = constants_of_rows(packed, plan.outputs)
    rows = packed.weights.astype(np.int64).reshape(plan.outputs, -1)
    np.testing.assert_array_equal(rows @ filled_up(x, 99) + constants.start, true_sums(plan, x))
    assert_constants(plan, constants)


@given(size=SIZES, share=st.floats(0, 1))
def test_a_closed_input_counts_as_nothing_whatever_its_weights(
    size: tuple[int, int, int], share: float
) -> None:
    """Runs of four inputs, found as the kernel finds them; the correction is one for all rows."""
    outputs, fours, seed = size
    plan = layer(outputs, 4 * fours, seed, input_zero_point=LEAST)
    packed, rng = pack(plan, "offset_octets"), np.random.default_rng(seed)
    constants = constants_of_octets(packed)
    x = rng.integers(LEAST, 128, plan.inputs)
    open_fours = np.flatnonzero(rng.random(fours) < share) * 4
    stored = packed.weights.view(np.uint8).astype(np.int64).reshape(-1, OCTET)
    bytes_of_octet = OCTET * STORAGE["offset_octets"].columns(plan.inputs)
    stored = stored.reshape(-1, bytes_of_octet)
    sums = constants.start.reshape(-1, OCTET) + np.zeros((len(stored), 1), np.int64)
    for first in open_fours:
        for row in range(OCTET):
            at = first + 7 * (first // INPUTS * INPUTS) + INPUTS * row
            inputs = x[first : first + 4] - LEAST
            sums[:, row] += stored[:, at : at + 4] @ inputs - 128 * inputs.sum()
    closed = np.setdiff1d(np.arange(plan.inputs), (open_fours[:, None] + np.arange(4)).ravel())
    x[closed] = LEAST
    np.testing.assert_array_equal(sums.reshape(-1)[:outputs], true_sums(plan, x))
    assert_constants(plan, constants)


@given(seed=st.integers(0, 2**32 - 1), channels=st.integers(1, 40))
def test_channels_give_the_sums_of_a_depthwise(seed: int, channels: int) -> None:
    plan = layer(channels, 3, seed, name="block0.depthwise")
    packed = pack(plan, "channels")
    constants = constants_of_rows(packed, channels)
    taps = np.random.default_rng(seed).integers(LEAST, 128, (3, channels))
    sums = (packed.weights.astype(np.int64).reshape(3, channels) * taps).sum(axis=0)
    expected = (plan.weights.T.astype(np.int64) * (taps - plan.input_zero_point)).sum(axis=0)
    np.testing.assert_array_equal(sums + constants.start, expected + plan.bias)
    assert_constants(plan, constants)


@pytest.mark.parametrize("layout", ["octets", "offset_octets", "lone_rows", "channels"])
@given(size=SIZES)
def test_every_layout_stores_what_is_counted(layout: Layout, size: tuple[int, int, int]) -> None:
    """The counters of weight bytes promise the host and the user how much a frame fetches."""
    outputs, inputs, seed = size
    plan, storage = layer(outputs, inputs, seed), STORAGE[layout]
    packed, rows = pack(plan, layout), storage.rows(outputs)
    assert packed.weights.nbytes == rows * storage.columns(inputs)
    unaligned = -rows % 4
    assert packed.constants.nbytes == rows * storage.constant_bytes + unaligned


def test_what_gates_close_decides_the_layout(output: Built, hidden: Built, static: Built) -> None:
    plan = output.plan.network
    block = plan.blocks[0]
    assert layout_of(plan, block.down, "helium") == "lone_rows"
    assert layout_of(replace(plan, group=4), block.down, "helium") == "lone_rows"
    assert layout_of(replace(plan, group=8), block.down, "helium") == "octets"
    assert layout_of(plan, block.up, "helium") == "octets"
    assert layout_of(plan, block.depthwise, "helium") == "channels"
    plan = hidden.plan.network
    block = plan.blocks[0]
    assert layout_of(plan, block.up, "helium") == "octets"
    assert layout_of(plan, block.down, "helium") == "offset_octets"
    assert layout_of(replace(plan, group=4), block.up, "helium") == "lone_rows"
    # Single inputs are not worth finding: what is closed is at the zero point.
    assert layout_of(replace(plan, group=1), block.down, "helium") == "octets"
    assert STORAGE["octets"].dense_sixteenths == 0
    plan = static.plan.network
    assert {layout_of(plan, layer, "helium") for layer in plan.layers} == {"octets", "channels"}


def test_what_vectors_would_round_otherwise_stays_plain(output: Built, hidden: Built) -> None:
    """The kernels' shortcuts are exact only where the compiler has checked them."""
    plan = output.plan.network
    good = layer(8, 32, 0)
    assert layout_of(plan, good, "helium") == "lone_rows"
    least = good.weights.copy()
    least[3, 5] = LEAST
    for wrong in (
        replace(good, weights=least),  # two products of a depthwise reach 2^15
        replace(good, shift=np.zeros(8, np.int64)),
        replace(good, lowest=-20),
    ):
        assert layout_of(plan, wrong, "helium") == "plain"
    gated = hidden.plan.network
    assert layout_of(gated, replace(good, input_zero_point=LEAST), "helium") == "offset_octets"
    assert layout_of(gated, replace(good, input_zero_point=-127), "helium") == "plain"
