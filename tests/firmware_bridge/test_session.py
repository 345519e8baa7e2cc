"""Host and firmware together, over wires that lose, change and repeat what they carry."""

from __future__ import annotations

import dataclasses
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware_bridge import messages
from firmware_bridge.errors import (
    BoardFault,
    BoardRestarted,
    LinkError,
    LinkTimeout,
    RequestRefused,
    VersionMismatch,
    WrongFirmware,
)
from firmware_bridge.framing import Damaged, Receiver
from firmware_bridge.link import Link, LinkCounts
from firmware_bridge.messages import MAX_PAYLOAD, Described, MalformedReply
from firmware_bridge.session import Board
from tests.firmware_bridge import fake_board as fake
from tests.firmware_bridge.fake_board import (
    ExpectedEnhancer,
    FakeBoard,
    Lossy,
    VirtualDeadline,
    Wire,
    assert_same,
)


@pytest.fixture(autouse=True)
def _virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    fake.use_virtual_time(monkeypatch)


def hops(seed: int, count: int) -> list[NDArray[np.int16]]:
    generator = np.random.default_rng(seed)
    return list(generator.integers(-(2**15), 2**15, (count, fake.HOP)).astype(np.int16))


def damaged(stream: bytes) -> int:
    """How many damaged frames a receiver finds in ``stream``."""
    events = Receiver(MAX_PAYLOAD).feed(stream)
    return sum(isinstance(event, Damaged) for event in events)


def one_line(caught: pytest.ExceptionInfo[LinkError]) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- A wire that carries everything ---


def test_everything_that_a_board_tells_arrives(fake_board: FakeBoard) -> None:
    """Lists and tensors take several replies each; what is in one or the other must not show."""
    expected = ExpectedEnhancer()
    with Board(Wire(fake_board)) as board:
        assert (board.greeting.board, board.greeting.preset) == ("fake-board", "fake")
        assert board.layer_names == [f"layer{i}" for i in range(fake.LAYERS)]
        assert board.probe_names == ["vad", "minus"]
        points = [tensor.zero_point for tensor in board.tensors_described]
        assert points == list(range(-128, -128 + fake.TENSORS))
        for pcm in hops(1, 3):
            assert_same(board.process_hop(pcm), expected.process(pcm))
        assert_same(board.process_frame(np.zeros(5, np.int8)), expected.process())
        tensors = board.tensors()
        assert list(tensors) == [f"tensor{i}" for i in range(fake.TENSORS)]
        np.testing.assert_array_equal(np.stack(list(tensors.values())), expected.tensors())
        counted = [(c.name, c.executed_macs, c.weight_bytes, c.ticks) for c in board.layers()]
        assert counted == [(f"layer{i}", 4, i, 7 * i) for i in range(fake.LAYERS)]
        stats = board.stats()
        counts = board.link_counts
    # HELLO is executed too; STATS itself is not counted yet.
    assert stats.requests == counts.sent
    assert (stats.repeated, stats.damaged, stats.out_of_sequence) == (0, 0, 0)
    assert (stats.stack_used, stats.overruns) == (0x321, 3)
    assert counts == LinkCounts(sent=counts.sent)
    assert fake_board.count("fake_processed") == 4
    assert fake_board.count("board_clocked") == 2 * 4  # started and stopped for each


def test_reset_is_a_cold_start_and_a_greeting_is_none(fake_board: FakeBoard) -> None:
    """Two recordings in a row must not leak into each other."""
    expected = ExpectedEnhancer()
    first, second, third = hops(2, 3)
    with Board(Wire(fake_board)) as board:
        assert_same(board.process_hop(first), expected.process(first))
        board.reset()
        expected.reset()
        assert_same(board.process_hop(second), expected.process(second))
    with Board(Wire(fake_board)) as board:
        assert_same(board.process_hop(third), expected.process(third))


