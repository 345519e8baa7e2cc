"""The board must be the network that was trained and quantised, byte for byte, on real audio."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from convert.ladder import FrameSequence, climb
from convert.rungs import IntegerRung
from dyncp import audio
from quantize.arithmetic import quantise
from quantize.model import QuantizedModel, load_model
from tests.firmware_bridge.conftest import (
    BOARD,
    COMMAND_SECONDS,
    EMULATED_BOARDS,
    Built,
    assert_refused,
    run,
)

DESKTOP = {
    "integer model",
    "tflite-runtime, reference kernels",
    "ai-edge-litert, reference kernels",
    "tensorflow, reference kernels",
    "C on the host",
    "C on the host, sanitised",
}
ON_BOARD = f"C on {BOARD}"
SLOW_TO_IMPORT = ("tensorflow", "tflite-runtime", "ai-edge-litert")
Boards = Sequence[tuple[str, Path]]


def parity_command(
    built: Built, out: Path, frames: int, *more: object, boards: Boards | None = None
) -> list[str]:
    if boards is None:
        boards = [(BOARD, built.firmware)]
    pairs = [word for name, elf in boards for word in ("--board", name, "--firmware", elf)]
    words = [
        sys.executable, "-m", "firmware_bridge", "parity", *pairs, "--model", built.model,
        "--checkpoint", built.checkpoint, "--quantized", built.quantized,
        "--onnx", built.onnx, "--library", built.library, "--sanitised", built.sanitised,
        "--wav", built.stream, "--frames", frames, "--out", out, *more,
    ]  # fmt: skip
    return [str(word) for word in words]


def parity(
    built: Built,
    out: Path,
    frames: int,
    *more: object,
    boards: Boards | None = None,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    command = parity_command(built, out, frames, *more, boards=boards)
    return run(*command[2:], **environment)


def report_at(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report, and its rungs by name."""
    report = json.loads(path.read_text(encoding="utf-8"))
    return report, {rung["name"]: rung for rung in report["rungs"]}


def assert_all_equal(built: Built, path: Path, names: set[str], frames: int) -> None:
    """Every exact rung that was wanted, no other, and in every value of every frame."""
    report, rungs = report_at(path)
    exact = {name: rung for name, rung in rungs.items() if rung["exact"]}
    assert set(exact) == names
    preset = built.preset
    values_a_frame = preset.audio.bins + preset.blocks * (
        preset.gates + preset.gated_channels + preset.network.hidden + preset.network.channels
    )
    values_a_frame += len(load_model(built.quantized).probes)
    adversarial = [sequence for sequence in report["sequences"] if sequence["adversarial"]]
    total = frames + sum(sequence["frames"] for sequence in adversarial)
    assert len(adversarial) == 8 and report["frames"] == frames
    for rung in exact.values():
        assert (rung["error"], rung["mismatches"]) == (None, 0), rung
        assert rung["frames"] == total
        assert rung["values"] == total * values_a_frame
    assert report["passed"] is True


def test_every_rung_is_equal_over_1000_frames_of_audio_and_adversarial_ones(
    built: Built, tmp_path: Path
) -> None:
    result = parity(built, tmp_path / "parity.json", 1000)
    assert result.returncode == 0, result.stdout + result.stderr
    assert_all_equal(built, tmp_path / "parity.json", DESKTOP | {ON_BOARD}, 1000)
    report, rungs = report_at(tmp_path / "parity.json")
    (audio_case,) = report["beside"]
    assert audio_case["passed"] is True
    assert audio_case["message"].startswith("equal, 0 of 128,256 samples differ")
    assert report["reference"] == "float, torch"
    assert rungs["float, ONNX Runtime"]["gate_agreement"] > 0.999
    assert rungs[ON_BOARD]["gate_agreement"] > 0.98
    assert rungs["ai-edge-litert, optimised kernels"]["kind"] == "optimised"
    assert result.stderr == ""


