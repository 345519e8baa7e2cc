"""What a check is, and the one list of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from convert.audit.subject import Subject

Severity = Literal["error", "warning", "note"]


class NotApplicable(Exception):
    """There is nothing in this file that the check is about; the message says why."""


class CannotJudge(Exception):
    """The check could not be run to its end; the message says what was in the way."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: the message is the whole story, the rest is for programs.

    ``kind`` and ``index``: which ``tensor``, ``operator``, ``buffer`` or ``signature``
    of the file; ``value``: what was found there.
    """

    message: str
    kind: str = "file"
    index: int | None = None
    name: str = ""
    value: Any = None


Judge = Callable[["Subject"], Iterator[Finding]]


@dataclass(frozen=True)
class Check:
    """``title``: what holds of a file that passes; ``remedy``: what to do about one that fails."""

    id: str
    severity: Severity
    title: str
    remedy: str
    judge: Judge


_CHECKS: dict[str, Check] = {}


def check(id: str, severity: Severity, title: str, remedy: str) -> Callable[[Judge], Judge]:
    """Register a generator of findings as the check ``id``."""

    def register(judge: Judge) -> Judge:
        if id in _CHECKS:
            raise ValueError(f"two checks are called {id}")
        _CHECKS[id] = Check(id, severity, title, remedy, judge)
        return judge

    return register


def all_checks() -> list[Check]:
    """Every check, in the order in which they are run and reported."""
    from convert.audit.families import FAMILIES  # importing them registers their checks

    order = [family.__name__ for family in FAMILIES]
    return sorted(_CHECKS.values(), key=lambda check: order.index(check.judge.__module__))
