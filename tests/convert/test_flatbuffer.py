"""Files that are no .tflite are said to be none; files that are come back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from convert.flatbuffer import constant, operator_name, pack, parse, read, shape, text
from dyncp.errors import UserError
from tests.convert.built import Built, index_of, tensor


def test_a_file_comes_back_byte_for_byte(any_built: Built) -> None:
    data = any_built.tflite.read_bytes()
    assert pack(parse(data, "x")) == data
    assert pack(read(any_built.tflite)) == data


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\x00\x00\x00\x00TFL", b"PK\x03\x04" + b"x" * 99])
def test_a_foreign_file_is_no_model(data: bytes) -> None:
    with pytest.raises(UserError, match=r"x\.tflite is not a \.tflite file"):
        parse(data, "x.tflite")


def test_every_cut_is_damage(output: Built) -> None:
    data = output.tflite.read_bytes()
    for length in [*range(8, len(data), 499), len(data) - 4]:
        with pytest.raises(UserError, match=r"x\.tflite is damaged and cannot be parsed") as error:
            parse(data[:length], "x.tflite")
        assert "\n" not in str(error.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such model"):
        read(tmp_path / "none.tflite")


def test_constants_have_their_type_and_shape(output: Built) -> None:
    model = read(output.tflite)
    weight = constant(model, tensor(model, "block0.up/weight"))
    assert weight is not None
    assert (weight.dtype, weight.shape) == (np.int8, (32, 1, 1, 16))
    bias = constant(model, tensor(model, "block0.up/bias"))
    assert bias is not None
    assert (bias.dtype, bias.shape) == (np.int32, (32,))
    threshold = tensor(model, "gate0_logits/threshold")
    assert shape(threshold) == ()
    assert constant(model, threshold) == output.model.activations["gate0_logits"].zero_point
    assert constant(model, tensor(model, "mask")) is None
    weight_tensor = model.subgraphs[0].tensors[index_of(model, "block0.up/weight")]
    weight_tensor.type = schema.TensorType.COMPLEX64
    with pytest.raises(UserError, match=r"block0\.up/weight has a type"):
        constant(model, weight_tensor)


def test_operators_are_named_also_where_only_the_old_field_is_set(output: Built) -> None:
    model = read(output.tflite)
    first = model.subgraphs[0].operators[0]
    assert operator_name(model, first) == "CONV_2D"
    code = model.operatorCodes[first.opcodeIndex]
    code.builtinCode = 0  # as files before 2020 have it
    assert operator_name(model, first) == "CONV_2D"
    code.deprecatedBuiltinCode, code.builtinCode = 127, 9999
    assert operator_name(model, first) == "operator 9999"


def test_names_are_text() -> None:
    assert [text(b"caf\xc3\xa9"), text("x"), text(None)] == ["café", "x", ""]
