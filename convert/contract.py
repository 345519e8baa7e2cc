"""The gate and state contracts of a .tflite, checked against its own graph.

Everything that has gone wrong on the way from a framework to a device has a
check here: an output lost, renamed, merged, reordered or re-scaled, a state
that does not come back as it left, a gate that closes other channels than the
metadata says.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from convert.flatbuffer import text
from convert.identify import CONVOLUTIONS
from convert.metadata import (
    ENTRY,
    FORMAT,
    SIGNATURE,
    deployed_preset,
    embedding_entry,
    gate_entries,
    state_entries,
)
from convert.topology import CHANNEL_AXIS, Graph, read_graph, trace_gates
from dyncp.errors import UserError
from dyncp.preset import Preset
from dyncp.state import input_shapes, output_shapes
from quantize.checks import MASK_SCALE, MASK_ZERO_POINT, check_logit_scale
from quantize.probes import check_rows
from quantize.wiring import layer_specs


def read_metadata(path: str | Path) -> dict[str, Any]:
    """The ``sluice`` entry of a .tflite file, parsed; raises :class:`UserError` without one."""
    graph = read_graph(path)
    try:
        return parse_metadata(graph)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def parse_metadata(graph: Graph) -> dict[str, Any]:
    """The ``sluice`` entry of a graph, with every part that docs/contracts.md names."""
    return parse_entry(graph.metadata.get(ENTRY))


def parse_entry(content: bytes | None) -> dict[str, Any]:
    """The same from the entry's bytes; None if there is no such entry."""
    if content is None:
        raise UserError(
            f"there is no '{ENTRY}' metadata; make the model with `python -m convert tflite`"
        )
    try:
        values = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"the '{ENTRY}' metadata is not JSON: {error}") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise UserError(f"the '{ENTRY}' metadata has another format than {FORMAT}")
    for key in ("model_hash", "preset", "gates", "states", "probes"):
        if key not in values:
            raise UserError(f"the '{ENTRY}' metadata lacks '{key}'")
    return values


