"""Placing an instance's buffers in one static arena.

Buffers that are never alive at the same step share memory. A step is a stage of
one frame; every block goes through the same steps, so that one set of them
stands for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 16
"""Bytes; what Helium loads and the DMA of most parts want."""

STEPS = (
    "analysis",
    "front",
    "squeeze",
    "score",
    "up",
    "depthwise",
    "down",
    "back",
    "synthesis",
)


@dataclass(frozen=True)
class Buffer:
    """What must be kept: ``size`` bytes from step ``first`` to step ``last``, both included.

    ``first`` None means from frame to frame.
    """

    name: str
    size: int
    first: str | None = None
    last: str | None = None

    @property
    def lifetime(self) -> tuple[int, int]:
        if self.first is None or self.last is None:
            return 0, len(STEPS) - 1
        return STEPS.index(self.first), STEPS.index(self.last)

    def overlaps(self, other: Buffer) -> bool:
        """Whether both are alive at some step."""
        (first, last), (other_first, other_last) = self.lifetime, other.lifetime
        return first <= other_last and other_first <= last


@dataclass(frozen=True)
class Placement:
    """A buffer and the byte offset where it lies."""

    buffer: Buffer
    offset: int

    @property
    def end(self) -> int:
        return self.offset + self.buffer.size


@dataclass(frozen=True)
class Arena:
    """Every buffer placed; ``size`` bytes in all."""

    placements: tuple[Placement, ...]
    size: int

    def offset(self, name: str) -> int:
        """Where a buffer lies; 0 for one that this network does not have."""
        for placement in self.placements:
            if placement.buffer.name == name:
                return placement.offset
        return 0

    def map_lines(self) -> list[str]:
        """The arena as text, in address order."""
        lines = [f"{'offset':>8}  {'bytes':>7}  {'alive':<22}  buffer"]
        for placement in sorted(self.placements, key=lambda p: (p.offset, p.buffer.name)):
            buffer = placement.buffer
            alive = f"{buffer.first} .. {buffer.last}" if buffer.first else "always"
            lines.append(f"{placement.offset:>8}  {buffer.size:>7}  {alive:<22}  {buffer.name}")
        return [*lines, f"{self.size:>8}  in all"]


def aligned(offset: int) -> int:
    """The next place where a buffer may begin."""
    return -(-offset // ALIGNMENT) * ALIGNMENT


def place_buffers(buffers: Sequence[Buffer]) -> Arena:
    """Place the buffers, the largest first, each at the lowest offset that is free for it."""
    placed: list[Placement] = []
    for buffer in sorted(buffers, key=lambda b: (-b.size, b.name)):
        offset = 0
        for other in sorted(placed, key=lambda p: p.offset):
            if buffer.overlaps(other.buffer) and other.end > offset:
                if offset + buffer.size <= other.offset:
                    break
                offset = aligned(other.end)
        placed.append(Placement(buffer, offset))
    size = aligned(max((placement.end for placement in placed), default=0))
    return Arena(tuple(sorted(placed, key=lambda p: p.offset)), size)
