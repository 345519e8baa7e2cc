"""Flashing: the right tool with the right words, and a board that must then say it runs it.

The tools are small programs on PATH that note their arguments and fail as the real ones do.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from serial.tools.list_ports_common import ListPortInfo

from dyncp.errors import UserError
from firmware_bridge import connect, discovery, flash
from firmware_bridge.board_lock import BoardLock
from firmware_bridge.errors import WrongFirmware
from targets.board import Board, Probe, load_board
from targets.firmware_build import Firmware
from tests.firmware_bridge import fake_board as fake
from tests.firmware_bridge.conftest import BOARD, assert_refused, run
from tests.firmware_bridge.fake_board import FakeBoard
from tests.firmware_bridge.served_board import on_a_pty

PYOCD = Probe(("0483:374b",), "pyocd", "stm32f446retx")
OPENOCD = Probe(("0483:374b",), "openocd", "stm32f4x")
PICOTOOL = Probe(("2e8a:000c",), "picotool")


def board_with(probe: Probe) -> Board:
    return replace(load_board(BOARD), name="desk", emulator=None, probe=probe)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes a tool that notes its arguments, a line each; gives the note's path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(discovery.sys, "executable", str(folder / "python"))

    def make(name: str, body: str = "exit 0") -> Path:
        note = tmp_path / f"{name}.arguments"
        (folder / name).write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{note}"\n{body}\n')
        (folder / name).chmod(0o755)
        return note

    return make


@pytest.fixture
def elf(tmp_path: Path) -> Path:
    """An image as the build leaves it, of the fake board's firmware; its path has a space."""
    folder = tmp_path / "my build"
    folder.mkdir()
    firmware = Firmware("desk", "fake", fake.BUILD_ID, fake.MODEL_HASH, "gcc", (), 1, 1, 1, {}, {})
    (folder / "firmware.json").write_text(json.dumps(vars(firmware)))
    (folder / "firmware.elf").write_bytes(b"\x7fELF")
    return folder / "firmware.elf"


def test_pyocd_neither_waits_for_ever_nor_erases_a_locked_chip(
    tools: Callable[..., Path], elf: Path
) -> None:
    note = tools("pyocd")
    flash.flash(board_with(PYOCD), elf, "SERIAL")
    assert note.read_text().splitlines() == [
        "flash", "-W", "--target", "stm32f446retx", "--uid", "SERIAL", "-O", "auto_unlock=false",
        "--format", "elf", str(elf),
    ]  # fmt: skip
    flash.restart(board_with(PYOCD))
    assert note.read_text().splitlines() == [
        "reset", "-W", "--target", "stm32f446retx", "-O", "auto_unlock=false",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("usb", "interface"),
    [("0483:374b", "stlink"), ("1366:0105", "jlink"), ("2e8a:000c", "cmsis-dap")],
)
def test_openocd_is_told_the_probe_and_a_path_with_spaces(
    tools: Callable[..., Path], elf: Path, usb: str, interface: str
) -> None:
    note = tools("openocd")
    flash.flash(board_with(replace(OPENOCD, usb=(usb,))), elf, "SERIAL")
    assert note.read_text().splitlines() == [
        "-f", f"interface/{interface}.cfg", "-c", "adapter serial {SERIAL}",
        "-f", "target/stm32f4x.cfg", "-c", f"program {{{elf}}} verify reset exit",
    ]  # fmt: skip
    flash.restart(board_with(OPENOCD))
    assert note.read_text().splitlines()[-1] == "init; reset run; exit"


def test_picotool_verifies_and_starts_and_is_not_told_the_probes_number(
    tools: Callable[..., Path], elf: Path
) -> None:
    note = tools("picotool")
    flash.flash(board_with(PICOTOOL), elf, "SERIAL")
    assert note.read_text().splitlines() == ["load", "-v", "-x", "-f", str(elf)]
    flash.restart(board_with(PICOTOOL))
    assert note.read_text().splitlines() == ["reboot", "-f"]


@pytest.mark.parametrize(
    ("probe", "said", "told"),
    [
        (PYOCD, "No connected debug probes\n0001209 E No target device available [load_cmd]",
         "no probe was found: check the cable"),
        (PYOCD, "0000517 W NRF5340 APPROTECT enabled: not automatically unlocking\n"
         "0000520 C No cores were discovered! [__main__]", "the chip is locked"),
        (PYOCD, "0000266 C Target type stm32u575zitx not recognized. Use 'pyocd list --targets' "
         "to see currently available target types. [__main__]", "pyocd pack install"),
        (PYOCD, "0000400 C Error: [Errno 13] Access denied (insufficient permissions)",
         "add the udev rules"),
        (PYOCD, "0000824 C SWD/JTAG communication failure (No ACK) [__main__]",
         "the chip did not answer its probe"),
        (OPENOCD, "Info : clock speed 2000 kHz\nError: open failed\n** OpenOCD init failed **",
         "no probe was found"),
        (OPENOCD, "Error: stm32x device protected\nError: failed erasing sectors 0 to 5\n"
         "** Programming Failed **", "the chip is locked"),
        (OPENOCD, "** Verify Started **\nError: checksum mismatch - attempting binary compare\n"
         "** Verify Failed **", "what was written is not what was read back"),
        (PICOTOOL, "No accessible RP-series devices in BOOTSEL mode were found.",
         "a Pico must be in BOOTSEL mode"),
        (PICOTOOL, "Segmentation fault", "it said: Segmentation fault"),
        (PICOTOOL, "", "it said nothing"),
    ],
)  # fmt: skip
def test_what_a_tool_says_is_told_in_one_line_with_what_to_do(
    tools: Callable[..., Path], elf: Path, probe: Probe, said: str, told: str
) -> None:
    (elf.parent / "said").write_text(said)
    tools(probe.flash_with, f'cat "{elf.parent}/said" >&2\nexit 1')
    with pytest.raises(UserError, match=f"^{probe.flash_with} failed with exit code 1") as error:
        flash.flash(board_with(probe), elf)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    last = [line for line in said.splitlines() if line][-1:]
    assert all(" ".join(line.split()) in str(error.value) for line in last)


