"""What a .tflite's operators say about its gates and states, read without its metadata."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from convert.flatbuffer import constant, operator_name, parse, shape, text
from convert.identify import CONVOLUTIONS
from dyncp.errors import UserError

CHANNEL_AXIS = 3
_WEIGHT = "/weight"


@dataclass(frozen=True, eq=False)
class Operator:
    """One operator; tensors by their index."""

    kind: str
    inputs: tuple[int, ...]
    output: int
    options: Any


@dataclass
class TracedGate:
    """What the graph makes of one gate test.

    ``channel_gate``: for every gated channel, which logit serves it.
    ``closes``: (layer, axis) pairs, as in the metadata.
    """

    logits: str
    channel_gate: NDArray[np.int64]
    closes: list[tuple[str, str]] = field(default_factory=list)


class Graph:
    """The one subgraph of a model, with who gives and who takes each tensor."""

    def __init__(self, model: Any, source: str) -> None:
        """``model``: a ``ModelT``; raises :class:`UserError`, naming ``source``, if it has not
        one subgraph."""
        self.model = model
        if len(self.model.subgraphs) != 1:
            raise UserError(f"{source} has {len(self.model.subgraphs)} subgraphs, not one")
        self._graph = self.model.subgraphs[0]
        self.tensors: list[Any] = self._graph.tensors
        self.operators = [
            Operator(
                operator_name(self.model, op),
                tuple(int(i) for i in op.inputs),
                int(op.outputs[0]),
                op.builtinOptions,
            )
            for op in self._graph.operators
        ]
        self.producers = {op.output: op for op in self.operators}
        self.inputs = [int(i) for i in self._graph.inputs]
        self.outputs = [int(i) for i in self._graph.outputs]

    @cached_property
    def metadata(self) -> dict[str, bytes]:
        """The metadata entries by name."""
        return {
            text(entry.name): bytes(self.model.buffers[entry.buffer].data)
            for entry in self.model.metadata or []
            if self.model.buffers[entry.buffer].data is not None
        }

    @cached_property
    def _readers(self) -> dict[int, list[Operator]]:
        readers: dict[int, list[Operator]] = {}
        for operator in self.operators:
            for tensor in dict.fromkeys(operator.inputs):
                readers.setdefault(tensor, []).append(operator)
        return readers

    def name(self, tensor: int) -> str:
        return text(self.tensors[tensor].name)

    def values(self, tensor: int) -> NDArray[Any] | None:
        """The values of a constant; None for a tensor that is computed."""
        return constant(self.model, self.tensors[tensor])

    def shape(self, tensor: int) -> tuple[int, ...]:
        return shape(self.tensors[tensor])

    def is_int8(self, tensor: int) -> bool:
        return int(self.tensors[tensor].type) == schema.TensorType.INT8

    def grid(self, tensor: int) -> tuple[float, int]:
        """Scale and zero point; raises :class:`UserError` unless there is one sound pair."""
        found = self.tensors[tensor].quantization
        scales = None if found is None else found.scale
        if scales is None or len(scales) != 1 or len(found.zeroPoint) != 1:
            raise UserError(f"tensor {self.name(tensor)} has no single scale and zero point")
        scale, zero_point = float(scales[0]), int(found.zeroPoint[0])
        if not (np.isfinite(scale) and scale > 0 and -128 <= zero_point <= 127):
            raise UserError(
                f"tensor {self.name(tensor)} has scale {scale:g} and zero point {zero_point}"
            )
        return scale, zero_point

    def consumers(self, tensor: int) -> list[Operator]:
        return self._readers.get(tensor, [])

    def layer(self, operator: Operator | None) -> str | None:
        """The layer that a convolution is, by the name of its weights; None for others."""
        if operator is None or operator.kind not in CONVOLUTIONS:
            return None
        name = self.name(operator.inputs[1])
        return name.removesuffix(_WEIGHT) if name.endswith(_WEIGHT) else None


def read_graph(path: str | Path) -> Graph:
    """The graph of a .tflite file; raises :class:`UserError` naming it."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such model: {path}")
    try:
        return Graph(parse(path.read_bytes(), str(path)), str(path))
    except (IndexError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{path} is damaged and cannot be read: {error}") from error


def trace_gates(graph: Graph) -> dict[str, TracedGate]:
    """Every gate test of a graph, by the name of its logits.

    A gate test is ``logits > zero point``, through a GATHER where a gate serves
    a group; it closes what SELECT_V2 operators replace by their zero point.
    Raises :class:`UserError` naming the logits of a test or selection that is
    anything else.
    """
    gates: dict[int, TracedGate] = {}
    for operator in graph.operators:
        if operator.kind == "GREATER":
            gate = _test(graph, operator)
            if any(gate.logits == other.logits for other in gates.values()):
                raise UserError(f"{gate.logits} is tested twice")
            gates[operator.output] = gate
        elif operator.kind == "SELECT_V2":
            condition = operator.inputs[0]
            if condition not in gates:
                raise UserError(f"{graph.name(operator.output)} is selected by no gate test")
            gates[condition].closes += _closed_by(graph, operator, gates[condition].logits)
    for gate in gates.values():
        if not gate.closes:
            raise UserError(f"{gate.logits} is tested, but closes nothing")
    return {gate.logits: gate for gate in gates.values()}


def _test(graph: Graph, operator: Operator) -> TracedGate:
    scores, threshold = operator.inputs
    gather = graph.producers.get(scores)
    if gather is not None and gather.kind == "GATHER":
        logits, served = gather.inputs[0], graph.values(gather.inputs[1])
        if served is None or gather.options.axis not in (CHANNEL_AXIS, -1):
            raise UserError(f"{graph.name(logits)} is gathered along another axis than channels")
        channel_gate = served.astype(np.int64)
    else:
        logits = scores
        channel_gate = np.arange(graph.shape(logits)[CHANNEL_AXIS])
    name = graph.name(logits)
    _require_zero(graph, threshold, logits, f"the threshold of {name}")
    if graph.grid(scores) != graph.grid(logits):
        raise UserError(f"{name} is re-scaled before it is tested")
    return TracedGate(name, channel_gate)


def _closed_by(graph: Graph, operator: Operator, logits: str) -> list[tuple[str, str]]:
    _, kept, zero = operator.inputs
    layer = graph.layer(graph.producers.get(kept))
    if layer is None:
        raise UserError(f"{logits} closes {graph.name(kept)}, which no layer gives")
    _require_zero(graph, zero, kept, f"what {logits} puts in place of {layer}'s output")
    if graph.grid(operator.output) != graph.grid(kept):
        raise UserError(f"{logits} re-scales the output of {layer}")
    if graph.consumers(kept) != [operator] or kept in graph.outputs:
        raise UserError(f"the output of {layer} is read beside the gate of {logits}")
    if not layer.endswith(".depthwise"):
        return [(layer, "output")]
    readers = [graph.layer(reader) for reader in graph.consumers(operator.output)]
    return [(layer, "channel"), *((str(reader), "input") for reader in readers)]


def _require_zero(graph: Graph, tensor: int, grid_of: int, what: str) -> None:
    """Raise unless ``tensor`` is constant zero on the grid of ``grid_of``."""
    values = graph.values(tensor)
    grid = graph.grid(grid_of)
    if values is None or graph.grid(tensor) != grid or not (values == grid[1]).all():
        raise UserError(f"{what} is not the zero point, {grid[1]}")
