"""A board in QEMU, its serial port at our end of a socket pair.

No network port is opened: the emulator inherits one end of the pair, so two
emulators cannot meet and nobody else can connect.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO

from dyncp.errors import UserError
from firmware_bridge.errors import TransportClosed
from firmware_bridge.transport import SocketTransport
from targets.board import Board
from targets.toolchain import find_tool

_EMULATOR = "qemu-system-arm"
_STOP_SECONDS = 5.0


class EmulatorTransport(SocketTransport):
    """The serial port of an emulated board; closing it ends the emulator.

    Raises :class:`UserError` if the board has no emulator, the image is missing
    or QEMU is not installed.
    """

    def __init__(self, board: Board, elf: Path) -> None:
        if board.emulator is None:
            raise UserError(f"board {board.name} has no emulator; give the port it is on")
        if not elf.is_file():
            raise UserError(
                f"there is no firmware {elf}; build it with: python -m targets firmware"
            )
        machine, shift = board.emulator.machine, board.emulator.icount_shift
        tool = find_tool(_EMULATOR)
        self._process: subprocess.Popen[bytes] | None = None
        self._complaints: IO[bytes] = tempfile.TemporaryFile()
        ours, theirs = socket.socketpair()
        super().__init__(ours, f"emulated {board.name}")
        command = [
            *(str(tool), "-machine", machine, "-kernel", str(elf)),
            *("-display", "none", "-monitor", "none", "-nodefaults"),
            # Every instruction takes 2^shift ns of virtual time, and waiting none.
            *("-icount", f"shift={shift},align=off,sleep=off"),
            *("-chardev", f"socket,id=link,fd={theirs.fileno()}", "-serial", "chardev:link"),
        ]
        try:
            with theirs:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._complaints,
                    pass_fds=(theirs.fileno(),),
                )
        except OSError as error:
            self.close()
            raise UserError(f"cannot start {tool}: {error.strerror or error}") from error

    def __enter__(self) -> EmulatorTransport:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read(self, seconds: float) -> bytes:
        try:
            return super().read(seconds)
        except TransportClosed as error:
            raise TransportClosed(f"{error}: {self._last_words()}") from error

    def close(self) -> None:
        """End the emulator, whatever state it is in. May be called again."""
        super().close()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(_STOP_SECONDS)
        self._complaints.close()

    def _last_words(self) -> str:
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").splitlines()
        return lines[-1] if lines else "the emulator ended without a word"
