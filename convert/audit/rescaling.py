"""Do operators that only move values, or have a fixed output, keep to their scales?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from convert.audit.registry import Finding, NotApplicable, check
from convert.audit.subject import Step, Subject, show
from quantize.arithmetic import Addition, sigmoid_values
from quantize.checks import MASK_SCALE, MASK_ZERO_POINT, SIGMOID_TIE_MARGIN

_ENDS = {
    "AVERAGE_POOL_2D": slice(0, 1),
    "CONCATENATION": slice(None),
    "GATHER": slice(0, 1),
    "SELECT_V2": slice(1, 2),  # what stands in is judged by gate-closed-value
}
"""Operators that must not re-scale, and which of their inputs it is about."""


def _int8_steps(s: Subject, *kinds: str) -> list[Step]:
    found = [step for step in s.steps_of(*kinds) if s.is_int8(step.output)]
    if not found:
        raise NotApplicable(f"no int8 operator is a {' or a '.join(kinds)}")
    return found


@check(
    "rescaled",
    "error",
    "AVERAGE_POOL_2D, CONCATENATION, GATHER and SELECT_V2 give what they take at its scale and "
    "zero point",
    "give the operator's ends one scale and zero point; joined gate logits need their own outputs",
)
def _rescaled(s: Subject) -> Iterator[Finding]:
    for step in _int8_steps(s, *_ENDS):
        given = s.need_grid(step.output)
        for tensor in step.inputs[_ENDS[step.kind]]:
            if s.need_grid(tensor) != given:
                text = f"takes '{s.name(tensor)}' at {show(s.grid(tensor))}, gives {show(given)}"
                yield s.on_step(step, text, list(given))


@check(
    "logistic-grid",
    "error",
    "LOGISTIC gives scale 1/256 and zero point -128",
    "write them; TFLite's kernel allows nothing else",
)
def _logistic(s: Subject) -> Iterator[Finding]:
    for step in _int8_steps(s, "LOGISTIC"):
        given = s.need_grid(step.output)
        if given != (MASK_SCALE, MASK_ZERO_POINT):
            yield s.on_step(step, f"gives {show(given)}", list(given))


@check(
    "logistic-tie",
    "warning",
    "no entry of LOGISTIC's table is so near a tie that two libraries may round it apart",
    "widen its input's scale a little, as the calibrator does",
)
def _tie(s: Subject) -> Iterator[Finding]:
    for step in _int8_steps(s, "LOGISTIC"):
        with np.errstate(over="ignore"):
            values = sigmoid_values(*s.need_grid(step.inputs[0]))
        distance = float(np.abs(values - np.floor(values) - 0.5).min())
        if distance < SIGMOID_TIE_MARGIN:
            yield s.on_step(step, f"has an entry {distance:.2g} steps from a tie", distance)


@check(
    "add-scale",
    "error",
    "an ADD's output scale is large enough for its operands",
    "calibrate anew; the sum's range is too small",
)
def _add(s: Subject) -> Iterator[Finding]:
    for step in _int8_steps(s, "ADD"):
        first, second = (s.need_grid(tensor) for tensor in step.inputs)
        given = s.need_grid(step.output)
        addition = Addition(first, second, given)
        if addition.output[1] > 0:
            yield s.on_step(step, f"gives {show(given)}, which would shift left", list(given))
        elif 0 in (addition.first[0], addition.second[0], addition.output[0]):
            yield s.on_step(step, "loses an operand: its factor is 0", list(given))