@pytest.mark.slow
def test_desktop_and_host_are_equal_over_10000_frames(built: Built, tmp_path: Path) -> None:
    """`make parity-nightly` does it on the emulated boards, too."""
    stream = tmp_path / "stream.wav"
    assert run("dyncp", "stream", "--out", stream, "--seconds", 162).returncode == 0
    result = parity(built, tmp_path / "parity.json", 10_000, "--wav", stream, boards=[])
    assert result.returncode == 0, result.stdout + result.stderr
    assert_all_equal(built, tmp_path / "parity.json", DESKTOP, 10_000)


@pytest.mark.slow
def test_every_emulated_core_is_equal(built: Built, tmp_path: Path) -> None:
    """One command climbs to all of them."""
    boards = [(name, tmp_path / name / "firmware.elf") for name in EMULATED_BOARDS]
    for name, elf in boards:
        command = ("firmware", "--model", built.model, "--board", name, "--out", elf.parent)
        assert run("targets", *command).returncode == 0
    result = parity(built, tmp_path / "parity.json", 50, boards=boards)
    assert result.returncode == 0, result.stdout + result.stderr
    names = DESKTOP | {f"C on {name}" for name in EMULATED_BOARDS}
    assert_all_equal(built, tmp_path / "parity.json", names, 50)
    assert len(report_at(tmp_path / "parity.json")[0]["beside"]) == len(boards) == 5


def first_features(built: Built, model: QuantizedModel, frames: int) -> np.ndarray:
    samples = audio.load_wav(built.stream, 16000)[: frames * built.preset.audio.hop]
    grid = model.activations["features"]
    return quantise(audio.features(built.preset.audio, samples).T, grid.scale, grid.zero_point)


def test_one_broken_weight_byte_is_found_on_the_board(built: Built, tmp_path: Path) -> None:
    """The report names the frame, the tensor and the channel that the byte first reaches."""
    frames, layer = 12, "block4.down"
    model = load_model(built.quantized)
    weight = model.layers[layer].weight
    specification = IntegerRung(model)
    gates = [specification.step(f)["gate4_open"] for f in first_features(built, model, frames)]
    channel = int(np.argmax(np.sum(gates, axis=0)))  # a row that runs
    found = None
    for column in range(weight.shape[1]):
        broken = weight.copy()
        broken[channel, column] ^= np.int8(-128)
        changed = dataclasses.replace(model.layers[layer], weight=broken)
        wrong = dataclasses.replace(model, layers={**model.layers, layer: changed})
        rungs = [IntegerRung(model), IntegerRung(wrong)]
        speech = FrameSequence(built.stream.name, first_features(built, model, frames))
        found = climb(rungs, [speech]).rungs[1].first_difference
        if found is not None:
            break
    assert found is not None
    assert (found.layer, found.tensor, found.channel) == (layer, "pool5_out", channel)
    assert found.equal == ("pool4_out", "gate4_open", "taps4_out")

    copy = Built(tmp_path / "copy")
    shutil.copytree(built.folder, copy.folder)
    data, row = bytearray(built.model.read_bytes()), weight.tobytes()
    assert data.count(row) == 1
    data[data.find(row) + channel * weight.shape[1] + column] ^= 0x80
    copy.model.write_bytes(data)
    firmware = ("firmware", "--model", copy.model, "--board", BOARD, "--out", copy.firmware.parent)
    assert run("targets", *firmware).returncode == 0

    result = parity(copy, tmp_path / "parity.json", frames, "--no-adversarial")
    assert result.returncode == 1, result.stderr
    report, rungs_by_name = report_at(tmp_path / "parity.json")
    assert report["passed"] is False
    for name in (ON_BOARD, "ai-edge-litert, reference kernels"):
        located = rungs_by_name[name]["first_difference"]
        assert located == {**dataclasses.asdict(found), "equal": list(found.equal)}
    assert rungs_by_name["C on the host"]["mismatches"] == 0  # it was built before
    assert f"{ON_BOARD} first differs at {found}" in result.stdout
    assert found.explanation() in result.stdout
    suite = ElementTree.parse(tmp_path / "parity.xml").getroot()[0]
    cases = {case.get("name"): case.find("failure") for case in suite}
    failure = cases[f"{ON_BOARD}: {built.stream.name}"]
    assert failure is not None and str(found) in (failure.get("message") or "")


