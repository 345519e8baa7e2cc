"""A typing error in a preset must be named, not train the wrong network."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dyncp.errors import UserError
from dyncp.network import GatedConvFSENet
from dyncp.preset import PRESET_FOLDER, Preset, load_preset, parse_preset, preset_names
from tests.conftest import TINY, tiny_values


@pytest.mark.parametrize("name", preset_names())
def test_presets_that_ship_are_valid(name: str) -> None:
    preset = load_preset(name)
    assert parse_preset(name, preset.to_dict(), "round trip") == preset


@pytest.mark.parametrize("name", preset_names())
def test_presets_that_ship_build_and_run(name: str) -> None:
    preset = load_preset(name)
    network = GatedConvFSENet(preset).eval()
    mask, logits = network(torch.rand(1, preset.audio.bins, 5))
    assert mask.shape == (1, preset.audio.bins, 5)
    assert [tuple(scores.shape) for scores in logits] == (
        [(1, preset.gates, 5)] * preset.blocks if preset.gate else []
    )


def macs(preset: Preset, utilisation: float) -> float:
    """Multiplications of a frame when that share of the output gates is open."""
    network = GatedConvFSENet(preset)
    dense = sum(p.numel() for p in network.parameters() if p.ndim == 4)
    gated = sum(block.down.weight.numel() for block in network.blocks)
    return dense - (1 - utilisation) * gated


def test_the_narrow_static_preset_costs_what_paper_executes() -> None:
    """Else comparing the two says nothing about choosing channels frame by frame."""
    paper, narrow = load_preset("paper"), load_preset("static-narrow")
    assert paper.gate
    assert macs(narrow, 1.0) == pytest.approx(macs(paper, paper.gate.utilisation), rel=0.02)


def test_the_baselines_are_trained_alike() -> None:
    assert load_preset("static-narrow").training == load_preset("static").training


@pytest.mark.parametrize("baseline", ["static", "static-narrow"])
@pytest.mark.parametrize("gated", ["paper"])
def test_what_refines_a_gated_network_a_baseline_has_too(baseline: str, gated: str) -> None:
    """Else a gain of more steps would be taken for one of gates."""
    longer, refined = load_preset(f"{baseline}-longer"), load_preset(gated).refined()
    assert longer.training.start == baseline
    assert longer.architecture() == load_preset(baseline).architecture()
    alone = {
        "start": None, "teacher": None, "distillation_weight": None, "probe_weight": None,
        "utilisation_ramp_steps": 0,
    }  # fmt: skip
    assert replace(longer.training, **alone) == replace(refined.training, **alone)


def test_presets_that_are_compared_hear_the_same_mixtures() -> None:
    presets = [load_preset(name) for name in preset_names()]
    paper = load_preset("paper")
    heard = {
        (preset.training.seed, preset.training.batch, preset.training.crop_seconds)
        for preset in presets
        if preset.audio == paper.audio and not preset.speaker
    }
    assert len(heard) == 1


def test_unknown_preset_lists_those_there_are() -> None:
    with pytest.raises(UserError, match=r"unknown preset 'papr'.*paper"):
        load_preset("papr")


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("gate", "site", "middle", r"\[gate\] site must be one of output, hidden"),
        ("gate", "group", 3, "group must be 1, 4 or 8"),
        ("gate", "surrogate", "relu", r"\[gate\] surrogate must be one of sigmoid, triangle"),
        ("gate", "goup", 8, "unknown key 'goup'"),
        ("gate", "utilisation", True, r"utilisation must be a number"),
        ("network", "channels", "128", "channels must be an integer"),
        ("network", "channels", 20.0, "channels must be an integer"),
        ("network", "dilations", [], "dilations must be a list"),
        ("network", "dilations", [1, 0], "dilations must lie"),
        ("audio", "hop", 128, "hop must be half"),
        ("audio", "n_fft", 100, "power of two"),
        ("audio", "bins", 30, "bins must be 33, or 32"),
    ],
)
def test_a_wrong_key_is_named(section: str, key: str, value: object, message: str) -> None:
    values = tiny_values()
    values[section][key] = value
    with pytest.raises(UserError, match=message):
        parse_preset("tiny", values, "tiny.toml")


@pytest.mark.parametrize("name", preset_names())
def test_keys_that_a_preset_leaves_out_stay_out_of_its_record(name: str) -> None:
    """Else a run that began before a key was known would be taken for another preset's."""
    text = (PRESET_FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    assert load_preset(name).to_dict() == tomllib.loads(text)


def test_keys_that_may_be_left_out_round_trip() -> None:
    values = tiny_values()
    values["training"].update(
        start="static", teacher="static", distillation_weight=2.0, probe_weight=0.5,
        block_utilisation=[0.4, 0.1], speeds=[9, 10],
    )  # fmt: skip
    values["refinement"] = {"steps": 5, "learning_rate": 1e-3, "speeds": [11]}
    preset = parse_preset("tiny", values, "tiny.toml")
    assert preset.training.block_utilisation == (0.4, 0.1)
    assert preset.to_dict() == values
    assert parse_preset("tiny", preset.to_dict(), "again") == preset


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"start": 3}, r"\[training\] start must be a string"),
        ({"teacher": "static"}, "teacher and distillation_weight go together"),
        ({"distillation_weight": 1.0}, "teacher and distillation_weight go together"),
        ({"teacher": "static", "distillation_weight": 0.0}, "distillation_weight must be positive"),
        ({"block_utilisation": [0.25]}, "block_utilisation has 1 targets for 2 blocks"),
        ({"block_utilisation": [0.5, 0.0]}, r"block_utilisation must lie in \(0, 1\]"),
        ({"block_utilisation": [0.5, 0.3]}, r"the mean 0\.4000, \[gate\] utilisation is 0\.25"),
        ({"block_utilisation": 0.25}, "block_utilisation must be a list of numbers"),
        ({"probe_weight": -1.0}, "probe_weight must be positive"),
        ({"speeds": [4]}, r"\[training\] speeds must lie in 5\.\.20"),
    ],
)
def test_a_wrong_training_key_is_named(training: dict[str, object], message: str) -> None:
    values = tiny_values()
    values["training"].update(training)
    with pytest.raises(UserError, match=message):
        parse_preset("tiny", values, "tiny.toml")