def test_a_static_network_has_no_gates_to_show(fake_board: FakeBoard) -> None:
    fake_board.set(fake_gates=0, fake_probes=0)
    fake_board.power_on()
    with Board(Wire(fake_board)) as board:
        result = board.process_hop(hops(3, 1)[0])
    assert board.probe_names == []
    assert result.gates.shape == (fake.BLOCKS, 0)
    assert result.probes.shape == (0,)
    assert result.pcm[0] == 1


def test_numbers_go_round(fake_board: FakeBoard) -> None:
    """An hour of audio has more hops than a sequence number has values."""
    expected = ExpectedEnhancer()
    with Board(Wire(fake_board)) as board:
        requests = 65536 - board.link_counts.sent - 5
        for _ in range(requests):
            board.reset()
        for pcm, result in zip(hops(4, 10), board.process_hops(hops(4, 10)), strict=True):
            assert_same(result, expected.process(pcm))
        assert board.link_counts.repeated == 0
        assert board.stats().out_of_sequence == 0


def test_a_reply_never_holds_more_than_announced_nor_half_an_entry(fake_board: FakeBoard) -> None:
    """Whatever entry a list starts with: as many as fit, and no byte more."""
    name = {Described.TENSORS: "tensor", Described.LAYERS: "layer"}
    totals = {Described.TENSORS: fake.TENSORS, Described.LAYERS: fake.LAYERS}
    host = Link(Wire(fake_board))
    host.greet(VirtualDeadline(1.0))
    for what, first in ((what, first) for what, total in totals.items() for first in range(total)):
        room = fake.MAX_PAYLOAD - 4
        expected = []
        for index in range(first, totals[what]):
            room -= 1 + len(f"{name[what]}{index}") + 4
            if room < 0:
                break
            expected.append(f"{name[what]}{index}")
        payload = host.ask(messages.describe(what, first))
        assert [entry.name for entry in messages.parse_descriptions(payload, first)] == expected
    for offset in range(0, fake.TENSORS * fake.WIDE, 7):
        tensors = messages.parse_tensors(host.ask(messages.tensors(offset)), offset)
        assert len(tensors) == min(fake.MAX_PAYLOAD - 4, fake.TENSORS * fake.WIDE - offset)


@pytest.mark.parametrize(
    ("announced", "ask"), [({"layers": 99}, Board.layers), ({"tensor_bytes": 1272}, Board.tensors)]
)
def test_a_board_that_contradicts_its_greeting_is_not_believed(
    fake_board: FakeBoard, announced: dict[str, int], ask: Callable[[Board], object]
) -> None:
    with Board(Wire(fake_board)) as board:
        board.greeting = dataclasses.replace(board.greeting, **announced)
        with pytest.raises(MalformedReply, match="announced") as caught:
            ask(board)
        one_line(caught)


# --- A wire that does not ---


@pytest.fixture(scope="module", params=[1, 2, 8])
def board_of_window(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, link_library: Path
) -> FakeBoard:
    if request.param == fake.WINDOW:
        return FakeBoard(link_library)
    output = tmp_path_factory.mktemp("window") / "libboard.so"
    return FakeBoard(fake.build_library(output, window=request.param))


