"""Small models that Sluice did not make, built with the schema's object API."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from convert.firmware_operators import INT8_VERSIONS
from convert.flatbuffer import pack

KIND = schema.TensorType


class Writer:
    """Collects tensors and operators; all computed tensors are ``[1, 1, 1, 4]``."""

    def __init__(self) -> None:
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.operatorCodes, self.model.buffers = [], [schema.BufferT()]
        self.model.version, self.model.subgraphs = 3, [self.graph]

    def tensor(
        self,
        name: str,
        kind: int,
        *,
        shape: tuple[int, ...] = (1, 1, 1, 4),
        values: NDArray[Any] | None = None,
        scale: float | None = None,
        zero_point: int = 0,
    ) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.buffer = name.encode(), kind, 0
        tensor.shape = np.array(shape, np.int32)
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.array([scale], np.float32)
            tensor.quantization.zeroPoint = np.array([zero_point], np.int64)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, kind: str, inputs: list[int], output: int, options: Any = None) -> None:
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = INT8_VERSIONS.get(kind, 1)
        operator.opcodeIndex = len(self.model.operatorCodes)
        self.model.operatorCodes.append(code)
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = options
        self.graph.operators.append(operator)

    def file(self, inputs: list[int], outputs: list[int]) -> bytes:
        self.graph.inputs = np.array(inputs, np.int32)
        self.graph.outputs = np.array(outputs, np.int32)
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
        signature.inputs, signature.outputs = [
            [self._map(index) for index in end] for end in (inputs, outputs)
        ]
        self.model.signatureDefs = [signature]
        return pack(self.model)

    def _map(self, index: int) -> Any:
        found = schema.TensorMapT()
        found.name, found.tensorIndex = self.graph.tensors[index].name, index
        return found


def int8_adder() -> bytes:
    """x + y, then a sigmoid: int8, of the firmware's operators alone."""
    w = Writer()
    x = w.tensor("x", KIND.INT8, scale=0.05)
    y = w.tensor("y", KIND.INT8, scale=0.02, zero_point=3)
    total = w.tensor("sum", KIND.INT8, scale=0.06)
    out = w.tensor("out", KIND.INT8, scale=1 / 256, zero_point=-128)
    w.operator("ADD", [x, y], total, schema.AddOptionsT())
    w.operator("LOGISTIC", [total], out)
    return w.file([x, y], [out])


def float_adder() -> bytes:
    """x plus a constant, in float; the constant may be made NaN."""
    return _float(np.zeros(4, np.float32))


def float_of_nan() -> bytes:
    return _float(np.array([0, np.nan, 0, 0], np.float32))


def _float(values: NDArray[np.float32]) -> bytes:
    w = Writer()
    x = w.tensor("x", KIND.FLOAT32)
    c = w.tensor("c", KIND.FLOAT32, values=values)
    out = w.tensor("out", KIND.FLOAT32)
    w.operator("ADD", [x, c], out, schema.AddOptionsT())
    return w.file([x], [out])


def dice() -> bytes:
    """Random numbers, which go on from run to run."""
    w = Writer()
    shape = w.tensor("shape", KIND.INT32, shape=(1,), values=np.array([4], np.int32))
    x = w.tensor("x", KIND.FLOAT32, shape=(4,))
    drawn = w.tensor("drawn", KIND.FLOAT32, shape=(4,))
    out = w.tensor("out", KIND.FLOAT32, shape=(4,))
    options = schema.RandomOptionsT()
    options.seed, options.seed2 = 1, 2
    w.operator("RANDOM_UNIFORM", [shape], drawn, options)
    w.operator("ADD", [x, drawn], out, schema.AddOptionsT())
    return w.file([x], [out])
