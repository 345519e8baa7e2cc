"""A run that was killed must end where it would have ended; a checkpoint must fit its preset."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import dyncp.__main__ as command
from dyncp.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dyncp.errors import UserError
from dyncp.network import GatedConvFSENet
from dyncp.training.trainer import Trainer
from tests.conftest import tiny_preset
from tests.dyncp.quick_probes import MINUTES, quick_probes


def test_resuming_gives_the_same_weights(tmp_path: Path) -> None:
    preset = tiny_preset()
    whole = Trainer(preset, tmp_path / "whole", threads=1)
    whole.run()
    killed = Trainer(preset, tmp_path / "killed", threads=1)
    while killed.step < preset.training.validate_every:
        killed._train_step()
        killed.step += 1
    killed.history.append(killed.validate())
    killed.save_state()
    killed._train_step()  # lost with the process
    resumed = Trainer(preset, tmp_path / "killed", threads=1)
    assert resumed.resume()
    assert resumed.step == preset.training.validate_every
    resumed.run()
    kept = resumed.folder / "kept.pt"
    save_checkpoint(kept, Checkpoint(preset, resumed.network, record=resumed.record()))
    assert load_checkpoint(kept).record["best"]["step"] <= preset.training.steps
    for name, weight in whole.network.state_dict().items():
        assert torch.equal(weight, resumed.network.state_dict()[name]), name
    assert whole.history == resumed.history


def test_another_preset_does_not_resume(tmp_path: Path) -> None:
    trainer = Trainer(tiny_preset(), tmp_path, threads=1)
    trainer.save_state()
    with pytest.raises(UserError, match="another version of preset"):
        Trainer(tiny_preset(group=4), tmp_path, threads=1).resume()


def test_a_checkpoint_round_trips(tmp_path: Path) -> None:
    preset = tiny_preset()
    network = GatedConvFSENet(preset)
    probe = {"name": "vad", "weights": np.arange(32, dtype=np.float32), "bias": 0.5}
    path = tmp_path / "model.pt"
    save_checkpoint(path, Checkpoint(preset, network, [probe], {"seed": 1}), half=True)
    loaded = load_checkpoint(path, expect=preset)
    assert loaded.preset == preset
    assert loaded.record == {"seed": 1}
    np.testing.assert_array_equal(loaded.probes[0]["weights"], probe["weights"])
    for name, weight in network.state_dict().items():
        torch.testing.assert_close(loaded.network.state_dict()[name], weight, rtol=1e-3, atol=1e-3)


def test_a_checkpoint_of_another_network_is_refused_by_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    save_checkpoint(path, Checkpoint(tiny_preset(), GatedConvFSENet(tiny_preset())))
    with pytest.raises(UserError, match=r"\[gate\] group = 1, preset .* has 4.*make train"):
        load_checkpoint(path, expect=tiny_preset(group=4))


@pytest.mark.parametrize("gated", [True, False])
def test_the_train_command_writes_a_checkpoint_and_how_it_came_to_be(
    gated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = tiny_preset() if gated else tiny_preset(site=None)
    monkeypatch.setattr(command, "load_preset", lambda name: preset)
    quick_probes(monkeypatch, tmp_path / "cache")
    out = tmp_path / "tiny.pt"
    arguments = ["--preset", "tiny", "--folder", str(tmp_path / "run"), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["dyncp", "train", "--threads", "1", *arguments])
    assert command.main() == 0
    checkpoint = load_checkpoint(out, expect=preset)
    record = json.loads(out.with_suffix(".json").read_text())
    assert record == checkpoint.record
    assert record["settings"] == preset.to_dict()
    assert record.get("probe_minutes") == (MINUTES if gated else None)
    names = [probe["name"].partition("/")[0] for probe in checkpoint.probes]
    tasks = ["vad", "gender", *["noise"] * 10, "snr", "si_sdr", "pesq", "f0"]
    assert names == (tasks if gated else [])


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 and then nothing"])
def test_a_broken_checkpoint_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not a checkpoint") as error:
        load_checkpoint(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["example", "--noise", "nope", "--noisy", "x.wav", "--clean", "y.wav"], "unknown noise"),
        (["example", "--seconds", "0", "--noisy", "x.wav", "--clean", "y.wav"], "--seconds must"),
        (["checkpoint", "--preset", "nope", "--out", "x.pt"], "unknown preset 'nope'"),
        (["enhance", "--checkpoint", "x.pt", "--wav", "x.wav", "--out", "y.wav"], "no such check"),
        (["evaluate", "--checkpoint", "x.pt", "--out", "y.json"], "no such checkpoint: x.pt"),
        (["probe", "--checkpoint", "x.pt", "--out", "y.json"], "no such checkpoint: x.pt"),
    ],
)
def test_the_command_line_fails_in_one_line(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dyncp", *arguments],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