@pytest.mark.parametrize("seed", range(12))
def test_every_hop_is_enhanced_once_whatever_the_wire_does(
    board_of_window: FakeBoard, seed: int
) -> None:
    """A hop lost or done twice would shift or colour all audio after it, and nobody would know."""
    fake_board = board_of_window
    fake_board.power_on()
    out, back = Lossy(2 * seed, 0.0), Lossy(2 * seed + 1, 0.0)
    before = fake_board.count("fake_processed")
    resets = fake_board.count("fake_resets")
    expected = ExpectedEnhancer()
    audio = hops(seed, 60)
    with Board(Wire(fake_board, out, back, seed), attempts=1000) as board:
        out.rate, back.rate = [(0.01, 0.0), (0.0, 0.01), (0.005, 0.005), (0.03, 0.03)][seed % 4]
        board.reset()
        for pcm, result in zip(audio, board.process_hops(audio), strict=True):
            assert_same(result, expected.process(pcm))
        out.rate, back.rate = out.rate / 10, back.rate / 10  # these replies are long
        tensors = np.stack(list(board.tensors().values()))
        np.testing.assert_array_equal(tensors, expected.tensors())
        out.rate = back.rate = 0.0
        board.reset()  # pushes out what noise has left standing on either side
        stats, counts = board.stats(), board.link_counts
    assert fake_board.count("fake_processed") - before == len(audio)
    assert fake_board.count("fake_resets") - resets == 2
    assert stats.requests == counts.sent  # HELLO in the place of this STATS
    assert stats.damaged == damaged(bytes(out.seen))
    assert counts.damaged == damaged(bytes(back.seen))
    assert counts.repeated > 0
    assert stats.repeated <= stats.requests + counts.repeated


@pytest.mark.parametrize("seed", range(8))
def test_a_greeting_gets_through_noise(fake_board: FakeBoard, seed: int) -> None:
    out, back = Lossy(seed, 0.02), Lossy(seed + 100, 0.002)
    with Board(Wire(fake_board, out, back), connect_seconds=60.0, attempts=1000) as board:
        assert board.greeting.model_hash == fake.MODEL_HASH
        assert board.layer_names == [f"layer{i}" for i in range(fake.LAYERS)]


def test_a_lost_hop_costs_one_repetition_and_no_waiting(fake_board: FakeBoard) -> None:
    """The board asks for what is missing as soon as the next frame shows it."""
    audio = hops(5, 20)
    wire = Wire(fake_board)
    with Board(wire) as board:
        board.process_hop(audio[0])
        start = VirtualDeadline.now
        drop = iter([b""])
        wire.out = lambda data: next(drop, data)
        results = list(board.process_hops(audio[1:]))
        assert [int(result.pcm[0]) for result in results] == list(range(2, 21))
        assert VirtualDeadline.now == start
        # The hop after the lost one is out of turn and goes again with it.
        assert board.link_counts.repeated == 2
        assert board.stats().out_of_sequence == 1


def test_noise_while_nobody_talks_does_no_harm(fake_board: FakeBoard) -> None:
    expected = ExpectedEnhancer()
    wire = Wire(fake_board)
    with Board(wire) as board:
        for seed, pcm in enumerate(hops(6, 10)):
            wire.inbox += fake_board.feed(random.Random(seed).randbytes(40) + b"\0")
            wire.inbox += random.Random(seed + 99).randbytes(40)
            assert_same(board.process_hop(pcm), expected.process(pcm))


# --- Boards that are not what they should be ---


def test_a_board_that_restarts_is_noticed_before_a_result_is_believed(
    fake_board: FakeBoard,
) -> None:
    """Its rings are cold: what it gave would be audio, but not this audio."""
    audio = hops(7, 10)
    before = fake_board.count("fake_processed")
    wire = Wire(fake_board)
    with Board(wire) as board:
        results = board.process_hops(audio)
        for _ in range(4):
            next(results)
        fake_board.power_on()
        believed = 0
        with pytest.raises(BoardRestarted, match="restarted during the session") as caught:
            for _ in results:
                believed += 1
        one_line(caught)
    assert believed <= board.greeting.window  # answered before
    assert fake_board.count("fake_processed") - before == 4 + believed
    with Board(Wire(fake_board)) as board:  # and it can be greeted again
        assert board.process_hop(audio[0]).pcm[0] == 1


def test_a_silent_board_is_given_up_in_time_and_its_port_let_go() -> None:
    wire = Wire(None)
    with pytest.raises(LinkTimeout, match="nothing on wire answered within 10 s") as caught:
        Board(wire)
    one_line(caught)
    assert wire.closed
    assert VirtualDeadline.now == 10.0


