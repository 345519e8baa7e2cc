"""Which port is the board's must never be a guess: the wrong one would be flashed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from serial.tools.list_ports_common import ListPortInfo

from dyncp.errors import UserError
from firmware_bridge import discovery
from firmware_bridge.discovery import find_port, plugged_in
from targets.board import Board, Probe, load_board
from tests.firmware_bridge.conftest import BOARD, EMULATED_BOARDS, run


def port(device: str, usb: str | None = None, number: str | None = None) -> ListPortInfo:
    info = ListPortInfo(device)
    info.description = f"probe at {device}"
    if usb:
        info.vid, info.pid = (int(part, 16) for part in usb.split(":"))
    info.serial_number = number
    return info


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> list[ListPortInfo]:
    """What is plugged in; empty at first."""
    ports: list[ListPortInfo] = []
    monkeypatch.setattr(discovery.list_ports, "comports", lambda: ports)
    return ports


def hardware(*usb: str) -> Board:
    probe = Probe(usb or ("0483:374b",), "pyocd", "stm32f446retx")
    return replace(load_board(BOARD), name="desk", emulator=None, probe=probe)


def test_the_one_port_with_the_boards_ids_is_taken(plugged: list[ListPortInfo]) -> None:
    plugged += [port("/dev/ttyS0"), port("/dev/ttyACM1", "1366:0105", "A"),
                port("/dev/ttyACM0", "0483:374e", "B")]  # fmt: skip
    found = find_port(hardware("0483:374b", "0483:374e"))
    assert (found.device, found.usb, found.serial_number) == ("/dev/ttyACM0", "0483:374e", "B")


def test_of_two_like_boards_the_serial_number_decides(plugged: list[ListPortInfo]) -> None:
    plugged += [port("/dev/ttyACM0", "0483:374b", "A"), port("/dev/ttyACM1", "0483:374b", "B")]
    with pytest.raises(UserError, match="2 ports have USB 0483:374b of desk") as error:
        find_port(hardware())
    for word in ("/dev/ttyACM0", "/dev/ttyACM1", "serial number A", "number B", "--serial-number"):
        assert word in str(error.value)
    assert "\n" not in str(error.value)
    assert find_port(hardware(), "B").device == "/dev/ttyACM1"


@pytest.mark.parametrize("number", [None, "C"])
def test_no_port_of_the_board_names_those_there_are(
    plugged: list[ListPortInfo], number: str | None
) -> None:
    plugged.append(port("/dev/ttyUSB7", "10c4:ea60" if number is None else "0483:374b", "A"))
    with pytest.raises(UserError, match="no port has USB 0483:374b") as error:
        find_port(hardware(), number)
    assert "/dev/ttyUSB7" in str(error.value)
    plugged.clear()
    with pytest.raises(UserError, match="no serial port at all"):
        find_port(hardware(), number)


def test_a_board_without_a_probe_is_not_searched_for() -> None:
    with pytest.raises(UserError, match="has no probe in its file; name the port"):
        find_port(load_board(BOARD))


def test_the_path_that_stays_is_shown(
    plugged: list[ListPortInfo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ttyACM0 is another board after the next boot."""
    device = tmp_path / "ttyACM0"
    device.touch()
    links = tmp_path / "by-id"
    links.mkdir()
    (links / "usb-STM-if02").symlink_to(os.path.relpath(device, links))
    monkeypatch.setattr(discovery, "BY_ID", links)
    plugged.append(port(str(device), "0483:374b", "A"))
    (found,) = plugged_in()
    assert found.persistent == str(links / "usb-STM-if02")
    assert discovery.named_port(found.persistent) == found
    assert discovery.named_port(str(tmp_path / "ttyACM1")) is None


def test_what_can_be_flashed_depends_on_the_tool(
    plugged: list[ListPortInfo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugged.append(port("/dev/ttyACM0", "0483:374b", "A"))
    monkeypatch.setattr(discovery, "board_names", lambda: ["desk"])
    monkeypatch.setattr(discovery, "load_board", lambda _: hardware())
    monkeypatch.setattr(discovery.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    (known,) = discovery.known_boards(plugged_in())
    assert not known.flash_installed
    line = discovery.as_text([known], []).splitlines()[0]
    assert "/dev/ttyACM0, flash with pyocd (not installed)" in line
    (tmp_path / "pyocd").write_text("#!/bin/sh\n")
    (tmp_path / "pyocd").chmod(0o755)
    (known,) = discovery.known_boards(plugged_in())
    assert known.flash_installed
    assert "not installed" not in discovery.as_text([known], [])


def test_the_list_is_there_for_programs_too() -> None:
    result = run("firmware_bridge", "boards", "--json")
    assert result.returncode == 0, result.stderr
    listed = json.loads(result.stdout)
    boards = {board["name"]: board for board in listed["boards"]}
    for name in EMULATED_BOARDS:
        assert boards[name]["emulator"] == "qemu-system-arm"
        assert boards[name]["emulator_installed"] is True
    assert isinstance(listed["ports"], list)


def test_an_emulator_that_is_missing_is_said_in_the_list(tmp_path: Path) -> None:
    result = run("firmware_bridge", "boards", PATH=str(tmp_path))
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in result.stdout.splitlines() if line.startswith(BOARD)]
    assert "qemu-system-arm is not installed" in line
