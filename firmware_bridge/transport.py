"""Bytes to and from a board: a serial port or a socket, nothing about frames."""

from __future__ import annotations

import os
import select
import socket
import time
from typing import Protocol
from urllib.parse import urlsplit

import serial

from firmware_bridge.errors import LinkError, LinkTimeout, TransportClosed

_READ_SIZE = 65536
_POLL_SECONDS = 0.05
_CONNECT_SECONDS = 5.0
_WRITE_SECONDS = 10.0


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


class SocketTransport:
    """A connected stream socket; closes it."""

    def __init__(self, connection: socket.socket, name: str) -> None:
        self.name = name
        self._socket = connection
        self._socket.setblocking(False)
        if connection.family != socket.AF_UNIX:
            # Frames are small and answered: waiting to fill a packet costs 40 ms.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self, seconds: float) -> bytes:
        if not select.select([self._socket], [], [], seconds)[0]:
            return b""
        try:
            data = self._socket.recv(_READ_SIZE)
        except OSError as error:
            raise self._closed(error) from error
        if not data:
            raise TransportClosed(f"{self.name} closed the connection")
        return data

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                if not select.select([], [self._socket], [], _WRITE_SECONDS)[1]:
                    raise LinkTimeout(f"{self.name} took no bytes for {_WRITE_SECONDS:g} s")
                view = view[self._socket.send(view) :]
        except OSError as error:
            raise self._closed(error) from error

    def close(self) -> None:
        self._socket.close()

    def _closed(self, error: OSError) -> TransportClosed:
        return TransportClosed(f"{self.name} went away: {os.strerror(error.errno or 0)}")


class SerialTransport:
    """A serial port through pyserial; closes it."""

    def __init__(self, port: serial.Serial, name: str) -> None:
        self.name = name
        self._port = port
        self._port.timeout = _POLL_SECONDS
        self._port.write_timeout = _WRITE_SECONDS

    def read(self, seconds: float) -> bytes:
        deadline = Deadline(seconds)
        try:
            while True:
                data: bytes = self._port.read(max(1, self._port.in_waiting))
                if data or deadline.expired():
                    return data
        except (serial.SerialException, OSError) as error:
            raise TransportClosed(f"{self.name} went away: {error}") from error

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
            self._port.flush()
        except (serial.SerialException, OSError) as error:
            raise TransportClosed(f"{self.name} went away: {error}") from error

    def close(self) -> None:
        self._port.close()


def open_transport(port: str, baud: int) -> Transport:
    """Open ``port``: a device such as ``/dev/ttyACM0``, or ``socket://host:port``.

    Raises :class:`LinkError` naming the port if it cannot be opened. ``baud``
    means nothing to a socket.
    """
    try:
        if port.startswith("socket://"):
            address = urlsplit(port)
            if not address.hostname or not address.port:
                raise LinkError(f"'{port}' is not an address; write socket://host:port")
            connection = socket.create_connection(
                (address.hostname, address.port), timeout=_CONNECT_SECONDS
            )
            return SocketTransport(connection, port)
        # Exclusive: two programs on one board would answer each other's requests.
        device = serial.serial_for_url(port, baudrate=baud, exclusive=True)
        device.reset_input_buffer()
        return SerialTransport(device, port)
    except (serial.SerialException, OSError, ValueError) as error:
        raise LinkError(
            f"cannot open {port}: {error}; check that the board is plugged in, that nothing "
            "else uses the port, and that you may read and write it"
        ) from error
