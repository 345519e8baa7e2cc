"""A graph that has lost, renamed, re-scaled or rewired a gate or a state is refused by name."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.convert.built import (
    Built,
    Edit,
    Metadata,
    index_of,
    operator,
    refused,
    tensor,
    with_metadata,
)
from tests.convert.edits import (
    both,
    poke,
    quantization,
    reorder,
    rewire,
    sign,
    swap_names,
    typed,
    unquantised,
    unsign,
)

LOGITS = ("gate0_logits", "gate0_logits/threshold")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        # ends
        (unsign("outputs", "gate1_logits"), "signature's output gate1_logits is not the tensor"),
        (unsign("inputs", "taps1_in"), "signature's input taps1_in is not the tensor"),
        (sign("gate0_logits", "gate1_logits"), "signature's output gate0_logits is not the tensor"),
        (sign("taps0_out", "taps1_out"), "signature's output taps0_out is not the tensor"),
        (lambda m: setattr(m, "signatureDefs", None), "signature 'serving_default' is missing"),
        (
            lambda m: setattr(m.signatureDefs[0], "signatureKey", b"other"),
            "signature 'serving_default' is missing",
        ),
        (reorder("outputs", lambda o: o[[0, 2, 1, 3, 4, 5, 6]]), "output 1 must be gate0_logits"),
        (reorder("outputs", lambda o: o[:-1]), "output 6 must be pool1_out, but is nothing"),
        (reorder("outputs", lambda o: [*o, o[0]]), "there is an output too many, mask"),
        (reorder("inputs", lambda i: i[::-1]), "input 0 must be features, but is pool1_in"),
        (swap_names("gate0_logits", "gate1_logits"), "output 1 must be gate0_logits"),
        (swap_names("taps0_in", "taps1_in"), "input 1 must be taps0_in, but is taps1_in"),
        # types and grids
        (typed("features", schema.TensorType.UINT8), "input features is not int8"),
        (
            typed("block1.update", schema.TensorType.INT16),
            "tensor block1.update, given by a CONV_2D",
        ),
        (typed("block1.down/weight", schema.TensorType.UINT8), "the weights behind block1.update"),
        (unquantised("block0.filtered"), "block0.filtered has no single scale and zero point"),
        (quantization("pool0_out", scale=np.nan), "tensor pool0_out has scale nan"),
        (quantization("pool0_out", scale=0.0), "tensor pool0_out has scale 0"),
        (quantization("pool0_out", zeroPoint=300), "zero point 300"),
        (
            quantization("block1.down/weight", scale=-1.0),
            "block1.down has a weight scale that is not a positive number",
        ),
        # gates
        (
            both(*(quantization(name, scale=0.001) for name in LOGITS)),
            "gate0_logits has scale 0.001; a gate's logits need one from 0.002",
        ),
        (
            both(*(quantization(name, scale=1.5) for name in LOGITS)),
            "gate0_logits has scale 1.5",
        ),
        (quantization("gate0_logits", scale=0.5), "the threshold of gate0_logits is not the zero"),
        (poke("gate1_logits/threshold", 77), "the threshold of gate1_logits is not the zero point"),
        (poke("block0.update/closed", 77), "puts in place of block0.down's output"),
        (
            quantization("block0.update/select_v2", scale=0.5),
            "gate0_logits re-scales the output of block0.down",
        ),
        (
            swap_names("block0.down/weight", "block1.down/weight"),
            "gate 0: gate0_logits closes block1.down (output) in the graph, the metadata says "
            "block0.down (output)",
        ),
        (
            swap_names("block0.score/weight", "block1.score/weight"),
            "gate 0: gate0_logits is given by block1.score, not by block0.score",
        ),
        (
            rewire("SELECT_V2", "block1.update/select_v2", "gate0_logits/open"),
            "gate1_logits is tested, but closes nothing",
        ),
        (
            rewire("ADD", "pool1_out", "pool0_out", "block0.update"),
            "the output of block0.down is read beside the gate of gate0_logits",
        ),
        # states
        (
            quantization("taps1_in", scale=0.25),
            "state taps1_out has scale and zero point",
        ),
        (quantization("pool0_in", zeroPoint=3), "state pool0_out has scale and zero point"),
        (
            rewire("CONCATENATION", "block1.hidden/concatenation", "taps0_in", "taps0_out"),
            "taps0_in is not followed by taps0_out in one window",
        ),
        (
            rewire("CONCATENATION", "block0.hidden/concatenation", "taps0_out", "taps0_in"),
            "taps0_in is not followed by taps0_out in one window",
        ),
        (
            rewire("CONV_2D", "block0.squeezed", "pool0_out"),
            "pool0_in is read by None, not by block0.squeeze",
        ),
        (
            quantization("block0.input/average_pool_2d", scale=0.25),
            "the average of block0.input/concatenation is re-scaled",
        ),
        (
            swap_names("block0.depthwise/weight", "block1.depthwise/weight"),
            "taps0_in is read by block1.depthwise, not by block0.depthwise",
        ),
        # the mask
        (quantization("mask", scale=0.01), "the mask must have scale 1/256 and zero point -128"),
        (quantization("mask", zeroPoint=0), "the mask must have scale 1/256 and zero point -128"),
        (
            swap_names("back/weight", "front/weight"),
            "the mask is not the sigmoid of the layer back",
        ),
    ],
)
def test_a_graph_that_breaks_the_contract_is_named(
    output: Built, tmp_path: Path, edit: Edit, message: str
) -> None:
    assert message in refused(output, tmp_path, edit)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            poke("gate1_logits/channels", 1),
            "gate 1: gate1_logits serves other channels in the graph than groups of 8",
        ),
        (
            quantization("gate1_logits/gather", scale=0.5),
            "gate1_logits is re-scaled before it is tested",
        ),
        (
            rewire("CONV_2D", "block1.update", "block1.filtered"),
            "the output of block1.depthwise is read beside the gate of gate1_logits",
        ),
        (
            rewire("CONCATENATION", "block1.hidden/concatenation", "taps1_in", "block1.hidden"),
            "the output of block1.up is read beside the gate of gate1_logits",
        ),
        (
            rewire("SELECT_V2", "taps1_out", "gate0_logits/open"),
            "gate 0: gate0_logits closes ",
        ),
    ],
)
def test_hidden_gates_that_break_the_contract_are_named(
    hidden: Built, tmp_path: Path, edit: Edit, message: str
) -> None:
    assert message in refused(hidden, tmp_path, edit)


def test_a_gate_that_the_graph_has_lost_is_named(output: Built, tmp_path: Path) -> None:
    """Its logits still leave the graph, but nothing asks them."""

    def lose(model: Any) -> None:
        rewire("ADD", "back.input", "pool1_out", "block1.update")(model)
        gone = [
            id(operator(model, "GREATER", "gate1_logits/open")),
            id(operator(model, "SELECT_V2", "block1.update/select_v2")),
        ]
        graph = model.subgraphs[0]
        graph.operators = [op for op in graph.operators if id(op) not in gone]

    assert "gate 1: no test in the graph reads gate1_logits" in refused(output, tmp_path, lose)


def test_a_gate_that_the_metadata_does_not_know_is_named(output: Built, tmp_path: Path) -> None:
    def add(model: Any) -> None:
        """Close bins of the mask where the first block's input is zero."""
        graph, extra = model.subgraphs[0], {}
        for name, like in (
            ("open", "gate0_logits/open"),
            ("threshold", "gate0_logits/threshold"),
            ("closed", "gate0_logits/threshold"),
            ("selected", "mask_logits"),
        ):
            extra[name] = len(graph.tensors)
            graph.tensors.append(copy.deepcopy(tensor(model, like)))
            graph.tensors[-1].name = name.encode()
        for name, source in (("threshold", "pool0_out"), ("closed", "mask_logits")):
            found = graph.tensors[extra[name]]
            found.quantization = tensor(model, source).quantization
            found.buffer = len(model.buffers)
            buffer = schema.BufferT()
            zero = np.array(found.quantization.zeroPoint, np.int8)
            buffer.data = np.frombuffer(zero.tobytes(), np.uint8)
            model.buffers.append(buffer)
        test = copy.deepcopy(operator(model, "GREATER", "gate0_logits/open"))
        test.inputs = np.array([index_of(model, "pool0_out"), extra["threshold"]], np.int32)
        test.outputs = np.array([extra["open"]], np.int32)
        select = copy.deepcopy(operator(model, "SELECT_V2", "block0.update/select_v2"))
        kept = index_of(model, "mask_logits")
        select.inputs = np.array([extra["open"], kept, extra["closed"]], np.int32)
        select.outputs = np.array([extra["selected"]], np.int32)
        last = operator(model, "LOGISTIC", "mask")
        last.inputs = np.array([extra["selected"]], np.int32)
        graph.operators[-1:] = [test, select, last]

    message = refused(output, tmp_path, add)
    assert "the graph tests pool0_out, of which the metadata knows no gate" in message


def test_gates_in_the_metadata_of_a_static_graph_are_named(static: Built, tmp_path: Path) -> None:
    extra = with_metadata(lambda entry: entry["gates"].append({"logits": "gate0_logits"}))
    assert "the metadata names 1 gates for 0 blocks" in refused(static, tmp_path, extra)


def test_gates_that_the_metadata_does_not_know_are_named(output: Built, tmp_path: Path) -> None:
    def forget(entry: Metadata) -> None:
        entry["gates"], entry["preset"]["gate"] = [], None

    message = refused(output, tmp_path, with_metadata(forget))
    assert "input 3" in message or "too many" in message
