"""Ticks into what they stand for: the one place of the conversion.

An emulator lets every instruction take ``2 ** shift`` ns of virtual time, and the
board's clock ticks ``tick_hz`` times a virtual second::

    instructions = ticks * 1e9 / tick_hz / 2 ** shift

Every instruction counts one, whatever it would cost on silicon, so the result
is called instructions and never cycles. On silicon the clock ticks once a cycle, and
the greeting says in the place of ``shift`` whose count that is (docs/protocol.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

CounterKind = Literal["none", "instructions", "cycles"]
CYCLE_COUNTERS = ("SysTick", "DWT CYCCNT")
"""By the number in the place of ``shift``."""

COUNTER_KINDS: tuple[CounterKind, ...] = ("none", "instructions", "cycles")
_NS_PER_SECOND = 10**9


@dataclass(frozen=True)
class TickCounter:
    """What a board counts. ``tick_hz`` is not 0 where it counts.

    ``shift``: of an emulator's instructions; of cycles an index of :data:`CYCLE_COUNTERS`.
    """

    unit: CounterKind
    tick_hz: int
    shift: int

    @property
    def name(self) -> str:
        """The counter in the core: "SysTick", "DWT CYCCNT", or "none"."""
        if self.unit == "none":
            return "none"
        return CYCLE_COUNTERS[self.shift if self.unit == "cycles" else 0]

    def count(self, ticks: int) -> int:
        """``ticks`` in :attr:`unit`, rounded to the nearest; 0 without a counter."""
        if self.unit == "cycles":
            return ticks
        if self.unit == "none":
            return 0
        return (2 * ticks * _NS_PER_SECOND // (self.tick_hz << self.shift) + 1) // 2

    def counts(self, ticks: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """:meth:`count` of every element."""
        flat = [self.count(int(value)) for value in ticks.ravel()]
        return np.array(flat, dtype=np.int64).reshape(ticks.shape)