def check_contract(path: str | Path) -> dict[str, Any]:
    """Check a .tflite file; gives its metadata.

    Raises :class:`UserError` naming the file and the gate, state or tensor
    that breaks the contract.
    """
    graph = read_graph(path)
    try:
        return check_graph(graph, parse_metadata(graph))
    except (IndexError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def check_graph(graph: Graph, metadata: dict[str, Any]) -> dict[str, Any]:
    """Check a graph that has been read against its metadata; gives the metadata.

    Raises :class:`UserError`; of metadata of other types than docs/contracts.md
    says also what Python raises on them.
    """
    preset = deployed_preset(metadata["preset"])
    _check_ends(graph, preset)
    _check_types(graph)
    _check_gates(graph, preset, metadata["gates"])
    _check_states(graph, preset, metadata["states"])
    _check_embedding(graph, preset, metadata.get("embedding"))
    _check_mask(graph)
    check_probes(preset, metadata["probes"])
    return metadata


def _check_ends(graph: Graph, preset: Preset) -> None:
    """Inputs and outputs: names, order, shapes, and the signature."""
    signatures = {text(s.signatureKey): s for s in graph.model.signatureDefs or []}
    if SIGNATURE not in signatures:
        raise UserError(f"the signature '{SIGNATURE}' is missing")
    signature = signatures[SIGNATURE]
    for what, expected, indices, items in (
        ("input", input_shapes(preset), graph.inputs, signature.inputs),
        ("output", output_shapes(preset), graph.outputs, signature.outputs),
    ):
        names = [graph.name(index) for index in indices]
        for position, name in enumerate(expected):
            have = names[position] if position < len(names) else "nothing"
            if have != name:
                raise UserError(f"{what} {position} must be {name}, but is {have}")
        if len(names) > len(expected):
            raise UserError(f"there is an {what} too many, {names[len(expected)]}")
        signed = {text(item.name): int(item.tensorIndex) for item in items}
        for name, index in zip(expected, indices, strict=True):
            if signed.get(name) != index:
                raise UserError(f"the signature's {what} {name} is not the tensor of that name")
            batch, channels, frames, width = expected[name]
            if graph.shape(index) != (batch, frames, width, channels):
                raise UserError(
                    f"{what} {name} has shape {list(graph.shape(index))}, expected "
                    f"{[batch, frames, width, channels]}"
                )


def _check_types(graph: Graph) -> None:
    """Every computed tensor is int8 on a sound grid, but for the gate tests' booleans."""
    for index in graph.inputs:
        if not graph.is_int8(index):
            raise UserError(f"input {graph.name(index)} is not int8")
        graph.grid(index)
    for operator in graph.operators:
        if operator.kind == "GREATER":
            continue
        name = graph.name(operator.output)
        if not graph.is_int8(operator.output):
            raise UserError(f"tensor {name}, given by a {operator.kind}, is not int8")
        graph.grid(operator.output)
        if operator.kind in CONVOLUTIONS:
            layer = graph.layer(operator)
            if layer is None or not graph.is_int8(operator.inputs[1]):
                raise UserError(f"the weights behind {name} are not the int8 weights of a layer")
            scales = np.asarray(graph.tensors[operator.inputs[1]].quantization.scale)
            if not (np.isfinite(scales).all() and (scales > 0).all()):
                raise UserError(f"{layer} has a weight scale that is not a positive number")


def _check_gates(graph: Graph, preset: Preset, entries: list[dict[str, Any]]) -> None:
    traced = trace_gates(graph)
    expected = gate_entries(preset)
    if len(entries) != len(expected):
        raise UserError(f"the metadata names {len(entries)} gates for {len(expected)} blocks")
    for index, (entry, wanted) in enumerate(zip(entries, expected, strict=True)):
        gate = f"gate {index}"
        for key, value in wanted.items():
            if entry.get(key) != value:
                raise UserError(
                    f"{gate}: the metadata gives {key} as {entry.get(key)!r}, the preset {value!r}"
                )
        logits = entry["logits"]
        if logits not in traced:
            raise UserError(f"{gate}: no test in the graph reads {logits}")
        tensor = graph.outputs[1 + index]
        giver = graph.layer(graph.producers.get(tensor))
        if giver != f"block{index}.score":
            raise UserError(f"{gate}: {logits} is given by {giver}, not by block{index}.score")
        check_logit_scale(logits, graph.grid(tensor)[0])
        served = np.arange(entry["channels"]) // entry["group"]
        if not np.array_equal(traced[logits].channel_gate, served):
            raise UserError(
                f"{gate}: {logits} serves other channels in the graph than groups of "
                f"{entry['group']}"
            )
        closed = [(target["layer"], target["axis"]) for target in entry["closes"]]
        if sorted(closed) != sorted(traced[logits].closes):
            raise UserError(
                f"{gate}: {logits} closes {_listed(traced[logits].closes)} in the graph, "
                f"the metadata says {_listed(closed)}"
            )
    known = {entry["logits"] for entry in entries}
    for logits in traced:
        if logits not in known:
            raise UserError(f"the graph tests {logits}, of which the metadata knows no gate")


def _listed(closes: list[tuple[str, str]]) -> str:
    return ", ".join(f"{layer} ({axis})" for layer, axis in closes)


def _check_states(graph: Graph, preset: Preset, entries: list[dict[str, Any]]) -> None:
    if entries != state_entries(preset):
        names = [entry.get("input") for entry in entries]
        raise UserError(f"the metadata's states ({names}) are not those of the preset")
    inputs = {graph.name(index): index for index in graph.inputs}
    outputs = {graph.name(index): index for index in graph.outputs}
    for entry in entries:
        source, target = inputs[entry["input"]], outputs[entry["output"]]
        if graph.grid(source) != graph.grid(target):
            raise UserError(
                f"state {entry['output']} has scale and zero point {graph.grid(target)}, "
                f"its input {entry['input']} has {graph.grid(source)}"
            )
        windows = [op for op in graph.consumers(source) if op.kind == "CONCATENATION"]
        if [op.inputs for op in windows] != [(source, target)]:
            raise UserError(f"{entry['input']} is not followed by {entry['output']} in one window")
        reader = _reader_of(graph, windows[0].output)
        block = entry["input"].removeprefix("taps").removeprefix("pool").removesuffix("_in")
        role = "depthwise" if entry["input"].startswith("taps") else "squeeze"
        if reader != f"block{block}.{role}":
            raise UserError(f"{entry['input']} is read by {reader}, not by block{block}.{role}")


def _reader_of(graph: Graph, tensor: int) -> str | None:
    """The layer that reads a window of taps, through an average if there is one."""
    readers = graph.consumers(tensor)
    if len(readers) == 1 and readers[0].kind == "AVERAGE_POOL_2D":
        average = readers[0].output
        if graph.grid(average) != graph.grid(tensor):
            raise UserError(f"the average of {graph.name(tensor)} is re-scaled")
        readers = graph.consumers(average)
        if len(readers) == 1 and readers[0].kind == "CONCATENATION":  # with an embedding
            readers = graph.consumers(readers[0].output)
    return graph.layer(readers[0]) if len(readers) == 1 else None


def _check_embedding(graph: Graph, preset: Preset, entry: Any) -> None:
    """The embedding goes to the personalised layers, beside their input, and nowhere else."""
    if {"embedding": entry} != {"embedding": None, **embedding_entry(preset)}:
        raise UserError(f"the metadata's embedding ({entry}) is not that of the preset")
    source = None
    if preset.speaker:
        (source,) = (index for index in graph.inputs if graph.name(index) == "embedding")
        if graph.grid(source) != (entry["scale"], entry["zero_point"]):
            raise UserError("input embedding must have scale 1/64 and zero point -128")
    moved = {op.output: op for op in graph.operators if op.kind == "QUANTIZE"}
    for operator in moved.values():
        if operator.inputs != (source,):
            raise UserError(
                f"tensor {graph.name(operator.output)}, given by a QUANTIZE, is not the embedding"
            )
    convolutions = {graph.layer(op): op for op in graph.operators}
    joins = {}
    for spec in layer_specs(preset):
        if spec.embedding and spec.name in convolutions:
            join = graph.producers.get(convolutions[spec.name].inputs[0])
            sound = join is not None and join.kind == "CONCATENATION" and len(join.inputs) == 2
            if join is None or not sound or join.inputs[1] not in moved:
                raise UserError(f"{spec.name} does not read the embedding beside its input")
            if join.options.axis not in (CHANNEL_AXIS, -1):
                raise UserError(f"the embedding that {spec.name} reads is not beside its channels")
            if len({graph.grid(tensor) for tensor in (*join.inputs, join.output)}) != 1:
                raise UserError(f"the embedding is not on the grid of what {spec.name} reads")
            joins[join.output] = join
    told = Counter(reader.output for tensor in moved for reader in graph.consumers(tensor))
    astray = [tensor for tensor in told if tensor not in joins]
    readers = [] if source is None else graph.consumers(source)
    astray += [operator.output for operator in readers if operator.output not in moved]
    if astray:
        raise UserError(f"{graph.name(astray[0])} is made of the embedding, which it should not")


def _check_mask(graph: Graph) -> None:
    giver = graph.producers.get(graph.outputs[0])
    before = graph.producers.get(giver.inputs[0]) if giver else None
    if giver is None or giver.kind != "LOGISTIC" or graph.layer(before) != "back":
        raise UserError("the mask is not the sigmoid of the layer back")
    if graph.grid(graph.outputs[0]) != (MASK_SCALE, MASK_ZERO_POINT):
        raise UserError("the mask must have scale 1/256 and zero point -128")


def check_probes(preset: Preset, entries: list[dict[str, Any]]) -> None:
    """Raise :class:`UserError` naming the probe of the metadata that the firmware cannot have."""
    gates = preset.blocks * preset.gates
    for entry in entries:
        probe, weights = f"probe '{entry['name']}'", np.array(entry["weights"])
        if weights.shape != (gates,):
            raise UserError(f"{probe} has {weights.size} weights for {gates} gates")
        if gates and not (weights.dtype == np.int64 and np.abs(weights).max() < 1 << 15):
            raise UserError(f"{probe} has a weight that is not a 16-bit integer")
        bias, scale = entry["bias"], entry["scale"]
        if not isinstance(bias, int) or abs(bias) + int(np.abs(weights).sum()) >= 1 << 31:
            raise UserError(f"{probe} has a bias that is not an integer, or can overflow 32 bits")
        if not (np.isfinite(scale) and scale > 0):
            raise UserError(f"{probe}: scale {scale} is not a positive number")
    check_rows([entry["name"] for entry in entries], [entry["scale"] for entry in entries])
