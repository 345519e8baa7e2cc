"""Are the gates what the firmware takes them for: ``q > zero point``, each on its own output?

A test is a GREATER of logits, through a GATHER where a gate serves a group; what
it closes are the SELECT_V2 operators that it is the condition of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convert.audit.identity import preset_of
from convert.audit.registry import CannotJudge, Finding, NotApplicable, check
from convert.audit.subject import Step, Subject, extents, show
from convert.identify import CONVOLUTIONS
from convert.metadata import gate_entries
from dyncp.errors import UserError
from quantize.checks import LOGIT_SCALE_LIMIT, LOGIT_SCALE_MIN, check_logit_scale

_CHANNELS = 3
_JOINS = ("CONCATENATION", "PACK", "SPLIT", "SPLIT_V", "STRIDED_SLICE", "SLICE", "RESHAPE")
_LAYER = "/weight"


@dataclass
class GateTest:
    """``logits``: the tensor asked; ``scores``: the same, spread over the channels."""

    step: Step
    logits: int
    scores: int
    gather: Step | None
    selects: list[Step] = field(default_factory=list)


def layer_of(s: Subject, step: Step | None) -> str | None:
    """The layer that a convolution is, by the name of its weights."""
    if step is None or step.kind not in CONVOLUTIONS:
        return None
    name = s.name(step.inputs[1])
    return name.removesuffix(_LAYER) if name.endswith(_LAYER) else None


def gate_tests(s: Subject) -> list[GateTest]:
    """Every test of the graph; raises if it has none."""
    found = {}
    for step in s.steps_of("GREATER"):
        gather = s.producer(step.inputs[0], "GATHER")
        logits = gather.inputs[0] if gather else step.inputs[0]
        found[step.output] = GateTest(step, logits, step.inputs[0], gather)
    for step in s.steps_of("SELECT_V2"):
        if step.inputs[0] in found:
            found[step.inputs[0]].selects.append(step)
    if not found:
        raise NotApplicable("the graph tests no gates")
    return list(found.values())


def _gate_entries(s: Subject) -> list[dict[str, Any]]:
    """The preset's gates; raises if it, and the graph, have none."""
    entries = gate_entries(preset_of(s))
    if not entries and not s.steps_of("GREATER"):
        raise NotApplicable("the network has no gates")
    return entries


def _by_name(s: Subject) -> dict[str, GateTest]:
    try:
        return {s.name(test.logits): test for test in gate_tests(s)}
    except NotApplicable:
        return {}


def _is_zero(s: Subject, tensor: int, grid_of: int) -> str:
    """Why a tensor is not constant zero on the grid of ``grid_of``; "" if it is."""
    grid, values = s.need_grid(grid_of), s.values(tensor)
    if values is None or values.dtype != np.int8:
        return f"is {s.type_name(tensor)}, not an int8 constant"
    if s.grid(tensor) != grid:
        return f"has scale and zero point {show(s.grid(tensor))}, not {show(grid)}"
    wrong = values[values != grid[1]]
    return f"is {int(wrong.flat[0])}, not the zero point {grid[1]}" if wrong.size else ""


@check(
    "gate-output-missing",
    "error",
    "the logits of every gate leave the graph as an output of their own",
    "add the logits to the outputs",
)
def _output_missing(s: Subject) -> Iterator[Finding]:
    outputs = set(s.outputs)
    for test in gate_tests(s):
        if test.logits not in outputs:
            yield s.on_tensor(test.logits, "is tested as logits, but is no output")


@check(
    "gate-merged",
    "error",
    "the logits of different gates are not joined in the graph",
    "give each gate's logits an output, a scale and a zero point of their own",
)
def _merged(s: Subject) -> Iterator[Finding]:
    tests = gate_tests(s)
    logits = {test.logits for test in tests}
    logits |= {i for i in s.outputs if s.name(i).startswith("gate") and "logits" in s.name(i)}
    for tensor in sorted(logits):
        giver = s.producer(tensor)
        if giver is not None and giver.kind in _JOINS:
            yield s.on_tensor(tensor, f"holds logits, but is given by a {giver.kind}", giver.kind)
    for step in s.steps_of("CONCATENATION"):
        joined = [t for t in dict.fromkeys(step.inputs) if t in logits]
        if joined:
            yield s.on_step(step, f"joins the logits '{s.name(joined[0])}'", joined)


