"""From what a command line names to an open session: the board, its port, its firmware."""

from __future__ import annotations

from pathlib import Path

from convert.contract import read_metadata
from convert.metadata import deployed_preset
from dyncp.errors import UserError
from dyncp.preset import Preset
from firmware_bridge.emulator import EmulatorTransport
from firmware_bridge.session import Board
from firmware_bridge.transport import SerialTransport, Transport
from targets.board import load_board
from targets.firmware_build import Firmware, read_firmware


def preset_and_firmware(model: Path, elf: Path, board: str) -> tuple[Preset, Firmware]:
    """What the .tflite ``model`` is, and the image that was built of it for ``board``.

    Raises :class:`UserError` if the image is of another model or board.
    """
    metadata, firmware = read_metadata(model), read_firmware(elf)
    if metadata["model_hash"] != firmware.model_hash:
        raise UserError(f"{elf} was built from another model than {model}; build it again")
    target = load_board(board)
    if firmware.board != target.name:
        raise UserError(f"{elf} was built for {firmware.board}, not for {target.name}")
    return deployed_preset(metadata["preset"]), firmware


def open_board(board: str, port: str | None, elf: Path, firmware: Firmware | None) -> Board:
    """A session on the port, or on an emulator that ends with it.

    With ``firmware``, the board must run that build.
    """
    target = load_board(board)
    transport: Transport = (
        SerialTransport(port, target.uart.baud) if port else EmulatorTransport(target, elf)
    )
    return Board(transport, build_id=firmware.build_id if firmware else None)
