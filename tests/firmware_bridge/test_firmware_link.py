"""The firmware's end of the link alone: what no well-behaved host would send it."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.framing import Frame, Receiver, encode
from firmware_bridge.messages import (
    ERROR,
    BoardError,
    Described,
    ErrorCode,
    MessageType,
    describe,
    hello,
    parse_error,
    set_embedding,
)
from tests.firmware_bridge import fake_board as fake
from tests.firmware_bridge.fake_board import FakeBoard
from tests.firmware_bridge.vectors import VECTORS

NOBODY = set_embedding(np.zeros(fake.DIMENSIONS, np.int8)).payload
LENGTHS = dict(zip(MessageType, (4, 0, 2 * fake.HOP, 5, 4, 2, 4, 0, len(NOBODY), 0), strict=True))


def say(board: FakeBoard, kind: int, sequence: int, payload: bytes = b"") -> list[Frame]:
    """One request, and the board's words."""
    events = Receiver(fake.MAX_PAYLOAD).feed(board.feed(encode(Frame(kind, sequence, payload))))
    frames = [event for event in events if isinstance(event, Frame)]
    assert len(frames) == len(events)
    return frames


def heads(frames: list[Frame]) -> list[tuple[int, int]]:
    return [(frame.type, frame.sequence) for frame in frames]


@pytest.mark.parametrize("kind", MessageType)
def test_a_payload_of_a_wrong_length_is_refused(fake_board: FakeBoard, kind: MessageType) -> None:
    """Shorter ones would be read on into what an earlier frame left behind."""
    say(fake_board, MessageType.HELLO, 0, bytes(4))
    right = LENGTHS[kind]
    for number, length in enumerate(range(right + 4), start=1):
        whole = kind == MessageType.SET_EMBEDDING and length == right  # zeros lack the CRC
        (answer,) = say(fake_board, kind, number, NOBODY if whole else bytes(length))
        if length != right:
            assert answer.type == ERROR
            assert parse_error(answer.payload) == BoardError(ErrorCode.LENGTH, right)
        else:
            assert heads([answer]) == [(kind | 0x80, number)]


@pytest.mark.parametrize(
    ("what", "end"),
    [(Described.TENSORS, fake.TENSORS), (Described.LAYERS, fake.LAYERS), (Described.PROBES, 2)],
)
def test_a_list_ends_where_the_greeting_says(
    fake_board: FakeBoard, what: Described, end: int
) -> None:
    say(fake_board, MessageType.HELLO, 0, bytes(4))
    (last,) = say(fake_board, MessageType.DESCRIBE, 1, describe(what, end - 1).payload)
    assert last.type == MessageType.DESCRIBE | 0x80
    for number, first in enumerate([end, end + 1, 65535], start=2):
        (answer,) = say(fake_board, MessageType.DESCRIBE, number, describe(what, first).payload)
        assert parse_error(answer.payload) == BoardError(ErrorCode.RANGE, end)


def test_a_new_session_is_not_answered_with_replies_of_the_old(fake_board: FakeBoard) -> None:
    """Nor with a reply that was never given: slots start out with number 0."""
    hello_, stats = MessageType.HELLO, MessageType.STATS
    assert heads(say(fake_board, hello_, 5, bytes(4))) == [(0x81, 5)]
    assert heads(say(fake_board, stats, 0)) == [(ERROR, 6)]  # SEQUENCE: 6 is due
    assert heads(say(fake_board, stats, 6) + say(fake_board, stats, 7)) == [(0x88, 6), (0x88, 7)]
    assert heads(say(fake_board, hello_, 100, bytes(4))) == [(0x81, 100)]
    assert heads(say(fake_board, stats, 7)) == [(ERROR, 101)]


def test_a_terminal_that_echoes_starts_no_endless_talk(fake_board: FakeBoard) -> None:
    """A port that nobody has set to raw sends the board's words back to it."""
    said = fake_board.feed(bytes.fromhex(VECTORS["step"][0]["host"]["wire"]))
    assert said
    assert fake_board.feed(said) == b""
    said = fake_board.feed(encode(Frame(MessageType.HELLO, 0, hello(1).payload)))
    assert fake_board.feed(said) == b""


# --- The firmware under sanitizers ---


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    flags = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    return fake.build(tmp_path_factory.mktemp("fuzz") / "fuzz", flags, ["fuzz_link.c"])


def requests(seed: int, count: int) -> Iterator[bytes]:
    """Bytes that may come in: requests right and wrong, damaged ones, and noise."""
    source = random.Random(seed)
    sequence = 0
    yield encode(Frame(MessageType.HELLO, 0, bytes(4)))
    for _ in range(count):
        kind = source.choice([*MessageType, source.randrange(128)])
        number = source.randrange(source.choice([3, 110, 3000]))
        payload = number.to_bytes(2, "little") + bytes(2) + source.randbytes(700)
        length = source.randrange(700) if source.random() < 0.2 else LENGTHS.get(kind, 0)
        payload = payload[:length]
        if kind == MessageType.SET_EMBEDDING and source.random() < 0.5:
            payload = NOBODY
        sequence += 1
        wire = bytearray(encode(Frame(kind, sequence, payload)))
        fate = source.random()
        if fate < 0.2:
            wire[source.randrange(1, len(wire) - 1)] ^= source.randrange(1, 256)
            sequence -= 1  # it is still due
        elif fate < 0.3:
            wire += source.randbytes(source.choice([1, 40, 2000]))
        yield bytes(wire)


@pytest.mark.parametrize("seed", range(4))
def test_no_input_makes_the_firmware_reach_out_of_bounds(sanitized: Path, seed: int) -> None:
    """Every reply is an intact frame, too: the board never says what it has not sealed."""
    data = b"".join(requests(seed, 2000)) + random.Random(seed).randbytes(100_000)
    result = subprocess.run([sanitized], input=data, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()[:2000]
    said = Receiver(fake.MAX_PAYLOAD).feed(result.stdout)
    assert all(isinstance(event, Frame) for event in said)
    types = {event.type for event in said if isinstance(event, Frame)}
    assert types == {int(kind) | 0x80 for kind in MessageType} | {0xFF}
