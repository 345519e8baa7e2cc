"""``python -m quantize``: the model it should write, or one line and nothing."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dyncp import audio
from dyncp.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from quantize.__main__ import main
from quantize.balance import balance
from quantize.calibrate import quantise_network, round_trained
from quantize.model import load_model
from quantize.qat import trainer
from quantize.qat.trainer import Settings
from tests.conftest import tiny_preset
from tests.quantize.command import assert_refused, run
from tests.quantize.models import mixed_network, probe_of


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    preset = tiny_preset()
    path = tmp_path_factory.mktemp("checkpoint") / "model.pt"
    save_checkpoint(path, Checkpoint(preset, mixed_network(preset), [probe_of(preset)]))
    return path


def test_recordings_calibrate_the_network_of_the_checkpoint(
    checkpoint: Path, tmp_path: Path
) -> None:
    preset = tiny_preset()
    pcm = audio.to_pcm(np.random.default_rng(1).normal(scale=0.1, size=4000))
    wavs = [tmp_path / "first.wav", tmp_path / "second.wav"]
    for wav, part in zip(wavs, (pcm[:3000], pcm[3000:]), strict=True):
        audio.save_wav(wav, part, 16000)
    out = tmp_path / "quantized.npz"
    finished = run(
        main,
        "ptq",
        "--checkpoint",
        checkpoint,
        "--deployed",
        tmp_path / "d.pt",
        "--out",
        out,
        "--wav",
        *wavs,
    )
    assert finished.code == 0
    model = load_model(out)
    assert f": calibrated on 126 frames, by mse, model {model.model_hash[:12]}" in finished.out
    assert "5000 held-out frames" in finished.out
    clips = [audio.features(preset.audio, audio.from_pcm(p)) for p in (pcm[:3000], pcm[3000:])]
    balanced = balance(mixed_network(preset), clips)
    expected = quantise_network(balanced, clips, [probe_of(preset)], compensated=True)
    assert model.model_hash == expected.model_hash
    deployed = load_checkpoint(tmp_path / "d.pt")
    for name, weights in balanced.state_dict().items():
        assert torch.equal(deployed.network.state_dict()[name], weights), name
    assert [probe["name"] for probe in deployed.probes] == ["vad"]
    assert model.preset == preset


def test_a_checkpoint_that_is_missing_cut_or_foreign(checkpoint: Path, tmp_path: Path) -> None:
    arguments = ("--out", tmp_path / "q.npz", "--deployed", tmp_path / "d.pt", "--seconds", "1")
    bad = tmp_path / "bad.pt"
    assert_refused(
        run(main, "ptq", "--checkpoint", bad, *arguments), "no such checkpoint", tmp_path
    )
    data = checkpoint.read_bytes()
    for content in (b"", data[:100], data[: len(data) // 2], data[:-1], b"PK\x03\x04", b"hello"):
        bad.write_bytes(content)
        finished = run(main, "ptq", "--checkpoint", bad, *arguments)
        assert_refused(finished, "is not a checkpoint of this project", tmp_path, "bad.pt")
    torch.save({"format": 99}, bad)
    finished = run(main, "ptq", "--checkpoint", bad, *arguments)
    assert_refused(finished, "checkpoint format 99, expected 1", tmp_path, "bad.pt")


@pytest.mark.parametrize("content", ["missing", "empty", "text", "no samples", "not finite"])
def test_a_recording_that_is_none(checkpoint: Path, tmp_path: Path, content: str) -> None:
    wav = tmp_path / "x.wav"
    if content == "empty":
        wav.write_bytes(b"")
    elif content == "text":
        wav.write_bytes(b"not audio, but long enough to look at")
    elif content == "no samples":
        audio.save_wav(wav, np.zeros(0, np.int16), 16000)
    elif content == "not finite":
        import soundfile

        soundfile.write(wav, np.full(100, np.nan, np.float32), 16000, subtype="FLOAT")
    arguments = (
        "--checkpoint", checkpoint, "--out", tmp_path / "q.npz",
        "--deployed", tmp_path / "d.pt", "--wav", wav,
    )  # fmt: skip
    left = [wav.name] if wav.exists() else []
    assert_refused(run(main, "ptq", *arguments), "x.wav", tmp_path, *left)


def test_a_network_that_diverged(tmp_path: Path) -> None:
    preset = tiny_preset()
    network = mixed_network(preset)
    with torch.no_grad():
        network.front.weight[0] = float("nan")
    save_checkpoint(tmp_path / "nan.pt", Checkpoint(preset, network))
    audio.save_wav(tmp_path / "x.wav", np.ones(100, np.int16), 16000)
    finished = run(
        main, "ptq", "--checkpoint", tmp_path / "nan.pt", "--out", tmp_path / "q.npz",
        "--deployed", tmp_path / "d.pt", "--wav", tmp_path / "x.wav",
    )  # fmt: skip
    assert_refused(finished, "block0.input is not finite", tmp_path, "nan.pt", "x.wav")


@pytest.mark.parametrize("seconds", ["0", "0.5", "-3", "1e9", "nan", "inf"])
def test_an_absurd_length(checkpoint: Path, tmp_path: Path, seconds: str) -> None:
    finished = run(
        main, "ptq", "--checkpoint", checkpoint, "--out", tmp_path / "q.npz",
        "--deployed", tmp_path / "d.pt", f"--seconds={seconds}",
    )  # fmt: skip
    assert_refused(finished, "--seconds must lie in 1..3600", tmp_path)


def test_a_place_that_cannot_be_written(checkpoint: Path, tmp_path: Path) -> None:
    audio.save_wav(tmp_path / "x.wav", np.ones(100, np.int16), 16000)
    (tmp_path / "folder").mkdir()
    common = ("--checkpoint", checkpoint, "--wav", tmp_path / "x.wav")
    good = tmp_path / "out"
    for bad in (tmp_path / "x.wav" / "q", tmp_path / "folder"):
        for out, deployed in ((bad, good), (good, bad)):
            finished = run(main, "ptq", *common, "--out", out, "--deployed", deployed)
            assert_refused(finished, "cannot write", tmp_path, "x.wav", "folder")


def test_the_command_itself_exits_with_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "quantize", "ptq", "--checkpoint", "none.pt",
         "--out", tmp_path / "q.npz", "--deployed", tmp_path / "d.pt"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: no such checkpoint: none.pt\n"
    assert list(tmp_path.iterdir()) == []


def qat_arguments(checkpoint: Path, folder: Path, steps: int = 2) -> list[object]:
    return [
        "qat", "--checkpoint", checkpoint, "--folder", folder / "run", "--steps", steps,
        "--threads", 1, "--wav", folder / "x.wav",
        "--out", folder / "q.npz", "--deployed", folder / "d.pt",
    ]  # fmt: skip


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Batches of a moment, and a recording to calibrate on."""
    settings = functools.partial(Settings, batch=2, crop_seconds=0.4, rate=1e-3)
    monkeypatch.setattr(trainer, "Settings", settings)
    pcm = audio.to_pcm(np.random.default_rng(1).normal(scale=0.1, size=4000))
    audio.save_wav(tmp_path / "x.wav", pcm, 16000)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("site", ["output", None])
