"""Bytes must come as soon as they are there, and a port that goes away must be named."""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge.errors import LinkError, TransportClosed
from firmware_bridge.transport import SerialTransport
from tests.firmware_bridge.conftest import BOARD, assert_refused, run

BAUD = 115_200
FOREVER = 60.0
"""Seconds that a read may take on a machine that is busy; it returns as soon as it can."""


@pytest.fixture
def serial_port() -> Iterator[tuple[int, str]]:
    """Our end of a pseudo terminal, and the path of the port at the other."""
    ours, port = pty.openpty()
    tty.setraw(port)
    try:
        yield ours, os.ttyname(port)
    finally:
        os.close(port)
        with contextlib.suppress(OSError):  # the test may have unplugged it
            os.close(ours)


def test_a_serial_port_carries_every_byte_value_both_ways(serial_port: tuple[int, str]) -> None:
    ours, path = serial_port
    everything = bytes(range(256))
    with SerialTransport(path, BAUD) as transport:
        transport.write(everything)
        assert os.read(ours, 1024) == everything
        os.write(ours, everything)
        got = b""
        while len(got) < len(everything):
            got += transport.read(FOREVER)
        assert got == everything


def test_a_read_gives_what_has_come_and_does_not_wait_for_more(
    serial_port: tuple[int, str],
) -> None:
    ours, path = serial_port
    with SerialTransport(path, BAUD) as transport:
        assert transport.read(0.01) == b""
        os.write(ours, b"one")
        assert transport.read(FOREVER) == b"one"


def test_a_port_in_use_is_refused(serial_port: tuple[int, str]) -> None:
    _, path = serial_port
    with SerialTransport(path, BAUD), pytest.raises(LinkError, match=path) as error:
        SerialTransport(path, BAUD)
    assert "nothing else uses the port" in str(error.value)


def test_an_unplugged_board_is_named(serial_port: tuple[int, str]) -> None:
    ours, path = serial_port
    with SerialTransport(path, BAUD) as transport:
        os.close(ours)
        with pytest.raises(TransportClosed, match=path):
            transport.read(FOREVER)


def test_a_socket_carries_more_than_its_buffers_hold() -> None:
    """A write that the other end takes slowly must not lose its tail."""
    data = bytes(range(1, 251)) * 40_000
    with socket.create_server(("127.0.0.1", 0)) as server:
        received = bytearray()

        def receive() -> None:
            connection, _ = server.accept()
            with connection:
                while len(received) < len(data):
                    received.extend(connection.recv(65536))

        receiver = threading.Thread(target=receive)
        receiver.start()
        port = f"socket://127.0.0.1:{server.getsockname()[1]}"
        with SerialTransport(port, BAUD) as transport:
            transport.write(data)
            receiver.join(FOREVER)
    assert bytes(received) == data


def test_a_socket_that_closes_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = f"socket://127.0.0.1:{server.getsockname()[1]}"
        with SerialTransport(port, BAUD) as transport:
            server.accept()[0].close()
            with pytest.raises(TransportClosed, match=port):
                transport.read(FOREVER)


def test_a_port_that_nothing_answers_on_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = f"socket://127.0.0.1:{server.getsockname()[1]}"
        result = run("firmware_bridge", "hello", "--board", BOARD, "--port", port,
                     "--firmware", tmp_path / "none.elf")  # fmt: skip
    assert_refused(result, port, "answered within", "right port")


@pytest.mark.parametrize(
    "port", ["/dev/no-such-port", "socket://127.0.0.1:1", "socket://nowhere", "rfc9999://x"]
)
def test_a_port_that_cannot_be_opened_is_one_line(port: str, tmp_path: Path) -> None:
    result = run("firmware_bridge", "hello", "--board", BOARD, "--port", port,
                 "--firmware", tmp_path / "none.elf")  # fmt: skip
    assert_refused(result, f"cannot open {port}", "plugged in")
