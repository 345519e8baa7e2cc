"""The measurement is what users come for: complete, honest, and never half-written."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from dyncp.audio import load_wav, save_wav
from targets.board import load_board
from tests.firmware_bridge.conftest import BOARD, Built, assert_refused, run

SECONDS = 3.0


@dataclass(frozen=True)
class Measured:
    """One measurement of the first seconds of the noisy audio."""

    result: subprocess.CompletedProcess[str]
    json: dict[str, Any]
    out: Path
    enhanced: Path


def measure(
    built: Built, folder: Path, wav: Path, clean: Path | None = None, **other: object
) -> subprocess.CompletedProcess[str]:
    options: dict[str, object] = {
        "board": BOARD,
        "firmware": built.firmware,
        "model": built.model,
        "checkpoint": built.checkpoint,
        "wav": wav,
        "enhanced": folder / "enhanced.wav",
        "out": folder / "measurement.json",
        **({"clean": clean} if clean else {}),
        **other,
    }
    flags = [part for key, value in options.items() for part in (f"--{key}", value)]
    return run("firmware_bridge", "measure", *flags)


def cut(path: Path, out: Path, seconds: float) -> Path:
    save_wav(out, load_wav(path, 16000)[: int(seconds * 16000)], 16000)
    return out


@pytest.fixture(scope="module")
def measured(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    folder = tmp_path_factory.mktemp("measured")
    wav = cut(built.noisy, folder / "noisy.wav", SECONDS)
    clean = cut(built.clean, folder / "clean.wav", SECONDS)
    result = measure(built, folder, wav, clean)
    assert result.returncode == 0, result.stderr
    out = folder / "measurement.json"
    return Measured(result, json.loads(out.read_text()), out, folder / "enhanced.wav")


def test_board_and_host_agree_on_the_work(measured: Measured) -> None:
    for figure in ("macs", "weight_bytes"):
        assert measured.json[figure]["host_agrees"] is True
        assert measured.json[figure]["executed"] < measured.json[figure]["dense"]
    assert measured.json["macs"]["dense"] == 699_392  # the published shape's own count


def test_the_counter_and_its_clock_stand_beside_the_figures(measured: Measured) -> None:
    """A count is worth nothing to who does not know of what."""
    board, clock = measured.json["board"], load_board(BOARD).clock
    assert (board["counter"], board["tick_hz"]) == ("SysTick", clock.tick_hz)
    assert measured.json["work"]["unit"] == "instructions"
    shown = run("firmware_bridge", "report", measured.out)
    assert "counted by SysTick at 25 MHz" in shown.stdout


def test_the_enhanced_audio_is_as_long_as_the_noisy(measured: Measured) -> None:
    samples, rate = soundfile.read(measured.enhanced, dtype="int16")
    assert (len(samples), rate) == (SECONDS * 16000, 16000)
    assert np.abs(samples).max() > 0


def test_the_board_sounds_like_the_float_network(measured: Measured) -> None:
    """A scaled or delayed output would show in SI-SDR or PESQ."""
    quality = measured.json["quality"]
    assert set(quality) == {"noisy", "float", "board"}
    assert abs(quality["board"]["si_sdr"] - quality["float"]["si_sdr"]) < 0.5
    assert abs(quality["board"]["pesq"] - quality["float"]["pesq"]) < 0.1
    assert quality["board"]["si_sdr"] > quality["noisy"]["si_sdr"]


def test_instructions_are_called_instructions(measured: Measured) -> None:
    """Nobody has run silicon: an emulator's counts must not be sold as cycles."""
    work = measured.json["work"]
    assert work["unit"] == "instructions"
    assert measured.json["board"]["emulated"] is True
    frame = work["frame"]
    assert 0 < frame["p50"] <= frame["p95"] <= frame["max"]
    assert work["network"]["max"] < frame["max"]


def test_voice_activity_is_scored_against_the_reference(measured: Measured) -> None:
    vad = measured.json["vad"]
    assert 0.5 <= vad["majority"] <= 1.0
    assert 0.0 <= vad["accuracy"] <= 1.0


