"""Which layer each convolution of a converted graph is, and which activation each tensor.

Names and order do not survive onnx2tf, so layers are found by the content of
their weights and activations by following the operators from the inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.flatbuffer import constant, operator_name, text
from dyncp.errors import UserError
from dyncp.preset import Preset
from dyncp.state import input_shapes, output_shapes
from quantize.wiring import LayerSpec, block_input, layer_specs, tensor_activation

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")

Names = dict[int, str]


def matrix_of_kernel(kernel: NDArray[Any], depthwise: bool) -> NDArray[Any]:
    """A TFLite kernel as ``[outputs, inputs]``: from ``[1, K, 1, C]`` or ``[out, 1, 1, in]``."""
    if depthwise:
        return np.ascontiguousarray(kernel.reshape(-1, kernel.shape[-1]).T)
    return kernel.reshape(kernel.shape[0], -1)


def kernel_of_matrix(matrix: NDArray[Any], depthwise: bool) -> NDArray[Any]:
    """The inverse of :func:`matrix_of_kernel`."""
    outputs, inputs = matrix.shape
    if depthwise:
        return np.ascontiguousarray(matrix.T).reshape(1, inputs, 1, outputs)
    return matrix.reshape(outputs, 1, 1, inputs)


def identify_layers(
    structure: Any, weights: dict[str, NDArray[np.float32]], preset: Preset
) -> dict[int, LayerSpec]:
    """The layer of every convolution, by its index among the operators.

    ``weights``: the float weights ``[outputs, columns]`` of every layer. Raises
    :class:`UserError` naming a layer that no or more than one operator holds,
    or that cannot be told from another.
    """
    graph = structure.subgraphs[0]
    specs = {spec.name: spec for spec in layer_specs(preset)}
    found: dict[int, LayerSpec] = {}
    holders: dict[str, int] = {}
    for index, operator in enumerate(graph.operators):
        kind = operator_name(structure, operator)
        if kind not in CONVOLUTIONS:
            continue
        kernel = constant(structure, graph.tensors[operator.inputs[1]])
        depthwise = kind == "DEPTHWISE_CONV_2D"
        if kernel is None:
            raise UserError(f"the converted graph computes the weights of a {kind}")
        matrix = matrix_of_kernel(kernel, depthwise)
        matches = [
            name
            for name, candidate in weights.items()
            if specs[name].depthwise == depthwise and np.array_equal(candidate, matrix)
        ]
        if not matches:
            raise UserError(
                f"the converted graph has a {kind} of {matrix.shape[0]} x {matrix.shape[1]} "
                "weights that belongs to no layer"
            )
        if len(matches) > 1:
            raise UserError(
                f"layers {matches[0]} and {matches[1]} have equal weights and cannot be told "
                "apart in the converted graph"
            )
        if matches[0] in holders:
            raise UserError(f"the converted graph has the layer {matches[0]} twice")
        holders[matches[0]] = index
        found[index] = specs[matches[0]]
    for name in specs:
        if name not in holders:
            raise UserError(f"the converted graph has lost the layer {name}")
    return found


def signature_tensors(structure: Any) -> tuple[dict[str, int], dict[str, int]]:
    """Tensor index of every input and output, by the signature's names."""
    if not structure.signatureDefs:
        raise UserError("the converted graph has no signature")
    signature = structure.signatureDefs[0]
    inputs = {text(item.name): int(item.tensorIndex) for item in signature.inputs}
    outputs = {text(item.name): int(item.tensorIndex) for item in signature.outputs}
    return inputs, outputs


def identify_activations(
    structure: Any, layers: dict[int, LayerSpec], preset: Preset
) -> tuple[Names, Names]:
    """The activation of every int8 tensor; and the logits that every gate test reads.

    The second is by the tensor of the boolean result. Constants (weights,
    thresholds) are in neither. Raises :class:`UserError` for an operator that
    the deployed network does not have, or one in an unexpected place.
    """
    graph = structure.subgraphs[0]
    inputs, outputs = signature_tensors(structure)
    activations: Names = {}
    for name in input_shapes(preset):
        if name not in inputs:
            raise UserError(f"the converted graph has lost the input {name}")
        activations[inputs[name]] = tensor_activation(name)
    tests: Names = {}
    for index, operator in enumerate(graph.operators):
        kind = operator_name(structure, operator)
        sources = [activations[int(i)] for i in operator.inputs if int(i) in activations]
        if kind == "GREATER":
            tests[int(operator.outputs[0])] = _one(kind, sources)
        else:
            result = _result(kind, sources, layers.get(index), preset)
            activations[int(operator.outputs[0])] = result
    for name in output_shapes(preset):
        if name not in outputs:
            raise UserError(f"the converted graph has lost the output {name}")
        if activations.get(outputs[name]) != tensor_activation(name):
            raise UserError(
                f"the converted graph gives {activations.get(outputs[name])} as output {name}"
            )
    return activations, tests


def _result(kind: str, sources: list[str], spec: LayerSpec | None, preset: Preset) -> str:
    """The activation that an operator gives, from those it takes."""
    if spec:
        if sources != [spec.input]:
            raise UserError(f"{spec.name} reads {sources} instead of {spec.input}")
        return spec.output
    if kind == "CONCATENATION" and sources[1:] == ["embedding"] and len(sources) == 2:
        return _beside_embedding(sources[0], preset)
    if kind in ("CONCATENATION", "AVERAGE_POOL_2D", "GATHER", "SELECT_V2"):
        return _one(kind, sources)
    if kind == "ADD":
        return _after_residual(sources, preset)
    if kind == "LOGISTIC" and sources == ["mask_logits"]:
        return "mask"
    raise UserError(f"the converted graph has a {kind} of {sources}; it has no place there")


def _one(kind: str, sources: list[str]) -> str:
    """The activation that all of an operator's inputs belong to."""
    if len(set(sources)) != 1:
        raise UserError(f"the converted graph has a {kind} of {sources or 'constants'}")
    return sources[0]


def _beside_embedding(source: str, preset: Preset) -> str:
    """What an embedding is joined to takes it onto its own grid."""
    if source not in {block_input(preset, block) for block in range(preset.blocks)}:
        raise UserError(f"the converted graph joins the embedding to {source}, no block's input")
    return source


def _after_residual(sources: list[str], preset: Preset) -> str:
    for block in range(preset.blocks):
        if sorted(sources) == [block_input(preset, block), f"block{block}.update"]:
            return block_input(preset, block + 1)
    raise UserError(f"the converted graph has an ADD of {sources}, which is no block's residual")
