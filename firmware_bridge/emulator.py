"""A board in QEMU, its serial port on a free port of the loopback interface.

We open the listening socket and QEMU inherits it: the kernel chooses a port
that is free, nobody can take it in between, and two emulators never meet.
"""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dyncp.errors import UserError
from firmware_bridge.errors import LinkError, TransportClosed
from firmware_bridge.transport import Deadline, SerialTransport
from targets.board import Board
from targets.toolchain import find_tool

EMULATOR = "qemu-system-arm"
_STOP_SECONDS = 5.0
_KILLED_SECONDS = 120.0  # a busy machine takes more than 5
_CONTROL_SECONDS = 10.0


class EmulatorTransport(SerialTransport):
    """The serial port of an emulated board; closing it ends the emulator.

    Raises :class:`UserError` if the board has no emulator, the image is missing
    or QEMU is not installed.
    """

    def __init__(self, board: Board, elf: Path, loaded: Mapping[int, Path] | None = None) -> None:
        """Start ``elf``; ``loaded``: files that are in memory from the start, by address."""
        if board.emulator is None:
            raise UserError(f"board {board.name} has no emulator; give the port it is on")
        if not elf.is_file():
            raise UserError(
                f"there is no firmware {elf}; build it with: python -m targets firmware"
            )
        tool = find_tool(EMULATOR)
        self._emulator: subprocess.Popen[bytes] | None = None
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the emulator)
        self._control, theirs = socket.socketpair()
        self._control.settimeout(_CONTROL_SECONDS)
        try:
            with socket.create_server(("127.0.0.1", 0), backlog=1) as listener, theirs:
                sockets = listener.fileno(), theirs.fileno()
                self._emulator = subprocess.Popen(
                    _command(str(tool), board, elf, loaded or {}, sockets),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._complaints,
                    pass_fds=sockets,
                )
                port = listener.getsockname()[1]
                super().__init__(
                    f"socket://127.0.0.1:{port}", board.uart.baud, f"emulated {board.name}"
                )
        except OSError as error:
            self._stop()
            raise UserError(f"cannot start {tool}: {error.strerror or error}") from error
        except LinkError as error:
            words = self._last_words()
            self._stop()
            raise LinkError(f"{error}: {words}") from error
        except BaseException:
            self._stop()
            raise

    @property
    def pid(self) -> int:
        """The emulator's process."""
        assert self._emulator is not None
        return self._emulator.pid

    def restart(self) -> None:
        """Press the board's reset button. The serial port stays open.

        Raises :class:`LinkError` if the emulator does not do it.
        """
        try:
            with self._control.makefile("rw", encoding="utf-8") as control:
                for command in ("qmp_capabilities", "system_reset"):
                    control.write(json.dumps({"execute": command}) + "\n")
                    control.flush()
                    # Its greeting and its news come in between.
                    while True:
                        words = json.loads(control.readline())
                        # Refused the second time: they have been agreed on before.
                        if "return" in words or "error" in words:
                            break
                if "error" in words:
                    raise LinkError(f"{self.name} refused to restart: {words['error']}")
        except (OSError, ValueError) as error:
            raise LinkError(f"{self.name} did not restart: {error or 'it has ended'}") from error

    def read(self, seconds: float) -> bytes:
        try:
            return super().read(seconds)
        except TransportClosed as error:
            raise TransportClosed(f"{error}: {self._last_words()}") from error

    def reopen(self, deadline: Deadline) -> None:
        raise TransportClosed(f"{self.name} has ended, and nothing is left of it to go on with")

    def close(self) -> None:
        """End the emulator, whatever state it is in. May be called again."""
        super().close()
        self._stop()

    def _stop(self) -> None:
        try:
            if self._emulator is not None and self._emulator.poll() is None:
                self._emulator.kill()
                self._emulator.wait(_KILLED_SECONDS)
        except subprocess.TimeoutExpired as error:
            pid = self._emulator.pid if self._emulator else 0
            raise LinkError(
                f"{EMULATOR}, process {pid}, has been killed and does not end; see what holds it"
            ) from error
        finally:
            self._control.close()
            self._complaints.close()

    def _last_words(self) -> str:
        if self._emulator is not None:
            try:
                self._emulator.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                return "the emulator still runs"
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").splitlines()
        return lines[-1] if lines else "the emulator ended without a word"


def _command(
    tool: str, board: Board, elf: Path, loaded: Mapping[int, Path], sockets: tuple[int, int]
) -> list[str]:
    assert board.emulator
    listener, control = sockets
    devices = [
        f"loader,file={path},addr=0x{address:x},force-raw=on" for address, path in loaded.items()
    ]
    return [
        *(tool, "-machine", board.emulator.machine, "-kernel", str(elf)),
        *("-display", "none", "-monitor", "none", "-nodefaults"),
        # Every instruction takes 2^shift ns of virtual time, and waiting none.
        *("-icount", f"shift={board.emulator.icount_shift},align=off,sleep=off"),
        # Without nodelay a short reply waits for the last one's acknowledgement, 40 ms.
        *("-chardev", f"socket,id=link,fd={listener},server=on,wait=on,nodelay=on"),
        *("-serial", "chardev:link"),
        *("-chardev", f"socket,id=control,fd={control}"),
        *("-mon", "chardev=control,mode=control"),
        *(word for device in devices for word in ("-device", device)),
    ]
