"""Whom a board keeps: told over the link, once and in turn, and what is damaged never counts."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dyncp.embedding import nobody
from dyncp.errors import UserError
from firmware_bridge import messages
from firmware_bridge.connect import open_session
from firmware_bridge.emulator import EmulatorTransport
from firmware_bridge.errors import RequestRefused
from firmware_bridge.messages import MessageType, Request
from firmware_bridge.session import Board
from firmware_bridge.stream import Resume, stream
from quantize.clips import random_embedding
from quantize.integer_model import IntegerModel, open_gates
from targets.board import load_board
from targets.firmware_build import build_firmware
from tests.conftest import PERSONAL, tiny_preset
from tests.firmware_bridge.conftest import BOARD
from tests.firmware_bridge.conftest import Built as Paper
from tests.firmware_bridge.fake_board import (
    DIMENSIONS,
    HOP,
    ExpectedEnhancer,
    FakeBoard,
    Lossy,
    Wire,
    assert_same,
    use_virtual_time,
)
from tests.targets.built import Built, build, noisy_pcm


def embeddings(seed: int, count: int) -> NDArray[np.int8]:
    rng = np.random.default_rng(seed)
    return rng.integers(-127, 128, (count, DIMENSIONS)).astype(np.int8)


# --- The firmware's own link, in memory ---


@pytest.fixture(autouse=True)
def _virtual_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "fake_board" in request.fixturenames:
        use_virtual_time(monkeypatch)


def test_a_board_keeps_whom_it_was_told_to_beyond_a_reset_and_the_session(
    fake_board: FakeBoard,
) -> None:
    (somebody,) = embeddings(1, 1)
    with Board(Wire(fake_board)) as board:
        assert board.embedding().tolist() == [0] * DIMENSIONS
        board.set_embedding(somebody)
        board.reset()
    with Board(Wire(fake_board)) as board:
        assert board.embedding().tolist() == somebody.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_over_a_bad_line_each_embedding_counts_once_and_in_its_turn(
    fake_board: FakeBoard, seed: int
) -> None:
    """Damaged frames are common here; no hop may be lost and no embedding come late."""
    out, back = Lossy(seed, 0.004), Lossy(seed + 100, 0.004)
    expected = ExpectedEnhancer()
    rng = np.random.default_rng(seed)
    with Board(Wire(fake_board, out, back, seed), attempts=40) as board:
        for somebody in embeddings(seed, 30):
            board.set_embedding(somebody)
            for _ in range(int(rng.integers(3))):
                pcm = rng.integers(-99, 99, HOP).astype(np.int16)
                assert_same(board.process_hop(pcm), expected.process(pcm))
            assert board.embedding().tolist() == somebody.tolist()
        assert board.link_counts.repeated > 0


def refused(board: Board, payload: bytes) -> str:
    with pytest.raises(RequestRefused) as error:
        board._link.ask(Request(MessageType.SET_EMBEDDING, payload))
    return str(error.value)


def check_refusals(board: Board, somebody: NDArray[np.int8]) -> None:
    """The CRC, the length, -128: each by its name, and the old embedding stays."""
    board.set_embedding(somebody)
    data, crc = somebody.tobytes(), zlib.crc32(somebody.tobytes())
    damaged = bytes([data[0] ^ 1]) + data[1:]
    words = refused(board, damaged + crc.to_bytes(4, "little"))
    signed = np.array(zlib.crc32(damaged), np.uint32).view(np.int32)
    assert f"refused a SET_EMBEDDING: CHECKSUM, detail {signed}" in words
    right = len(data) + 4
    for wrong in (data[:-1], data + b"\1", b""):
        words = refused(board, wrong + zlib.crc32(wrong).to_bytes(4, "little"))
        assert f"LENGTH, detail {right}" in words
    assert f"LENGTH, detail {right}" in refused(board, b"")
    lowest = somebody.copy()
    lowest[-1] = -128
    with pytest.raises(RequestRefused, match="ENHANCER, detail -6, an embedding with a value of"):
        board.set_embedding(lowest)
    assert board.embedding().tolist() == somebody.tolist()


def test_what_is_no_embedding_is_refused_by_name(fake_board: FakeBoard) -> None:
    with Board(Wire(fake_board)) as board:
        check_refusals(board, embeddings(3, 1)[0])
        for wrong in (np.zeros(DIMENSIONS, np.int16), np.zeros((1, DIMENSIONS), np.int8)):
            with pytest.raises(UserError, match="must be int8"):
                board.set_embedding(wrong)


def test_a_board_that_takes_none_says_so_whatever_is_sent(fake_board: FakeBoard) -> None:
    fake_board.set(fake_dimensions=0)
    fake_board.power_on()
    with Board(Wire(fake_board)) as board:
        assert board.embedding().tolist() == []
        for values in (np.zeros(32, np.int8), np.zeros(0, np.int8)):
            with pytest.raises(RequestRefused, match="detail -4, the model takes no embedding"):
                board.set_embedding(values)


def test_a_reply_of_another_embedding_is_not_believed() -> None:
    values = embeddings(4, 1)[0]
    with pytest.raises(messages.MalformedReply):
        messages.parse_embedding_set(b"\0\0\0\0", values)
    with pytest.raises(messages.MalformedReply):
        messages.parse_embedding(b"\0\0\0\0" + values.tobytes())


def test_a_board_that_starts_anew_in_a_file_is_told_again_whom_to_keep(
    fake_board: FakeBoard,
) -> None:
    """Else the rest of the file would keep every voice, and nothing would say so."""
    (somebody,) = embeddings(5, 1)
    pcm = np.arange(40 * HOP, dtype=np.int16)
    wire = Wire(fake_board)

    def lose_power(data: bytes) -> bytes:
        if len(wire.writes) == at:
            fake_board.power_on()
        return data

    with Board(wire) as board:
        board.set_embedding(somebody)
        at = len(wire.writes) + 20
        wire.out = lose_power
        streamed = stream(board, pcm, resume=Resume(history=2000, restarts=1))
        assert streamed.restarts == 1
        assert board.embedding().tolist() == somebody.tolist()


# --- An emulated board ---


def firmware_of(built: Built, board: str) -> Path:
    out = built.folder / board
    if not (out / "firmware.elf").is_file():
        build_firmware(built.tflite, load_board(board), out)
    return out / "firmware.elf"


@pytest.fixture(scope="module")
def personal(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tiny_preset(*PERSONAL[0]), tmp_path_factory.mktemp("personal") / "tiny")


@pytest.fixture(params=[BOARD, *(pytest.param(b, marks=pytest.mark.slow) for b in ("mps3-an547",))])
def session(request: pytest.FixtureRequest, personal: Built) -> Iterator[Board]:
    board = load_board(request.param)
    with open_session(EmulatorTransport(board, firmware_of(personal, request.param))) as session:
        yield session


def test_a_board_whose_user_changes_at_a_hop_equals_the_integer_model(
    session: Board, personal: Built
) -> None:
    """Byte for byte, in every tensor, with full rings and several hops on their way."""
    runner, library = IntegerModel(personal.model), personal.library()
    pcm = noisy_pcm(personal.preset, 36)
    changes = {0: nobody(8), 9: random_embedding(8, 1), 21: random_embedding(8, 2), 22: nobody(8)}
    session.reset()
    for hop, samples in enumerate(pcm):
        if hop in changes:
            session.set_embedding(changes[hop])
            library.set_embedding(changes[hop])
            runner.set_embedding(changes[hop])
        result = session.process_hop(samples)
        np.testing.assert_array_equal(result.pcm, library.process_hop(samples), err_msg=str(hop))
        expected = runner.step(library.features())
        for name, values in session.tensors().items():
            np.testing.assert_array_equal(values, expected[name], err_msg=f"hop {hop}, {name}")
        gates = open_gates(personal.model, {name: v[None] for name, v in expected.items()})
        np.testing.assert_array_equal(result.gates, np.concatenate(gates))


def test_a_change_between_streams_in_flight_counts_from_the_next_hop(
    session: Board, personal: Built
) -> None:
    """As many hops on their way as the board has credit for; a reset keeps whom it keeps."""
    library, somebody = personal.library(), random_embedding(8, 3)
    pcm = list(noisy_pcm(personal.preset, 40))
    session.reset()
    got = [result.pcm for result in session.process_hops(pcm[:17])]
    session.set_embedding(somebody)
    got += [result.pcm for result in session.process_hops(pcm[17:])]
    session.reset()
    got += [result.pcm for result in session.process_hops(pcm)]
    expected = [library.process_hop(hop) for hop in pcm[:17]]
    library.set_embedding(somebody)
    expected += [library.process_hop(hop) for hop in pcm[17:]]
    library.reset()
    expected += [library.process_hop(hop) for hop in pcm]
    np.testing.assert_array_equal(np.array(got), np.array(expected))


def test_an_emulated_board_refuses_what_is_damaged(session: Board) -> None:
    check_refusals(session, random_embedding(8, 6))


def test_a_frame_has_no_multiply_accumulate_of_an_embedding(
    session: Board, personal: Built
) -> None:
    """It is folded when it comes, so whoever it is, a frame is that of any other network."""
    layers = personal.model.layers.values()
    own = sum(layer.weight[:, : layer.spec.inputs].size for layer in layers)
    assert session.greeting.dense_macs == own


def test_a_board_of_an_unpersonalised_model_refuses_by_name(built: Paper) -> None:
    with built.session() as board:
        assert board.embedding().tolist() == []
        with pytest.raises(RequestRefused, match="detail -4, the model takes no embedding"):
            board.set_embedding(np.zeros(32, np.int8))
