"""The deployed file carries the quantised model's integers: all of them, and no others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from convert.flatbuffer import constant, operator_name, parse, read, text
from convert.identify import CONVOLUTIONS, matrix_of_kernel
from convert.metadata import describe
from convert.tflite_build import build_tflite, check_same_network
from dyncp.errors import UserError
from dyncp.state import input_shapes, output_shapes
from quantize.calibrate import quantise_network
from quantize.wiring import tensor_activation
from tests.convert.built import Built, tensor
from tests.quantize.models import audio_features, with_layer


def grid(found: Any) -> tuple[list[float], list[int]]:
    quantization = found.quantization
    return quantization.scale.tolist(), quantization.zeroPoint.tolist()


def test_every_layer_has_the_models_integers(any_built: Built) -> None:
    source, model = read(any_built.tflite), any_built.model
    for name, layer in model.layers.items():
        weight, bias = tensor(source, f"{name}/weight"), tensor(source, f"{name}/bias")
        kernel = constant(source, weight)
        assert kernel is not None
        matrix = matrix_of_kernel(kernel, layer.spec.depthwise)
        assert matrix.dtype == np.int8
        np.testing.assert_array_equal(matrix, layer.weight)
        scales, zeros = grid(weight)
        assert scales == layer.weight_scale.tolist()
        assert zeros == [0] * layer.spec.outputs
        assert weight.quantization.quantizedDimension == (3 if layer.spec.depthwise else 0)
        values = constant(source, bias)
        assert values is not None
        assert values.dtype == np.int32
        np.testing.assert_array_equal(values, layer.bias)
        step = np.float32(model.activations[layer.spec.input].scale) * layer.weight_scale
        assert grid(bias) == (step.tolist(), zeros)


def test_every_layer_stands_between_its_activations(any_built: Built) -> None:
    """Scales and zero points before and after each layer, its ReLU, and its place."""
    source, model = read(any_built.tflite), any_built.model
    tensors = source.subgraphs[0].tensors
    seen = set()
    for operator in source.subgraphs[0].operators:
        if operator_name(source, operator) not in CONVOLUTIONS:
            continue
        name = text(tensors[operator.inputs[1]].name).removesuffix("/weight")
        assert text(tensors[operator.inputs[2]].name) == f"{name}/bias"
        spec = model.layers[name].spec
        for index, activation in (
            (operator.inputs[0], spec.input),
            (operator.outputs[0], spec.output),
        ):
            wanted = model.activations[activation]
            assert grid(tensors[index]) == ([wanted.scale], [wanted.zero_point])
        fused = operator.builtinOptions.fusedActivationFunction
        assert fused == int(spec.relu), name
        seen.add(name)
    assert seen == set(model.layers)


def test_the_ends_are_those_of_the_contract(any_built: Built) -> None:
    """By index, by name and by signature, in one order, states on the grid of their inputs."""
    source, preset = read(any_built.tflite), any_built.preset
    graph, (signature,) = source.subgraphs[0], source.signatureDefs
    assert text(signature.signatureKey) == "serving_default"
    for wanted, indices, items in (
        (input_shapes(preset), graph.inputs, signature.inputs),
        (output_shapes(preset), graph.outputs, signature.outputs),
    ):
        assert [text(graph.tensors[i].name) for i in indices] == list(wanted)
        signed = {text(item.name): item.tensorIndex for item in items}
        assert signed == dict(zip(wanted, indices, strict=True))
        for index, (name, shape) in zip(indices, wanted.items(), strict=True):
            found = graph.tensors[index]
            assert found.shape.tolist() == [shape[0], shape[2], shape[3], shape[1]]
            assert found.type == schema.TensorType.INT8
            activation = any_built.model.activations[tensor_activation(name)]
            assert grid(found) == ([activation.scale], [activation.zero_point])
    for name in input_shapes(preset):
        if name != "features":
            back = tensor(source, name.replace("_in", "_out"))
            assert grid(back) == grid(tensor(source, name))


def test_the_metadata_is_the_models(any_built: Built) -> None:
    import json

    source = read(any_built.tflite)
    (entry,) = source.metadata
    assert text(entry.name) == "sluice"
    content = json.loads(bytes(source.buffers[entry.buffer].data).decode("utf-8"))
    assert content == describe(any_built.model)


def test_gates_compare_and_close_with_zero_points(any_built: Built) -> None:
    source, model = read(any_built.tflite), any_built.model
    constants = {
        text(t.name): constant(source, t)
        for t in source.subgraphs[0].tensors
        if text(t.name).endswith(("/threshold", "/closed", "/channels"))
    }
    gate = any_built.preset.gate
    if gate is None:
        assert constants == {}
        return
    closed = ["update"] if gate.site == "output" else ["hidden", "filtered"]
    expected: dict[str, Any] = {}
    for block in range(any_built.preset.blocks):
        logits = f"gate{block}_logits"
        expected[f"{logits}/threshold"] = model.activations[logits].zero_point
        for part in closed:
            activation = f"block{block}.{part}"
            expected[f"{activation}/closed"] = model.activations[activation].zero_point
        if gate.group > 1:
            channels = range(any_built.preset.gated_channels)
            expected[f"{logits}/channels"] = [channel // gate.group for channel in channels]
    assert {name: np.asarray(found).tolist() for name, found in constants.items()} == expected


def test_there_is_nothing_that_is_not_used(any_built: Built) -> None:
    source = read(any_built.tflite)
    graph = source.subgraphs[0]
    used = {int(i) for op in graph.operators for i in (*op.inputs, *op.outputs)}
    used |= {int(i) for i in graph.inputs}
    assert used == set(range(len(graph.tensors)))
    buffers = [t.buffer for t in graph.tensors if t.buffer] + [source.metadata[0].buffer]
    assert sorted(buffers) == list(range(1, len(source.buffers)))
    assert source.buffers[0].data is None
    names = [text(t.name) for t in graph.tensors]
    assert len(names) == len(set(names))


def test_building_again_gives_the_same_bytes(any_built: Built) -> None:
    structure = any_built.structure.read_bytes()
    again = build_tflite(structure, any_built.weights, any_built.model)
    assert again == any_built.tflite.read_bytes()


def test_weights_that_make_good_each_others_rounding_are_the_same_network(output: Built) -> None:
    clips = [audio_features(output.preset, 300, seed=7)]
    compensated = quantise_network(output.network, clips, compensated=True)
    nearest = quantise_network(output.network, clips)
    assert compensated.model_hash != nearest.model_hash
    check_same_network(output.weights, compensated)


def test_weights_trained_on_by_a_step_are_another_network(output: Built) -> None:
    """One int8 step on every weight: what a short training moves."""
    layer = output.model.layers["block0.up"]
    weight = np.clip(layer.weight.astype(int) + 1, -127, 127).astype(np.int8)
    with pytest.raises(UserError, match=r"block0\.up differs by 1\.\d+ steps on average"):
        check_same_network(output.weights, with_layer(output.model, "block0.up", weight=weight))


def test_weights_of_another_network_are_refused_by_layer(output: Built) -> None:
    weight = output.model.layers["block1.down"].weight.copy()
    weight[2, 3] += 20 if weight[2, 3] < 100 else -20
    other = with_layer(output.model, "block1.down", weight=weight)
    with pytest.raises(UserError, match=r"different networks: block1\.down differs by"):
        check_same_network(output.weights, other)
    with pytest.raises(UserError, match=r"block1\.down"):
        build_tflite(output.structure.read_bytes(), output.weights, other)
    check_same_network(output.weights, output.model)


def test_the_structure_of_another_network_is_refused(output: Built, static: Built) -> None:
    with pytest.raises(UserError, match="the converted graph"):
        build_tflite(static.structure.read_bytes(), output.weights, output.model)


def test_two_subgraphs_are_refused(output: Built) -> None:
    from convert.flatbuffer import pack

    source = parse(output.structure.read_bytes(), "x")
    source.subgraphs = source.subgraphs * 2
    with pytest.raises(UserError, match="has 2 subgraphs, not one"):
        build_tflite(pack(source), output.weights, output.model)


def test_the_name_of_the_preset_is_kept_but_not_in_the_hash(output: Built) -> None:
    renamed = replace(output.model, preset=replace(output.model.preset, name="other"))
    built = build_tflite(output.structure.read_bytes(), output.weights, renamed)
    assert b'"name":"other"' in built
    assert output.model.model_hash.encode() in built
