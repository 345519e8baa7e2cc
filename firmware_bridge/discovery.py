"""What is plugged in, what is emulated, and which port leads to a board."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from serial.tools import list_ports

from dyncp.errors import UserError
from firmware_bridge.emulator import EMULATOR
from targets.board import Board, board_names, load_board

AUTO = "auto"
"""Stands for the one port that belongs to the board."""

BY_ID = Path("/dev/serial/by-id")


@dataclass(frozen=True)
class Port:
    """A serial port of this machine.

    ``persistent``: a path that stays the same when the board is plugged into another socket
    or in another order; ``usb``: vendor and product, "0483:374b". None where there is none.
    """

    device: str
    description: str
    usb: str | None = None
    serial_number: str | None = None
    persistent: str | None = None

    @property
    def name(self) -> str:
        """For a person who has to choose."""
        number = f", serial number {self.serial_number}" if self.serial_number else ""
        return f"{self.persistent or self.device} ({self.description}{number})"


@dataclass(frozen=True)
class Known:
    """A board and how it can be reached now.

    ``emulator`` and ``flash_with`` are the tools that are needed; whether they are
    installed is beside them.
    """

    name: str
    title: str
    ports: tuple[Port, ...]
    emulator: str | None
    emulator_installed: bool
    flash_with: str | None
    flash_installed: bool


def plugged_in() -> list[Port]:
    """The serial ports of this machine, in the order of their names."""
    persistent = _persistent_paths()
    return [
        Port(
            device=port.device,
            description=port.description or port.device,
            usb=f"{port.vid:04x}:{port.pid:04x}" if port.vid is not None and port.pid else None,
            serial_number=port.serial_number or None,
            persistent=persistent.get(os.path.realpath(port.device)),
        )
        for port in sorted(list_ports.comports(), key=lambda port: str(port.device))
    ]


def known_boards(ports: Sequence[Port]) -> list[Known]:
    """The boards that ship, and which of ``ports`` may be theirs."""
    boards = map(load_board, board_names())
    return [_known(board, ports) for board in boards]


def find_port(board: Board, serial_number: str | None = None) -> Port:
    """The port that the debug probe of ``board`` has brought.

    Raises :class:`UserError` that names the ports there are, if none is the board's or several
    could be. Boards of one maker share their ids, so ``serial_number`` decides.
    """
    if board.probe is None:
        raise UserError(f"board {board.name} has no probe in its file; name the port it is on")
    ports = plugged_in()
    found = [port for port in ports if port.usb in board.probe.usb]
    wanted = f"USB {' or '.join(board.probe.usb)}"
    if serial_number is not None:
        found = [port for port in found if port.serial_number == serial_number]
        wanted += f" and serial number {serial_number}"
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"{len(found)} ports have {wanted} of {board.name}: "
            f"{'; '.join(port.name for port in found)}; choose one with --serial-number, or its "
            "path with --port"
        )
    there = "; ".join(f"{port.name}, USB {port.usb or 'none'}" for port in ports)
    raise UserError(
        f"no port has {wanted} of {board.name}; plugged in: {there or 'no serial port at all'}; "
        "check the cable, or give --port"
    )


def named_port(device: str) -> Port | None:
    """The port of this machine at ``device``, by any of its paths; None if it is none."""
    real = os.path.realpath(device)
    return next((port for port in plugged_in() if os.path.realpath(port.device) == real), None)


def find_program(name: str) -> Path | None:
    """A program on PATH, or one that was installed beside this Python."""
    beside = Path(sys.executable).parent / name
    found = shutil.which(name) or (str(beside) if os.access(beside, os.X_OK) else None)
    return Path(found) if found else None


def as_json(boards: Sequence[Known], ports: Sequence[Port]) -> dict[str, Any]:
    """What ``boards --json`` prints."""
    return {"boards": [asdict(board) for board in boards], "ports": [asdict(p) for p in ports]}


def as_text(boards: Sequence[Known], ports: Sequence[Port]) -> str:
    """A line for each board, then one for each port."""
    lines = [f"{board.name:16s} {_reach(board):58s} {board.title}" for board in boards]
    return "\n".join([*lines, *(f"port {port.name}, USB {port.usb or 'none'}" for port in ports)])


def _known(board: Board, ports: Sequence[Port]) -> Known:
    probe = board.probe
    return Known(
        name=board.name,
        title=board.title,
        ports=tuple(port for port in ports if probe and port.usb in probe.usb),
        emulator=EMULATOR if board.emulator else None,
        emulator_installed=bool(board.emulator and find_program(EMULATOR)),
        flash_with=probe.flash_with if probe else None,
        flash_installed=bool(probe and find_program(probe.flash_with)),
    )


def _reach(board: Known) -> str:
    if board.emulator:
        missing = "" if board.emulator_installed else f", {board.emulator} is not installed"
        return f"emulated{missing}"
    where = ", ".join(port.device for port in board.ports) or "not connected"
    if board.flash_with is None:
        return where
    missing = "" if board.flash_installed else " (not installed)"
    return f"{where}, flash with {board.flash_with}{missing}"


def _persistent_paths() -> dict[str, str]:
    """Of each device that has one, by its real path."""
    try:
        links = sorted(BY_ID.iterdir())
    except OSError:
        return {}
    return {os.path.realpath(link): str(link) for link in links}
