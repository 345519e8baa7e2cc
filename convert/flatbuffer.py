"""Reading and writing .tflite files through the schema's object API.

The schema classes come with ai-edge-litert; nothing here loads an interpreter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from dyncp.errors import UserError

_IDENTIFIER = b"TFL3"
_OPERATOR_NAMES = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)
}
_TYPES: dict[int, Any] = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.INT8: np.int8,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT64: np.int64,
    schema.TensorType.BOOL: np.bool_,
}


def parse(data: bytes, source: str) -> Any:
    """The ``ModelT`` of a .tflite file's bytes; ``source`` names it in errors."""
    if len(data) < 8 or data[4:8] != _IDENTIFIER:
        raise UserError(f"{source} is not a .tflite file")
    try:
        return schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(data), 0))
    except Exception as error:  # struct, index, type errors: whatever damaged offsets provoke
        raise UserError(f"{source} is damaged and cannot be parsed: {error}") from error


def read(path: str | Path) -> Any:
    """The ``ModelT`` of a .tflite file."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such model: {path}")
    return parse(path.read_bytes(), str(path))


def pack(model: Any) -> bytes:
    """The bytes of a .tflite file; equal models give equal bytes."""
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def operator_name(model: Any, operator: Any) -> str:
    """``CONV_2D`` and so on."""
    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return _OPERATOR_NAMES.get(number, f"operator {number}")


def text(name: bytes | str | None) -> str:
    """A flatbuffer string, which the object API gives as bytes."""
    if name is None:
        return ""
    return name.decode("utf-8") if isinstance(name, bytes) else name


def constant(model: Any, tensor: Any) -> NDArray[Any] | None:
    """The values of a constant tensor, in its shape; None if it is computed."""
    data = model.buffers[tensor.buffer].data
    if data is None or len(data) == 0:
        return None
    kind = _TYPES.get(tensor.type)
    if kind is None:
        raise UserError(f"tensor {text(tensor.name)} has a type that this project does not use")
    return np.frombuffer(bytes(data), kind).reshape(shape(tensor))


def shape(tensor: Any) -> tuple[int, ...]:
    """A tensor's shape; () for a scalar."""
    return () if tensor.shape is None else tuple(int(size) for size in tensor.shape)
