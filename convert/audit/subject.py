"""The file under audit: what it holds, and what follows from that, computed once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from convert.audit.model import (
    IDENTIFIER,
    OPTIONS_OF,
    Model,
    SubGraph,
    Tensor,
    options_name,
    read_model,
)
from convert.audit.registry import CannotJudge, Finding
from convert.audit.tables import Damaged

if TYPE_CHECKING:
    from pathlib import Path
    from types import SimpleNamespace

    from convert.audit.interpreter import Outcome
    from dyncp.preset import Preset

Grid = tuple[float, int]

INT8, INT32, BOOL = schema.TensorType.INT8, schema.TensorType.INT32, schema.TensorType.BOOL
FLOATS = {
    schema.TensorType.FLOAT16,
    schema.TensorType.FLOAT32,
    schema.TensorType.FLOAT64,
    schema.TensorType.BFLOAT16,
}
_BITS = {
    schema.TensorType.FLOAT32: 32,
    schema.TensorType.FLOAT16: 16,
    schema.TensorType.INT32: 32,
    schema.TensorType.UINT8: 8,
    schema.TensorType.INT64: 64,
    schema.TensorType.BOOL: 8,
    schema.TensorType.INT16: 16,
    schema.TensorType.COMPLEX64: 64,
    schema.TensorType.INT8: 8,
    schema.TensorType.FLOAT64: 64,
    schema.TensorType.COMPLEX128: 128,
    schema.TensorType.UINT64: 64,
    schema.TensorType.UINT32: 32,
    schema.TensorType.UINT16: 16,
    schema.TensorType.INT4: 4,
    schema.TensorType.BFLOAT16: 16,
    schema.TensorType.INT2: 2,
}
"""Per element; strings, resources and variants have no size."""
_DTYPES: dict[int, np.dtype[Any]] = {
    INT8: np.dtype(np.int8),
    INT32: np.dtype("<i4"),
    schema.TensorType.INT64: np.dtype("<i8"),
}
_TYPE_NAMES = {code: name for name, code in vars(schema.TensorType).items() if type(code) is int}
_KINDS = {code: name for name, code in vars(schema.BuiltinOperator).items() if type(code) is int}

MOST_EXTENTS = 8
"""More dimensions than any operator takes."""

_LONGEST_NAME = 80
_CUSTOM = schema.BuiltinOperator.CUSTOM


@dataclass(frozen=True, eq=False)
class Step:
    """One operator. ``kind`` is "" where its code leads nowhere."""

    index: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: SimpleNamespace | None
    options_type: int
    version: int
    custom: bytes | None

    @property
    def output(self) -> int:
        return self.outputs[0]


def printable(text: bytes | str) -> str:
    """A name from the file in a form that no terminal obeys."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:_LONGEST_NAME])


