"""The fake board behind a pseudo terminal, and behind an RFC 2217 server."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import socket
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import serial
from serial.rfc2217 import PortManager

from tests.firmware_bridge.fake_board import FakeBoard

_POLL_SECONDS = 0.1
_ENOUGH_SECONDS = 60.0


@contextmanager
def _thread(body: Callable[[threading.Event], None]) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=body, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_ENOUGH_SECONDS)
        assert not thread.is_alive()


@contextmanager
def on_a_pty(board: FakeBoard) -> Iterator[str]:
    """The path of a serial port that ``board`` answers on."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)

    def serve(stop: threading.Event) -> None:
        while not stop.is_set():
            if select.select([ours], [], [], _POLL_SECONDS)[0]:
                with contextlib.suppress(OSError):  # nobody has the port open just now
                    os.write(ours, board.feed(os.read(ours, 4096)))

    try:
        with _thread(serve):
            yield os.ttyname(theirs)
    finally:
        os.close(theirs)
        os.close(ours)


class NotedPort:
    """The server's serial port, of which only the settings matter, in the order they are made."""

    def __init__(self) -> None:
        object.__setattr__(self, "noted", [])
        for name, value in {
            "baudrate": 1, "bytesize": 8, "parity": serial.PARITY_NONE,
            "stopbits": serial.STOPBITS_ONE, "rtscts": False, "xonxoff": False,
            "dtr": False, "rts": False, "cts": False, "dsr": False, "ri": False, "cd": False,
        }.items():  # fmt: skip
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        self.noted.append((name, value))
        object.__setattr__(self, name, value)

    def reset_input_buffer(self) -> None:
        self.noted.append(("purge", "input"))

    def reset_output_buffer(self) -> None:
        self.noted.append(("purge", "output"))


class _Connection:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def write(self, data: bytes) -> None:
        self._connection.sendall(data)


@contextmanager
def behind_rfc2217(board: FakeBoard, port: NotedPort) -> Iterator[str]:
    """The URL of a server that sets ``port`` as it is told and leads to ``board``."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(_POLL_SECONDS)

        def serve(stop: threading.Event) -> None:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError, OSError):
                    connection, _ = server.accept()
                    with connection:
                        talk(connection, stop)

        def talk(connection: socket.socket, stop: threading.Event) -> None:
            connection.settimeout(_ENOUGH_SECONDS)
            manager = PortManager(port, _Connection(connection))
            while not stop.is_set():
                if not select.select([connection], [], [], _POLL_SECONDS)[0]:
                    continue
                data = connection.recv(4096)
                if not data:
                    return
                request = b"".join(manager.filter(data))
                if request:
                    port.noted.append(("data", len(request)))
                    connection.sendall(b"".join(manager.escape(board.feed(request))))

        with _thread(serve):
            yield f"rfc2217://127.0.0.1:{server.getsockname()[1]}"
