"""The deployed .tflite: onnx2tf's operators, and every number from the quantised model.

Nothing of the float model is kept but its operators, their options and the
shapes. Scales, zero points, weights, biases, constants, names, order and
metadata are written here, into a new file with only what is used in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from convert.firmware_operators import INT8_VERSIONS
from convert.flatbuffer import operator_name, pack, parse, shape
from convert.identify import (
    CONVOLUTIONS,
    identify_activations,
    identify_layers,
    kernel_of_matrix,
    signature_tensors,
)
from convert.metadata import ENTRY, SIGNATURE, describe, encode
from dyncp.errors import UserError
from dyncp.state import input_shapes, output_shapes
from quantize.model import QuantizedLayer, QuantizedModel
from quantize.wiring import LayerSpec

_TYPE_OF = {
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.bool_): schema.TensorType.BOOL,
}


_LARGEST_SPREAD, _LARGEST_ERROR = 0.6, 16.0
"""Of integers to the float weights, in steps. To the nearest it is 0.29 and 0.5; where weights
make good each other's rounding (quantize/compensate.py), about 0.4, and single ones reach 5."""


def build_tflite(
    structure: bytes, weights: dict[str, NDArray[np.float32]], model: QuantizedModel
) -> bytes:
    """The bytes of ``model.tflite``.

    ``structure``: the float .tflite (:func:`convert.structure.float_structure`);
    ``weights``: the float weights it was converted from, by layer. Raises
    :class:`UserError` if the three do not belong together or the graph is not
    the network's.
    """
    check_same_network(weights, model)
    source = parse(structure, "the converted graph")
    if len(source.subgraphs) != 1:
        raise UserError(f"the converted graph has {len(source.subgraphs)} subgraphs, not one")
    return _Writer(source, weights, model).write()


def check_same_network(weights: dict[str, NDArray[np.float32]], model: QuantizedModel) -> None:
    """Raise unless every layer's quantised weights are its float weights, rounded."""
    for name, layer in model.layers.items():
        steps = layer.weight_scale.astype(np.float64)[:, None]
        error = weights[name] / steps - layer.weight
        spread = float(np.sqrt(np.square(error).mean()))
        if spread > _LARGEST_SPREAD or np.abs(error).max() > _LARGEST_ERROR:
            raise UserError(
                f"the ONNX file and the quantised model are of different networks: {name} "
                f"differs by {spread:.3g} steps on average, {np.abs(error).max():.3g} at most; "
                "make both from one checkpoint"
            )


