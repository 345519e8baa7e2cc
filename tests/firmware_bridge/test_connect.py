"""One session code over every way to a board, and one run at a time on it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import serial
from serial.tools.list_ports_common import ListPortInfo

from dyncp.errors import UserError
from firmware_bridge import board_lock, discovery
from firmware_bridge.board_lock import BoardLock
from firmware_bridge.connect import PortTransport, find_address, open_session, open_transport
from firmware_bridge.emulator import EmulatorTransport
from firmware_bridge.errors import LinkError, LinkTimeout, TransportClosed, WrongFirmware
from firmware_bridge.frame_log import FrameLog
from firmware_bridge.session import Board
from firmware_bridge.stream import Resume, stream
from firmware_bridge.transport import Deadline, SerialTransport
from targets.board import load_board
from tests.firmware_bridge import fake_board as fake
from tests.firmware_bridge.conftest import BOARD
from tests.firmware_bridge.fake_board import ExpectedEnhancer, FakeBoard, assert_same
from tests.firmware_bridge.served_board import NotedPort, behind_rfc2217, on_a_pty

TARGET = load_board(BOARD)
PATIENT = 60.0
"""Seconds before a request is repeated: nothing is lost here, and the machine may be busy."""


@pytest.fixture(autouse=True)
def _own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def hops(count: int) -> list[np.ndarray]:
    noise = np.random.default_rng(count).integers(-(2**15), 2**15, (count, fake.HOP))
    return list(noise.astype(np.int16))


def assert_works(session: Board) -> None:
    expected = ExpectedEnhancer()
    session.reset()
    audio = hops(20)
    for pcm, result in zip(audio, session.process_hops(audio), strict=True):
        assert_same(result, expected.process(pcm))
    assert session.link_counts.repeated == 0


def test_a_board_on_a_serial_port(fake_board: FakeBoard) -> None:
    with (
        on_a_pty(fake_board) as path,
        Board(open_transport(TARGET, path, None), reply_seconds=PATIENT) as session,
    ):
        assert_works(session)


def test_a_board_behind_rfc2217_has_its_lines_and_speed_set_before_the_first_byte(
    fake_board: FakeBoard,
) -> None:
    """Bytes 0xFF are doubled on the way, and a line that moves later resets many a board."""
    port = NotedPort()
    with (
        behind_rfc2217(fake_board, port) as url,
        Board(open_transport(TARGET, url, None), reply_seconds=PATIENT) as session,
    ):
        assert_works(session)
    first = next(index for index, (what, _) in enumerate(port.noted) if what == "data")
    before, after = port.noted[:first], port.noted[first:]
    assert ("baudrate", TARGET.uart.baud) in before
    assert [value for what, value in before if what == "dtr"] == [True]
    assert [value for what, value in before if what == "rts"] == [True]
    assert {what for what, _ in after} == {"data"}


def test_dtr_and_rts_are_set_before_the_port_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set after it, they would make an edge, which is the reset button of many boards."""
    seen: list[tuple[str, bool]] = []
    for line in ("dtr", "rts"):
        stock = getattr(serial.SerialBase, line)

        def set_line(
            self: serial.Serial, value: bool, line: str = line, stock: property = stock
        ) -> None:
            seen.append((line, self.is_open))
            stock.fset(self, value)

        monkeypatch.setattr(serial.Serial, line, property(stock.fget, set_line))
    ours, theirs = os.openpty()
    try:
        with SerialTransport(os.ttyname(theirs), TARGET.uart.baud):
            pass
    finally:
        os.close(ours)
        os.close(theirs)
    assert seen == [("dtr", False), ("rts", False)]


def test_a_rfc2217_server_that_goes_away_is_named(fake_board: FakeBoard) -> None:
    with behind_rfc2217(fake_board, NotedPort()) as url:
        transport = SerialTransport(url, TARGET.uart.baud)
    with pytest.raises(TransportClosed, match=url):
        while True:
            transport.read(PATIENT)
    transport.close()


def test_the_second_run_waits_for_the_first_whatever_path_it_takes(
    fake_board: FakeBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_lock, "WAIT_SECONDS", 0.0)
    with on_a_pty(fake_board) as path:
        link = tmp_path / "by-another-name"
        link.symlink_to(path)
        with open_transport(TARGET, path, None), pytest.raises(UserError, match="still held by"):
            open_transport(TARGET, str(link), None)
        open_transport(TARGET, str(link), None).close()


def test_a_port_that_cannot_be_opened_holds_no_lock(tmp_path: Path) -> None:
    missing = str(tmp_path / "ttyACM9")
    for _ in range(2):
        with pytest.raises(LinkError, match="cannot open"):
            open_transport(TARGET, missing, None)
    BoardLock(missing, wait_seconds=0.0).release()


