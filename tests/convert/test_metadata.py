"""The metadata says of a network what docs/contracts.md promises that it says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from convert.metadata import deployed_preset, describe, encode, gate_entries, state_entries
from dyncp.errors import UserError
from dyncp.preset import Preset
from quantize.model import QuantizedModel
from tests.conftest import tiny_preset
from tests.quantize.models import tiny_model


@pytest.fixture(scope="module")
def model() -> QuantizedModel:
    return tiny_model(tiny_preset())


def test_the_entry_is_that_of_the_contract(model: QuantizedModel) -> None:
    entry = json.loads(encode(describe(model)).decode("utf-8"))
    assert list(entry) == ["format", "model_hash", "preset", "gates", "states", "probes"]
    assert entry["format"] == 1
    assert entry["model_hash"] == model.model_hash
    assert entry["preset"]["name"] == "tiny-output-1-5"
    assert entry["preset"]["network"] == {
        "channels": 16, "hidden": 32, "stacks": 1, "dilations": [1, 2],
    }  # fmt: skip
    assert entry["gates"] == [
        {
            "logits": f"gate{block}_logits",
            "site": "output",
            "group": 1,
            "channels": 16,
            "closes": [{"layer": f"block{block}.down", "axis": "output"}],
        }
        for block in (0, 1)
    ]
    assert entry["states"] == [
        {"input": "taps0_in", "output": "taps0_out", "reads": [2, 1]},
        {"input": "taps1_in", "output": "taps1_out", "reads": [4, 2]},
        {"input": "pool0_in", "output": "pool0_out", "reads": [4, 3, 2, 1]},
        {"input": "pool1_in", "output": "pool1_out", "reads": [4, 3, 2, 1]},
    ]
    (probe,) = entry["probes"]
    assert probe == {
        "name": "vad",
        "weights": model.probes[0].weights.tolist(),
        "bias": model.probes[0].bias,
        "scale": model.probes[0].scale,
    }


def test_hidden_gates_close_rows_channels_and_columns() -> None:
    first, second = gate_entries(tiny_preset("hidden", 8, 1))
    assert (first["group"], first["channels"]) == (8, 32)
    assert second["closes"] == [
        {"layer": "block1.up", "axis": "output"},
        {"layer": "block1.depthwise", "axis": "channel"},
        {"layer": "block1.down", "axis": "input"},
    ]


def test_without_gates_or_average_there_is_less() -> None:
    assert gate_entries(tiny_preset(None)) == []
    for preset in (tiny_preset(None), tiny_preset("hidden", 8, 1)):
        assert [entry["input"] for entry in state_entries(preset)] == ["taps0_in", "taps1_in"]


def test_the_preset_comes_back_but_for_its_training(any_tiny_preset: Preset) -> None:
    values = {"name": any_tiny_preset.name, **any_tiny_preset.architecture()}
    back = deployed_preset(json.loads(json.dumps(values)))
    assert back.name == any_tiny_preset.name
    assert back.architecture() == any_tiny_preset.architecture()
    assert gate_entries(back) == gate_entries(any_tiny_preset)
    assert state_entries(back) == state_entries(any_tiny_preset)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": {"channels": 16}}, r"\[network\] lacks the key 'hidden'"),
        ({"audio": None}, r"section \[audio\] is missing"),
        ({"extra": {}}, r"unknown section \[extra\]"),
    ],
)
def test_a_damaged_preset_is_named(change: dict[str, Any], message: str) -> None:
    preset = tiny_preset()
    with pytest.raises(UserError, match=f"metadata's preset.*{message}"):
        deployed_preset({"name": "x", **preset.architecture(), **change})


@pytest.mark.parametrize("values", [None, 3, [], {}])
def test_no_preset_at_all(values: Any) -> None:
    with pytest.raises(UserError, match="preset is not a table with a name"):
        deployed_preset(values)


def test_equal_entries_have_equal_bytes(model: QuantizedModel) -> None:
    assert encode(describe(model)) == encode(json.loads(encode(describe(model))))
