"""The host's end of the link against boards that misbehave in one chosen way."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable

import pytest

from firmware_bridge.errors import (
    BoardFault,
    BoardRestarted,
    LinkError,
    LinkTimeout,
    RequestRefused,
    VersionMismatch,
)
from firmware_bridge.framing import Frame, Receiver, encode
from firmware_bridge.link import Link, LinkCounts
from firmware_bridge.messages import ERROR, REPLY, ErrorCode, MalformedReply, MessageType, Request
from tests.firmware_bridge.fake_board import VirtualDeadline, use_virtual_time
from tests.firmware_bridge.vectors import step

STATS = Request(MessageType.STATS)
WIRE_BYTES = len(encode(Frame(MessageType.STATS, 1)))

Answer = Callable[[Frame], bytes]


@pytest.fixture(autouse=True)
def _virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    use_virtual_time(monkeypatch)


def greeting(hello: Frame, window: int = 2, receive_bytes: int = 1306) -> bytes:
    """The reply of the vectors with this HELLO's nonce."""
    rest = step("HELLO with any")["board"][12:]
    limits = window.to_bytes(2, "little") + receive_bytes.to_bytes(4, "little")
    payload = hello.payload + (640).to_bytes(2, "little") + limits + rest[len(limits) - 2 :]
    return encode(Frame(MessageType.HELLO | REPLY, hello.sequence, payload))


def error(sequence: int, code: int, detail: int = 0) -> bytes:
    payload = code.to_bytes(4, "little") + detail.to_bytes(4, "little", signed=True)
    return encode(Frame(ERROR, sequence, payload))


def echo(request: Frame) -> bytes:
    """Done; the payload comes back."""
    return encode(Frame(request.type | REPLY, request.sequence, request.payload))


def nothing(_: Frame) -> bytes:
    return b""


class Script:
    """A board that is a function from a request to bytes. One answer is read at a time.

    A number among the ``answers`` is so many seconds of silence.
    """

    name = "script"

    def __init__(self, answer: Answer, greet: Answer = greeting, stale: bytes = b"") -> None:
        self.answer, self.greet = answer, greet
        self.requests: list[Frame] = []
        self.answers: deque[bytes | float] = deque([stale] if stale else [])
        self.unread = 0
        self.most_unread = 0
        self._receiver = Receiver(16384)

    def write(self, data: bytes) -> None:
        for frame in self._receiver.feed(data):
            assert isinstance(frame, Frame)
            self.requests.append(frame)
            hello = frame.type == MessageType.HELLO
            answer = (self.greet if hello else self.answer)(frame)
            if answer:
                self.answers.append(answer)
            self.unread += not hello
            self.most_unread = max(self.most_unread, self.unread)

    def read(self, seconds: float) -> bytes:
        if not self.answers:
            VirtualDeadline.wait(seconds)
            return b""
        answer = self.answers.popleft()
        if isinstance(answer, float):
            VirtualDeadline.wait(min(answer, seconds))
            return b""
        self.unread = max(0, self.unread - 1)
        return answer

    def close(self) -> None:
        raise AssertionError("the link does not own its transport")


def opened(script: Script, attempts: int = 3) -> Link:
    opened = Link(script, attempts=attempts)
    opened.greet(VirtualDeadline(1.0))
    script.requests.clear()
    script.unread = script.most_unread = 0
    return opened


def test_a_silent_port_says_which_and_what_to_check() -> None:
    script = Script(nothing, greet=nothing)
    with pytest.raises(LinkTimeout, match=r"nothing on script answered .* right port") as caught:
        Link(script).greet(VirtualDeadline(10.0))
    assert "\n" not in str(caught.value)
    assert VirtualDeadline.now == 10.0
    assert len(script.requests) == 40
    assert len({frame.payload for frame in script.requests}) == 1