def test_a_board_is_one_board_by_its_serial_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come back as ttyACM1 while another run waits for ttyACM0."""
    info = ListPortInfo("/dev/ttyACM1")
    info.vid, info.pid, info.serial_number = 0x0483, 0x374B, "A"
    monkeypatch.setattr(discovery.list_ports, "comports", lambda: [info])
    address = find_address(TARGET, "/dev/ttyACM1")
    assert (address.lock, address.serial_number) == ("usb 0483:374b A", "A")
    info.device = "/dev/ttyACM0"
    assert find_address(TARGET, "/dev/ttyACM0").lock == address.lock
    with pytest.raises(UserError, match="--serial-number chooses a port for --port auto"):
        find_address(TARGET, "/dev/ttyACM0", "A")


def test_hardware_without_a_port_is_not_searched_for() -> None:
    board = replace(TARGET, name="desk", emulator=None)
    with pytest.raises(UserError, match="desk has no emulator; give its port, or --port auto"):
        open_transport(board, None, None)
    with pytest.raises(UserError, match="say which firmware"):
        open_transport(TARGET, None, None)


def test_a_file_goes_on_when_a_board_is_unplugged_and_plugged_in_again(
    fake_board: FakeBoard, tmp_path: Path
) -> None:
    """Its port goes away under the session, and comes back as another device."""
    stays = tmp_path / "usb-board"
    pcm = np.concatenate(hops(12))
    with on_a_pty(fake_board) as path, Board(SerialTransport(path, 115_200)) as session:
        expected = stream(session, pcm)
    with ExitStack() as first, on_a_pty(fake_board) as second:
        stays.symlink_to(first.enter_context(on_a_pty(fake_board)))

        def unplug(done: int, _: int) -> None:
            if done == 7 and not first_gone:
                first_gone.append(True)
                first.close()
                fake_board.power_on()
                stays.unlink()
                stays.symlink_to(second)

        first_gone: list[bool] = []
        with Board(SerialTransport(str(stays), 115_200), reply_seconds=PATIENT) as session:
            got = stream(session, pcm, unplug, resume=Resume(len(pcm)))
    assert got.restarts == 1
    np.testing.assert_array_equal(got.pcm, expected.pcm)


def test_a_port_that_does_not_come_back_is_named(fake_board: FakeBoard, tmp_path: Path) -> None:
    stays = tmp_path / "usb-board"
    with on_a_pty(fake_board) as path:
        stays.symlink_to(path)
        with SerialTransport(str(stays), 115_200) as transport:
            stays.unlink()
            with pytest.raises(TransportClosed, match=r"usb-board did not come back within 0\.3 s"):
                transport.reopen(Deadline(0.3))


def test_after_a_reset_the_board_must_run_what_it_ran(
    fake_board: FakeBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.use_virtual_time(monkeypatch)
    with Board(fake.Wire(fake_board)) as session:
        session.greeting = replace(session.greeting, build_id="00ff")
        with pytest.raises(WrongFirmware, match=r"runs build .* not 00ff .fake for fake-board"):
            session.greet_again()


class StandsStill(fake.Wire, EmulatorTransport):
    """An emulator that gets nothing of the machine for ``still`` seconds from now on."""

    still = 0.0

    def read(self, seconds: float) -> bytes:
        if self.still > 0:
            self.still -= seconds
            fake.VirtualDeadline.wait(seconds)
            return b""
        return super().read(seconds)


def test_an_emulator_on_a_busy_machine_is_waited_for(
    fake_board: FakeBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a campaign of minutes ends because something else ran beside it."""
    fake.use_virtual_time(monkeypatch)
    wire = StandsStill(fake_board)
    wire.still = 60.0
    with open_session(wire) as session:
        session.reset()
        wire.still = 60.0
        assert_same(session.process_hop(hops(1)[0]), ExpectedEnhancer().process(hops(1)[0]))


def test_a_timeout_says_what_was_awaited_what_came_and_where_the_log_is(
    fake_board: FakeBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.use_virtual_time(monkeypatch)
    path = tmp_path / "logs" / "frames.log"
    wire = fake.Wire(fake_board)
    session = Board(wire, log=FrameLog(path))
    session.reset()
    number = session.link_counts.sent
    wire.back = lambda data: data[:5] + b"\x01\x02" + data[7:]
    with pytest.raises(LinkTimeout, match="no intact reply to a HOP in 8 attempts") as caught:
        session.process_hop(hops(1)[0])
    session.close()
    message = str(caught.value)
    assert f"awaited: the reply to HOP {number + 1}; came: " in message
    assert "the last: damaged: its CRC-32 does not match" in message
    assert message.endswith(f"every frame is in {path}")
    assert "\n" not in message
    lines = path.read_text(encoding="utf-8").splitlines()
    sent = [line for line in lines if f"-> HOP {number + 1}, payload 8 bytes: " in line]
    assert len(sent) == 8
    assert sum("<- damaged: its CRC-32 does not match: " in line for line in lines) == 8
    assert any("<- reply to RESET" in line for line in lines)
    assert bytes.fromhex(lines[0].rpartition(": ")[2])


def test_a_silent_board_came_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fake.use_virtual_time(monkeypatch)
    with pytest.raises(LinkTimeout, match=r"awaited: the reply to HELLO; came: nothing$"):
        Board(fake.Wire(None))


def test_text_of_a_boot_loader_is_shown_as_bytes_without_a_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake.use_virtual_time(monkeypatch)
    wire = fake.Wire(None)
    wire.inbox += b"boot v1\r\n"
    with pytest.raises(LinkTimeout, match=r"came: 9 bytes, no whole frame$"):
        Board(wire)


def test_a_port_without_a_probe_here_cannot_be_reset(fake_board: FakeBoard) -> None:
    with (
        behind_rfc2217(fake_board, NotedPort()) as url,
        open_transport(TARGET, url, None) as transport,
        pytest.raises(UserError, match="no port of this machine"),
    ):
        assert isinstance(transport, PortTransport)
        transport.restart()