def test_training_writes_the_integers_their_float_network_and_what_ships(
    site: str | None, tmp_path: Path
) -> None:
    preset = tiny_preset(site)
    probes = [probe_of(preset)] if preset.gate else []
    start = tmp_path / "start.pt"
    save_checkpoint(start, Checkpoint(preset, mixed_network(preset), probes))
    ship = tmp_path / "ship" / "tiny.pt"
    finished = run(main, *qat_arguments(start, tmp_path), "--ship", ship)
    assert finished.code == 0, finished.err
    model, deployed = load_model(tmp_path / "q.npz"), load_checkpoint(tmp_path / "d.pt")
    assert f"trained for 2 steps, model {model.model_hash[:12]}" in finished.out
    clips = [audio.features(preset.audio, audio.load_wav(tmp_path / "x.wav", 16000))]
    assert round_trained(deployed, clips).model_hash == model.model_hash
    assert len(deployed.probes) == len(model.probes) == len(probes)
    shipped = load_checkpoint(ship, expect=preset)
    assert shipped.grids == deployed.grids
    assert json.loads(ship.with_suffix(".json").read_text()) == shipped.record
    assert shipped.record["settings"]["steps"] == 2
    for name, weights in deployed.network.state_dict().items():
        half = weights.half().float() if weights.is_floating_point() else weights
        assert torch.equal(shipped.network.state_dict()[name], half), name

    # What ships is rounded as it is: calibration would undo what was trained.
    again = run(
        main, "ptq", "--checkpoint", ship, "--wav", tmp_path / "x.wav",
        "--out", tmp_path / "again.npz", "--deployed", tmp_path / "again.pt",
    )  # fmt: skip
    assert again.code == 0, again.err
    assert "on the grids of its training" in again.out
    assert load_model(tmp_path / "again.npz").activations == model.activations
    assert load_checkpoint(tmp_path / "again.pt").grids == deployed.grids


@pytest.mark.usefixtures("short")
def test_stopped_training_exits_as_a_shell_expects_and_goes_on(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = trainer.QatTrainer._train_step

    def signalled(self: trainer.QatTrainer) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGTERM)
        return train(self)

    with monkeypatch.context() as patched:
        patched.setattr(trainer.QatTrainer, "_train_step", signalled)
        stopped = run(main, *qat_arguments(checkpoint, tmp_path))
    assert stopped.code == 143
    assert "stopped at step 1 of 2; saved, the same command goes on" in stopped.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "x.wav"]
    other = run(main, *qat_arguments(checkpoint, tmp_path, steps=3))
    assert_refused(other, "remove that folder to train anew", tmp_path, "run", "x.wav")
    finished = run(main, *qat_arguments(checkpoint, tmp_path))
    assert finished.code == 0, finished.err
    assert "going on at step 1 of 2" in finished.out


@pytest.mark.usefixtures("short")
def test_training_that_cannot_be_written_leaves_no_half(checkpoint: Path, tmp_path: Path) -> None:
    """Of two files neither; nor what ships without its record. The training is kept."""
    (tmp_path / "folder").mkdir()
    good = qat_arguments(checkpoint, tmp_path)
    left = ("folder", "run", "x.wav")
    for name in ("--out", "--deployed"):
        arguments = list(good)
        arguments[good.index(name) + 1] = tmp_path / "folder"
        finished = run(main, *arguments)
        assert finished.code == 2
        assert "cannot write" in finished.err
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(left)
    (tmp_path / "ship.json").mkdir()
    finished = run(main, *good, "--ship", tmp_path / "ship.pt")
    assert finished.code == 2
    assert "cannot write" in finished.err
    assert not (tmp_path / "ship.pt").exists()


@pytest.mark.parametrize("steps", ["0", "-1", "1000001"])
def test_training_of_no_length(checkpoint: Path, tmp_path: Path, steps: str) -> None:
    finished = run(
        main, "qat", "--checkpoint", checkpoint, f"--steps={steps}", "--folder", tmp_path / "run",
        "--out", tmp_path / "q.npz", "--deployed", tmp_path / "d.pt",
    )  # fmt: skip
    assert_refused(finished, f"--steps must lie in 1..1000000, not {steps}", tmp_path)
