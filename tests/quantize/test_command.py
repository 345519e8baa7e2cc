"""``python -m quantize``: the model it should write, or one line and nothing."""

from __future__ import annotations

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
from quantize.calibrate import quantise_network
from quantize.model import load_model
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
    expected = quantise_network(balanced, clips, [probe_of(preset)])
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
