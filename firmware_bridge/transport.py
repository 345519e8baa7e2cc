"""Bytes to and from a board through pyserial, nothing about frames.

A port is a device or a URL that pyserial knows, so a board on a desk, one
behind a network bridge and an emulated one are all reached the same way.
"""

from __future__ import annotations

import os
import select
import socket
import time
from types import TracebackType
from typing import Any, Protocol

import serial

from firmware_bridge.errors import LinkError, TransportClosed

_READ_SIZE = 65536
_WRITE_SECONDS = 10.0
_POLL_SECONDS = 0.02
"""How long pyserial waits at a time for a port that select() cannot watch."""
_REOPEN_SECONDS = 0.1


class Deadline:
    """A moment by which something must have happened."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, never less than 0."""
        return max(0.0, self._end - time.monotonic())

    def expired(self) -> bool:
        return self.remaining() == 0.0


class Transport(Protocol):
    """A stream of bytes both ways. ``name`` says to a person which one."""

    name: str

    def read(self, seconds: float) -> bytes:
        """What has come, at least one byte; nothing if ``seconds`` pass without."""

    def write(self, data: bytes) -> None:
        """Send all of ``data``."""

    def close(self) -> None:
        """Let go of the port; the transport is of no use afterwards."""

    def reopen(self, deadline: Deadline) -> None:
        """Open a port again that went away, as soon as it is back.

        Raises :class:`LinkError` if it is not by ``deadline``.
        """


class SerialTransport:
    """An open port of pyserial; closes it."""

    def __init__(self, port: str, baud: int, name: str | None = None) -> None:
        """Open ``port``: a device such as ``/dev/ttyACM0`` or a pseudo terminal,
        ``socket://host:port``, or ``rfc2217://host:port`` for a server that sets the speed.

        Raises :class:`LinkError` naming the port if it cannot be opened.
        ``baud`` means nothing to a socket.
        """
        self.name = name or port
        remote = port.startswith("rfc2217://")
        try:
            # Exclusive: two programs on one board would answer each other's requests.
            # An RFC 2217 port knows no limit for writing; who can connect has it alone.
            limits: dict[str, Any] = (
                {"timeout": _POLL_SECONDS}
                if remote
                else {"timeout": 0, "write_timeout": _WRITE_SECONDS, "exclusive": True}
            )
            self._port = serial.serial_for_url(port, baud, do_not_open=True, **limits)
            # As the kernel leaves them when it opens a port: a line that moves after that
            # resets many a board, and one that is low keeps some from talking.
            self._port.dtr = self._port.rts = True
            self._port.open()
            self._port.reset_input_buffer()
        except (serial.SerialException, OSError, ValueError) as error:
            raise LinkError(
                f"cannot open {self.name}: {_reason(error)}; check that the board is plugged in, "
                "that nothing else uses the port, and that you may read and write it"
            ) from error
        self._receive = self._polled if remote else self._selected
        if port.startswith("socket://"):
            # Frames are small and answered: waiting to fill a packet costs 40 ms.
            with socket.socket(fileno=os.dup(self._port.fileno())) as twin:
                twin.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> SerialTransport:
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
            data = self._receive(seconds)
        except (serial.SerialException, OSError) as error:
            raise self._closed(error) from error
        if data is None:
            raise TransportClosed(f"{self.name} closed the connection")
        return data

    def _selected(self, seconds: float) -> bytes | None:
        # pyserial waits for as many bytes as were asked for; frames end sooner.
        if not select.select([self._port], [], [], seconds)[0]:
            return b""
        return self._port.read(_READ_SIZE) or None

    def _polled(self, seconds: float) -> bytes | None:
        # pyserial has no words for the end of such a connection but an error at the next read.
        deadline = Deadline(seconds)
        while True:
            data: bytes = self._port.read(1)
            if data or deadline.expired():
                return data + self._port.read(self._port.in_waiting)

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as error:
            raise self._closed(error) from error

    def close(self) -> None:
        self._port.close()

    def reopen(self, deadline: Deadline) -> None:
        self._port.close()
        while True:
            try:
                self._port.open()
                break
            except (serial.SerialException, OSError, ValueError) as error:
                if deadline.expired():
                    raise TransportClosed(
                        f"{self.name} did not come back within {deadline.seconds:g} s: "
                        f"{_reason(error)}"
                    ) from error
                time.sleep(min(_REOPEN_SECONDS, deadline.remaining()))
        self._port.reset_input_buffer()

    def _closed(self, error: Exception) -> TransportClosed:
        return TransportClosed(f"{self.name} went away: {_reason(error)}")


def _reason(error: Exception) -> str:
    """One line of an error, without the number and the port that Python repeats."""
    cause = error.__context__ if isinstance(error.__context__, OSError) else error
    if isinstance(cause, OSError) and cause.strerror and cause.errno:
        return os.strerror(cause.errno)
    return " ".join(str(error).split())
