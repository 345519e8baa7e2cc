"""`python -m dyncp.personal`: what is wrong is one line and exit code 2, nothing half-done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dyncp.audio import save_wav
from dyncp.embedding import load_embedding
from dyncp.personal import __main__ as command
from dyncp.personal import scores, settings
from dyncp.personal.checkpoints import load_encoder
from dyncp.personal.scenes import SceneSource
from dyncp.personal.speaker_encoder import embed

ROOT = Path(__file__).parents[3]
DIMENSIONS = settings.encoder_settings()[1]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The line that a command ends with."""
    assert command.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    return line


def wav(path: Path, samples: np.ndarray, rate: int = 16000) -> Path:
    save_wav(path, samples, rate)
    return path


def test_an_enrolled_speaker_is_one_that_a_network_takes(
    tmp_path: Path, unseen: SceneSource
) -> None:
    """The whole command, as it is typed."""
    recording = unseen.enrolment(2)
    path, out = wav(tmp_path / "anna.wav", recording), tmp_path / "new" / "anna.json"
    done = subprocess.run(
        [sys.executable, "-m", "dyncp.personal", "enrol", "--wav", str(path),
         "--speaker", "Anna", "--out", str(out)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seconds = len(recording) / 16000
    assert done.stdout == f"wrote {out}: Anna, by {seconds:.1f} s\n" and done.stderr == ""
    embedding = load_embedding(out, DIMENSIONS)
    own = [embed(load_encoder(), unseen.enrolment(v)).astype(float) for v in (2, 5)]
    assert embedding @ own[0] > 2 * (embedding @ own[1])
    assert np.abs(embedding - own[0]).max() <= 2  # 16 bits of the WAV


@pytest.mark.parametrize(
    ("seconds", "amplitude", "message"),
    [
        (1.0, 0.1, "is 1.0 s long; an enrolment takes 2 s of the speaker alone"),
        (3.0, 0.0, "is silent; an enrolment takes the speaker's voice"),
    ],
    ids=["short", "silent"],
)
def test_a_recording_that_says_too_little_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    seconds: float,
    amplitude: float,
    message: str,
) -> None:
    tone = amplitude * np.sin(np.arange(int(16000 * seconds)) / 9)
    path, out = wav(tmp_path / "me.wav", tone), tmp_path / "me.json"
    line = refused(["enrol", "--wav", str(path), "--out", str(out)], capsys)
    assert line == f"error: {path} {message}"
    assert not out.exists()


def test_a_shorter_recording_is_taken_where_it_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = wav(tmp_path / "me.wav", 0.1 * np.sin(np.arange(16000) / 9))
    out = tmp_path / "me.json"
    arguments = ["enrol", "--wav", str(path), "--out", str(out), "--at-least", "0.5"]
    assert command.main(arguments) == 0
    assert "speaker, by 1.0 s" in capsys.readouterr().out
    assert load_embedding(out, DIMENSIONS).any()


def test_a_recording_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "me.json"
    line = refused(["enrol", "--wav", "nobody.wav", "--out", str(out)], capsys)
    assert line == "error: no such audio file: nobody.wav"
    (tmp_path / "notes.wav").write_text("hello, this is no sound")
    line = refused(["enrol", "--wav", str(tmp_path / "notes.wav"), "--out", str(out)], capsys)
    assert "notes.wav" in line and not out.exists()


def test_without_an_encoder_nobody_is_enrolled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unseen: SceneSource
) -> None:
    path = wav(tmp_path / "me.wav", unseen.enrolment(0))
    enrol = ["enrol", "--wav", str(path), "--out", str(tmp_path / "me.json")]
    line = refused(["--shipped", str(tmp_path / "none"), *enrol], capsys)
    assert "no such checkpoint" in line and "encoder.pt" in line
    assert not (tmp_path / "me.json").exists()


@pytest.mark.parametrize("name", ["encoder", "pvad"])
def test_what_has_no_recipes_takes_none(
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for training in ("_train_encoder", "_train_pvad"):  # hours, if it were begun
        monkeypatch.setattr(f"dyncp.personal.train.{training}", None)
    line = refused(["train", name, "--recipe", "S1", "--folder", str(tmp_path / "run")], capsys)
    assert line == f"error: '{name}' has no recipes; leave out --recipe"
    assert not (tmp_path / "run").exists()


def test_an_unknown_recipe_is_named_before_anything_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "e3net", "--recipe", "S9", "--folder", str(tmp_path / "run")]
    line = refused(["--shipped", str(tmp_path), *train], capsys)
    assert line.startswith("error: unknown recipe 'S9'; choose one of stem, B1")
    assert not (tmp_path / "run").exists()


def test_a_recipe_without_its_stem_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(["--shipped", str(tmp_path), "train", "e3net-small", "--recipe", "S1"], capsys)
    assert "no such checkpoint" in line and "encoder.pt" in line


@pytest.mark.parametrize("arguments", [["train", "e4net"], ["train"], ["sing"], []])
def test_names_that_nothing_has_show_the_known_ones(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("python -m dyncp.personal") and "error: " in line


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--networks", "e4net"], "unknown network 'e4net'; choose one of e3net, "),
        (["--networks", "noisy"], "unknown network 'noisy'"),
        (["--recipes", "S9"], "unknown recipe 'S9'"),
        (["--networks", "e3net-small"], "no such checkpoint: "),
        (["--scenes", "0"], "--scenes must be at least 1, --seconds 1 to 60"),
        (["--seconds", "nan"], "--scenes must be at least 1, --seconds 1 to 60"),
        (["--recogniser", "whisper"], "--recogniser must be pocketsphinx or a command"),
        (["--dnsmos", "none.onnx"], "no such DNSMOS model: none.onnx"),
    ],
)
def test_what_cannot_be_scored_is_said_before_anything_is(
    more: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scores, "Exam", None)
    assert message in refused(["--shipped", str(tmp_path), "score", *more], capsys)


@pytest.mark.parametrize("option", ["--scenes", "--test-scenes"])
def test_a_probe_takes_a_scene_at_least(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    probe = ["--shipped", str(tmp_path), "probe", "--recipe", "S1"]
    assert "must be at least 1" in refused([*probe, option, "0"], capsys)
    assert "no such checkpoint" in refused(probe, capsys)
