"""A `.tflite` as plain values: tensors, operators and how they hang together.

Only the flatbuffer schema of ai_edge_litert is used; nothing is executed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from dyncp.errors import UserError

SIGNATURE = "serving_default"

_DTYPES: dict[int, type[np.generic]] = {
    schema.TensorType.INT8: np.int8,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT64: np.int64,
    schema.TensorType.BOOL: np.bool_,
    schema.TensorType.FLOAT32: np.float32,
}
_OPERATOR_NAMES = {
    value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)
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

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape))


@dataclass(frozen=True, eq=False)
class Operator:
    """One operator; ``options`` is the schema's object, or None."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any


@dataclass(frozen=True, eq=False)
class Graph:
    """The one subgraph of a model, its signature and its metadata entries."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    metadata: dict[str, bytes]
    producers: dict[int, Operator] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for operator in self.operators:
            for output in operator.outputs:
                self.producers[output] = operator

    def describe(self, operator: Operator) -> str:
        """The operator as errors name it: its kind and what it gives."""
        return f"{operator.kind} that gives '{self.tensors[operator.outputs[0]].name}'"


def read_graph(path: str | Path) -> Graph:
    """Read a model; raises :class:`UserError` if it is not one that can be compiled."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such model: {path}; make one with `python -m convert`")
    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise UserError(f"{path} is not a .tflite file")
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(content), 0))
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
    operators = tuple(_operator(model, operator) for operator in subgraph.operators)
    signature = next(
        (s for s in model.signatureDefs or [] if s.signatureKey.decode() == SIGNATURE), None
    )
    if signature is None:
        raise UserError(f"the model lacks the signature '{SIGNATURE}'")
    metadata = {
        entry.name.decode(): bytes(model.buffers[entry.buffer].data)
        for entry in model.metadata or []
        if model.buffers[entry.buffer].data is not None
    }
    return Graph(
        tensors,
        operators,
        {entry.name.decode(): tensors[entry.tensorIndex] for entry in signature.inputs},
        {entry.name.decode(): tensors[entry.tensorIndex] for entry in signature.outputs},
        metadata,
    )


def _tensor(model: Any, index: int, tensor: Any) -> Tensor:
    name = tensor.name.decode()
    dtype = _DTYPES.get(tensor.type)
    shape = tuple(int(size) for size in tensor.shape) if tensor.shape is not None else ()
    raw = model.buffers[tensor.buffer].data
    data = None
    if raw is not None and len(raw) and dtype is not None:
        data = np.frombuffer(bytes(raw), np.dtype(dtype).newbyteorder("<")).reshape(shape)
    parameters = tensor.quantization
    scales, zero_points, axis = np.zeros(0, np.float32), np.zeros(0, np.int64), 0
    if parameters is not None and parameters.scale is not None:
        scales = np.asarray(parameters.scale, np.float32)
        zero_points = np.asarray(parameters.zeroPoint, np.int64)
        axis = parameters.quantizedDimension
    kind = "unknown" if dtype is None else np.dtype(dtype).name
    return Tensor(index, name, shape, kind, scales, zero_points, axis, data)


def _operator(model: Any, operator: Any) -> Operator:
    code = model.operatorCodes[operator.opcodeIndex]
    kind = max(code.builtinCode, code.deprecatedBuiltinCode)
    return Operator(
        _OPERATOR_NAMES.get(kind, f"operator {kind}"),
        tuple(int(index) for index in operator.inputs),
        tuple(int(index) for index in operator.outputs),
        operator.builtinOptions,
    )