class _Writer:
    """Builds the new file, operator by operator."""

    def __init__(
        self, source: Any, weights: dict[str, NDArray[np.float32]], model: QuantizedModel
    ) -> None:
        self.source, self.model, self.preset = source, model, model.preset
        self.layers = identify_layers(source, weights, self.preset)
        self.activations, self.tests = identify_activations(source, self.layers, self.preset)
        # What personalised layers read, by a layer that does: two may share it.
        self.personal = {
            int(source.subgraphs[0].operators[index].inputs[0]): spec.name
            for index, spec in self.layers.items()
            if spec.embedding
        }
        self.tensors: list[Any] = []
        self.buffers: list[Any] = [schema.BufferT()]  # the first one is empty by convention
        self.placed: dict[int, int] = {}  # tensor index in the source -> in the new file
        self.names: set[str] = set()
        self.operators: list[Any] = []
        self.codes: dict[str, int] = {}
        self.beside: dict[str, int] = {}  # the embedding on an activation's grid

    def write(self) -> bytes:
        inputs, outputs = signature_tensors(self.source)
        for name in input_shapes(self.preset):
            self._place(inputs[name], name)
        output_names = {outputs[name]: name for name in output_shapes(self.preset)}
        for index, operator in enumerate(self.source.subgraphs[0].operators):
            kind = operator_name(self.source, operator)
            operands = self._operands(index, kind, operator)
            result = int(operator.outputs[0])
            self._place(result, output_names.get(result) or self._inner_name(kind, result))
            written = self._operator(kind, operands, self.placed[result])
            written.builtinOptionsType = operator.builtinOptionsType
            written.builtinOptions = operator.builtinOptions
        ends = (
            {name: self.placed[inputs[name]] for name in input_shapes(self.preset)},
            {name: self.placed[outputs[name]] for name in output_shapes(self.preset)},
        )
        self._check_complete()
        return pack(self._file(*ends))

    def _operator(self, kind: str, operands: list[int], result: int) -> Any:
        written = schema.OperatorT()
        written.opcodeIndex = self.codes.setdefault(kind, len(self.codes))
        written.inputs = np.array(operands, np.int32)
        written.outputs = np.array([result], np.int32)
        self.operators.append(written)
        return written

    def _operands(self, index: int, kind: str, operator: Any) -> list[int]:
        """The operator's inputs in the new file; its constants are written on the way."""
        read = [int(i) for i in operator.inputs]
        if kind in CONVOLUTIONS:
            spec = self.layers[index]
            return [self.placed[read[0]], *self._layer(spec, self.model.layers[spec.name])]
        if kind == "GATHER":
            scores = self.activations[read[0]]
            gated = np.arange(self.preset.gated_channels, dtype=np.int32)
            assert self.preset.gate
            gate_of_channel = self._constant(f"{scores}/channels", gated // self.preset.gate.group)
            return [self.placed[read[0]], gate_of_channel]
        if kind == "GREATER":
            logits = self.tests[int(operator.outputs[0])]
            return [self.placed[read[0]], self._zero_of(logits, f"{logits}/threshold")]
        if kind == "SELECT_V2":
            kept = self.activations[read[1]]
            return [*(self.placed[i] for i in read[:2]), self._zero_of(kept, f"{kept}/closed")]
        if kind == "CONCATENATION" and self.activations[read[1]] == "embedding":
            return [self.placed[read[0]], self._embedding_beside(read)]
        return [self.placed[i] for i in read]

    def _embedding_beside(self, joined: list[int]) -> int:
        """The embedding on the grid of what it is joined to: one QUANTIZE a block."""
        activation = self.activations[joined[0]]
        if activation not in self.beside:
            size = shape(self.source.subgraphs[0].tensors[joined[1]])
            result = self._tensor(f"{activation}/embedding", size, np.int8)
            self.tensors[result].quantization = self._grid(activation)
            written = self._operator("QUANTIZE", [self.placed[joined[1]]], result)
            written.builtinOptionsType = schema.BuiltinOptions.QuantizeOptions
            written.builtinOptions = schema.QuantizeOptionsT()
            self.beside[activation] = result
        return self.beside[activation]

    def _layer(self, spec: LayerSpec, layer: QuantizedLayer) -> tuple[int, int]:
        kernel = kernel_of_matrix(layer.weight, spec.depthwise)
        weight = self._constant(f"{spec.name}/weight", kernel)
        axis = 3 if spec.depthwise else 0
        self.tensors[weight].quantization = _quantization(layer.weight_scale, axis=axis)
        bias = self._constant(f"{spec.name}/bias", layer.bias)
        input_scale = np.float32(self.model.activations[spec.input].scale)
        self.tensors[bias].quantization = _quantization(input_scale * layer.weight_scale)
        return weight, bias

    def _zero_of(self, activation: str, name: str) -> int:
        """A scalar that stands for 0 on an activation's grid."""
        zero_point = self.model.activations[activation].zero_point
        index = self._constant(name, np.array(zero_point, np.int8))
        self.tensors[index].quantization = self._grid(activation)
        return index

    def _grid(self, activation: str) -> Any:
        grid = self.model.activations[activation]
        return _quantization(np.array([grid.scale], np.float32), grid.zero_point)

    def _inner_name(self, kind: str, result: int) -> str:
        """A name for a tensor that is neither input nor output: what it is, and after what."""
        if result in self.tests:
            return f"{self.tests[result]}/open"
        activation = self.activations[result]
        if kind == "CONCATENATION" and result in self.personal:
            return f"{self.personal[result]}/input"
        return activation if kind in (*CONVOLUTIONS, "ADD") else f"{activation}/{kind.lower()}"

    def _place(self, source_index: int, name: str) -> None:
        """Give a computed tensor of the source its place, type and grid in the new file."""
        kind = np.bool_ if source_index in self.tests else np.int8
        tensor = self._tensor(name, shape(self.source.subgraphs[0].tensors[source_index]), kind)
        if source_index not in self.tests:
            self.tensors[tensor].quantization = self._grid(self.activations[source_index])
        self.placed[source_index] = tensor

    def _constant(self, name: str, values: NDArray[Any]) -> int:
        index = self._tensor(name, values.shape, values.dtype)
        buffer = schema.BufferT()
        little_endian = values.astype(values.dtype.newbyteorder("<"))
        buffer.data = np.frombuffer(little_endian.tobytes(), np.uint8)
        self.tensors[index].buffer = len(self.buffers)
        self.buffers.append(buffer)
        return index

    def _tensor(self, name: str, size: tuple[int, ...], kind: Any) -> int:
        if name in self.names:
            raise UserError(f"the converted graph computes {name} twice")
        self.names.add(name)
        tensor = schema.TensorT()
        tensor.name, tensor.shape = name.encode(), np.array(size, np.int32)
        tensor.type, tensor.buffer = _TYPE_OF[np.dtype(kind)], 0
        tensor.hasRank = True
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _check_complete(self) -> None:
        """Every int8 tensor must have got its scale and zero point from the model."""
        for tensor in self.tensors:
            if tensor.type == schema.TensorType.INT8 and tensor.quantization is None:
                raise UserError(f"tensor {tensor.name.decode()} has no scale and zero point")

    def _file(
        self,
        inputs: dict[str, int],
        outputs: dict[str, int],
    ) -> Any:
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = b"main", self.tensors, self.operators
        graph.inputs = np.array(list(inputs.values()), np.int32)
        graph.outputs = np.array(list(outputs.values()), np.int32)
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = SIGNATURE.encode(), 0
        signature.inputs = [_mapping(name, index) for name, index in inputs.items()]
        signature.outputs = [_mapping(name, index) for name, index in outputs.items()]
        entry, content = schema.MetadataT(), schema.BufferT()
        entry.name, entry.buffer = ENTRY.encode(), len(self.buffers)
        content.data = np.frombuffer(encode(describe(self.model)), np.uint8)
        written = schema.ModelT()
        written.version = 3
        written.description = b"Sluice"
        written.operatorCodes = [_operator_code(kind) for kind in self.codes]
        written.subgraphs, written.signatureDefs = [graph], [signature]
        written.metadata, written.buffers = [entry], [*self.buffers, content]
        return written


def _quantization(scales: NDArray[np.float32], zero_point: int = 0, axis: int = 0) -> Any:
    grid = schema.QuantizationParametersT()
    grid.scale = np.atleast_1d(scales).astype(np.float32)
    grid.zeroPoint = np.full(len(grid.scale), zero_point, np.int64)
    grid.quantizedDimension = axis
    return grid


def _mapping(name: str, index: int) -> Any:
    mapping = schema.TensorMapT()
    mapping.name, mapping.tensorIndex = name.encode(), index
    return mapping


def _operator_code(kind: str) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, kind)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = INT8_VERSIONS[kind]
    return code
