"""onnx2tf must give the network's operators and nothing that int8 could not keep exact."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from convert.flatbuffer import operator_name, parse
from convert.identify import signature_tensors
from convert.structure import float_structure
from dyncp.errors import UserError
from dyncp.state import has_pool_state, input_shapes, output_shapes
from tests.convert.built import Built


def test_only_the_networks_own_operators_are_there(any_built: Built) -> None:
    """A TRANSPOSE, RESHAPE or PAD more would need a kernel that the firmware has not."""
    preset, source = any_built.preset, parse(any_built.structure.read_bytes(), "the structure")
    found = Counter(operator_name(source, op) for op in source.subgraphs[0].operators)
    blocks, gate = preset.blocks, preset.gate
    expected = {"DEPTHWISE_CONV_2D": blocks, "ADD": blocks, "LOGISTIC": 1}
    expected["CONV_2D"] = 2 + blocks * (4 if gate else 2)
    expected["CONCATENATION"] = blocks * (2 if has_pool_state(preset) else 1)
    if preset.speaker:  # beside the inputs of `up` and `squeeze`
        # One for both where the gate's input is the block's own.
        expected["CONCATENATION"] += blocks * (2 if has_pool_state(preset) else 1)
    if gate:
        expected["GREATER"] = blocks
        expected["SELECT_V2"] = blocks * (1 if gate.site == "output" else 2)
        if gate.group > 1:
            expected["GATHER"] = blocks
        if has_pool_state(preset):
            expected["AVERAGE_POOL_2D"] = blocks
    assert found == expected


def test_the_names_survive_in_the_signature(any_built: Built) -> None:
    inputs, outputs = signature_tensors(parse(any_built.structure.read_bytes(), "the structure"))
    assert set(inputs) == set(input_shapes(any_built.preset))
    assert set(outputs) == set(output_shapes(any_built.preset))
    assert len({*inputs.values(), *outputs.values()}) == len(inputs) + len(outputs)


@pytest.mark.slow
def test_what_onnx2tf_cannot_convert_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4, 1, 1]) for n in "xy")
    node = helper.make_node("NoSuchOperator", ["x"], ["y"], domain="zap")
    graph = helper.make_graph([node], "g", [x], [y])
    onnx.save(helper.make_model(graph), str(tmp_path / "x.onnx"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"onnx2tf could not convert x\.onnx: ") as error:
        float_structure("x.onnx")
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["x.onnx"]
