"""A file's lengths and offsets cannot make its reader loop, fill the memory or read outside."""

from __future__ import annotations

import struct

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from convert.audit.model import _OPTIONS, IDENTIFIER, read_model
from convert.audit.report import audit_bytes
from convert.audit.tables import Damaged
from convert.flatbuffer import pack, parse
from tests.convert.audit.foreign import KIND, Writer, int8_adder
from tests.convert.built import Built


def test_what_is_written_is_read(output: Built) -> None:
    """The same values as the schema's own reader finds."""
    data = output.tflite.read_bytes()
    ours, theirs = read_model(data), parse(data, "x")
    assert len(ours.buffers) == len(theirs.buffers)
    for mine, other in zip(ours.subgraphs[0].tensors, theirs.subgraphs[0].tensors, strict=True):
        assert (mine.name, mine.type, mine.buffer) == (other.name, other.type, other.buffer)
        assert np.array_equal(
            () if mine.shape is None else mine.shape, () if other.shape is None else other.shape
        )
        assert (mine.quantization is None) == (other.quantization is None)
        if mine.quantization is not None:
            for part in ("scale", "zeroPoint", "quantizedDimension"):
                have, want = getattr(mine.quantization, part), getattr(other.quantization, part)
                assert np.array_equal(have, want), part
    for mine, other in zip(ours.subgraphs[0].operators, theirs.subgraphs[0].operators, strict=True):
        assert np.array_equal(mine.inputs, other.inputs)
        assert np.array_equal(mine.outputs, other.outputs)
        assert mine.builtinOptionsType == other.builtinOptionsType
        for name, value in vars(mine.builtinOptions).items() if mine.builtinOptions else ():
            assert value == getattr(other.builtinOptions, name), name


def test_options_are_read_from_their_own_slots() -> None:
    """Every field another value, so that no two can be mixed up."""
    for number, (name, fields) in _OPTIONS.items():
        model = parse(int8_adder(), "x")
        options = getattr(schema, f"{name}T")()
        for value, field in enumerate(fields, 2):
            assert hasattr(options, field)
            setattr(options, field, 1 if field == "padding" else value)
        operator = model.subgraphs[0].operators[0]
        operator.builtinOptionsType, operator.builtinOptions = number, options
        found = read_model(pack(model)).subgraphs[0].operators[0].builtinOptions
        assert found is not None
        for value, field in enumerate(fields, 2):
            assert getattr(found, field) == (1 if field == "padding" else value), (name, field)


def test_an_offset_backwards_leads_out_of_the_file() -> None:
    """Offsets are unsigned, so that tables cannot form a circle."""
    data = bytearray(int8_adder())
    (root,) = struct.unpack_from("<I", data, 0)
    fields = root - struct.unpack_from("<i", data, root)[0]
    (slot,) = struct.unpack_from("<H", data, fields + 4 + 2 * 2)  # the subgraphs
    vector = root + slot + struct.unpack_from("<I", data, root + slot)[0]
    struct.pack_into("<I", data, vector + 4, (root - vector - 4) % (1 << 32))
    with pytest.raises(Damaged, match="subgraph 0 lies at byte"):
        read_model(bytes(data))


def test_operators_that_share_a_constant_keep_nobody_busy() -> None:
    """Each is sound; all of them together would have the audit read far more than the file."""
    writer = Writer()
    x = writer.tensor("x", KIND.INT8, shape=(1, 1, 1, 256), scale=0.1)
    weights = np.ones((256, 1, 1, 256), np.int8)
    kernel = writer.tensor("w", KIND.INT8, shape=weights.shape, values=weights, scale=0.1)
    bias = writer.tensor("b", KIND.INT32, shape=(256,), values=np.zeros(256, np.int32))
    outputs = []
    for index in range(300):
        options = schema.Conv2DOptionsT()
        options.strideH = options.strideW = 1
        outputs.append(writer.tensor(f"y{index}", KIND.INT8, shape=(1, 1, 1, 256), scale=0.1))
        writer.operator("CONV_2D", [x, kernel, bias], outputs[-1], options)
    report = audit_bytes(writer.file([x], outputs), "x")
    reasons = {result.check.id: result.reason for result in report.results}
    assert reasons["weight-lowest"] == "its operators share the same constants too often"


def test_tables_that_share_all_they_have_are_refused_in_time() -> None:
    """Thousands of operators that are one, put in front of it."""
    builder = flatbuffers.Builder(1024)
    builder.StartObject(5)
    table = builder.EndObject()
    builder.StartVector(4, 300_000, 4)
    for _ in range(300_000):
        builder.PrependUOffsetTRelative(table)
    vector = builder.EndVector()
    builder.StartObject(8)
    builder.PrependUOffsetTRelativeSlot(2, vector, 0)
    builder.Finish(builder.EndObject(), IDENTIFIER)
    data = bytes(builder.Output())
    with pytest.raises(Damaged, match="more than 100000"):
        read_model(data)
    assert audit_bytes(data, "x").failed() == ["damaged"]


@pytest.mark.parametrize("length", [1 << 20, (1 << 31) - 1, (1 << 32) - 1])
def test_a_length_beyond_the_file_is_refused(length: int) -> None:
    sound = int8_adder()
    for place in range(8, len(sound) - 4, 4):
        data = bytearray(sound)
        struct.pack_into("<I", data, place, length)
        assert audit_bytes(bytes(data), "x").exit_code in (0, 1, 3)