def test_only_the_answer_to_our_own_hello_opens_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A program that ended half-way leaves replies behind; they are not for us."""
    monkeypatch.setattr(secrets, "randbits", lambda _: 7)
    other = greeting(Frame(MessageType.HELLO, 0, (8).to_bytes(4, "little")))
    stale = b"\x09half a frame" + other + echo(Frame(MessageType.HOP, 1)) + error(4, 2, 4)
    script = Script(nothing, stale=stale)
    assert Link(script).greet(VirtualDeadline(1.0)).nonce == 7
    script = Script(nothing, greet=nothing, stale=stale)
    with pytest.raises(LinkTimeout):
        Link(script).greet(VirtualDeadline(10.0))


def test_a_board_of_another_version_is_named_at_once() -> None:
    theirs = Frame(ERROR, 0, b"from the future", version=2)
    script = Script(nothing, greet=lambda _: encode(theirs))
    with pytest.raises(VersionMismatch, match=r"script speaks version 2 .* this program version 1"):
        Link(script).greet(VirtualDeadline(1.0))


def test_a_board_that_falls_silent_is_asked_as_often_as_agreed() -> None:
    script = Script(nothing)
    host = opened(script, attempts=3)
    start = VirtualDeadline.now
    with pytest.raises(LinkTimeout, match=r"script gave no intact reply to a STATS in 3 attempts"):
        host.ask(STATS)
    assert script.requests == [Frame(MessageType.STATS, 1)] * 3
    assert VirtualDeadline.now - start == 3.0
    assert host.counts == LinkCounts(sent=1, repeated=2, damaged=0, timeouts=3)
    with pytest.raises(LinkError, match="greet the board again"):
        host.ask(STATS)


def test_a_lost_reply_is_asked_for_again_under_its_number() -> None:
    answers = iter([b"", b""])
    script = Script(lambda frame: next(answers, echo(frame)))
    host = opened(script)
    assert host.ask(Request(MessageType.TENSORS, b"abc")) == b"abc"
    assert [frame.sequence for frame in script.requests] == [1, 1, 1]
    assert host.counts == LinkCounts(sent=1, repeated=2, timeouts=2)


@pytest.mark.parametrize("wire", [b"\x05\x11\x22\0", error(1, 2, 1), error(1, 3, 1)])
def test_what_is_known_to_be_lost_is_repeated_without_waiting(wire: bytes) -> None:
    """Damage here, and the board's word of damage or of a gap there."""
    answers = iter([wire])
    script = Script(lambda frame: next(answers, echo(frame)))
    host = opened(script)
    assert host.ask(STATS) == b""
    assert (host.counts.repeated, host.counts.timeouts) == (1, 0)


def test_noise_is_not_answered_by_a_flood() -> None:
    """Each sign of damage would otherwise call for more replies, and use up the attempts."""
    host = opened(script := Script(nothing), attempts=2)
    replies = host.exchange([STATS, STATS])
    for _ in range(50):
        script.answers.append(b"\x05\x11\x22\0")
    script.answers += [echo(Frame(MessageType.STATS, n)) for n in (1, 2)]
    assert list(replies) == [b"", b""]
    assert host.counts == LinkCounts(sent=2, repeated=2, damaged=50)


def after(times: dict[int, int], signs: bytes = b"") -> Script:
    """Each number is answered when it has come so often, and with ``signs`` before."""

    def answer(frame: Frame) -> bytes:
        count = sum(request.sequence == frame.sequence for request in script.requests)
        return echo(frame) if count == times[frame.sequence] else signs

    script = Script(answer)
    return script


def test_any_answer_is_a_sign_of_life() -> None:
    """Whoever answers the second request is not given up for the first."""
    host = opened(after({1: 3, 2: 2}), attempts=2)
    assert list(host.exchange([STATS, STATS])) == [b"", b""]
    assert host.counts == LinkCounts(sent=2, repeated=3, timeouts=2)


def test_after_a_timeout_the_next_loss_is_repaired_at_once_too() -> None:
    answers = iter([b"\x05\x11\x22\0", b"", b"\x05\x11\x22\0"])
    host = opened(Script(lambda frame: next(answers, echo(frame))), attempts=4)
    assert host.ask(STATS) == b""
    assert host.counts == LinkCounts(sent=1, repeated=3, damaged=2, timeouts=1)


def test_a_slow_board_is_not_hurried_while_it_answers() -> None:
    """Each hop may take most of the time allowed; repetitions would only be more to do."""
    host = opened(script := Script(nothing))
    replies = host.exchange([STATS, STATS])
    script.answers += [0.9, echo(Frame(MessageType.STATS, 2)), 0.9]
    script.answers += [echo(Frame(MessageType.STATS, 1))]
    assert list(replies) == [b"", b""]
    assert host.counts == LinkCounts(sent=2)


def test_after_an_answer_the_next_loss_is_repaired_at_once_again() -> None:
    host = opened(after({1: 3, 2: 1}, signs=b"\x05\x11\x22\0"))
    assert list(host.exchange([STATS, STATS])) == [b"", b""]
    assert host.counts.timeouts == 0


def test_a_complaint_about_another_number_changes_nothing() -> None:
    script = Script(lambda frame: error(frame.sequence + 1, 2) + echo(frame))
    host = opened(script)
    assert host.ask(STATS) == b""
    assert host.counts == LinkCounts(sent=1)


def test_replies_come_in_the_order_of_the_requests() -> None:
    """The first of two replies is damaged, so the second comes before it."""
    answers = iter([b"\x05\x11\x22\0"])
    script = Script(lambda frame: next(answers, echo(frame)))
    host = opened(script)
    requests = [Request(MessageType.TENSORS, bytes([n])) for n in range(1, 7)]
    assert list(host.exchange(requests)) == [request.payload for request in requests]
    assert host.counts.sent == 6


