"""Boards that mean no good, or are broken in ways no cable is: always one clear error, in time."""

from __future__ import annotations

import contextlib
import itertools
import random
import tracemalloc
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge import messages
from firmware_bridge.errors import LinkError, LinkTimeout, VersionMismatch, WrongFirmware
from firmware_bridge.frame_log import FrameLog
from firmware_bridge.framing import Damaged, Frame, Receiver, encode
from firmware_bridge.link import Link
from firmware_bridge.messages import ERROR, REPLY, MalformedReply, MessageType, Request
from firmware_bridge.session import Board
from tests.firmware_bridge import fake_board as fake
from tests.firmware_bridge.fake_board import FakeBoard, VirtualDeadline, Wire, use_virtual_time
from tests.firmware_bridge.test_link import STATS, Script, echo, error, greeting, opened
from tests.firmware_bridge.vectors import reference_wire, step


@pytest.fixture(autouse=True)
def _virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    use_virtual_time(monkeypatch)


# --- It floods ---

FLOODS: dict[str, Callable[[int], bytes]] = {
    "noise": lambda n: random.Random(n).randbytes(1000),
    "a frame that never ends": lambda n: b"\x55" * 20_000,
    "delimiters": lambda n: bytes(1000),
    "damaged frames": lambda n: b"\x05\x11\x22\0" * 50,
    "answers to others": lambda n: encode(Frame(MessageType.STATS | REPLY, n % 65536 | 0x8000)),
    "greetings of others": lambda n: greeting(Frame(MessageType.HELLO, 0, bytes([n % 256] * 4))),
    "complaints": lambda n: error(n % 1000 + 500, messages.ErrorCode.DAMAGED, 4),
    "our own words": lambda n: encode(Frame(MessageType.STATS, 1)),
}


class Flood(Script):
    """Answers the first greeting, if any, then says ``flood`` a hundred times a second."""

    def __init__(self, flood: Callable[[int], bytes], greets: bool) -> None:
        super().__init__(lambda _: b"", greet=greeting if greets else lambda _: b"")
        self._flood = flood
        self._said = 0

    def read(self, seconds: float) -> bytes:
        if self.answers:
            return super().read(seconds)
        VirtualDeadline.wait(0.01)
        self._said += 1
        return self._flood(self._said)


@pytest.mark.parametrize("name", FLOODS)
@pytest.mark.parametrize("greets", [True, False], ids=["in a session", "before it"])
def test_a_board_that_floods_is_given_up_in_time_and_not_collected(
    tmp_path: Path, name: str, greets: bool
) -> None:
    script = Flood(FLOODS[name], greets)
    with FrameLog(tmp_path / "frames.log") as log:
        host = Link(script, attempts=2, log=log)
        if greets:
            host.greet(VirtualDeadline(1.0))
        start = VirtualDeadline.now
        tracemalloc.start()
        try:
            with pytest.raises(LinkTimeout) as caught:
                host.ask(STATS) if greets else host.greet(VirtualDeadline(2.0))
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
        finally:
            tracemalloc.stop()
    assert VirtualDeadline.now - start <= 2.1
    assert "\n" not in str(caught.value)
    # What it says is answered once, if at all: two that shout at each other would never end.
    assert len(script.requests) <= 10 + greets


def test_an_answer_in_a_flood_is_still_an_answer() -> None:
    script = Flood(FLOODS["noise"], greets=True)
    host = opened(script)
    script.answer = lambda frame: b"\0" + echo(frame)
    assert host.ask(STATS) == b""


# --- It lies about lengths ---


@pytest.mark.parametrize("length", [16385, 20_000, 70_000])
def test_a_frame_longer_than_any_is_damaged_whatever_its_crc(length: int) -> None:
    receiver = Receiver(messages.MAX_PAYLOAD)
    wire = reference_wire(bytes([1, 0x83, 1, 0]) + b"\x55" * length)
    assert [type(event) for event in receiver.feed(wire)] == [Damaged]
    wire = encode(Frame(0x83, 1, b"\x55" * messages.MAX_PAYLOAD))
    assert [type(event) for event in receiver.feed(wire)] == [Frame]


def hello_reply(**fields: tuple[int, bytes]) -> bytes:
    """The greeting of the vectors with other bytes at some offsets."""
    payload = step("HELLO with any")["board"][4:]
    for offset, value in fields.values():
        payload = payload[:offset] + value + payload[offset + len(value) :]
    return payload


