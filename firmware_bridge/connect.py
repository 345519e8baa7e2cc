"""From what a command line names to an open session: the board, its port, its firmware."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from convert.contract import read_metadata
from convert.metadata import deployed_preset
from dyncp.errors import UserError
from dyncp.preset import Preset
from firmware_bridge import flash
from firmware_bridge.board_lock import BoardLock
from firmware_bridge.discovery import AUTO, Port, find_port, named_port
from firmware_bridge.emulator import EmulatorTransport
from firmware_bridge.frame_log import FrameLog
from firmware_bridge.labgrid_place import SCHEME, Place
from firmware_bridge.session import Board
from firmware_bridge.transport import SerialTransport
from targets.board import Board as Target
from targets.board import load_board
from targets.firmware_build import Firmware, read_firmware


def preset_and_firmware(model: Path, elf: Path, board: str) -> tuple[Preset, Firmware]:
    """What the .tflite ``model`` is, and the image that was built of it for ``board``.

    Raises :class:`UserError` if the image is of another model or board.
    """
    metadata, firmware = read_metadata(model), read_firmware(elf)
    require_app(firmware, elf, "link")
    if metadata["model_hash"] != firmware.model_hash:
        raise UserError(f"{elf} was built from another model than {model}; build it again")
    target = load_board(board)
    if firmware.board != target.name:
        raise UserError(f"{elf} was built for {firmware.board}, not for {target.name}")
    return deployed_preset(metadata["preset"]), firmware


def require_app(firmware: Firmware, elf: Path, app: str) -> None:
    """Raise :class:`UserError` if the image says something else on its port."""
    if firmware.app != app:
        raise UserError(
            f"{elf} was built with --app {firmware.app}, and this needs --app {app}; build it "
            "again (python -m targets firmware)"
        )


@dataclass(frozen=True)
class Address:
    """Where a board is: ``url`` for pyserial, and ``lock``, one name whatever path leads there.

    ``serial_number``: of its debug probe, where that is known. ``place``: of labgrid, to be
    given back.
    """

    url: str
    lock: str
    serial_number: str | None = None
    place: Place | None = None


def find_address(board: Target, port: str, serial_number: str | None = None) -> Address:
    """What ``port`` means: "auto", a device, ``socket://``, ``rfc2217://`` or ``labgrid://PLACE``.

    ``serial_number`` chooses among the ports that "auto" finds. Raises :class:`UserError`.
    """
    if port == AUTO:
        return _address_of(find_port(board, serial_number))
    if serial_number is not None:
        raise UserError(f"--serial-number chooses a port for --port {AUTO}; leave one of them out")
    if port.startswith(SCHEME):
        place = Place(port.removeprefix(SCHEME))
        return Address(place.url, port, place=place)
    known = None if "://" in port else named_port(port)
    if known is not None:
        return _address_of(known, port)
    return Address(port, port if "://" in port else os.path.realpath(port))


def _address_of(port: Port, path: str | None = None) -> Address:
    usb = f"usb {port.usb} {port.serial_number}" if port.serial_number else None
    lock = usb or os.path.realpath(port.device)
    return Address(path or port.device, lock, serial_number=port.serial_number)


class PortTransport(SerialTransport):
    """A board's port, locked against other runs; closing it lets the next run have the board."""

    def __init__(self, board: Target, address: Address, lock: BoardLock | None = None) -> None:
        """``lock``: of the board, where it is held already; it is let go with the port."""
        self.board, self.address = board, address
        with ExitStack() as stack:
            if address.place:
                stack.callback(address.place.release)
            # First the lock: who waits must not disturb the port.
            stack.enter_context(lock or BoardLock(address.lock))
            super().__init__(address.url, board.uart.baud)
            self._held = stack.pop_all()

    def close(self) -> None:
        """Let go of port, lock and place. May be called again."""
        try:
            super().close()
        finally:
            self._held.close()

    def restart(self) -> None:
        """Reset the board by its probe. Raises :class:`UserError` if there is no way to."""
        if self.address.serial_number is None and "://" in self.address.url:
            raise UserError(
                f"{self.name} is no port of this machine, so its probe cannot reset the board"
            )
        flash.restart(self.board, self.address.serial_number)


def open_transport(
    board: Target, port: str | None, elf: Path | None, serial_number: str | None = None
) -> PortTransport | EmulatorTransport:
    """The port, or without one an emulator that runs ``elf`` and ends with its transport."""
    if port:
        return PortTransport(board, find_address(board, port, serial_number))
    if board.emulator is None:
        raise UserError(
            f"board {board.name} has no emulator; give its port, or --port {AUTO} to find it"
        )
    if elf is None:
        raise UserError(f"say which firmware the emulated {board.name} runs: --firmware")
    return EmulatorTransport(board, elf)


# An emulator on a busy machine stands still for many seconds, and one that has ended is heard
# of at once: here patience costs nothing.
_EMULATED_CONNECT_SECONDS = 120.0
_EMULATED_REPLY_SECONDS = 10.0


def open_session(
    transport: PortTransport | EmulatorTransport,
    build_id: str | None = None,
    log: FrameLog | None = None,
) -> Board:
    """A session with what ``transport`` leads to; an emulator has longer to answer."""
    if not isinstance(transport, EmulatorTransport):
        return Board(transport, build_id=build_id, log=log)
    return Board(
        transport,
        connect_seconds=_EMULATED_CONNECT_SECONDS,
        reply_seconds=_EMULATED_REPLY_SECONDS,
        build_id=build_id,
        log=log,
    )


def open_board(
    board: str,
    port: str | None,
    elf: Path | None,
    firmware: Firmware | None,
    *,
    serial_number: str | None = None,
    log: FrameLog | None = None,
) -> Board:
    """A session on the port, or on an emulator that ends with it.

    With ``firmware``, the board must run that build.
    """
    transport = open_transport(load_board(board), port, elf, serial_number)
    return open_session(transport, firmware.build_id if firmware else None, log)


def flash_board(
    board: str, port: str, elf: Path, serial_number: str | None = None
) -> tuple[Firmware, Board]:
    """Write ``elf`` to the board and open a session with it, which proves what it runs.

    Nobody else has the board from before the writing until the session is closed. Raises
    :class:`firmware_bridge.errors.WrongFirmware` if the board runs another build after all.
    """
    target = load_board(board)
    flash.require_probe(target)
    firmware = flash.image_for(target, elf)
    address = find_address(target, port, serial_number)
    lock = BoardLock(address.lock)
    try:
        # Before the port is opened: some probes leave the bus for a moment.
        flash.flash(target, elf, address.serial_number)
        transport = PortTransport(target, address, lock)
    except BaseException:
        lock.release()
        raise
    return firmware, Board(transport, build_id=firmware.build_id)