@check(
    "gate-threshold",
    "error",
    "a gate is tested against its logits' own zero point",
    "write the threshold as a constant of its own: the zero point, at the logits' scale",
)
def _threshold(s: Subject) -> Iterator[Finding]:
    for test in gate_tests(s):
        threshold = test.step.inputs[1]
        wrong = _is_zero(s, threshold, test.logits)
        if wrong:
            yield s.on_tensor(threshold, f"is the threshold of '{s.name(test.logits)}' and {wrong}")


@check(
    "gate-closed-value",
    "error",
    "what stands in for a closed channel is the zero point",
    "write it as a constant of its own: the zero point, at the scale of what is closed",
)
def _closed_value(s: Subject) -> Iterator[Finding]:
    for test in gate_tests(s):
        for step in test.selects:
            wrong = _is_zero(s, step.inputs[2], step.inputs[1])
            if wrong:
                text = f"stands in for '{s.name(step.inputs[1])}' and {wrong}"
                yield s.on_tensor(step.inputs[2], text)


@check(
    "gate-scale",
    "error",
    f"the logits' scale lies from {LOGIT_SCALE_MIN} to below {LOGIT_SCALE_LIMIT:g}, where "
    "TFLite's int8 GREATER is exact",
    "calibrate the logits anew, with the scale held inside",
)
def _scale(s: Subject) -> Iterator[Finding]:
    for logits in dict.fromkeys(test.logits for test in gate_tests(s)):
        scale = s.need_grid(logits)[0]
        try:
            check_logit_scale(s.name(logits), scale)
        except UserError:
            yield s.on_tensor(logits, f"are logits at the scale {scale:.6g}", scale)


@check(
    "gate-test",
    "error",
    "a gate is a GREATER of a layer's output, tested once, that closes layers' outputs",
    "write the gate as torch.where(logits > 0, y, 0)",
)
def _test(s: Subject) -> Iterator[Finding]:
    conditions = {step.output for step in s.steps_of("GREATER")}
    for step in s.steps_of("SELECT_V2"):
        if step.inputs[0] not in conditions:
            yield s.on_step(step, f"asks '{s.name(step.inputs[0])}', which is no gate's test")
    tests = gate_tests(s)
    asked = Counter(test.logits for test in tests)
    for test in tests:
        giver = s.producer(test.logits)
        if giver is None or giver.kind not in (*CONVOLUTIONS, *_JOINS):
            kind = giver.kind if giver else "no operator"
            yield s.on_tensor(test.logits, f"is tested as logits, but given by {kind}")
        if asked[test.logits] > 1:
            yield s.on_tensor(test.logits, f"is tested {asked[test.logits]} times")
        if not test.selects:
            yield s.on_step(test.step, "closes nothing")
        for select in test.selects:
            kept = s.producer(select.inputs[1])
            if kept is None or kept.kind not in CONVOLUTIONS:
                yield s.on_step(select, f"closes '{s.name(select.inputs[1])}', no layer's output")


@check(
    "gate-bypassed",
    "error",
    "what a gate closes is read through the gate alone",
    "read the SELECT_V2's output",
)
def _bypassed(s: Subject) -> Iterator[Finding]:
    outputs = set(s.outputs)
    for test in gate_tests(s):
        for select in test.selects:
            kept = select.inputs[1]
            if len(s.consumers.get(kept, [])) > 1 or kept in outputs:
                text = f"is closed by '{s.name(test.logits)}', but also read beside the gate"
                yield s.on_tensor(kept, text)