class Subject:
    """``path`` is where the interpreter finds the file, None to leave it out.

    Properties raise :class:`CannotJudge` where the file does not give them.
    """

    def __init__(self, data: bytes, path: Path | None = None) -> None:
        self.data, self.path = data, path
        self.outcome: Outcome | None = None  # of the interpreter, once it has run
        self.entry: dict[str, Any] | None = None  # the metadata, once it has been read
        self.preset: Preset | None = None  # and its preset
        self.foreign = ""  # why it is no .tflite, or ""
        self.damage = ""  # why it cannot be parsed, or ""
        self._model: Model | None = None
        if len(data) < 8 or data[4:8] != IDENTIFIER:
            found = printable(data[4:8]) if len(data) >= 8 else f"{len(data)} bytes"
            self.foreign = f"the file has no identifier {IDENTIFIER.decode()}, but '{found}'"
            return
        try:
            self._model = read_model(data)
        except Damaged as error:
            self.damage = str(error)
        self._bytes_left = 8 * len(data) + (1 << 20)
        self._shapes: dict[int, tuple[int, ...]] = {}

    @property
    def model(self) -> Model:
        if self._model is None:
            raise CannotJudge(
                "the file is no .tflite (not-tflite)"
                if self.foreign
                else "the file cannot be parsed (damaged)"
            )
        return self._model

    @property
    def main(self) -> SubGraph:
        """The first subgraph."""
        if not self.model.subgraphs:
            raise CannotJudge("there is no subgraph (subgraph-count)")
        return self.model.subgraphs[0]

    @property
    def tensors(self) -> list[Tensor]:
        return self.main.tensors

    @cached_property
    def inputs(self) -> list[int]:
        return [int(i) for i in self.main.inputs]

    @cached_property
    def outputs(self) -> list[int]:
        return [int(i) for i in self.main.outputs]

    @cached_property
    def steps(self) -> list[Step]:
        """The operators, whatever their indices."""
        codes = [
            (code, max(code.builtinCode, code.deprecatedBuiltinCode))
            for code in self.model.operatorCodes
        ]
        found = []
        for index, operator in enumerate(self.main.operators):
            kind, version, custom = "", 0, None
            if operator.opcodeIndex < len(codes):
                code, number = codes[operator.opcodeIndex]
                kind = _KINDS.get(number, f"operator {number}")
                version, custom = code.version, code.customCode if number == _CUSTOM else None
            # What has another kind's options has none; operator-options says so.
            fits = options_name(operator.builtinOptionsType) == OPTIONS_OF.get(kind)
            found.append(
                Step(
                    index,
                    kind,
                    tuple(operator.inputs.tolist()),
                    tuple(operator.outputs.tolist()),
                    operator.builtinOptions if fits else None,
                    operator.builtinOptionsType,
                    version,
                    custom,
                )
            )
        return found

    @cached_property
    def sound_steps(self) -> list[Step]:
        """The operators, all of whose tensors exist and whose known kinds have their operands."""
        from convert.audit.operators import wrong_operands
        from convert.audit.wiring import wrong_indices

        for wrong, id in ((wrong_indices, "tensor-index"), (wrong_operands, "operator-operands")):
            if next(wrong(self), None):
                raise CannotJudge(f"operators do not have the tensors they need ({id})")
        return self.steps

    @cached_property
    def producers(self) -> dict[int, Step]:
        return {tensor: step for step in self.sound_steps for tensor in step.outputs}

    @cached_property
    def consumers(self) -> dict[int, list[Step]]:
        found: dict[int, list[Step]] = {}
        for step in self.sound_steps:
            for tensor in dict.fromkeys(step.inputs):
                if tensor >= 0:
                    found.setdefault(tensor, []).append(step)
        return found

    @cached_property
    def computed(self) -> list[int]:
        """Tensors that come in or that an operator gives, each once."""
        given = (tensor for step in self.sound_steps for tensor in step.outputs)
        return list(dict.fromkeys([*self.inputs, *given]))

    def steps_of(self, *kinds: str) -> list[Step]:
        return [step for step in self.sound_steps if step.kind in kinds]

    def producer(self, tensor: int, kind: str | None = None) -> Step | None:
        """The operator that gives ``tensor``, if it is a ``kind``."""
        found = self.producers.get(tensor)
        return found if found is None or kind in (None, found.kind) else None

    def name(self, tensor: int) -> str:
        return printable(self.tensors[tensor].name)

    def type_name(self, tensor: int) -> str:
        kind = self.tensors[tensor].type
        return _TYPE_NAMES.get(kind, f"type {kind}")

    def label(self, step: Step) -> str:
        """An operator as messages name it."""
        inside = [t for t in step.outputs if 0 <= t < len(self.tensors)]
        gives = f" that gives '{self.name(inside[0])}'" if inside else ""
        return f"{step.kind or 'operator'}{gives}"

    def shape(self, tensor: int) -> tuple[int, ...]:
        """() for a scalar, and where the file says nothing."""
        if tensor not in self._shapes:
            found = self.tensors[tensor].shape
            self._shapes[tensor] = () if found is None else tuple(found.tolist())
        return self._shapes[tensor]

    def size(self, tensor: int) -> int | None:
        """Bytes that the tensor's values take; None if type or shape have no size."""
        bits, shape = _BITS.get(self.tensors[tensor].type), self.shape(tensor)
        if bits is None or len(shape) > MOST_EXTENTS or any(extent < 0 for extent in shape):
            return None
        count = 1
        for extent in shape:
            count *= extent
        return (count * bits + 7) // 8

    def is_int8(self, tensor: int) -> bool:
        return self.tensors[tensor].type == INT8

    def is_constant(self, tensor: int) -> bool:
        buffer = self.tensors[tensor].buffer
        if buffer >= len(self.model.buffers):
            return False
        data = self.model.buffers[buffer].data
        return data is not None and data.size > 0

    def values(self, tensor: int) -> NDArray[Any] | None:
        """A constant of int8, int32 or int64 in its shape; None for others and for damaged ones."""
        kind = _DTYPES.get(self.tensors[tensor].type)
        if kind is None or not self.is_constant(tensor):
            return None
        data = self.model.buffers[self.tensors[tensor].buffer].data
        if data is None or data.size != self.size(tensor):
            return None
        self.spend(data.size)
        return np.frombuffer(data.tobytes(), kind).reshape(self.shape(tensor))

    def spend(self, size: int) -> None:
        """Account for ``size`` bytes to be looked at, so that no file keeps its reader busy."""
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise CannotJudge("its operators share the same constants too often")

    def grid(self, tensor: int) -> Grid | None:
        """Scale and zero point, if there is one sound pair."""
        found = self.tensors[tensor].quantization
        if found is None or found.scale is None or found.zeroPoint is None:
            return None
        if len(found.scale) != 1 or len(found.zeroPoint) != 1:
            return None
        scale, zero_point = float(found.scale[0]), int(found.zeroPoint[0])
        sound = np.isfinite(scale) and scale > 0 and -128 <= zero_point <= 127
        return (scale, zero_point) if sound else None

    def need_grid(self, tensor: int) -> Grid:
        found = self.grid(tensor)
        if found is None:
            raise CannotJudge(f"'{self.name(tensor)}' has no sound scale and zero point (scale-*)")
        return found

    def on_tensor(self, tensor: int, message: str, value: Any = None) -> Finding:
        name = self.name(tensor)
        return Finding(f"'{name}' (tensor {tensor}) {message}", "tensor", tensor, name, value)

    def on_step(self, step: Step, message: str, value: Any = None) -> Finding:
        text = f"operator {step.index}, {self.label(step)}, {message}"
        return Finding(text, "operator", step.index, step.kind, value)


def extents(shape: tuple[int, ...]) -> str:
    """A shape as messages give it."""
    more = ", ..." if len(shape) > MOST_EXTENTS else ""
    return "[" + ", ".join(str(extent) for extent in shape[:MOST_EXTENTS]) + more + "]"


def show(grid: Grid | None) -> str:
    """Scale and zero point as messages give them."""
    return "none" if grid is None else f"{grid[0]:.9g}, {grid[1]}"


def plain(value: Any) -> Any:
    """A finding's value as JSON can hold it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    try:
        json.dumps(value)
    except TypeError:
        return str(value)
    return value
