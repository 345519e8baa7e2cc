"""A file that goes on after a restart must be the file that would have come without one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from dyncp.preset import load_preset
from firmware_bridge.errors import BoardRestarted, LinkError, LinkTimeout
from firmware_bridge.session import Board
from firmware_bridge.stream import Resume, Streamed, history_hops, stream
from tests.conftest import tiny_preset
from tests.firmware_bridge import fake_board as fake
from tests.firmware_bridge.fake_board import FakeBoard, Wire

HOPS = 30
ALL = 10_000


@pytest.fixture(autouse=True)
def _virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    fake.use_virtual_time(monkeypatch)


def audio() -> NDArray[np.int16]:
    noise = np.random.default_rng(1).integers(-(2**15), 2**15, HOPS * fake.HOP)
    return noise.astype(np.int16)


def restarting(board: FakeBoard, *at: int) -> Callable[[int, int], None]:
    """Progress that resets the board after so many hops, each once."""
    left = list(at)

    def progress(done: int, _: int) -> None:
        if left and done == left[0]:
            left.pop(0)
            board.power_on()

    return progress


def assert_same(one: Streamed, other: Streamed) -> None:
    for name in ("pcm", "gates", "probes", "executed_macs", "weight_bytes", "counts"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def whole(board: FakeBoard) -> Streamed:
    with Board(Wire(board)) as session:
        return stream(session, audio())


@pytest.mark.parametrize("in_flight", [1, None])
@pytest.mark.parametrize("at", [(1,), (29,), (5, 5), (3, 17, 28)])
def test_restarts_do_not_show_in_the_results(
    fake_board: FakeBoard, in_flight: int | None, at: tuple[int, ...]
) -> None:
    """The fake enhancer never forgets: only a history of all there was can be right."""
    expected = whole(fake_board)
    with Board(Wire(fake_board)) as session:
        progress = restarting(fake_board, *at)
        got = stream(session, audio(), progress, in_flight=in_flight, resume=Resume(ALL))
    assert_same(got, expected)
    assert got.restarts == len(set(at))


def test_a_history_that_is_too_short_is_an_error_and_not_other_audio(
    fake_board: FakeBoard,
) -> None:
    with Board(Wire(fake_board)) as session:
        progress = restarting(fake_board, 20)
        with pytest.raises(LinkError, match="another result for hop 19 than before") as error:
            stream(session, audio(), progress, resume=Resume(10))
    assert "\n" not in str(error.value)


def test_only_the_history_is_sent_again(fake_board: FakeBoard) -> None:
    expected = whole(fake_board)
    with Board(Wire(fake_board)) as session:
        before = fake_board.count("fake_processed")
        got = stream(session, audio(), restarting(fake_board, 12), resume=Resume(11))
        processed = fake_board.count("fake_processed") - before
    assert_same(got, expected)
    assert processed == HOPS + 1 + 12  # and one of silence; the history, and the hop that proves it


def test_without_leave_a_restart_ends_the_file(fake_board: FakeBoard) -> None:
    with Board(Wire(fake_board)) as session, pytest.raises(BoardRestarted):
        stream(session, audio(), restarting(fake_board, 12))


def test_a_board_that_restarts_again_and_again_is_given_up(fake_board: FakeBoard) -> None:
    with Board(Wire(fake_board)) as session, pytest.raises(BoardRestarted):
        stream(session, audio(), restarting(fake_board, 2, 3, 4), resume=Resume(ALL, restarts=2))


def test_a_board_that_is_silent_for_a_while_is_waited_for(fake_board: FakeBoard) -> None:
    """It was unplugged, or takes its time to start."""
    expected = whole(fake_board)
    wire = Wire(fake_board)
    with Board(wire) as session:

        def progress(done: int, _: int) -> None:
            if done == 12 and wire.board is fake_board:
                wire.board = None
                silence = iter(range(50))  # requests and greetings that nobody hears
                wire.write = lambda data: (  # type: ignore[method-assign]
                    None if next(silence, None) is not None else plugged_in(data)
                )

        def plugged_in(data: bytes) -> None:
            del wire.write
            fake_board.power_on()
            wire.board = fake_board
            wire.write(data)

        got = stream(session, audio(), progress, resume=Resume(ALL))
    assert_same(got, expected)
    assert got.restarts == 2  # the hop timed out, and so did the first greeting
    with Board(Wire(fake_board)) as session, pytest.raises(LinkTimeout):

        def unplug(done: int, _: int) -> None:
            session._transport.board = None

        stream(session, audio(), unplug, resume=Resume(ALL, restarts=1))


def test_the_history_is_that_of_the_network() -> None:
    """Blocks add up: of each the longer of its taps and its average, or both where
    gates close what the taps read; and the two of the STFT."""
    assert history_hops(tiny_preset("output", 1, 5)) == 4 + 4 + 2
    assert history_hops(tiny_preset("output", 1, 3)) == 2 + 4 + 2
    assert history_hops(tiny_preset("hidden", 8, 5)) == (2 + 4) + (4 + 4) + 2
    assert history_hops(tiny_preset(None)) == 2 + 4 + 2
    paper = load_preset("paper")
    assert paper.gate
    assert history_hops(paper) == paper.blocks * (paper.gate.pool_frames - 1) + 2
