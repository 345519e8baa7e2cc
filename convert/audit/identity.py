"""Does the ``sluice`` metadata entry say what is in the file?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from convert.audit.registry import CannotJudge, Finding, NotApplicable, check
from convert.audit.subject import Step, Subject, printable
from convert.contract import check_graph, check_probes, parse_entry
from convert.identify import CONVOLUTIONS, matrix_of_kernel
from convert.metadata import (
    ENTRY,
    deployed_preset,
    embedding_entry,
    gate_entries,
    state_entries,
)
from convert.topology import Graph
from dyncp.errors import UserError
from dyncp.preset import Preset
from quantize.arithmetic import sigmoid_table
from quantize.checks import MASK_SCALE, MASK_ZERO_POINT
from quantize.model import Activation, QuantizedLayer, QuantizedModel, QuantizedProbe
from quantize.wiring import layer_specs

_NATIVE = re.compile(rb"(gate\d+_logits|(taps|pool)\d+_(in|out))")
_STEPS_A_BLOCK = 20
"""More operators than a block of any kind has."""

MALFORMED = (
    *(IndexError, KeyError, TypeError, AttributeError),
    *(ValueError, OverflowError, RecursionError),
)
"""What JSON of other types than the contract's provokes in code that expects those."""


def _content(s: Subject) -> bytes | None:
    """The entry's bytes; None without one."""
    for entry in s.model.metadata:
        if entry.name == ENTRY.encode():
            if entry.buffer >= len(s.model.buffers):
                raise CannotJudge("the metadata's buffer does not exist (buffer-index)")
            data = s.model.buffers[entry.buffer].data
            return b"" if data is None else data.tobytes()
    return None


def entry_of(s: Subject) -> dict[str, Any]:
    """The parsed entry; raises without a sound one."""
    if s.entry is not None:
        return s.entry
    content = _content(s)
    if content is None:
        signs = _signs(s)
        if signs:
            raise CannotJudge("there is no 'sluice' metadata to hold it against (metadata-missing)")
        raise NotApplicable("the file is not of Sluice's making")
    try:
        s.entry = parse_entry(content)
    except UserError as error:
        raise CannotJudge("the metadata cannot be read (metadata-format)") from error
    return s.entry


def preset_of(s: Subject) -> Preset:
    """The preset that the metadata names; raises without a sound one."""
    entry = entry_of(s)
    if s.preset is not None:
        return s.preset
    try:
        s.preset = deployed_preset(entry["preset"])
    except (UserError, *MALFORMED) as error:
        raise CannotJudge("the metadata's preset is not sound (metadata-preset)") from error
    return s.preset


def _signs(s: Subject) -> list[str]:
    """What in the graph only Sluice's metadata explains."""
    ends = [i for i in (*s.inputs, *s.outputs) if 0 <= i < len(s.tensors)]
    found = [s.name(i) for i in ends if _NATIVE.fullmatch(s.tensors[i].name)]
    return found or [s.label(step) for step in s.steps if step.kind == "GREATER"]


@check(
    "metadata-missing",
    "error",
    "a graph with gates or streaming states has one 'sluice' metadata entry",
    "make the model with `python -m convert tflite`",
)
def _missing(s: Subject) -> Iterator[Finding]:
    count = sum(entry.name == ENTRY.encode() for entry in s.model.metadata)
    if count > 1:
        yield Finding(f"there are {count} '{ENTRY}' metadata entries", "metadata", value=count)
    elif count == 0:
        signs = _signs(s)
        if not signs:
            raise NotApplicable("the file is not of Sluice's making")
        yield Finding(f"there is no '{ENTRY}' metadata, but {signs[0]}", "metadata", name=signs[0])


@check(
    "metadata-format",
    "error",
    "the metadata is JSON of the format that this version reads, with all its parts",
    "convert the model anew",
)
def _format(s: Subject) -> Iterator[Finding]:
    content = _content(s)
    if content is None:
        entry_of(s)  # says why there is nothing to judge
    try:
        entry = parse_entry(content)
    except UserError as error:
        yield Finding(printable_line(error), "metadata")
        return
    if not isinstance(entry["model_hash"], str) or not re.fullmatch(
        "[0-9a-f]{64}", entry["model_hash"]
    ):
        yield Finding("the metadata's model_hash is not a sha256 in hex", "metadata")


def printable_line(error: Exception) -> str:
    """An exception's message, short and in one line."""
    return "".join(c if c.isprintable() else " " for c in str(error)[:300])


@check(
    "metadata-preset",
    "error",
    "the metadata's preset is one that can be",
    "convert the model anew",
)
def _preset(s: Subject) -> Iterator[Finding]:
    entry = entry_of(s)
    try:
        deployed_preset(entry["preset"])
    except UserError as error:
        yield Finding(printable_line(error), "metadata")
    except MALFORMED as error:
        yield Finding(f"the preset has a part of another type: {printable_line(error)}", "metadata")


def _compare(entry: Any, key: str, wanted: list[dict[str, Any]]) -> Iterator[Finding]:
    """Where a list of the metadata differs from what the preset makes."""
    found = entry[key]
    if not isinstance(found, list) or len(found) != len(wanted):
        count = len(found) if isinstance(found, list) else "no list of"
        yield Finding(f"the metadata has {count} {key}, its preset {len(wanted)}", "metadata")
        return
    for index, (have, want) in enumerate(zip(found, wanted, strict=True)):
        if have != want:
            keys = [k for k in want if not isinstance(have, dict) or have.get(k) != want[k]]
            what = f"{key}[{index}]" + (f".{keys[0]}" if keys else "")
            text = f"the metadata's {what} is not what its preset makes"
            yield Finding(text, "metadata", index, what)