@check(
    "gate-count",
    "error",
    "the graph tests the gates of the metadata's preset, and no others",
    "convert the model and its metadata together",
)
def _count(s: Subject) -> Iterator[Finding]:
    wanted = [entry["logits"] for entry in _gate_entries(s)]
    found = _by_name(s)
    for logits in wanted:
        if logits not in found:
            yield Finding(f"no test in the graph reads {logits}", "tensor", name=logits)
    for logits, test in found.items():
        if logits not in wanted:
            yield s.on_tensor(test.logits, "is tested, but no gate of the metadata")


@check(
    "gate-layer",
    "error",
    "a gate's logits are given by the score layer of its block",
    "do not swap gates; convert the model anew",
)
def _layer(s: Subject) -> Iterator[Finding]:
    entries, found = _gate_entries(s), _by_name(s)
    for block, entry in enumerate(entries):
        test = found.get(entry["logits"])
        if test is None:
            continue  # gate-count
        giver = layer_of(s, s.producer(test.logits))
        if giver != f"block{block}.score":
            text = f"is given by {giver or 'no layer'}, not by block{block}.score"
            yield s.on_tensor(test.logits, text, giver)


@check(
    "gate-channels",
    "error",
    "a gate serves the channels that the metadata says",
    "spread the logits over groups of neighbouring channels, in order",
)
def _channels(s: Subject) -> Iterator[Finding]:
    found = _by_name(s)
    for entry in _gate_entries(s):
        test = found.get(entry["logits"])
        if test is None:
            continue  # gate-count
        wanted = np.arange(entry["channels"]) // entry["group"]
        if test.gather is None:
            shape = s.shape(test.logits)
            if len(shape) != 4 or shape[_CHANNELS] != len(wanted) or entry["group"] != 1:
                text = f"has shape {extents(shape)}, for {entry['channels']} channels in groups of "
                yield s.on_tensor(test.logits, f"{text}{entry['group']}")
            continue
        served = s.values(test.gather.inputs[1])
        if served is None:
            raise CannotJudge(f"{s.label(test.gather)} takes no constant channels")
        if not np.array_equal(served, wanted):
            text = f"serves channels {served.reshape(-1)[:8].tolist()}..., "
            text += f"not groups of {entry['group']}"
            yield s.on_step(test.gather, text, served.reshape(-1)[:64].tolist())


@check(
    "gate-closes",
    "error",
    "a gate closes the layers that the metadata says",
    "do not swap gates; convert the model anew",
)
def _closes(s: Subject) -> Iterator[Finding]:
    found = _by_name(s)
    for entry in _gate_entries(s):
        test = found.get(entry["logits"])
        if test is None:
            continue  # gate-count
        wanted = sorted(
            (target["layer"], target["axis"])
            for target in entry["closes"]
            if target["axis"] != "input"  # follows from who reads the channels
        )
        closed = []
        for select in test.selects:
            layer = layer_of(s, s.producer(select.inputs[1])) or "no layer"
            closed.append((layer, "channel" if layer.endswith(".depthwise") else "output"))
            yield from _readers(s, select, layer)
        if sorted(closed) != wanted:
            names = [", ".join(layer for layer, _ in pairs) for pairs in (sorted(closed), wanted)]
            text = f"closes {names[0] or 'nothing'}, the metadata says {names[1]}"
            yield s.on_tensor(test.logits, text, [list(pair) for pair in sorted(closed)])


def _readers(s: Subject, select: Step, layer: str) -> Iterator[Finding]:
    """Who reads a closed depthwise's channels but the block's own down."""
    if layer.endswith(".depthwise"):
        readers = [layer_of(s, step) for step in s.consumers.get(select.output, [])]
        wanted = [layer.removesuffix("depthwise") + "down"]
        if readers != wanted:
            names = ", ".join(str(reader) for reader in readers)
            yield s.on_step(select, f"is read by {names or 'nobody'}, not by {wanted[0]}")