def test_the_stack_never_came_near_its_end(measured: Measured) -> None:
    memory = measured.json["memory"]
    assert 0 < memory["stack_used_bytes"] < memory["stack_bytes"] / 2


def test_the_report_has_every_table(measured: Measured) -> None:
    result = run("firmware_bridge", "report", measured.out)
    assert result.returncode == 0, result.stderr
    for words in (
        "PESQ (wb)", "board and host agree", "instructions", "stack high-water",
        "Voice activity from the masks, computed on the board", "block8",
    ):  # fmt: skip
        assert words in result.stdout


def test_without_a_reference_nothing_is_scored(built: Built, tmp_path: Path) -> None:
    wav = cut(built.noisy, tmp_path / "noisy.wav", 0.2)
    assert measure(built, tmp_path, wav).returncode == 0
    content = json.loads((tmp_path / "measurement.json").read_text())
    assert content["quality"] is None
    assert content["vad"]["accuracy"] is None
    report = run("firmware_bridge", "report", tmp_path / "measurement.json")
    assert "No clean reference" in report.stdout


def test_another_rate_and_two_channels_are_converted_and_said(built: Built, tmp_path: Path) -> None:
    wav = tmp_path / "stereo.wav"
    noise = np.random.default_rng(0).normal(scale=0.05, size=(8820, 2))
    soundfile.write(wav, noise, 44100)
    result = measure(built, tmp_path, wav)
    assert result.returncode == 0, result.stderr
    assert "2 channels mixed down to mono" in result.stderr
    assert "resampled from 44100 Hz to 16000 Hz" in result.stderr
    samples, rate = soundfile.read(tmp_path / "enhanced.wav")
    assert (len(samples), rate) == (3200, 16000)


def bad_audio(kind: str, path: Path) -> None:
    if kind == "missing":
        return
    soundfile.write(path, np.zeros(1600), 16000)
    whole = path.read_bytes()
    content = {"empty": b"", "truncated": whole[: len(whole) // 2], "text": b"not audio at all\n"}
    path.write_bytes(content[kind])


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "no such audio file"),
        ("empty", "is empty"),
        ("truncated", "is truncated"),
        ("text", "is not an audio file"),
    ],
)
def test_bad_audio_is_one_line_and_leaves_nothing(
    built: Built, tmp_path: Path, kind: str, words: str
) -> None:
    wav = tmp_path / "bad.wav"
    bad_audio(kind, wav)
    result = measure(built, tmp_path, wav)
    assert_refused(result, str(wav), words)
    assert {path.name for path in tmp_path.iterdir()} <= {"bad.wav"}


def test_a_reference_of_another_length_is_refused(built: Built, tmp_path: Path) -> None:
    wav = cut(built.noisy, tmp_path / "noisy.wav", 0.2)
    clean = cut(built.clean, tmp_path / "clean.wav", 0.3)
    result = measure(built, tmp_path, wav, clean)
    assert_refused(result, "4800 samples", "3200", "as long as")
    assert not (tmp_path / "measurement.json").exists()


def test_an_unknown_board_is_refused(built: Built, tmp_path: Path) -> None:
    result = measure(built, tmp_path, built.noisy, board="nucleo-nowhere")
    assert_refused(result, "unknown board 'nucleo-nowhere'", BOARD)


def test_a_folder_that_cannot_be_written_is_one_line(built: Built, tmp_path: Path) -> None:
    wav = cut(built.noisy, tmp_path / "noisy.wav", 0.1)
    (tmp_path / "file").touch()
    result = measure(built, tmp_path, wav, enhanced=tmp_path / "file" / "enhanced.wav")
    assert_refused(result, "cannot write")


@pytest.mark.parametrize("content", [None, "", "[]", '{"format": 99}'])
def test_a_report_of_nothing_is_one_line(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "measurement.json"
    if content is not None:
        path.write_text(content)
    assert_refused(run("firmware_bridge", "report", path), str(path), "make measure")
