"""A layer taken for another would deploy somebody else's weights."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from convert.flatbuffer import constant, operator_name, parse
from convert.identify import (
    identify_activations,
    identify_layers,
    kernel_of_matrix,
    matrix_of_kernel,
    signature_tensors,
)
from dyncp.errors import UserError
from dyncp.state import output_shapes
from quantize.wiring import tensor_activation
from tests.convert.built import Built


def structure(built: Built) -> Any:
    return parse(built.structure.read_bytes(), "the structure")


def operators(source: Any, kind: str) -> list[Any]:
    return [op for op in source.subgraphs[0].operators if operator_name(source, op) == kind]


@given(st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_a_kernel_becomes_its_matrix_and_back(outputs: int, inputs: int, depthwise: bool) -> None:
    matrix = np.arange(outputs * inputs).reshape(outputs, inputs)
    kernel = kernel_of_matrix(matrix, depthwise)
    expected = (1, inputs, 1, outputs) if depthwise else (outputs, 1, 1, inputs)
    assert kernel.shape == expected
    last = kernel[0, inputs - 1, 0, outputs - 1] if depthwise else kernel[-1, 0, 0, -1]
    assert last == matrix[-1, -1]
    np.testing.assert_array_equal(matrix_of_kernel(kernel, depthwise), matrix)


def test_every_convolution_is_found_by_its_weights(any_built: Built) -> None:
    source = structure(any_built)
    layers = identify_layers(source, any_built.weights, any_built.preset)
    assert {spec.name for spec in layers.values()} == set(any_built.weights)
    for index, spec in layers.items():
        operator = source.subgraphs[0].operators[index]
        kernel = constant(source, source.subgraphs[0].tensors[operator.inputs[1]])
        assert kernel is not None
        matrix = matrix_of_kernel(kernel, spec.depthwise)
        np.testing.assert_array_equal(matrix, any_built.weights[spec.name])


def test_every_tensor_is_followed_from_the_inputs(any_built: Built) -> None:
    source = structure(any_built)
    layers = identify_layers(source, any_built.weights, any_built.preset)
    activations, tests = identify_activations(source, layers, any_built.preset)
    _, outputs = signature_tensors(source)
    for name in output_shapes(any_built.preset):
        assert activations[outputs[name]] == tensor_activation(name)
    gates = any_built.preset.blocks if any_built.preset.gate else 0
    assert sorted(tests.values()) == [f"gate{block}_logits" for block in range(gates)]


def refused(source: Any, built: Built, weights: Any = None) -> str:
    with pytest.raises(UserError) as error:
        layers = identify_layers(source, weights or built.weights, built.preset)
        identify_activations(source, layers, built.preset)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_weights_of_no_layer(output: Built) -> None:
    weights = {name: values.copy() for name, values in output.weights.items()}
    weights["block1.up"][3, 2] += 1e-6
    message = refused(structure(output), output, weights)
    assert "a CONV_2D of 32 x 16 weights that belongs to no layer" in message


def test_layers_with_equal_weights(output: Built) -> None:
    weights = {**output.weights, "block1.up": output.weights["block0.up"]}
    message = refused(structure(output), output, weights)
    assert "block0.up and block1.up have equal weights" in message


def test_a_layer_that_is_lost(output: Built) -> None:
    source = structure(output)
    operators(source, "DEPTHWISE_CONV_2D")[1].opcodeIndex = operators(source, "ADD")[0].opcodeIndex
    assert "has lost the layer block1.depthwise" in refused(source, output)


def test_a_layer_that_is_there_twice(output: Built) -> None:
    source = structure(output)
    source.subgraphs[0].operators.append(copy.deepcopy(operators(source, "CONV_2D")[0]))
    assert "has the layer front twice" in refused(source, output)


def test_a_layer_that_reads_something_else(output: Built) -> None:
    source = structure(output)
    downs = operators(source, "DEPTHWISE_CONV_2D")
    downs[1].inputs = np.array([downs[0].inputs[0], *downs[1].inputs[1:]], np.int32)
    assert "block1.depthwise reads ['block0.hidden'] instead of block1.hidden" in refused(
        source, output
    )


def test_a_residual_between_other_tensors(output: Built) -> None:
    source = structure(output)
    first, second = operators(source, "ADD")
    second.inputs = np.array([first.inputs[0], second.inputs[1]], np.int32)
    assert "which is no block's residual" in refused(source, output)


def test_an_operator_that_the_network_has_not(output: Built) -> None:
    source = structure(output)
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = schema.BuiltinOperator.TANH, 28, 1
    source.operatorCodes.append(code)
    operators(source, "LOGISTIC")[0].opcodeIndex = len(source.operatorCodes) - 1
    assert "has a TANH of ['mask_logits']; it has no place there" in refused(source, output)


def test_a_window_of_two_different_tensors(output: Built) -> None:
    source = structure(output)
    inputs, _ = signature_tensors(source)
    windows = [op for op in operators(source, "CONCATENATION") if inputs["taps0_in"] in op.inputs]
    windows[0].inputs = np.array([inputs["taps1_in"], windows[0].inputs[1]], np.int32)
    assert "has a CONCATENATION of ['block1.hidden', 'block0.hidden']" in refused(source, output)


def test_a_gate_test_of_constants(output: Built) -> None:
    source = structure(output)
    test = operators(source, "GREATER")[0]
    test.inputs = np.array([test.inputs[1], test.inputs[1]], np.int32)
    assert "has a GREATER of constants" in refused(source, output)


@pytest.mark.parametrize(
    ("end", "name"), [("inputs", "taps1_in"), ("outputs", "gate1_logits"), ("outputs", "mask")]
)
def test_a_lost_end(output: Built, end: str, name: str) -> None:
    source = structure(output)
    signature = source.signatureDefs[0]
    setattr(signature, end, [i for i in getattr(signature, end) if i.name != name.encode()])
    assert f"has lost the {end.removesuffix('s')} {name}" in refused(source, output)


def test_outputs_of_each_others_name(output: Built) -> None:
    source = structure(output)
    items = {item.name.decode(): item for item in source.signatureDefs[0].outputs}
    items["gate0_logits"].name, items["gate1_logits"].name = b"gate1_logits", b"gate0_logits"
    assert "gives gate1_logits as output gate0_logits" in refused(source, output)


def test_no_signature(output: Built) -> None:
    source = structure(output)
    source.signatureDefs = None
    assert "has no signature" in refused(source, output)