def test_a_board_that_is_unplugged_half_way(fake_board: FakeBoard) -> None:
    wire = Wire(fake_board)
    with pytest.raises(LinkTimeout, match="a HOP in 8 attempts") as caught, Board(wire) as board:
        wire.board = None
        board.process_hop(hops(8, 1)[0])
    one_line(caught)
    assert wire.closed


def test_a_board_of_another_version(tmp_path: Path) -> None:
    """Old firmware on a board is the commonest mistake: it must be named, not guessed at."""
    link = tmp_path / "firmware" / "link"
    shutil.copytree(fake.LINK_FOLDER, link)
    header = link / "messages.h"
    text = header.read_text(encoding="utf-8").replace("LINK_VERSION 1u", "LINK_VERSION 2u")
    header.write_text(text, encoding="utf-8")
    wire = Wire(FakeBoard(fake.build_library(tmp_path / "libboard.so", link=link)))
    with pytest.raises(VersionMismatch, match="speaks version 2 of the protocol") as caught:
        Board(wire)
    assert "flash firmware built from these sources" in one_line(caught)
    assert wire.closed


@pytest.mark.parametrize("what", ["build_id", "model_hash"])
def test_a_board_that_runs_something_else(fake_board: FakeBoard, what: str) -> None:
    right = {"build_id": fake.BUILD_ID, "model_hash": fake.MODEL_HASH}
    with Board(Wire(fake_board), **right) as board:
        assert board.greeting.build_id == fake.BUILD_ID
    wire = Wire(fake_board)
    with pytest.raises(WrongFirmware) as caught:
        Board(wire, **{**right, what: "00ff"})
    message = one_line(caught)
    assert "the board on wire runs " + what.partition("_")[0] in message
    assert right[what] in message
    assert "not 00ff" in message
    assert wire.closed


def test_a_refused_request_changes_nothing(fake_board: FakeBoard) -> None:
    expected = ExpectedEnhancer()
    audio = hops(9, 2)
    with Board(Wire(fake_board)) as board:
        assert_same(board.process_hop(audio[0]), expected.process(audio[0]))
        with pytest.raises(RequestRefused, match="a FRAME: ENHANCER, detail -3") as caught:
            board.process_frame(np.full(5, -128, np.int8))
        one_line(caught)
        with pytest.raises(RequestRefused, match="a HOP: LENGTH, detail 8"):
            board.process_hop(np.zeros(3, np.int16))
        with pytest.raises(RequestRefused, match="a FRAME: LENGTH, detail 5"):
            board.process_frame(np.zeros(6, np.int8))
        assert_same(board.process_hop(audio[1]), expected.process(audio[1]))


def test_many_probes_come_with_every_hop(fake_board: FakeBoard) -> None:
    """More than the board scores at once, and more names than one reply holds."""
    probes = 70
    fake_board.set(fake_probes=probes)
    fake_board.power_on()
    with Board(Wire(fake_board)) as board:
        result = board.process_hop(hops(10, 1)[0])
    assert board.probe_names == ["vad", "minus", *(f"probe{index}" for index in range(2, probes))]
    assert result.probes.tolist() == [1, *(-index for index in range(1, probes))]


def test_a_result_that_does_not_fit_is_refused_and_not_cut(fake_board: FakeBoard) -> None:
    fake_board.set(fake_probes=200)
    fake_board.power_on()
    with Board(Wire(fake_board)) as board:
        with pytest.raises(RequestRefused, match=f"ROOM, detail {fake.MAX_PAYLOAD}"):
            board.process_frame(np.zeros(5, np.int8))
        assert board.stats().requests > 0


def test_a_fault_is_reported_with_its_address(fake_board: FakeBoard) -> None:
    """The words cut a reply short; they must be understood all the same."""
    wire = Wire(fake_board)
    with pytest.raises(BoardFault, match="faulted at 0x0800beef") as caught, Board(wire) as board:
        wire.back = lambda data: data[:9] + fake_board.fault(0x0800BEEF)
        board.process_hop(hops(10, 1)[0])
    one_line(caught)