def test_a_missing_emulator_fails_the_ladder_and_is_named(built: Built, tmp_path: Path) -> None:
    """A core that nobody ran must not be taken for one that passed."""
    nowhere = str(tmp_path)
    few = ["--no-adversarial", *(w for name in SLOW_TO_IMPORT for w in ("--without", name))]
    result = parity(built, tmp_path / "parity.json", 5, *few, PATH=nowhere)
    assert result.returncode == 2, result.stdout + result.stderr
    report, rungs = report_at(tmp_path / "parity.json")
    assert "qemu-system-arm is not installed" in rungs[ON_BOARD]["error"]
    assert (rungs[ON_BOARD]["passed"], report["passed"]) == (False, False)
    assert rungs["C on the host, sanitised"]["passed"] is True
    assert report["beside"][0]["passed"] is False
    result = parity(built, tmp_path / "parity.json", 5, *few, "--without", ON_BOARD, PATH=nowhere)
    assert result.returncode == 0, result.stdout + result.stderr
    assert ON_BOARD in report_at(tmp_path / "parity.json")[0]["left_out"]


def children_of(pid: int) -> dict[int, str]:
    """The processes that a process has started, and their names."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return {int(c): Path(f"/proc/{c}/comm").read_text(encoding="utf-8").strip() for c in children}


def test_a_cancelled_climb_leaves_no_emulator_behind(built: Built, tmp_path: Path) -> None:
    """CI servers end a job with SIGTERM."""
    command = parity_command(built, tmp_path / "parity.json", 1000, "--no-adversarial")
    without = [word for name in SLOW_TO_IMPORT for word in ("--without", name)]
    process = subprocess.Popen([*command, *without], stdout=subprocess.DEVNULL)
    emulators: list[int] = []
    while not emulators:
        assert process.poll() is None
        emulators = [c for c, name in children_of(process.pid).items() if "qemu" in name]
        time.sleep(0.05)
    process.terminate()
    assert process.wait(COMMAND_SECONDS) == 128 + signal.SIGTERM
    for emulator in emulators:
        assert not Path(f"/proc/{emulator}").exists()
    assert not (tmp_path / "parity.json").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--board", BOARD), "give a --firmware for each --board: 1 for 2"),
        (("--rung", "nope:nope"), "no such function"),
    ],
)
def test_boards_and_rungs_that_cannot_be(
    built: Built, tmp_path: Path, more: tuple[object, ...], words: str
) -> None:
    result = parity(built, tmp_path / "parity.json", 5, *more)
    assert_refused(result, words)
    assert not (tmp_path / "parity.json").exists()


def test_a_board_that_is_named_twice_is_refused(built: Built, tmp_path: Path) -> None:
    """Two lines of one name could not be told apart in CI."""
    boards = [(BOARD, built.firmware)] * 2
    assert_refused(
        parity(built, tmp_path / "parity.json", 5, boards=boards), "name each board once"
    )


def test_a_port_needs_its_board(built: Built, tmp_path: Path) -> None:
    result = parity(built, tmp_path / "parity.json", 5, "--port", "/dev/null", boards=[])
    assert_refused(result, "--port needs the --board")


def test_other_firmware_is_refused_before_anything_runs(built: Built, tmp_path: Path) -> None:
    copy = Built(tmp_path / "copy")
    shutil.copytree(built.folder, copy.folder)
    figures = copy.firmware.with_suffix(".json")
    values = json.loads(figures.read_text())
    figures.write_text(json.dumps({**values, "model_hash": "00" * 32}))
    result = parity(copy, tmp_path / "parity.json", 5)
    assert_refused(result, "another model", "build it again")
    assert not (tmp_path / "parity.json").exists()


@pytest.mark.parametrize("frames", [0, -3])
def test_a_number_of_frames_must_be_positive(built: Built, tmp_path: Path, frames: int) -> None:
    result = parity(built, tmp_path / "parity.json", frames)
    assert_refused(result, "--frames must be at least 1")
