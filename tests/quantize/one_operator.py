"""One TFLite operator on a real runtime's reference kernels."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

RUNTIMES = {
    "tflite-runtime": "tflite_runtime.interpreter",
    "ai-edge-litert": "ai_edge_litert.interpreter",
}

_TYPES = {
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.bool_): schema.TensorType.BOOL,
}


@dataclass
class Operand:
    """A tensor: ``values`` are computed ones for an input, written ones for a constant."""

    values: NDArray[Any]
    scale: Any = None
    zero_point: int = 0
    axis: int = 0
    constant: bool = False


def like(values: NDArray[Any], kind: Any, scale: float | None = None, zero_point: int = 0) -> Any:
    """An operand of that shape and another type: what an operator gives."""
    return Operand(np.zeros(values.shape, kind), scale, zero_point)


def run_operator(
    runtime: str, kind: str, operands: list[Operand], output: Operand, options: Any = None
) -> NDArray[Any]:
    """What ``runtime`` computes for the operator ``kind`` (a name of the schema)."""
    model = schema.ModelT()
    model.version, model.buffers = 3, [schema.BufferT()]
    graph, code, operator = schema.SubGraphT(), schema.OperatorCodeT(), schema.OperatorT()
    graph.tensors = []
    for operand in [*operands, output]:
        tensor = schema.TensorT()
        tensor.shape = np.array(operand.values.shape, np.int32)
        tensor.type, tensor.buffer = _TYPES[operand.values.dtype], 0
        if operand.scale is not None:
            grid = tensor.quantization = schema.QuantizationParametersT()
            grid.scale = np.atleast_1d(operand.scale).astype(np.float32)
            grid.zeroPoint = np.full(len(grid.scale), operand.zero_point, np.int64)
            grid.quantizedDimension = operand.axis
        if operand.constant:
            tensor.buffer = len(model.buffers)
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(operand.values.tobytes(), np.uint8)
            model.buffers.append(buffer)
        graph.tensors.append(tensor)
    code.builtinCode = getattr(schema.BuiltinOperator, kind)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = 3 if "CONV" in kind else 2
    operator.inputs = np.arange(len(operands), dtype=np.int32)
    operator.outputs = np.array([len(operands)], np.int32)
    if options is not None:
        name = type(options).__name__.removesuffix("T")
        operator.builtinOptions = options
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
    model.operatorCodes, graph.operators, model.subgraphs = [code], [operator], [graph]
    computed = [index for index, operand in enumerate(operands) if not operand.constant]
    graph.inputs, graph.outputs = np.array(computed, np.int32), operator.outputs
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    module = importlib.import_module(RUNTIMES[runtime])
    interpreter = module.Interpreter(
        model_content=bytes(builder.Output()),
        experimental_op_resolver_type=module.OpResolverType.BUILTIN_REF,
    )
    interpreter.allocate_tensors()
    for details, index in zip(interpreter.get_input_details(), computed, strict=True):
        interpreter.set_tensor(details["index"], operands[index].values)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
