"""An emulator must end with its session, whatever happens, and say why it could not start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dyncp.errors import UserError
from firmware_bridge.emulator import EmulatorTransport
from firmware_bridge.errors import LinkError
from firmware_bridge.session import Board
from targets.board import Emulator, load_board
from tests.firmware_bridge.conftest import BOARD, EMULATED_BOARDS, Built, run


def runs(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.is_file() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_it_ends_with_the_session(built: Built) -> None:
    transport = EmulatorTransport(load_board(BOARD), built.firmware)
    assert runs(transport.pid)
    with Board(transport):
        pass
    assert not runs(transport.pid)
    transport.close()  # again


def test_it_ends_with_an_error_in_the_session(built: Built) -> None:
    transport = EmulatorTransport(load_board(BOARD), built.firmware)
    with pytest.raises(ZeroDivisionError), Board(transport):
        raise ZeroDivisionError
    assert not runs(transport.pid)


def test_it_ends_when_the_board_runs_other_firmware(built: Built) -> None:
    transport = EmulatorTransport(load_board(BOARD), built.firmware)
    with pytest.raises(LinkError, match="runs build"):
        Board(transport, build_id="00" * 16)
    assert not runs(transport.pid)


def test_two_emulators_do_not_meet(built: Built) -> None:
    pcm = built.pcm(0.1)[: built.preset.audio.hop]
    with built.session() as first, built.session() as second:
        first.process_hop(pcm)
        assert first.stats().requests == second.stats().requests + 1


def test_firmware_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no firmware .*build it with"):
        EmulatorTransport(load_board(BOARD), tmp_path / "firmware.elf")


def test_a_board_without_an_emulator(built: Built) -> None:
    board = replace(load_board(BOARD), emulator=None)
    with pytest.raises(UserError, match=r"has no emulator; give the port"):
        EmulatorTransport(board, built.firmware)


def test_a_machine_that_the_emulator_does_not_know_is_told_in_its_words(built: Built) -> None:
    board = replace(load_board(BOARD), emulator=Emulator("no-such-machine", 7))
    with pytest.raises(LinkError, match="machine") as error:
        Board(EmulatorTransport(board, built.firmware))
    assert "\n" not in str(error.value)


def test_a_missing_emulator_names_its_package(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"qemu-system-arm is not installed; run: .*apt-get"):
        EmulatorTransport(load_board(BOARD), built.firmware)


def test_every_emulated_board_is_listed() -> None:
    """Who has read no manual finds out what BOARD= may be."""
    result = run("firmware_bridge", "boards")
    assert result.returncode == 0, result.stderr
    listed = [line.split()[:2] for line in result.stdout.splitlines()]
    for name in EMULATED_BOARDS:
        assert [name, "emulated"] in listed
