"""`python -m dyncp probe` and `evaluate` must end in a result or in one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

import dyncp.__main__ as command
from dyncp import quality
from dyncp.checkpoint import Checkpoint, save_checkpoint
from dyncp.network import GatedConvFSENet
from dyncp.probes.features import FEATURES
from tests.dyncp.quick_probes import coarse_preset, quick_probes
from tests.dyncp.test_quality import CLIP


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["dyncp", *map(str, words)])
    try:
        return command.main()
    except SystemExit as stop:  # argparse's own
        assert isinstance(stop.code, int)
        return stop.code


def saved(folder: Path, site: str | None) -> Path:
    torch.manual_seed(1)
    preset = coarse_preset(site)
    save_checkpoint(folder / "model.pt", Checkpoint(preset, GatedConvFSENet(preset)))
    return folder / "model.pt"


@pytest.mark.parametrize("minutes", ["0", "-1", "601", "nan", "inf", "half", ""])
def test_minutes_that_are_none_are_refused(
    minutes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "study.json"
    words = ("--checkpoint", saved(tmp_path, "output"), f"--minutes={minutes}", "--out", out)
    assert run(monkeypatch, "probe", *words) == 2
    error = capsys.readouterr().err
    message = f"argument --minutes: must be a number above 0 and at most 600, not {minutes}"
    assert error.splitlines()[-1].endswith(message)
    assert "Traceback" not in error and not out.exists()


@pytest.mark.parametrize(("site", "sets"), [("hidden", len(FEATURES)), (None, 2)])
def test_a_network_is_studied_with_or_without_gates(
    site: str | None,
    sets: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    """A static network has what gates are compared with, the STFT and its mask."""
    quick_probes(monkeypatch, tmp_path / "cache")
    out = tmp_path / "study.json"
    words = ("--checkpoint", saved(tmp_path, site), "--minutes", 0.01, "--out", out)
    assert run(monkeypatch, "probe", *words) == 0
    assert len(capsys.readouterr().out.splitlines()) == sets + 2
    content = json.loads(out.read_text(), parse_constant=pytest.fail)
    assert content["preset"] == coarse_preset(site).name
    assert len(content["results"]) == 7 * sets
    assert content["minutes"] == pytest.approx(10 / 60, abs=0.01)


def test_evaluate_prints_means_and_writes_every_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(quality, "score_test_split", lambda checkpoint, data: [CLIP, CLIP])
    out = tmp_path / "scores.json"
    words = ("--checkpoint", saved(tmp_path, "output"), "--out", out)
    assert run(monkeypatch, "evaluate", *words) == 0
    assert len(json.loads(out.read_text())["clips"]) == 2
    assert capsys.readouterr().out.splitlines()[1].startswith("hum ")
