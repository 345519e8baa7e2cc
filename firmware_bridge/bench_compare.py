"""The bench's figures against those that were committed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Figures = dict[str, Any]

LARGEST_INCREASE = 100
"""An increase by more than one part in this many is a regression."""


@dataclass(frozen=True)
class Change:
    """A figure of one board that is not what it was, in instructions."""

    board: str
    item: str
    before: int
    now: int

    @property
    def percent(self) -> float:
        return 100.0 * (self.now - self.before) / self.before

    def __str__(self) -> str:
        return (
            f"{self.board}: {self.item}: {self.now:,} instructions, committed {self.before:,} "
            f"({self.percent:+.1f} %)"
        )


@dataclass(frozen=True)
class Comparison:
    """``incomparable`` says why there is none, then nothing is a regression.

    ``added`` and ``lost``: what only one side has, as "board: item".
    """

    incomparable: str | None
    regressions: list[Change]
    improvements: list[Change]
    added: list[str]
    lost: list[str]

    @property
    def passed(self) -> bool:
        return not self.regressions and not self.lost

    def lines(self) -> list[str]:
        """What a person must know, one thing a line."""
        if self.incomparable:
            return [f"not compared: {self.incomparable}"]
        lines = [f"regression: {change}" for change in self.regressions]
        lines += [f"improved: {change}" for change in self.improvements]
        lines += [f"not committed yet: {item}" for item in self.added]
        lines += [f"committed, but not counted any more: {item}" for item in self.lost]
        return lines or ["as committed, to within 1 %"]


def items_of(figures: Figures) -> dict[tuple[str, str], int]:
    """Every count, by board and by what it is of."""
    counts = {}
    for board, found in figures["boards"].items():
        for name, kernel in found["kernels"].items():
            counts[board, name] = kernel["instructions"]
        for name, frame in found["frames"].items():
            for part in ("network", "analysis", "synthesis"):
                counts[board, f"{name}: {part}"] = frame[part]
            for role, instructions in frame["layers"].items():
                counts[board, f"{name}: {role}"] = instructions
    return counts


def compare(figures: Figures, committed: Figures, partial: bool = False) -> Comparison:
    """``figures`` against ``committed``; if ``partial``, not all need have been counted."""
    if figures["compiler"] != committed["compiler"]:
        reason = (
            f"the compiler is '{figures['compiler']}', the committed figures are of "
            f"'{committed['compiler']}'"
        )
        return Comparison(reason, [], [], [], [])
    now, before = items_of(figures), items_of(committed)
    changes = [Change(*item, before[item], now[item]) for item in now if item in before]
    lost = [] if partial else [": ".join(item) for item in before if item not in now]
    return Comparison(
        incomparable=None,
        regressions=[c for c in changes if LARGEST_INCREASE * (c.now - c.before) > c.before],
        improvements=[c for c in changes if LARGEST_INCREASE * (c.before - c.now) > c.before],
        added=[": ".join(item) for item in now if item not in before],
        lost=lost,
    )
