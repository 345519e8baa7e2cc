"""A `.tflite` as plain values: tensors, operators and how they hang together."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from convert import flatbuffer
from dyncp.errors import UserError

SIGNATURE = "serving_default"

_TYPE_NAMES = {
    value: name.lower()
    for name, value in vars(schema.TensorType).items()
    if isinstance(value, int)
}


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor; ``data`` is None unless it is a constant.

    ``scales`` and ``zero_points`` have one entry, or one for each channel along
    ``axis``; they are empty for a tensor that is not quantised.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    axis: int
    data: NDArray[Any] | None


@dataclass(frozen=True, eq=False)
class Operator:
    """One operator; ``options`` is the schema's object, or None."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any


@dataclass(frozen=True, eq=False)
class Graph:
    """The one subgraph of a model, its signature and its metadata entries.

    ``producers`` maps a tensor's index to the operator that gives it.
    """

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    metadata: dict[str, bytes]
    producers: dict[int, Operator] = field(init=False)

    def __post_init__(self) -> None:
        producers = {index: op for op in self.operators for index in op.outputs}
        object.__setattr__(self, "producers", producers)

    def describe(self, operator: Operator) -> str:
        """The operator as errors name it: its kind and what it gives."""
        return f"{operator.kind} that gives '{self.tensors[operator.outputs[0]].name}'"


def read_graph(path: str | Path) -> Graph:
    """Read a model; raises :class:`UserError` if it is damaged or not of this project."""
    model = flatbuffer.read(path)
    try:
        return _graph(model)
    except (struct.error, IndexError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged and cannot be read ({error})") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _graph(model: Any) -> Graph:
    if len(model.subgraphs) != 1:
        raise UserError(f"the model has {len(model.subgraphs)} subgraphs; one can be compiled")
    subgraph = model.subgraphs[0]
    tensors = tuple(
        _tensor(model, index, tensor) for index, tensor in enumerate(subgraph.tensors)
    )
    operators = tuple(
        Operator(
            flatbuffer.operator_name(model, operator),
            tuple(int(index) for index in operator.inputs),
            tuple(int(index) for index in operator.outputs),
            operator.builtinOptions,
        )
        for operator in subgraph.operators
    )
    signatures = {flatbuffer.text(s.signatureKey): s for s in model.signatureDefs or []}
    if SIGNATURE not in signatures:
        raise UserError(f"the model lacks the signature '{SIGNATURE}'")
    inputs, outputs = (
        {flatbuffer.text(entry.name): tensors[entry.tensorIndex] for entry in entries}
        for entries in (signatures[SIGNATURE].inputs, signatures[SIGNATURE].outputs)
    )
    metadata = {
        flatbuffer.text(entry.name): bytes(model.buffers[entry.buffer].data)
        for entry in model.metadata or []
        if model.buffers[entry.buffer].data is not None
    }
    return Graph(tensors, operators, inputs, outputs, metadata)


def _tensor(model: Any, index: int, tensor: Any) -> Tensor:
    scales, zero_points, axis = np.zeros(0, np.float32), np.zeros(0, np.int64), 0
    parameters = tensor.quantization
    if parameters is not None and parameters.scale is not None:
        scales = np.asarray(parameters.scale, np.float32)
        zero_points = np.asarray(parameters.zeroPoint, np.int64)
        axis = int(parameters.quantizedDimension)
    dtype = _TYPE_NAMES.get(tensor.type, "unknown")
    # Constants of other types belong to operators that are refused anyway.
    data = flatbuffer.constant(model, tensor) if dtype in ("int8", "int32", "int64") else None
    return Tensor(
        index,
        flatbuffer.text(tensor.name),
        flatbuffer.shape(tensor),
        dtype,
        scales,
        zero_points,
        axis,
        data,
    )
