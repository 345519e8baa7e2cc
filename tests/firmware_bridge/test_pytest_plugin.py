"""The plugin as others use it: an installed entry point, a folder of theirs, a test of theirs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from targets.board import BOARD_FOLDER, load_board
from targets.firmware_build import ModelSources, build_image
from tests.firmware_bridge.conftest import BOARD, COMMAND_SECONDS
from tests.firmware_bridge.test_emulator import runs

ROOT = Path(__file__).parents[2]
SOURCES = Path(__file__).parent / "port_firmware"

THEIRS = """
import os, signal, sys
import numpy as np
import pytest

@pytest.fixture
def pid(board_connection, board):
    pid = board_connection._transport.pid
    with open("pids", "a") as file:
        print(pid, file=file)
    return pid

def loop(board):
    return board.process_hop(np.array([0, 5, 0, 0], np.int16)).counters.ticks

def test_it_answers(board, pid):
    assert loop(board) > 0
    assert "torch" not in sys.modules and "tensorflow" not in sys.modules

def test_the_emulator_is_killed(board, pid):
    os.kill(pid, signal.SIGKILL)
    loop(board)

def test_the_next_test_has_a_board_again(board, pid):
    assert loop(board) > 0

def test_a_session_that_is_left_in_the_middle(board, pid):
    next(board.process_hops([np.array([0, 5, 0, 0], np.int16)] * 9))

def test_is_opened_anew(board, pid):
    assert loop(board) > 0

def test_it_is_too_busy_to_answer(board, pid):
    board._link._attempts, board._link._reply_seconds = 2, 1.0
    board.process_hop(np.zeros(4, np.int16))

def test_its_reset_button(board, pid, restart_board):
    from firmware_bridge.errors import BoardRestarted
    restart_board()
    with pytest.raises(BoardRestarted):
        loop(board)
    board.greet_again()
    assert loop(board) > 0
"""


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("port")
    model = ModelSources((SOURCES / "port_enhancer.c",), SOURCES, "port", "00" * 32)
    build_image(model, load_board(BOARD), folder)
    return folder


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder with a test, and the package's entry point as an installer writes it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = tmp_path / "site" / "sluice-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sluice\nVersion: 0.1.0\n")
    lines = [f"{name} = {at}" for name, at in project["entry-points"]["pytest11"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines, ""]))
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "test_theirs.py").write_text(THEIRS)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return folder


def run_theirs(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    path = f"{folder.parent / 'site'}:{ROOT}"
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", *map(str, arguments)],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": path, "XDG_RUNTIME_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )


def outcomes(output: str) -> dict[str, str]:
    """PASSED, FAILED, ERROR by the tests' names."""
    found = re.findall(r"^(PASSED|FAILED|ERROR) test_theirs\.py::(\w+)", output, re.MULTILINE)
    return {name: outcome for outcome, name in found}


def test_a_board_in_somebody_elses_tests(theirs: Path, firmware: Path) -> None:
    logs = theirs / "logs"
    result = run_theirs(theirs, "--board", BOARD, "--firmware", firmware, "--board-log", logs)
    found = outcomes(result.stdout)
    for failed in ("test_the_emulator_is_killed", "test_it_is_too_busy_to_answer"):
        assert found.pop(failed) == "FAILED", result.stdout
    assert len(found) == 5 and set(found.values()) == {"PASSED"}, result.stdout
    first = logs / f"{BOARD}-1.log"
    assert f"every frame is in {first}" in result.stdout
    assert re.search(
        r"LinkTimeout: emulated mps2-an386 gave no intact reply to a HOP in 2 attempts.*"
        r"awaited: the reply to HOP \d+; came: nothing; every frame is in \S+-3\.log",
        result.stdout,
    )
    frames = first.read_text(encoding="utf-8").splitlines()
    assert any("-> HOP" in line for line in frames)
    assert any("<- reply to HOP" in line for line in frames)
    # One for the first two tests, one after the kill, one after what was left in the middle,
    # and one after what was not answered.
    assert sorted(path.name for path in logs.iterdir()) == [
        f"{BOARD}-{n}.log" for n in (1, 2, 3, 4)
    ]
    pids = [int(line) for line in (theirs / "pids").read_text().split()]
    assert len(set(pids)) == 4
    assert not any(runs(pid) for pid in pids)


def test_without_a_board_their_tests_are_skipped_with_the_reason(theirs: Path) -> None:
    result = run_theirs(theirs)
    assert result.returncode == 0, result.stdout
    assert "7 skipped" in result.stdout
    assert "name one with --board" in result.stdout


def test_hardware_is_not_touched_unless_its_port_is_named(theirs: Path, firmware: Path) -> None:
    text = (BOARD_FOLDER / f"{BOARD}.toml").read_text(encoding="utf-8").partition("[emulator]")[0]
    text = text.replace('counts = "instructions"', 'counts = "cycles"')
    desk = theirs / "desk.toml"
    desk.write_text(text + '[probe]\nusb = ["dead:beef"]\nflash_with = "picotool"\n')
    result = run_theirs(theirs, "--board", desk, "--firmware", firmware)
    assert result.returncode == 0, result.stdout
    assert "7 skipped" in result.stdout
    assert "desk is hardware: give --port auto, or the port that it is on" in result.stdout
    values = json.loads((firmware / "firmware.json").read_text())
    (theirs / "firmware.json").write_text(json.dumps({**values, "board": "desk"}))
    (theirs / "firmware.elf").touch()
    result = run_theirs(theirs, "--board", desk, "--firmware", theirs, "--port", "auto")
    assert result.returncode == 1
    assert set(outcomes(result.stdout).values()) == {"ERROR"}
    assert "no port has USB dead:beef of desk" in result.stdout
    assert "Traceback" not in result.stdout


def test_a_board_that_runs_another_build_is_refused(
    theirs: Path, firmware: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "firmware.elf").write_bytes((firmware / "firmware.elf").read_bytes())
    values = json.loads((firmware / "firmware.json").read_text())
    (other / "firmware.json").write_text(json.dumps({**values, "build_id": "00" * 16}))
    result = run_theirs(theirs, "--board", BOARD, "--firmware", other, "-k", "answers")
    assert outcomes(result.stdout) == {"test_it_answers": "ERROR"}
    assert f"runs build {values['build_id']}, not {'00' * 16}" in result.stdout


def test_the_plugin_does_no_harm_where_there_is_no_board(theirs: Path) -> None:
    """It is loaded wherever pytest runs in this environment."""
    (theirs / "test_theirs.py").write_text(
        "import sys\n\ndef test_nothing_of_weight_is_imported():\n"
        "    assert not {'torch', 'numpy', 'serial'} & set(sys.modules)\n"
    )
    result = run_theirs(theirs, "-p", "firmware_bridge.pytest_plugin")  # twice is as once
    assert result.returncode == 0, result.stdout
    assert "1 passed" in result.stdout
