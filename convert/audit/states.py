"""Does every state come back as it left?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from convert.audit.gates import layer_of
from convert.audit.identity import preset_of
from convert.audit.registry import CannotJudge, Finding, NotApplicable, check
from convert.audit.subject import Subject, extents, show
from convert.metadata import state_entries
from dyncp.preset import Preset

_IN, _OUT = "_in", "_out"


def _named(s: Subject) -> tuple[dict[str, int], dict[str, int]]:
    ends = []
    for indices in (s.inputs, s.outputs):
        ends.append({s.name(i): i for i in indices if 0 <= i < len(s.tensors)})
    return ends[0], ends[1]


def _preset(s: Subject) -> Preset | None:
    """The preset, or None for a foreign file."""
    try:
        return preset_of(s)
    except (CannotJudge, NotApplicable):
        return None


def _entries(s: Subject) -> list[dict[str, Any]]:
    """The states of the preset, or of the names; raises if there are none."""
    preset = _preset(s)
    if preset is not None:
        return state_entries(preset)
    inputs, outputs = _named(s)
    stems = [n.removesuffix(_IN) for n in inputs if n.endswith(_IN)]
    stems += [n.removesuffix(_OUT) for n in outputs if n.endswith(_OUT)]
    if not stems:
        raise NotApplicable("no input is named *_in, and there is no metadata")
    return [{"input": stem + _IN, "output": stem + _OUT} for stem in dict.fromkeys(stems)]


def _pairs(s: Subject) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Each state that has both its ends, with their tensors."""
    inputs, outputs = _named(s)
    found = False
    for entry in _entries(s):
        if entry["input"] in inputs and entry["output"] in outputs:
            found = True
            yield entry, inputs[entry["input"]], outputs[entry["output"]]
    if not found:
        raise CannotJudge("no state has both its ends (state-pair)")


@check(
    "state-pair",
    "error",
    "every state that comes in also goes out, and every one that goes out comes in",
    "export both ends of the state, named *_in and *_out",
)
def _pair(s: Subject) -> Iterator[Finding]:
    inputs, outputs = _named(s)
    for entry in _entries(s):
        if entry["input"] not in inputs:
            text = f"the state input {entry['input']} is missing"
            yield Finding(text, "tensor", name=entry["input"])
        if entry["output"] not in outputs:
            text = f"the state output {entry['output']} is missing"
            yield Finding(text, "tensor", name=entry["output"])


@check(
    "state-grid",
    "error",
    "a state has one scale and zero point at both its ends",
    "give both ends the parameters of one calibration",
)
def _grid(s: Subject) -> Iterator[Finding]:
    for entry, source, target in _pairs(s):
        if s.tensors[source].type != s.tensors[target].type:
            text = f"is {s.type_name(target)}, its input {entry['input']} {s.type_name(source)}"
            yield s.on_tensor(target, text, s.type_name(target))
        elif s.is_int8(source) and s.need_grid(source) != s.need_grid(target):
            text = f"has {show(s.grid(target))}, its input {entry['input']} {show(s.grid(source))}"
            yield s.on_tensor(target, text, list(s.need_grid(target)))


@check(
    "state-shape",
    "error",
    "a state's output is one frame of its input, which has a frame for each tap",
    "export the newest frame of the state alone",
)
def _shape(s: Subject) -> Iterator[Finding]:
    for entry, source, target in _pairs(s):
        taps, frame = s.shape(source), s.shape(target)
        reads = entry.get("reads")
        if reads is None:
            # A foreign state may come back whole, or frame by frame.
            if len(taps) != len(frame) or taps[-1:] != frame[-1:]:
                text = f"has shape {extents(frame)}, its input {extents(taps)}"
                yield s.on_tensor(target, text)
        elif len(taps) != 4 or frame != (taps[0], 1, *taps[2:]) or taps[1] != len(reads):
            text = f"has shape {extents(frame)}, its input {extents(taps)} for {len(reads)} taps"
            yield s.on_tensor(target, text)


@check(
    "state-window",
    "error",
    "a state's frames and its newest one are joined once, for the layer whose state it is",
    "join the state's input and output, in this order, before the layer",
)
def _window(s: Subject) -> Iterator[Finding]:
    if not _entries(s):
        raise NotApplicable("the network has no states")
    preset_of(s)  # whose layer a state is, only the metadata knows
    for entry, source, target in _pairs(s):
        joins = [step for step in s.consumers.get(source, []) if step.kind == "CONCATENATION"]
        if [step.inputs for step in joins] != [(source, target)]:
            text = f"is not followed by {entry['output']} in one window"
            yield s.on_tensor(source, text)
            continue
        reader = _reader(s, joins[0].output)
        block = entry["input"].removeprefix("taps").removeprefix("pool").removesuffix(_IN)
        role = "depthwise" if entry["input"].startswith("taps") else "squeeze"
        if reader != f"block{block}.{role}":
            text = f"is read by {reader or 'no layer alone'}, not by block{block}.{role}"
            yield s.on_tensor(source, text, reader)


def _reader(s: Subject, window: int) -> str | None:
    """The one layer that reads a window, through an average if there is one."""
    readers = s.consumers.get(window, [])
    if len(readers) == 1 and readers[0].kind == "AVERAGE_POOL_2D":
        readers = s.consumers.get(readers[0].output, [])
        if len(readers) == 1 and readers[0].kind == "CONCATENATION":  # with an embedding
            readers = s.consumers.get(readers[0].output, [])
    return layer_of(s, readers[0]) if len(readers) == 1 else None
