"""The rungs of a ladder, planned by name before any is made; later rooms add theirs.

A rung that cannot be made, because what it runs on is not installed, stays on the ladder
and fails it; only a rung that is left out by name is not climbed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.comparison import Outputs
from convert.ladder import Kind, Rung
from convert.rungs import RUNTIMES, IntegerRung, OnnxRung, RungUnavailable, TfliteRung, tflite_name
from dyncp.errors import UserError
from quantize.model import QuantizedModel

Step = Callable[[NDArray[np.int8]], Outputs]


@dataclass(frozen=True)
class PlannedRung:
    """A rung that is not made yet. ``make`` may raise :class:`RungUnavailable`."""

    name: str
    kind: Kind
    make: Callable[[], Rung]


class AbsentRung:
    """Stands for a rung that could not be made; its first frame says why."""

    def __init__(self, name: str, kind: Kind, reason: str) -> None:
        self.name, self.kind, self._reason = name, kind, reason

    def reset(self) -> None:
        raise UserError(self._reason)

    def step(self, features: NDArray[np.int8]) -> Outputs:
        raise UserError(self._reason)

    def close(self) -> None:
        """Nothing is held."""


class FunctionRung:
    """A rung made of a function: ``start()`` gives a cold one from frames to tensors.

    For what needs no class of its own.
    """

    def __init__(self, name: str, kind: Kind, start: Callable[[], Step]) -> None:
        self.name, self.kind, self._start = name, kind, start
        self._step = start()

    def reset(self) -> None:
        self._step = self._start()

    def step(self, features: NDArray[np.int8]) -> Outputs:
        return self._step(features)

    def close(self) -> None:
        """Nothing is held."""


def desktop_rungs(
    model: QuantizedModel, tflite: Path, onnx: Path | None = None
) -> list[PlannedRung]:
    """The integer model, which is the specification, and what needs no compiler or device."""
    planned = [PlannedRung(IntegerRung.name, "exact", lambda: IntegerRung(model))]
    if onnx:
        planned.append(PlannedRung(OnnxRung.NAME, "float", lambda: OnnxRung(onnx, model)))
    for runtime in RUNTIMES:
        name = tflite_name(runtime, "reference")
        planned.append(PlannedRung(name, "exact", partial(TfliteRung, tflite, runtime)))
    name = tflite_name("ai-edge-litert", "optimised")
    make = partial(TfliteRung, tflite, "ai-edge-litert", "optimised")
    return [*planned, PlannedRung(name, "optimised", make)]


def own_rung(place: str, model: QuantizedModel, tflite: Path) -> PlannedRung:
    """Somebody's own rung: ``MODULE:FUNCTION``, called with the model and its .tflite's path.

    Raises :class:`UserError` if there is no such function, or it gives no rung.
    """
    module, _, function = place.partition(":")
    try:
        make = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"--rung {place}: no such function ({error}); give it as MODULE:FUNCTION"
        ) from error
    rung = make(model, tflite)
    for part in ("name", "kind", "reset", "step", "close"):
        if not hasattr(rung, part):
            raise UserError(f"--rung {place}: what it gives has no '{part}', so it is no rung")
    return PlannedRung(rung.name, rung.kind, lambda: rung)


def without(
    planned: Sequence[PlannedRung], names: Sequence[str]
) -> tuple[list[PlannedRung], list[str]]:
    """The rungs that are not called any of ``names``, and the names of those that are.

    A name may be cut short at its comma. Raises :class:`UserError` for a name that no rung
    has, for two rungs of one name, and for the specification.
    """
    known = [rung.name for rung in planned]
    for name in known:
        if known.count(name) > 1:
            raise UserError(f"two rungs are called '{name}'; name each board once")
    left_out = []
    for name in names:
        found = [rung for rung in known if name in (rung, rung.split(",", 1)[0])]
        if not found:
            raise UserError(f"--without {name}: no such rung; there are: {'; '.join(known)}")
        left_out += found
    if planned and planned[0].name in left_out:
        raise UserError(f"the {planned[0].name} cannot be left out: all others are held against it")
    return [rung for rung in planned if rung.name not in left_out], left_out


def make_rungs(planned: Sequence[PlannedRung]) -> list[Rung]:
    """Make them all; one whose package is missing becomes an :class:`AbsentRung`.

    Any other error is raised, before a frame is run: it is of the input.
    """
    rungs: list[Rung] = []
    for plan in planned:
        try:
            rungs.append(plan.make())
        except RungUnavailable as error:
            rungs.append(AbsentRung(plan.name, plan.kind, str(error)))
    return rungs