@pytest.mark.parametrize(
    "lie",
    [
        {"board": (108, b"\xff")},
        {"preset": (119, b"\xff")},
        {"blocks_and_gates": (20, b"\xff\xff\xff\xff")},
        {"tensors": (26, b"\xff\xff")},
        {"layers": (24, b"\xff\xff")},
        {"probes": (28, b"\xff\xff")},
        {"hop": (16, b"\xff\xff")},
        {"tensor_bytes": (36, b"\xff\xff\xff\xff")},
    ],
    ids=lambda lie: next(iter(lie)),
)
def test_a_length_that_is_a_lie_is_an_error_and_no_wait(
    fake_board: FakeBoard, lie: dict[str, tuple[int, bytes]]
) -> None:
    """An intact greeting that announces more than comes."""

    def lying(wire: bytes) -> bytes:
        said = b""
        for event in Receiver(fake.MAX_PAYLOAD).feed(wire):
            assert isinstance(event, Frame)
            payload = event.payload
            if event.type == MessageType.HELLO | REPLY:
                payload = payload[:4] + hello_reply(**lie)[4:]
            said += encode(Frame(event.type, event.sequence, payload))
        return said

    with pytest.raises(LinkError) as caught, Board(Wire(fake_board, back=lying)) as board:
        board.process_hop(np.zeros(fake.HOP, np.int16))
        board.tensors()
    assert "\n" not in str(caught.value)
    assert VirtualDeadline.now <= 10.0


@pytest.mark.parametrize("count", [0, 3, 65535])
def test_a_list_that_announces_what_it_does_not_hold(count: int) -> None:
    for name, parse, first in (
        ("LAYERS", messages.parse_layers, 98),
        ("DESCRIBE tensors", messages.parse_descriptions, 58),
    ):
        payload = step(name)["board"][4:]
        with pytest.raises(MalformedReply):
            parse(payload[:2] + count.to_bytes(2, "little") + payload[4:], first)


# --- It is of another time ---


@pytest.mark.parametrize("version", [0, 2, 255])
def test_a_later_protocol_is_named_in_the_middle_of_a_session_too(version: int) -> None:
    """Whatever its payload is: the layout of another version is not ours to read."""
    later = lambda frame: encode(Frame(ERROR, frame.sequence, b"new", version=version))  # noqa: E731
    host = opened(Script(later))
    with pytest.raises(VersionMismatch, match=f"speaks version {version} of the protocol"):
        host.ask(STATS)


@pytest.mark.parametrize("version", [0, 2, 255])
def test_a_request_of_another_version_is_not_executed(fake_board: FakeBoard, version: int) -> None:
    fake_board.feed(encode(Frame(MessageType.HELLO, 0, bytes(4))))
    before = fake_board.count("fake_processed")
    said = fake_board.feed(encode(Frame(MessageType.HOP, 1, bytes(8), version=version)))
    (answer,) = Receiver(fake.MAX_PAYLOAD).feed(said)
    assert isinstance(answer, Frame)
    assert messages.parse_error(answer.payload) == messages.BoardError(1, 1)
    assert fake_board.count("fake_processed") == before


@pytest.mark.parametrize("stale", [1, 3, 65535, 32772])
def test_a_stale_request_is_not_executed_again(fake_board: FakeBoard, stale: int) -> None:
    """Number 6 is due, and the replies to 4 and 5 are kept."""
    fake_board.feed(encode(Frame(MessageType.HELLO, 0, bytes(4))))
    for number in range(1, 6):
        fake_board.feed(encode(Frame(MessageType.HOP, number, bytes(8))))
    before = fake_board.count("fake_processed")
    (answer,) = Receiver(640).feed(fake_board.feed(encode(Frame(MessageType.HOP, stale, bytes(8)))))
    assert (answer.type, answer.sequence) == (ERROR, 6)
    (again,) = Receiver(640).feed(fake_board.feed(encode(Frame(MessageType.HOP, 5, bytes(8)))))
    assert (again.type, again.sequence) == (MessageType.HOP | REPLY, 5)
    assert fake_board.count("fake_processed") == before


def test_a_stale_reply_is_not_taken_for_this_one() -> None:
    """Of the request before, of the one after, and of ones that nobody has made."""
    stale = [0, 65535, 2, 3]

    def answer(frame: Frame) -> bytes:
        others = (encode(Frame(frame.type | REPLY, n, b"stale")) for n in stale)
        return b"".join(others) + encode(Frame(frame.type | REPLY, frame.sequence, b"mine"))

    assert opened(Script(answer)).ask(Request(MessageType.TENSORS)) == b"mine"


