"""Weights packed for a core must still be the weights: one bit off and a channel is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from targets.compiler.packing import layout_of, pack, stored_channels
from targets.compiler.plan import ConvolutionPlan
from tests.targets.built import Built

TILE = 8


def layer(outputs: int, inputs: int, seed: int, **changes: object) -> ConvolutionPlan:
    rng = np.random.default_rng(seed)
    plan = ConvolutionPlan(
        name="block0.down",
        weights=rng.integers(-127, 128, (outputs, inputs)).astype(np.int8),
        bias=rng.integers(-3000, 3000, outputs).astype(np.int32),
        multiplier=rng.integers(1 << 30, 1 << 31, outputs),
        shift=rng.integers(-9, -5, outputs),
        input_zero_point=-128,
        output_zero_point=3,
        lowest=-128,
    )
    return replace(plan, **changes)  # type: ignore[arg-type]


def sums_of_tiles(packed: NDArray[np.int8], outputs: int, x: NDArray[np.int64]) -> list[int]:
    """The sums that ``firmware/kernels/dsp.h`` promises of the packed words, as it says."""
    words = packed.view("<i2").astype(np.int64).reshape(-1, len(x) // 2, TILE // 2, 2)
    pairs = x.reshape(1, -1, 1, 2)
    low = packed.view("<i2").astype(np.int8).astype(np.int64).reshape(words.shape)
    mixed, even = (words * pairs).sum(axis=(1, 3)), (low * pairs).sum(axis=(1, 3))
    odd = (mixed - even) >> 8
    return [int(s) for s in np.stack([even, odd], axis=2).reshape(-1)[:outputs]]


sizes = st.tuples(st.integers(1, 40), st.integers(1, 70), st.integers(0, 2**32 - 1))


@given(sizes)
def test_tiles_give_the_sums_of_the_rows(size: tuple[int, int, int]) -> None:
    outputs, inputs, seed = size
    plan = layer(outputs, inputs, seed)
    x = np.zeros(-(-inputs // TILE) * TILE, np.int64)
    x[:inputs] = np.random.default_rng(seed + 1).integers(-255, 256, inputs)
    packed = pack(plan, "tiles")
    assert packed.size == -(-outputs // TILE) * TILE * len(x)
    expected = plan.weights.astype(np.int64) @ x[:inputs]
    assert sums_of_tiles(packed, outputs, x) == expected.tolist()


@given(sizes)
def test_rows_hold_four_inputs_in_the_order_that_sxtb16_takes(size: tuple[int, int, int]) -> None:
    outputs, inputs, seed = size
    plan = layer(outputs, inputs, seed)
    words = pack(plan, "rows").reshape(outputs, -1, 4)
    rows = np.stack([words[..., 0], words[..., 2], words[..., 1], words[..., 3]], axis=2)
    rows = rows.reshape(outputs, -1)
    np.testing.assert_array_equal(rows[:, :inputs], plan.weights)
    assert rows.shape[1] % TILE == 0
    assert not rows[:, inputs:].any()


def test_the_plain_layout_is_the_rows_as_they_are() -> None:
    plan = layer(5, 7, 0)
    np.testing.assert_array_equal(pack(plan, "plain").reshape(5, 7), plan.weights)


def test_outputs_that_fill_up_a_tile_give_nothing() -> None:
    channels = stored_channels(layer(5, 7, 0), "tiles")
    assert channels[5:] == [(0, 0, -1)] * 3
    assert len(stored_channels(layer(5, 7, 0), "rows")) == 5


def test_a_folded_depthwise_gives_the_same_sums() -> None:
    """The zero point moves from the inputs into the bias, and nothing else changes."""
    plan = layer(6, 3, 0, name="block0.depthwise", input_zero_point=-37)
    x = np.random.default_rng(1).integers(-128, 128, (6, 3))
    weights = pack(plan, "folded").reshape(6, 3).astype(np.int64)
    bias = np.array([channel[0] for channel in stored_channels(plan, "folded")])
    expected = (plan.weights.astype(np.int64) * (x + 37)).sum(axis=1) + plan.bias
    np.testing.assert_array_equal((weights * x).sum(axis=1) + bias, expected)


def test_a_depthwise_that_gates_close_is_not_folded(hidden: Built) -> None:
    plan = hidden.plan.network
    assert layout_of(plan, plan.blocks[0].depthwise, "dsp") == "plain"


def test_gates_on_single_outputs_need_rows_of_their_own(output: Built) -> None:
    plan = output.plan.network
    down, up = plan.blocks[0].down, plan.blocks[0].up
    assert layout_of(plan, down, "dsp") == "rows"
    assert layout_of(plan, up, "dsp") == "tiles"
    assert layout_of(replace(plan, group=4), down, "dsp") == "rows"
    assert layout_of(replace(plan, group=8), down, "dsp") == "tiles"
    assert layout_of(plan, plan.blocks[0].depthwise, "dsp") == "folded"
    assert layout_of(plan, up, "portable") == "plain"


def test_layers_that_would_overflow_or_round_otherwise_have_rows(static: Built) -> None:
    """The tile kernel's shortcuts are exact only where the compiler has checked them."""
    plan = static.plan.network
    full = np.full((8, 264), 127, np.int8)
    good = layer(8, 264, 0, weights=full // 8)
    assert layout_of(plan, good, "dsp") == "tiles"
    for wrong in (
        layer(8, 264, 0, weights=full),  # 256 times the sum reaches 2^31
        layer(8, 264, 0, weights=np.where(np.eye(8, 264) > 0, -128, full // 8).astype(np.int8)),
        replace(good, bias=np.full(8, 1 << 23, np.int32)),
        replace(good, shift=np.zeros(8, np.int64)),
        replace(good, lowest=-20),
    ):
        assert layout_of(plan, wrong, "dsp") == "rows"