@pytest.mark.parametrize(
    ("refinement", "message"),
    [
        ({"steps": 0}, r"\[refinement\] steps must be >= 1"),
        ({"learning_rate": 0.0}, r"\[refinement\] learning_rate must be positive"),
        ({"utilisation": 1.5}, r"\[refinement\] utilisation must lie in \(0, 1\]"),
        ({"distillation_weight": 1.0}, r"\[refinement\] distillation_weight needs the same key"),
        ({"probe_weight": 0.1}, r"\[refinement\] probe_weight needs the same key"),
        ({"teacher": "static"}, r"\[refinement\] teacher needs one in \[training\]"),
        ({"probe_weight": -0.1}, r"\[refinement\] probe_weight must be positive"),
        ({"speeds": [9, 40]}, r"\[refinement\] speeds must lie in 5\.\.20"),
        ({"speeds": []}, r"\[refinement\] speeds must be a list of integers"),
        ({"batch": 3}, r"\[refinement\] has an unknown key 'batch'"),
    ],
)
def test_a_wrong_refinement_key_is_named(refinement: dict[str, object], message: str) -> None:
    values = tiny_values()
    values["refinement"] = {"steps": 4, "learning_rate": 1e-3} | refinement
    with pytest.raises(UserError, match=message):
        parse_preset("tiny", values, "tiny.toml")


def test_a_refinement_has_one_target_for_all_blocks_and_gates_to_hold_to_it() -> None:
    values = tiny_values()
    values["refinement"] = {"steps": 4, "learning_rate": 1e-3, "utilisation": 0.3}
    values["training"]["block_utilisation"] = [0.4, 0.1]
    with pytest.raises(UserError, match="one target for all blocks"):
        parse_preset("tiny", values, "tiny.toml")
    del values["training"]["block_utilisation"], values["gate"]
    with pytest.raises(UserError, match=r"utilisation needs a \[gate\]"):
        parse_preset("tiny", values, "tiny.toml")


@pytest.mark.parametrize("key", [{"block_utilisation": [0.2, 0.3]}, {"probe_weight": 1.0}])
def test_keys_about_gates_need_gates(key: dict[str, object]) -> None:
    values = tiny_values()
    del values["gate"]
    values["training"].update(key)
    with pytest.raises(UserError, match=rf"{next(iter(key))} needs a \[gate\]"):
        parse_preset("tiny", values, "tiny.toml")


@pytest.mark.parametrize("section", [s for s in TINY if s != "gate"])
def test_a_missing_section_or_key_is_named(section: str) -> None:
    values = tiny_values()
    key = next(iter(values[section]))
    del values[section][key]
    with pytest.raises(UserError, match=rf"\[{section}\] lacks the key '{key}'"):
        parse_preset("tiny", values, "tiny.toml")
    del values[section]
    with pytest.raises(UserError, match=rf"section \[{section}\] is missing"):
        parse_preset("tiny", values, "tiny.toml")


def test_a_group_must_divide_the_gated_channels() -> None:
    values = tiny_values(group=8)
    values["network"]["channels"] = 12
    with pytest.raises(UserError, match="group 8 does not divide the 12 gated channels"):
        parse_preset("tiny", values, "tiny.toml")


def test_broken_toml_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[audio\n")
    with pytest.raises(UserError, match="not valid TOML") as error:
        load_preset(str(path))
    assert "\n" not in str(error.value)