def test_a_tool_that_hangs_is_ended_with_all_that_it_started(
    tools: Callable[..., Path], elf: Path, tmp_path: Path
) -> None:
    """Else the next run finds the probe in use, and nobody knows by whom."""
    tools("pyocd", f'echo waiting for a probe\nsleep 600 &\necho $! > "{tmp_path}/child"\nwait')
    with pytest.raises(UserError, match=r"pyocd had not ended after 5 s .*waiting for a probe"):
        flash.flash(board_with(PYOCD), elf, seconds=5.0)
    child = (tmp_path / "child").read_text().strip()
    alive = subprocess.run(["ps", "-o", "stat=", "-p", child], capture_output=True, text=True,
                           check=False)  # fmt: skip
    assert alive.stdout.strip()[:1] in ("", "Z")


@pytest.mark.parametrize("probe", [PYOCD, OPENOCD, PICOTOOL], ids=lambda probe: probe.flash_with)
def test_a_missing_tool_is_named_with_what_installs_it(
    tools: Callable[..., Path], elf: Path, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=f"{probe.flash_with} is not installed; run: ") as error:
        flash.flash(board_with(probe), elf)
    assert flash.INSTALL[probe.flash_with] in str(error.value)


# --- The command: flashed, and then greeted ---


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "load_board", lambda _: board_with(PYOCD))


@pytest.mark.usefixtures("desk")
def test_a_flashed_board_proves_by_its_greeting_what_it_runs(
    tools: Callable[..., Path], elf: Path, fake_board: FakeBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tools("pyocd")
    with on_a_pty(fake_board) as path:
        info = ListPortInfo(path)
        info.vid, info.pid, info.serial_number = 0x0483, 0x374B, "SERIAL"
        monkeypatch.setattr(discovery.list_ports, "comports", lambda: [info])
        firmware, session = connect.flash_board("desk", "auto", elf)
        with session:
            assert session.greeting.build_id == firmware.build_id == fake.BUILD_ID
        BoardLock("usb 0483:374b SERIAL", wait_seconds=0.0).release()
    assert "--uid" in note.read_text().splitlines()
    assert "SERIAL" in note.read_text().splitlines()


@pytest.mark.usefixtures("desk")
def test_a_board_that_runs_another_build_after_all_is_refused_by_name(
    tools: Callable[..., Path], elf: Path, fake_board: FakeBoard
) -> None:
    """A tool that ends well has not always written: that the board says."""
    tools("pyocd")
    values = json.loads(elf.with_suffix(".json").read_text())
    elf.with_suffix(".json").write_text(json.dumps({**values, "build_id": "00" * 16}))
    with (
        on_a_pty(fake_board) as path,
        pytest.raises(WrongFirmware, match=f"runs build {fake.BUILD_ID}, not {'00' * 16}") as error,
    ):
        connect.flash_board("desk", path, elf)
    assert "fake for fake-board" in str(error.value)
    BoardLock(path, wait_seconds=0.0).release()


@pytest.mark.usefixtures("desk")
def test_a_failed_flash_lets_the_board_go(
    tools: Callable[..., Path], elf: Path, fake_board: FakeBoard
) -> None:
    tools("pyocd", "exit 1")
    with on_a_pty(fake_board) as path:
        with pytest.raises(UserError, match="pyocd failed"):
            connect.flash_board("desk", path, elf)
        BoardLock(path, wait_seconds=0.0).release()


@pytest.mark.usefixtures("desk")
def test_the_board_is_ours_until_it_has_been_greeted(
    tools: Callable[..., Path],
    elf: Path,
    fake_board: FakeBoard,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody's run in the middle of it would measure half a firmware."""
    held = tmp_path / "held"
    locks: list[str] = []

    def lock_once(name: str) -> BoardLock:
        locks.append(name)
        return BoardLock(name)

    monkeypatch.setattr(connect, "BoardLock", lock_once)
    lock = 'flock -n "$file" true && echo free || echo held'
    tools("pyocd", f'for file in "{tmp_path}"/sluice/*.lock; do {lock}; done > "{held}"')
    with on_a_pty(fake_board) as path:
        connect.flash_board("desk", path, elf)[1].close()
    assert held.read_text().splitlines() == ["held"]
    assert len(locks) == 1, "it was let go between the writing and the greeting"


@pytest.mark.usefixtures("desk")
def test_an_image_of_another_board_is_not_written(tools: Callable[..., Path], elf: Path) -> None:
    note = tools("pyocd")
    values = json.loads(elf.with_suffix(".json").read_text())
    elf.with_suffix(".json").write_text(json.dumps({**values, "board": "other"}))
    with pytest.raises(UserError, match="was built for other, not for desk"):
        connect.flash_board("desk", "/dev/ttyACM0", elf)
    with pytest.raises(UserError, match="there is no firmware"):
        connect.flash_board("desk", "/dev/ttyACM0", elf.with_name("none.elf"))
    assert not note.exists()


def test_an_emulated_board_is_not_flashed(elf: Path) -> None:
    result = run("firmware_bridge", "flash", "--board", BOARD, "--image", elf)
    assert_refused(result, f"{BOARD} has no probe", "it is emulated")
