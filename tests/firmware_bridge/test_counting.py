"""Ticks into instructions: a wrong factor would make every figure of the report wrong."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.counting import TickCounter

ticks = st.integers(0, 2**32 - 1)
emulated = st.builds(
    TickCounter, st.just("instructions"), st.integers(1, 10**9), st.integers(0, 10)
)


def instructions(counter: TickCounter, count: int) -> Fraction:
    """Ticks are virtual time, and an instruction lasts 2^shift ns of it."""
    return count * Fraction(10**9, counter.tick_hz * 2**counter.shift)


@pytest.mark.parametrize(
    ("tick_hz", "shift", "count", "expected"),
    [
        (25_000_000, 7, 16, 5),  # 3.2 ticks an instruction
        (25_000_000, 7, 3_200_000, 1_000_000),
        (25_000_000, 7, 4, 1),  # 1.25
        (25_000_000, 7, 5, 2),  # 1.5625
        (20_000_000, 3, 4, 25),  # 0.16 ticks an instruction
        (168_000_000, 3, 168, 125),
        (1_000_000_000, 1, 3, 2),  # 1.5: halves are rounded up
    ],
)
def test_known_counts(tick_hz: int, shift: int, count: int, expected: int) -> None:
    assert TickCounter("instructions", tick_hz, shift).count(count) == expected


@given(emulated, ticks)
def test_the_nearest_whole_number_of_instructions(counter: TickCounter, count: int) -> None:
    distance = counter.count(count) - instructions(counter, count)
    assert -Fraction(1, 2) < distance <= Fraction(1, 2)


@given(st.integers(0, 10**9), st.integers(10**7, 10**9), st.integers(0, 10))
def test_a_clock_of_two_ticks_an_instruction_counts_exactly(
    executed: int, tick_hz: int, shift: int
) -> None:
    """What the emulator executed comes back, though the clock shows whole ticks only."""
    if tick_hz << shift <= 2 * 10**9:
        shift += 8
    seen = (executed * tick_hz << shift) // 10**9
    assert TickCounter("instructions", tick_hz, shift).count(seen) == executed


@given(ticks, ticks, emulated)
def test_more_ticks_are_never_fewer_instructions(a: int, b: int, counter: TickCounter) -> None:
    assert counter.count(min(a, b)) <= counter.count(max(a, b))


@given(ticks, st.integers(0, 2**32 - 1), st.integers(0, 255))
def test_silicon_counts_cycles_and_no_clock_counts_nothing(
    count: int, tick_hz: int, shift: int
) -> None:
    assert TickCounter("cycles", tick_hz, shift).count(count) == count
    assert TickCounter("none", tick_hz, shift).count(count) == 0


@given(emulated, st.lists(ticks, min_size=4, max_size=4))
@pytest.mark.parametrize("dtype", [np.uint32, np.int64])
def test_arrays_count_as_their_elements(
    dtype: type, counter: TickCounter, counts: list[int]
) -> None:
    """No overflow on the way, at the highest tick count either."""
    result = counter.counts(np.array(counts, dtype).reshape(2, 2))
    assert result.dtype == np.int64
    assert result.tolist() == [[counter.count(n) for n in row] for row in (counts[:2], counts[2:])]
