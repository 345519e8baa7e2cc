"""The ONNX file must be the streaming network, under the names of the contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from convert.onnx_export import layer_weights
from dyncp.embedding import real
from dyncp.errors import UserError
from dyncp.state import StateRings, input_shapes, output_shapes
from dyncp.streaming import StreamingNet
from quantize.calibrate import layer_module
from quantize.clips import random_embedding
from quantize.wiring import layer_specs
from tests.convert.built import Built


def ends(values: Any) -> dict[str, tuple[int, ...]]:
    """Name and shape of the graph's inputs or outputs, in order; all float32."""
    kinds = {value.type.tensor_type.elem_type for value in values}
    assert kinds == {onnx.TensorProto.FLOAT}
    return {
        value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
        for value in values
    }


def test_names_order_and_shapes_are_those_of_the_contract(any_built: Built) -> None:
    model = onnx.load(str(any_built.onnx))
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    for found, wanted in (
        (ends(model.graph.input), input_shapes(any_built.preset)),
        (ends(model.graph.output), output_shapes(any_built.preset)),
    ):
        assert list(found.items()) == list(wanted.items())


@torch.no_grad()
def test_onnx_runtime_gives_what_torch_gives(any_built: Built) -> None:
    """Over frames of noisy speech, with states, and gates open and closed."""
    preset = any_built.preset
    session = onnxruntime.InferenceSession(str(any_built.onnx), providers=["CPUExecutionProvider"])
    rings = StateRings(preset, dict.fromkeys(input_shapes(preset), 0.0), np.float32)
    names = list(output_shapes(preset))
    taken: dict[str, list[np.ndarray]] = {name: [] for name in input_shapes(preset)}
    given: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for feature in any_built.features(40).T:
        inputs = {"features": feature.reshape(1, -1, 1, 1), **rings.inputs()}
        if preset.speaker:
            inputs["embedding"] = real(random_embedding(8, 1)).reshape(1, -1, 1, 1)
        outputs = dict(zip(names, session.run(names, inputs), strict=True))
        rings.push(outputs)
        for store, values in ((taken, inputs), (given, outputs)):
            for name, value in values.items():
                store[name].append(value)
    batch = [torch.from_numpy(np.concatenate(values)) for values in taken.values()]
    expected = StreamingNet(any_built.network)(*batch)
    for name, values in zip(names, expected, strict=True):
        got = np.concatenate(given[name])
        np.testing.assert_allclose(got, values.numpy(), rtol=1e-5, atol=1e-5, err_msg=name)
        if name.startswith("gate"):
            assert 0.05 < (got > 0).mean() < 0.95


def test_every_layers_weights_are_found(any_built: Built) -> None:
    streaming = StreamingNet(any_built.network)
    assert list(any_built.weights) == [spec.name for spec in layer_specs(any_built.preset)]
    for spec in layer_specs(any_built.preset):
        expected = layer_module(streaming, spec).weight.detach().numpy()
        np.testing.assert_array_equal(
            any_built.weights[spec.name], expected.reshape(spec.outputs, spec.columns)
        )


def rewritten(source: Path, output: Path, edit: Callable[[Any], None]) -> Path:
    model = onnx.load(str(source))
    edit(model.graph)
    onnx.save(model, str(output))
    return output


def test_a_layer_that_is_missing_or_other_is_named(output: Built, tmp_path: Path) -> None:
    def rename(graph: Any) -> None:
        tensor = next(t for t in graph.initializer if t.name == "blocks.1.down.weight")
        tensor.name = "zap"

    def shrink(graph: Any) -> None:
        tensor = next(t for t in graph.initializer if t.name == "blocks.0.up.weight")
        tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros((32, 8), np.float32), tensor.name))

    path = tmp_path / "x.onnx"
    with pytest.raises(UserError, match=r"x\.onnx has no weights of the layer block1\.down"):
        layer_weights(rewritten(output.onnx, path, rename), output.preset)
    with pytest.raises(UserError, match=r"layer block0\.up has weights \[32, 8\].* has 32 x 16"):
        layer_weights(rewritten(output.onnx, path, shrink), output.preset)


def test_another_networks_file_is_refused(output: Built, static: Built, hidden: Built) -> None:
    with pytest.raises(UserError, match=r"no weights of the layer block0\.squeeze"):
        layer_weights(static.onnx, output.preset)
    with pytest.raises(UserError, match=r"layer block0\.score has weights"):
        layer_weights(hidden.onnx, output.preset)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_cut_file_is_refused(output: Built, tmp_path: Path, share: float) -> None:
    data = output.onnx.read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match=r"cut\.onnx (is not an ONNX file|has no weights)") as error:
        layer_weights(path, output.preset)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_said(output: Built, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such ONNX file"):
        layer_weights(tmp_path / "none.onnx", output.preset)
