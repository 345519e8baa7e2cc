"""What a graph does with its gates, found without believing its metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.topology import read_graph, trace_gates
from dyncp.errors import UserError
from tests.convert.built import Built, edited, index_of, operator


def test_output_gates_close_rows_of_down(output: Built) -> None:
    gates = trace_gates(read_graph(output.tflite))
    assert list(gates) == ["gate0_logits", "gate1_logits"]
    for block, gate in enumerate(gates.values()):
        assert gate.closes == [(f"block{block}.down", "output")]
        assert gate.channel_gate.tolist() == list(range(16))


def test_hidden_gates_close_rows_channels_and_columns(hidden: Built) -> None:
    gates = trace_gates(read_graph(hidden.tflite))
    assert gates["gate1_logits"].channel_gate.tolist() == [c // 8 for c in range(32)]
    assert sorted(gates["gate1_logits"].closes) == [
        ("block1.depthwise", "channel"), ("block1.down", "input"), ("block1.up", "output"),
    ]  # fmt: skip


def test_a_static_graph_has_none(static: Built) -> None:
    assert trace_gates(read_graph(static.tflite)) == {}


def test_layers_and_ends_have_names(output: Built) -> None:
    graph = read_graph(output.tflite)
    assert [graph.name(i) for i in graph.inputs][:2] == ["features", "taps0_in"]
    givers = {graph.name(op.output): graph.layer(op) for op in graph.operators}
    assert givers["gate1_logits"] == "block1.score"
    assert givers["pool1_out"] is None  # an addition is no layer
    assert graph.layer(None) is None
    assert list(graph.metadata) == ["sluice"]


def rewire(kind: str, given: str, place: int, source: str) -> Any:
    """One input of one operator taken from another tensor."""

    def edit(model: Any) -> None:
        found = operator(model, kind, given)
        inputs = found.inputs.copy()
        inputs[place] = index_of(model, source)
        found.inputs = inputs

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            rewire("SELECT_V2", "block1.update/select_v2", 0, "gate0_logits/open"),
            "gate1_logits is tested, but closes nothing",
        ),
        (
            rewire("SELECT_V2", "block0.update/select_v2", 0, "gate1_logits/open"),
            "block0.update/select_v2 is selected by no gate test",
        ),
        (
            rewire("SELECT_V2", "block1.update/select_v2", 1, "back.input"),
            "gate1_logits closes back.input, which no layer gives",
        ),
        (
            rewire("GREATER", "gate1_logits/open", 0, "gate0_logits"),
            "the threshold of gate0_logits is not the zero point",
        ),
        (
            rewire("GREATER", "gate1_logits/open", 1, "gate0_logits/threshold"),
            "the threshold of gate1_logits is not the zero point",
        ),
        (
            rewire("SELECT_V2", "block1.update/select_v2", 2, "block0.update/closed"),
            "what gate1_logits puts in place of block1.down's output is not the zero point",
        ),
        (
            rewire("ADD", "back.input", 1, "block1.update"),
            "the output of block1.down is read beside the gate of gate1_logits",
        ),
    ],
)
def test_a_gate_that_is_wired_wrongly_is_named(
    output: Built, tmp_path: Path, edit: Any, message: str
) -> None:
    graph = read_graph(edited(output.tflite, tmp_path / "x.tflite", edit))
    with pytest.raises(UserError) as error:
        trace_gates(graph)
    assert message in str(error.value)


def test_one_gate_tested_twice_is_named(output: Built, tmp_path: Path) -> None:
    def edit(model: Any) -> None:
        found = operator(model, "GREATER", "gate1_logits/open")
        found.inputs = operator(model, "GREATER", "gate0_logits/open").inputs.copy()

    graph = read_graph(edited(output.tflite, tmp_path / "x.tflite", edit))
    with pytest.raises(UserError, match="gate0_logits is tested twice"):
        trace_gates(graph)


def test_a_gather_along_another_axis_is_named(hidden: Built, tmp_path: Path) -> None:
    def edit(model: Any) -> None:
        operator(model, "GATHER", "gate1_logits/gather").builtinOptions.axis = 1

    graph = read_graph(edited(hidden.tflite, tmp_path / "x.tflite", edit))
    with pytest.raises(UserError, match="gate1_logits is gathered along another axis"):
        trace_gates(graph)


def test_a_hidden_state_that_is_not_gated_is_named(hidden: Built, tmp_path: Path) -> None:
    """The state would carry what a closed channel must not have."""

    def edit(model: Any) -> None:
        graph = model.subgraphs[0]
        raw, gated = index_of(model, "block0.hidden"), index_of(model, "taps0_out")
        graph.tensors[raw].name, graph.tensors[gated].name = b"taps0_out", b"block0.hidden"
        graph.outputs = np.where(graph.outputs == gated, raw, graph.outputs).astype(np.int32)

    graph = read_graph(edited(hidden.tflite, tmp_path / "x.tflite", edit))
    with pytest.raises(UserError, match=r"the output of block0\.up is read beside the gate"):
        trace_gates(graph)


def test_two_subgraphs_are_none_of_ours(output: Built, tmp_path: Path) -> None:
    def edit(model: Any) -> None:
        model.subgraphs = model.subgraphs * 2

    with pytest.raises(UserError, match=r"x\.tflite has 2 subgraphs, not one"):
        read_graph(edited(output.tflite, tmp_path / "x.tflite", edit))


def test_a_missing_or_foreign_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such model"):
        read_graph(tmp_path / "none.tflite")
    with pytest.raises(UserError, match="no such model"):
        read_graph(tmp_path)
    (tmp_path / "x.tflite").write_bytes(b"RIFF....WAVE")
    with pytest.raises(UserError, match=r"x\.tflite is not a \.tflite file"):
        read_graph(tmp_path / "x.tflite")
