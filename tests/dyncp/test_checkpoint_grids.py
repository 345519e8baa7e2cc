"""A checkpoint carries the grids that were trained with it; older ones have none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import dyncp.__main__ as command
from dyncp.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dyncp.errors import UserError
from dyncp.network import GatedConvFSENet
from tests.conftest import tiny_preset, tiny_values, write_toml

GRIDS = {"features": (0.0123456789012345, -128), "mask": (1 / 256, -128), "x": (3e-7, 5)}


def saved(path: Path, half: bool = False) -> Path:
    preset = tiny_preset()
    checkpoint = Checkpoint(preset, GatedConvFSENet(preset), [], {"seed": 1}, dict(GRIDS))
    save_checkpoint(path, checkpoint, half=half)
    return path


@pytest.mark.parametrize("half", [False, True])
def test_grids_come_back_to_the_last_bit(half: bool, tmp_path: Path) -> None:
    """Also beside float16 weights: a scale that moved would be another model."""
    loaded = load_checkpoint(saved(tmp_path / "model.pt", half))
    assert loaded.grids == GRIDS
    assert all(isinstance(zero_point, int) for _, zero_point in loaded.grids.values())


def test_a_checkpoint_from_before_there_were_grids_has_none(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.pt")
    content = torch.load(path, weights_only=True)
    del content["grids"]
    torch.save(content, path)
    assert load_checkpoint(path).grids == {}


@pytest.mark.parametrize("grids", [[1, 2], {"features": 0.1}, {"features": [0.1, "x"]}])
def test_grids_that_are_none_are_one_line(grids: Any, tmp_path: Path) -> None:
    path = saved(tmp_path / "model.pt")
    content = torch.load(path, weights_only=True)
    torch.save({**content, "grids": grids}, path)
    with pytest.raises(UserError, match="is not a checkpoint of this project") as refused:
        load_checkpoint(path)
    assert "\n" not in str(refused.value)


def test_copying_a_checkpoint_to_build_keeps_its_grids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else `make QAT=1` would calibrate, and undo what was trained."""
    source, out = saved(tmp_path / "trained.pt"), tmp_path / "out.pt"
    preset = write_toml(tmp_path / "tiny.toml", tiny_values())
    arguments = ["--preset", str(preset), "--source", str(source), "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["dyncp", "checkpoint", *arguments])
    assert command.main() == 0
    assert load_checkpoint(out).grids == GRIDS