@check(
    "metadata-gates",
    "error",
    "the metadata's gates are those of its preset",
    "convert the model anew; do not write metadata by hand",
)
def _gates(s: Subject) -> Iterator[Finding]:
    return _compare(entry_of(s), "gates", gate_entries(preset_of(s)))


@check(
    "metadata-states",
    "error",
    "the metadata's states are those of its preset",
    "convert the model anew; do not write metadata by hand",
)
def _states(s: Subject) -> Iterator[Finding]:
    return _compare(entry_of(s), "states", state_entries(preset_of(s)))


@check(
    "metadata-embedding",
    "error",
    "the metadata's embedding is that of its preset",
    "convert the model anew; do not write metadata by hand",
)
def _embedding(s: Subject) -> Iterator[Finding]:
    entry, wanted = entry_of(s), embedding_entry(preset_of(s))
    if entry.get("embedding") != wanted.get("embedding"):
        yield Finding("the metadata's embedding is not what its preset makes", "metadata")


@check(
    "metadata-probes",
    "error",
    "the metadata's probes fit the gates, 16-bit weights and a 32-bit score",
    "fit the probes anew and convert",
)
def _probes(s: Subject) -> Iterator[Finding]:
    entry, preset = entry_of(s), preset_of(s)
    try:
        check_probes(preset, entry["probes"])
    except UserError as error:
        yield Finding(printable_line(error), "metadata")
    except MALFORMED as error:
        yield Finding(f"a probe has a part of another type: {printable_line(error)}", "metadata")


@check(
    "model-hash",
    "error",
    "the metadata's hash is that of the integers and scales in the file",
    "convert the model anew; a number was changed after it was quantised",
)
def _hash(s: Subject) -> Iterator[Finding]:
    entry = entry_of(s)
    try:
        found = _quantized_model(s, preset_of(s), entry["probes"]).model_hash
    except (UserError, *MALFORMED) as error:
        text = f"the quantised model cannot be read back ({printable_line(error)})"
        raise CannotJudge(text) from error
    if found != entry["model_hash"]:
        text = f"the metadata says model {printable(str(entry['model_hash']))[:12]}, the file's "
        yield Finding(f"{text}numbers are of {found[:12]}", "metadata", value=found)


def _quantized_model(s: Subject, preset: Preset, probes: Any) -> QuantizedModel:
    """The quantised model that the file's numbers make."""
    steps = {
        s.name(step.inputs[1]).removesuffix("/weight"): step for step in s.steps_of(*CONVOLUTIONS)
    }
    activations = {"mask": Activation(MASK_SCALE, MASK_ZERO_POINT)}
    layers = {}
    for spec in layer_specs(preset):
        step: Step | None = steps.get(spec.name)
        if step is None or len(step.inputs) < 3:
            raise UserError(f"the layer {spec.name} is missing")
        kernel, bias = s.values(step.inputs[1]), s.values(step.inputs[2])
        quantization = s.tensors[step.inputs[1]].quantization
        if kernel is None or bias is None or quantization is None or quantization.scale is None:
            raise UserError(f"the layer {spec.name} has no constant weights, scales or bias")
        weight = matrix_of_kernel(kernel, spec.depthwise)
        layers[spec.name] = QuantizedLayer(spec, weight, quantization.scale, bias)
        activations[spec.input] = Activation(*s.need_grid(step.inputs[0]))
        activations[spec.output] = Activation(*s.need_grid(step.output))
    if preset.speaker:
        ends = {s.name(i): i for i in s.inputs if 0 <= i < len(s.tensors)}
        activations["embedding"] = Activation(*s.need_grid(ends["embedding"]))
    logits = activations["mask_logits"]
    table = sigmoid_table(logits.scale, logits.zero_point)
    found = tuple(_probe(probe) for probe in probes)
    return QuantizedModel(preset, activations, layers, table, found)


def _probe(entry: Any) -> QuantizedProbe:
    weights = np.array(entry["weights"]).astype(np.int16)
    return QuantizedProbe(entry["name"], weights, entry["bias"], entry["scale"])


@check(
    "contract",
    "error",
    "`python -m convert check` accepts the graph",
    "see the other findings; this one says what the compiler would say",
)
def _contract(s: Subject) -> Iterator[Finding]:
    entry, preset = entry_of(s), preset_of(s)
    if len(s.model.subgraphs) != 1:
        raise CannotJudge("there is not one subgraph (subgraph-count)")
    if len(s.sound_steps) > _STEPS_A_BLOCK * (preset.blocks + 1):
        yield Finding(f"{len(s.steps)} operators are too many for {preset.blocks} blocks")
        return
    if not all(len(step.outputs) == 1 for step in s.steps):
        raise CannotJudge("an operator has not one output")
    try:
        check_graph(Graph(s.model, "the file"), entry)
    except UserError as error:
        yield Finding(printable_line(error))
    except MALFORMED as error:
        yield Finding(f"a part is damaged: {type(error).__name__}: {printable_line(error)}")
