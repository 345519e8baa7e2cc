"""`python -m targets`: bad input ends in one line and exit code 2, and leaves nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from targets.__main__ import main
from targets.board import BOARD_FOLDER, load_board
from targets.firmware_build import build_firmware
from tests.targets.built import Built, edited

ROOT = Path(__file__).parents[2]
COMMANDS = ("compile", "host", "firmware")
NO_TFLITE = {
    "missing": (None, "no such model"),
    "empty": (b"", "is not a .tflite file"),
    "text": (b"[package]\nname = 'no model'\n", "is not a .tflite file"),
    "cut": (b"\x1c\x00\x00\x00TFL3" + b"\x00" * 40, "damaged"),
}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["targets", *map(str, arguments)])
    return main()


def arguments_of(command: str, model: Path, out: Path) -> list[str | Path]:
    board = ["--board", "mps2-an386"] if command == "firmware" else []
    return [command, "--model", model, "--out", out, *board]


def assert_refused(code: int, message: str, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert captured.err.startswith("error: ") and message in captured.err
    assert captured.err.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", NO_TFLITE)
def test_what_is_no_tflite_is_refused(
    command: str,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content, message = NO_TFLITE[kind]
    model, out = tmp_path / "model.tflite", tmp_path / "out"
    if content is not None:
        model.write_bytes(content)
    code = run(monkeypatch, *arguments_of(command, model, out))
    assert_refused(code, message, out, capsys)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_tflite_of_another_making_is_refused(
    command: str,
    static: Built,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without our metadata nobody can say which gate closes what."""

    def no_metadata(model: Any) -> None:
        model.metadata = []

    model = edited(static.tflite, tmp_path / "model.tflite", no_metadata)
    code = run(monkeypatch, *arguments_of(command, model, tmp_path / "out"))
    assert_refused(code, "there is no 'sluice' metadata; make the model", tmp_path / "out", capsys)


def test_an_unknown_board_is_refused(
    static: Built,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    command = ["firmware", "--model", static.tflite, "--out", out, "--board", "arduino"]
    code = run(monkeypatch, *command)
    assert_refused(code, "unknown board 'arduino'; choose one of mps2-an386", out, capsys)


def test_a_folder_that_cannot_be_written_is_refused(
    static: Built,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("not a folder")
    out = tmp_path / "file" / "out"
    for command in COMMANDS:
        code = run(monkeypatch, *arguments_of(command, static.tflite, out))
        assert_refused(code, "cannot write", out, capsys)


def test_the_commands_make_what_they_say(
    hidden: Built,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *arguments_of("compile", hidden.tflite, tmp_path / "c")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [Path(line) for line in lines[:2]] == [
        tmp_path / "c" / "sluice_model.c",
        tmp_path / "c" / "sluice_model.h",
    ]
    assert lines[2:] == hidden.plan.arena.map_lines()
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == [
        "sluice_model.c",
        "sluice_model.h",
    ]
    assert run(monkeypatch, *arguments_of("host", hidden.tflite, tmp_path / "host")) == 0
    assert Path(capsys.readouterr().out.strip()) == tmp_path / "host" / "libsluice.so"
    assert (tmp_path / "host" / "libsluice.so").is_file()
    assert run(monkeypatch, *arguments_of("firmware", hidden.tflite, tmp_path / "board")) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{tmp_path / 'board' / 'firmware.elf'}: {hidden.preset.name} on mps2")
    assert said.count("\n") == 1


def test_the_exit_code_leaves_the_process(tmp_path: Path) -> None:
    """`make` goes by it."""
    command = [sys.executable, "-m", "targets", "compile", "--model", "none", "--out", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: no such model: none\n"


def test_sizes_tell_what_fits_and_what_does_not(
    static: Built,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Who chooses a chip asks all of them; one that is too small must not end the list."""
    board = (BOARD_FOLDER / "netduinoplus2.toml").read_text(encoding="utf-8")
    small = tmp_path / "small.toml"
    small.write_text(board.replace("bytes = 0x10_0000", "bytes = 0x1000"), encoding="utf-8")
    command = ("sizes", "--model", static.tflite, "--board", str(small), "--board", "netduinoplus2")
    assert run(monkeypatch, *command) == 0
    refused, fitting = capsys.readouterr().out.splitlines()
    assert refused.startswith("small ") and "memory.flash has 4096 bytes, " in refused
    firmware = build_firmware(static.tflite, load_board("netduinoplus2"), tmp_path / "built")
    ram = firmware.ram_bytes + firmware.stack_bytes
    assert f"flash {firmware.flash_bytes:9,} of 1,048,576 bytes" in fitting
    assert f"RAM {ram:9,} of {131072:9,} bytes ({ram / 131072:6.1%})" in fitting


def test_sizes_of_what_is_no_model_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(monkeypatch, "sizes", "--model", tmp_path / "none.tflite")
    assert_refused(code, "no such model", tmp_path / "nothing", capsys)