def test_another_build_is_refused_after_a_restart_too(fake_board: FakeBoard) -> None:
    """A board may come back from its reset with what somebody else has flashed meanwhile."""
    wire = Wire(fake_board)
    with Board(wire, build_id=fake.BUILD_ID, model_hash=fake.MODEL_HASH) as board:
        wire.back = _with_another_build
        with pytest.raises(WrongFirmware, match="runs build 00"):
            board.greet_again()


def _with_another_build(wire: bytes) -> bytes:
    (event,) = Receiver(fake.MAX_PAYLOAD).feed(wire)
    assert isinstance(event, Frame)
    payload = event.payload[:92] + bytes(16) + event.payload[108:]
    return encode(Frame(event.type, event.sequence, payload))


# --- It says anything at all ---

kinds = st.sampled_from([ERROR, *(kind | REPLY for kind in MessageType)])
frames = st.builds(Frame, kinds | st.integers(0, 255), st.integers(0, 4), st.binary(max_size=60))
words = st.one_of(
    frames.map(encode),
    st.binary(max_size=60),
    st.builds(lambda f, at: encode(f)[:at], frames, st.integers(0, 40)),
)


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """``data`` cut at some places."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


def reference_events(stream: bytes) -> list[Frame | None]:
    """What a receiver finds in ``stream``, by the page; None for a damaged frame."""
    found: list[Frame | None] = []
    for part in stream.split(b"\0")[:-1]:
        if part:
            found.append(_reference_frame(part))
    return found


def _reference_frame(part: bytes) -> Frame | None:
    data, at = b"", 0
    while at < len(part):
        code = part[at]
        group = part[at + 1 : at + code]
        if len(group) < code - 1:
            return None
        at += code
        data += group + (b"\0" if code < 0xFF and at < len(part) else b"")
    if not 8 <= len(data) <= 8 + 640:
        return None
    if zlib.crc32(data[:-4]).to_bytes(4, "little") != data[-4:]:
        return None
    return Frame(data[1], int.from_bytes(data[2:4], "little"), data[4:-4], data[0])


@settings(max_examples=150)
@given(st.lists(words, max_size=6), st.lists(st.integers(0, 1000), max_size=8))
def test_any_bytes_in_any_pieces_give_the_same_frames(said: list[bytes], cuts: list[int]) -> None:
    """Frames that are intact by the page, and nothing else: no exception, nothing invented."""
    stream = b"".join(said)
    receiver = Receiver(640)
    events = [event for piece in pieces(stream, cuts) for event in receiver.feed(piece)]
    got = [event if isinstance(event, Frame) else None for event in events]
    assert got == reference_events(stream)


@settings(max_examples=150)
@given(st.lists(words, max_size=8))
def test_whatever_a_board_says_is_its_answer_or_a_named_error(said: list[bytes]) -> None:
    """A payload is given only if an intact reply of the right number and type held it."""
    VirtualDeadline.now = 0.0
    host = opened(Script(lambda _: b""), attempts=2)
    script = host._transport
    assert isinstance(script, Script)
    script.answers.extend(one for one in said if one)
    with contextlib.suppress(LinkError):
        payload = host.ask(Request(MessageType.TENSORS, bytes(4)))
        answers = [e for e in reference_events(b"\0" + b"".join(said) + b"\0") if e]
        assert any(
            (one.type, one.sequence, one.payload) == (MessageType.TENSORS | REPLY, 1, payload)
            for one in answers
        )
    assert VirtualDeadline.now <= 3.0


@settings(max_examples=150)
@given(st.binary(max_size=250), st.integers(0, 130), st.binary(max_size=6))
def test_any_greeting_opens_a_session_or_is_a_named_error(
    rest: bytes, at: int, changed: bytes
) -> None:
    """Intact, of this version, and nonsense: no traceback, no division by 0, no endless list."""
    VirtualDeadline.now = 0.0
    whole = step("HELLO with any")["board"][4:]
    payload = (whole[:at] + changed + whole[at + len(changed) :])[4:] if at < 120 else rest
    script = Script(
        echo, greet=lambda hello: encode(Frame(0x81, hello.sequence, hello.payload + payload))
    )
    script.close = lambda: None  # type: ignore[method-assign]
    with contextlib.suppress(LinkError), Board(script, attempts=2, connect_seconds=1.0) as board:
        assert board.greeting.max_payload >= 640
