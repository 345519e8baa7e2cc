"""What streaming makes of a line: true bytes, and times that no machine can be too busy for."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.counting import TickCounter
from firmware_bridge.line_report import Streaming, line_report, stream_over_line
from firmware_bridge.session import Board
from firmware_bridge.virtual_line import VirtualLine
from tests.firmware_bridge import fake_board as fake
from tests.firmware_bridge.conftest import BOARD, Built
from tests.firmware_bridge.fake_board import FakeBoard, Wire

BAUD = 100_000
BYTE = 10 / BAUD


class Through(VirtualLine):
    """The fake board's wire, whose bytes are all there at once."""

    def __init__(self, board: FakeBoard, **settings: float) -> None:
        super().__init__(Wire(board), BAUD, **settings)


def hops(count: int) -> list[np.ndarray]:
    return [np.full(fake.HOP, 1000 + index, np.int16) for index in range(count)]


def timed(
    board: FakeBoard, count: int, in_flight: int | None, **settings: float
) -> tuple[float, int, int]:
    """Seconds of ``count`` hops, and bytes of them to and from the board."""
    with Board(line := Through(board, **settings)) as session:
        line.set_counter(TickCounter("cycles", 1, 0))
        began, sent, came = line.now, line.sent_bytes, line.came_bytes
        assert len(list(session.process_hops(hops(count), in_flight))) == count
        counts = session.link_counts
        assert (counts.sent_bytes, counts.came_bytes) == (line.sent_bytes, line.came_bytes)
        return line.now - began, line.sent_bytes - sent, line.came_bytes - came


def test_one_hop_takes_its_bytes_the_work_and_the_latency_twice(fake_board: FakeBoard) -> None:
    seconds, sent, came = timed(fake_board, 1, 1, work_hz=1e6, latency=0.25)
    work = 3001 / 1e6  # what the fake enhancer counts for its first frame
    assert seconds == pytest.approx((sent + came) * BYTE + work + 0.5, rel=1e-9)


def test_with_one_in_flight_nothing_overlaps(fake_board: FakeBoard) -> None:
    seconds, sent, came = timed(fake_board, 10, 1)
    assert seconds == pytest.approx((sent + came) * BYTE, rel=1e-9)


def test_with_credit_the_line_back_never_rests(fake_board: FakeBoard) -> None:
    """But for the first request, which nothing can overlap."""
    seconds, sent, came = timed(fake_board, 10, None)
    assert seconds == pytest.approx(came * BYTE + sent / 10 * BYTE, rel=1e-9)


def test_a_core_that_is_slower_than_the_line_decides(fake_board: FakeBoard) -> None:
    seconds, sent, came = timed(fake_board, 10, None, work_hz=1e4)
    work = sum(3000 + n for n in range(1, 11)) / 1e4
    assert seconds == pytest.approx(work + came * BYTE + sent / 10 * BYTE, rel=1e-9)


# --- The firmware itself ---


@pytest.fixture(scope="module")
def streamed(built: Built) -> dict[tuple[int, int | None], Streaming]:
    return {
        (baud, in_flight): stream_over_line(BOARD, built.firmware, baud, 24, in_flight=in_flight)
        for baud in (115_200, 921_600)
        for in_flight in (None, 1)
    }


@pytest.mark.parametrize("baud", [115_200, 921_600])
def test_credits_use_four_fifths_of_what_the_line_can_carry(
    streamed: dict[tuple[int, int | None], Streaming], baud: int
) -> None:
    """With masks, probes and PCM of every hop; one request at a time would not."""
    assert streamed[baud, None].use >= 0.8
    assert streamed[baud, 1].use < 0.7


def test_the_bytes_of_a_hop_are_those_of_the_protocol(
    streamed: dict[tuple[int, int | None], Streaming], built: Built
) -> None:
    hop = 2 * built.preset.audio.hop
    each = streamed[921_600, None]
    for bytes_on_the_wire, payload in ((each.to_board, hop), (each.from_board, each.payload)):
        assert 4 + 4 + 3 <= bytes_on_the_wire - payload <= 4 + 4 + 3 + (payload + 8) // 254


def test_real_time_at_921600_baud_and_the_core_that_it_takes(
    streamed: dict[tuple[int, int | None], Streaming], built: Built
) -> None:
    """The figure that is told must be enough, and not much less would be."""
    fast = streamed[921_600, None]
    assert fast.real_time and fast.line_seconds < fast.hop_seconds
    need = fast.work_hz
    assert need
    for factor, enough in ((1.05, True), (0.7, False)):
        got = stream_over_line(BOARD, built.firmware, 921_600, 24, work_hz=factor * need)
        assert got.real_time is enough
    slow = streamed[115_200, None]
    assert not slow.real_time and slow.work_hz is None


def test_the_report_tells_both_speeds(built: Built) -> None:
    text = line_report(BOARD, built.firmware, [115_200, 921_600], 4)
    rows = {line.split()[0]: line for line in text.splitlines() if line[2:3].isdigit()}
    assert "none is enough" in rows["115,200"] and " no " in rows["115,200"]
    assert " yes " in rows["921,600"]
