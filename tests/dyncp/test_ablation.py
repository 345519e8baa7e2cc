"""An ablation must change the setting it names, nothing else, and go on where it stopped."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import dyncp.__main__ as command
from dyncp.errors import UserError
from dyncp.preset import load_preset
from dyncp.training.ablation import parse_setting, shortened, variants
from dyncp.training.trainer import Step, Trainer
from tests.conftest import tiny_preset, tiny_values, write_toml


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("gate.surrogate=sigmoid,triangle", ["sigmoid", "triangle"]),
        ("gate.pool_frames=43,9", [43, 9]),
        ("training.learning_rate=1e-3", [1e-3]),
        ("network.dilations=[1,2],[1,2,4]", [[1, 2], [1, 2, 4]]),
        ("training.start=static,3", ["static", 3]),
    ],
)
def test_a_setting_is_read_as_in_a_preset(text: str, values: list[Any]) -> None:
    assert parse_setting(text) == (text.split("=", maxsplit=1)[0], values)


@pytest.mark.parametrize("text", ["surrogate=a", "gate.surrogate", "gate.surrogate=", "a.b.c=1"])
def test_what_is_no_setting_is_named(text: str) -> None:
    with pytest.raises(UserError, match=f"setting '{text}' is not SECTION.KEY"):
        parse_setting(text)


SETTINGS = ["gate.surrogate=sigmoid,triangle", "gate.pool_frames=5,1,3"]


def test_one_setting_is_changed_at_a_time() -> None:
    preset = tiny_preset()
    found = variants(preset, SETTINGS, 6, grid=False)
    assert [variant.changes for variant in found] == [
        (), ("gate.surrogate=triangle",), ("gate.pool_frames=1",), ("gate.pool_frames=3",),
    ]  # fmt: skip
    assert found[0].preset.gate == preset.gate
    changed = found[3].preset.to_dict()
    assert changed["gate"].pop("pool_frames") == 3
    base = found[0].preset.to_dict()
    del base["gate"]["pool_frames"]
    assert changed == base


def test_a_grid_has_every_combination_once() -> None:
    found = variants(tiny_preset(), SETTINGS, 6, grid=True)
    gates = [variant.preset.gate for variant in found]
    assert len({(gate.surrogate, gate.pool_frames) for gate in gates if gate}) == 6 == len(gates)
    assert len({variant.folder for variant in found}) == 6


def test_a_variant_that_is_no_preset_is_named_before_anything_is_trained() -> None:
    with pytest.raises(UserError, match=r"gate.group=3: \[gate\] group must be 1, 4 or 8"):
        variants(tiny_preset(), ["gate.group=4,3"], 6, grid=False)
    with pytest.raises(UserError, match=r"\[gate\] has an unknown key 'goup'"):
        variants(tiny_preset(), ["gate.goup=4"], 6, grid=False)


def test_a_short_run_ramps_up_in_proportion() -> None:
    values = shortened(tiny_preset(), 3)
    assert values["training"]["utilisation_ramp_steps"] == 1
    assert values["training"]["steps"] == values["training"]["validate_every"] == 3


def test_a_refinement_does_not_lengthen_a_short_run() -> None:
    for variant in variants(load_preset("paper"), ["gate.pool_frames=9,43"], 300, grid=False):
        assert variant.preset.total_steps == 300


def test_an_ablation_that_was_stopped_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = write_toml(tmp_path / "tiny.toml", tiny_values())
    step, done = Trainer._train_step, []

    def run(folder: str) -> int:
        done.clear()
        out = tmp_path / f"{folder}.json"
        monkeypatch.setattr(sys, "argv", [
            "dyncp", "ablate", "--preset", str(file), "--settings", SETTINGS[0], "--steps", "3",
            "--threads", "1", "--folder", str(tmp_path / folder), "--out", str(out),
        ])  # fmt: skip
        return command.main()

    def counted(self: Trainer) -> Step:
        done.append(self.step)
        return step(self)

    def stopped(self: Trainer) -> Step:
        if done[-4:] == [0, 1, 2, 0]:  # the second step of the second variant
            os.kill(os.getpid(), signal.SIGINT)
        return counted(self)

    monkeypatch.setattr(Trainer, "_train_step", counted)
    assert run("whole") == 0
    assert done == [0, 1, 2, 0, 1, 2]
    table = capsys.readouterr().out
    monkeypatch.setattr(Trainer, "_train_step", stopped)
    assert run("parts") == 130
    assert not (tmp_path / "parts.json").exists()
    assert "stopped by SIGINT at step 2 of 3" in capsys.readouterr().err
    monkeypatch.setattr(Trainer, "_train_step", counted)
    assert run("parts") == 0
    assert done == [2]
    rows = {}
    for folder in ("whole", "parts"):
        rows[folder] = json.loads((tmp_path / f"{folder}.json").read_text())["rows"]
        for row in rows[folder]:
            assert row.pop("seconds_per_step") > 0
    assert rows["whole"] == rows["parts"]
    plain, triangle = rows["whole"]
    assert plain["loss"] != triangle["loss"]
    assert (plain["variant"], triangle["variant"]) == ("as it is", "gate.surrogate=triangle")
    assert f"{triangle['loss']:.5f}" in table
