"""Two runs on one board must wait for each other, and never for a run that has ended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dyncp.errors import UserError
from firmware_bridge.board_lock import BoardLock, lock_folder

HOLD = """
import sys, time
from firmware_bridge.board_lock import BoardLock
lock = BoardLock(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
lock.release()
print("let go", flush=True)
sys.stdin.close()
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@contextmanager
def holder(board: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the board."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, board],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout and process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()


def test_who_waits_is_told_for_whom_and_gets_the_board_when_it_is_free() -> None:
    said: list[str] = []
    with holder("the board") as other:
        assert other.stdin

        def say(text: str) -> None:
            said.append(text)
            other.stdin.close()  # it lets go, and lives on

        with BoardLock("the board", say=say):
            pass
    assert len(said) == 1
    assert said[0].startswith("waiting for the board: held by process ")
    assert f"process {other.pid} (-c the board) since " in said[0]


def test_a_run_that_was_killed_leaves_no_lock() -> None:
    with holder("the board") as other:
        with pytest.raises(UserError):
            BoardLock("the board", wait_seconds=0.0)
        other.kill()
        other.wait()
        BoardLock("the board", wait_seconds=0.0).release()


def test_a_board_that_is_never_let_go_is_an_error_that_names_the_holder() -> None:
    with (
        holder("the board") as other,
        pytest.raises(UserError, match="the board is still held by process") as error,
    ):
        BoardLock("the board", wait_seconds=0.3, say=lambda _: None)
    assert str(other.pid) in str(error.value)
    assert "\n" not in str(error.value)


def test_other_boards_are_free() -> None:
    """Names that are alike on disk are not the same board."""
    with BoardLock("/dev/tty-1", 0.0), BoardLock("/dev/tty/1", 0.0):
        pass


def test_a_program_that_outlives_us_does_not_keep_the_board() -> None:
    """A flash tool that hangs in the background would block the board until the next boot."""
    lock = BoardLock("the board")
    child = subprocess.Popen(["sleep", "600"], close_fds=False)
    try:
        lock.release()
        BoardLock("the board", wait_seconds=0.0).release()
    finally:
        child.kill()
        child.wait()


def test_the_folder_is_for_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lock_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.rmdir()
    folder.symlink_to(tmp_path)  # as somebody else may have left it in a folder for all
    with pytest.raises(UserError, match="belongs to somebody else; set XDG_RUNTIME_DIR"):
        BoardLock("the board")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"cannot make .*nowhere"):
        BoardLock("the board")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert lock_folder() == tmp_path / f"sluice-{os.getuid()}"