def test_late_answers_to_repetitions_are_not_taken_for_new_ones() -> None:
    script = Script(lambda frame: 3 * echo(frame))
    host = opened(script)
    requests = [Request(MessageType.TENSORS, bytes([n])) for n in range(1, 7)]
    assert list(host.exchange(requests)) == [request.payload for request in requests]
    assert host.counts == LinkCounts(sent=6)


@pytest.mark.parametrize(
    ("window", "receive_bytes", "in_flight", "most"),
    [
        (4, 1306, None, 4),
        (4, 1306, 1, 1),
        (4, 1306, 9, 4),
        (1, 1306, None, 1),
        (4, 2 * WIRE_BYTES, None, 2),
        (4, 3 * WIRE_BYTES - 1, None, 2),
        (4, 1, None, 1),  # less than a frame: still one at a time, or nothing would go
    ],
)
def test_the_board_is_never_given_more_than_it_has_credit_for(
    window: int, receive_bytes: int, in_flight: int | None, most: int
) -> None:
    """A real UART has no other flow control: what exceeds the ring is lost."""
    script = Script(echo, greet=lambda hello: greeting(hello, window, receive_bytes))
    host = opened(script)
    assert len(list(host.exchange([STATS] * 10, in_flight))) == 10
    assert script.most_unread == most


def test_a_request_that_the_board_cannot_hold_is_not_sent() -> None:
    script = Script(echo)
    host = opened(script)
    with pytest.raises(LinkError, match="a HOP of 641 bytes is longer than the 640"):
        host.ask(Request(MessageType.HOP, bytes(641)))
    assert script.requests == []
    assert host.ask(Request(MessageType.HOP, bytes(640))) == bytes(640)


def test_a_refusal_names_request_and_reason_and_the_session_goes_on() -> None:
    answers = iter([(1, ErrorCode.RANGE, 12), (2, 77, -5)])
    script = Script(lambda frame: error(*next(answers)))
    host = opened(script)
    with pytest.raises(RequestRefused, match="refused a STATS: RANGE, detail 12") as caught:
        host.ask(STATS)
    assert "\n" not in str(caught.value)
    with pytest.raises(RequestRefused, match="refused a STATS: 77, detail -5"):
        host.ask(STATS)
    script.answer = echo
    assert host.ask(STATS) == b""


def test_a_board_that_has_forgotten_us_is_a_restart() -> None:
    host = opened(Script(lambda frame: error(frame.sequence, ErrorCode.GREETING)))
    with pytest.raises(BoardRestarted, match="restarted during the session"):
        host.ask(STATS)


def test_a_fault_is_told_with_its_address_whenever_it_comes() -> None:
    fault = error(0, ErrorCode.FAULT, -(2**31) + 0x10)
    with pytest.raises(BoardFault, match="faulted at 0x80000010") as caught:
        opened(Script(lambda _: fault)).ask(STATS)
    assert "\n" not in str(caught.value)
    with pytest.raises(BoardFault):
        Link(Script(nothing, greet=lambda _: fault)).greet(VirtualDeadline(1.0))


def test_an_answer_of_another_type_is_no_answer() -> None:
    host = opened(Script(lambda frame: encode(Frame(0x82, frame.sequence))))
    with pytest.raises(MalformedReply, match="a STATS was answered by message type 0x82"):
        host.ask(STATS)


def test_an_echo_of_our_own_bytes_is_ignored() -> None:
    """A loop-back plug is no board, and a terminal that echoes does no harm."""
    with pytest.raises(LinkTimeout, match="nothing on script answered"):
        Link(Script(nothing, greet=encode)).greet(VirtualDeadline(10.0))
    host = opened(Script(lambda frame: encode(frame) + echo(frame)))
    assert host.ask(STATS) == b""
    assert host.counts == LinkCounts(sent=1)


def test_one_exchange_at_a_time() -> None:
    host = opened(Script(echo))
    replies = host.exchange([STATS, STATS])
    next(replies)
    with pytest.raises(LinkError, match="in the middle of an exchange"):
        host.ask(STATS)
    assert len(list(replies)) == 1
    assert host.ask(STATS) == b""


def test_leaving_requests_unanswered_ends_the_session_until_the_next_greeting() -> None:
    """Their replies would be taken for those of later requests' repetitions."""
    host = opened(Script(echo))
    replies = host.exchange([STATS] * 5)
    next(replies)
    replies.close()
    with pytest.raises(LinkError, match="greet the board again"):
        host.ask(STATS)
    host.greet(VirtualDeadline(1.0))
    assert host.ask(STATS) == b""


def test_nothing_is_sent_before_the_greeting() -> None:
    script = Script(echo)
    with pytest.raises(LinkError, match="never began"):
        Link(script).ask(STATS)
    assert script.requests == []
