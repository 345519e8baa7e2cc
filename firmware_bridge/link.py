"""Requests over a transport, so that each is executed once and answered intact.

A request keeps its sequence number when it is sent again; the board answers a
number that it has seen from the reply that it kept. As many requests may be
unanswered as the board's greeting gives credit for.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from firmware_bridge import messages
from firmware_bridge.errors import (
    BoardFault,
    BoardRestarted,
    LinkError,
    LinkTimeout,
    RequestRefused,
    VersionMismatch,
)
from firmware_bridge.frame_log import CAME, SENT, FrameLog, describe
from firmware_bridge.framing import PROTOCOL_VERSION, Damaged, Frame, Receiver, encode
from firmware_bridge.messages import (
    ERROR,
    MAX_PAYLOAD,
    REPLY,
    BoardError,
    ErrorCode,
    MessageType,
    Request,
)
from firmware_bridge.transport import Deadline, Transport

HELLO_SECONDS = 0.25
"""How long to wait before a HELLO is sent again."""

_FRAMES_TOLD = 3
"""The last ones, in the error of a timeout."""


@dataclass
class LinkCounts:
    """What this end has seen.

    ``sent``: requests, each once, HELLO left out. ``repeated``: requests sent
    again, for a reply or a request that was lost; ``timeouts`` of these times
    because nothing had come. ``damaged``: frames that came damaged. ``sent_bytes``
    and ``came_bytes``: all that went over the wire, framing and repetitions included.
    """

    sent: int = 0
    repeated: int = 0
    damaged: int = 0
    timeouts: int = 0
    sent_bytes: int = field(default=0, compare=False)
    came_bytes: int = field(default=0, compare=False)


class _Outcome(Enum):
    """What a frame from the board means for the requests sent."""

    ANSWERED = 1
    MISSING = 2
    """A request or a reply is lost: send again."""
    NOTHING = 3


@dataclass
class _Pending:
    """A request that has been sent; ``reply`` once it is answered."""

    request: Request
    sequence: int
    wire: bytes
    reply: Frame | None = None


class Link:
    """One board's end of the wire.

    ``reply_seconds``: how long to wait before a request is sent again.
    ``attempts``: how often it is sent without any answer before
    :class:`LinkTimeout`. ``log``: where every frame is written; not closed here.
    """

    def __init__(
        self,
        transport: Transport,
        reply_seconds: float = 1.0,
        attempts: int = 8,
        log: FrameLog | None = None,
    ) -> None:
        self.counts = LinkCounts()
        self._transport = transport
        self._reply_seconds = reply_seconds
        self._attempts = attempts
        self._receiver = Receiver(MAX_PAYLOAD)
        self._greeting: messages.Greeting | None = None
        self._next_sequence = 0
        self._busy = False
        self._log = log
        self._came: deque[str] = deque(maxlen=_FRAMES_TOLD)
        self._came_bytes = 0

    def greet(self, deadline: Deadline) -> messages.Greeting:
        """Begin a session: whatever went before on the wire is forgotten.

        Raises :class:`LinkTimeout` if nothing answers by ``deadline`` and
        :class:`VersionMismatch` if it speaks another protocol.
        """
        self._greeting = None
        # Only the reply that repeats this number opens the session, so replies
        # to somebody before us are never taken for ours.
        nonce = secrets.randbits(32)
        hello = encode(Frame(MessageType.HELLO, 0, messages.hello(nonce).payload))
        self._forget_what_came()
        while not deadline.expired():
            self._write(hello)
            attempt = Deadline(min(HELLO_SECONDS, deadline.remaining()))
            while not attempt.expired():
                for event in self._receive(attempt.remaining()):
                    greeting = _as_greeting(event)
                    if greeting is not None and greeting.nonce == nonce:
                        self._greeting = greeting
                        self._next_sequence = 1
                        return greeting
        raise LinkTimeout(
            f"nothing on {self._transport.name} answered within {deadline.seconds:g} s; check "
            "that it is the right port and that the board runs this project's firmware"
            f"{self._story('HELLO')}"
        )

    def ask(self, request: Request) -> bytes:
        """Send one request and give its reply's payload."""
        (reply,) = self.exchange([request])
        return reply

    def exchange(
        self, requests: Iterable[Request], in_flight: int | None = None
    ) -> Iterator[bytes]:
        """Send ``requests`` and give the replies' payloads, in order.

        At most ``in_flight`` requests are unanswered at a time, and never more
        than the board has credit for. One exchange at a time; whoever leaves
        requests unanswered, by an error or by stopping half-way, must greet again.
        """
        greeting = self._greeting
        if greeting is None or self._busy:
            state = (
                "is in the middle of an exchange; take its replies first"
                if self._busy
                else "never began or broke off; greet the board again"
            )
            raise LinkError(f"the session on {self._transport.name} {state}")
        window = min(in_flight or greeting.window, greeting.window)
        pending: deque[_Pending] = deque()
        self._busy = True
        try:
            for request in requests:
                entry = self._prepare(request, greeting.max_payload)
                while pending and (
                    len(pending) >= window
                    or sum(len(one.wire) for one in [*pending, entry]) > greeting.receive_bytes
                ):
                    yield self._oldest_reply(pending)
                self._next_sequence = (entry.sequence + 1) % 65536
                self.counts.sent += 1
                pending.append(entry)
                self._write(entry.wire)
            while pending:
                yield self._oldest_reply(pending)
        finally:
            self._busy = False
            if pending:
                self._greeting = None

    def _prepare(self, request: Request, max_payload: int) -> _Pending:
        if len(request.payload) > max_payload:
            raise LinkError(
                f"a {request.type.name} of {len(request.payload)} bytes is longer than the "
                f"{max_payload} that the board takes"
            )
        sequence = self._next_sequence
        return _Pending(request, sequence, encode(Frame(request.type, sequence, request.payload)))

    def _oldest_reply(self, pending: deque[_Pending]) -> bytes:
        deadline = Deadline(self._reply_seconds)
        attempts = 1
        prompted = False
        self._forget_what_came()
        while pending[0].reply is None:
            events = self._receive(deadline.remaining())
            outcomes = {_take(event, pending) for event in events}
            if _Outcome.ANSWERED in outcomes:
                attempts = 1
                prompted = False
                deadline = Deadline(self._reply_seconds)
                self._forget_what_came()
            late = deadline.expired()
            # At once for the first sign of a loss only: noise gives many, and each
            # repetition is answered by a window of replies that may be damaged too.
            prompt = _Outcome.MISSING in outcomes and not prompted
            unanswered = [entry for entry in pending if entry.reply is None]
            if not unanswered or not (late or prompt):
                continue
            prompted = not late
            self.counts.timeouts += late
            if attempts == self._attempts:
                first = unanswered[0]
                raise LinkTimeout(
                    f"{self._transport.name} gave no intact reply to a "
                    f"{first.request.type.name} in {attempts} attempts; check the cable, "
                    "the speed and that the board runs, then start again"
                    f"{self._story(f'{first.request.type.name} {first.sequence}')}"
                )
            attempts += 1
            self.counts.repeated += len(unanswered)
            self._write(b"".join(entry.wire for entry in unanswered))
            deadline = Deadline(self._reply_seconds)
        entry = pending.popleft()
        assert entry.reply is not None
        return _payload(entry.request, entry.reply)

    def _write(self, wire: bytes) -> None:
        if self._log is not None:
            self._log.wire(SENT, wire)
        self.counts.sent_bytes += len(wire)
        self._transport.write(wire)

    def _forget_what_came(self) -> None:
        self._came.clear()
        self._came_bytes = 0

    def _story(self, awaited: str) -> str:
        """What was awaited, what came since the last answer, and where all of it is written."""
        frames = f", the last: {' / '.join(self._came)}" if self._came else ", no whole frame"
        came = f"{self._came_bytes} bytes{frames}" if self._came_bytes else "nothing"
        log = f"; every frame is in {self._log.path}" if self._log else ""
        return f"; awaited: the reply to {awaited}; came: {came}{log}"

    def _receive(self, seconds: float) -> list[Frame | Damaged]:
        data = self._transport.read(seconds)
        self.counts.came_bytes += len(data)
        self._came_bytes += len(data)
        if self._log is not None:
            self._log.wire(CAME, data)
        events = self._receiver.feed(data)
        self._came.extend(describe(event) for event in events)
        # A frame that is no reply is an echo of our own.
        events = [e for e in events if isinstance(e, Damaged) or e.type & REPLY]
        for event in events:
            if isinstance(event, Damaged):
                self.counts.damaged += 1
            elif event.version != PROTOCOL_VERSION:
                raise VersionMismatch(
                    f"the board on {self._transport.name} speaks version {event.version} of the "
                    f"protocol, this program version {PROTOCOL_VERSION}; flash firmware built "
                    "from these sources"
                )
            elif event.type == ERROR:
                error = messages.parse_error(event.payload)
                if error.code == ErrorCode.FAULT:
                    raise BoardFault(
                        f"the board's processor faulted at 0x{error.detail & 0xFFFFFFFF:08x} and "
                        "stopped; `arm-none-eabi-addr2line -e firmware.elf ADDRESS` tells where"
                    )
        return events


def _take(event: Frame | Damaged, pending: Iterable[_Pending]) -> _Outcome:
    if isinstance(event, Damaged):
        return _Outcome.MISSING
    unanswered = {entry.sequence: entry for entry in pending if entry.reply is None}
    if event.sequence not in unanswered:
        # The answer to a repetition whose first answer came after all.
        return _Outcome.NOTHING
    if event.type == ERROR:
        code = messages.parse_error(event.payload).code
        if code in (ErrorCode.DAMAGED, ErrorCode.SEQUENCE):
            return _Outcome.MISSING
    unanswered[event.sequence].reply = event
    return _Outcome.ANSWERED


def _as_greeting(event: Frame | Damaged) -> messages.Greeting | None:
    if isinstance(event, Frame) and event.type == MessageType.HELLO | REPLY:
        return messages.parse_greeting(event.payload)
    return None


def _payload(request: Request, reply: Frame) -> bytes:
    if reply.type == request.type | REPLY:
        return reply.payload
    if reply.type == ERROR:
        raise _refusal(request, messages.parse_error(reply.payload))
    raise messages.MalformedReply(
        f"a {request.type.name} was answered by message type 0x{reply.type:02x}; "
        "rebuild the firmware from these sources"
    )


def _refusal(request: Request, error: BoardError) -> LinkError:
    if error.code == ErrorCode.GREETING:
        return BoardRestarted(
            "the board restarted during the session and has lost its state; start again"
        )
    names = {code.value: code.name for code in ErrorCode}
    reason = f"{names.get(error.code, error.code)}, detail {error.detail}"
    if error.code == ErrorCode.ENHANCER and error.detail in messages.ENHANCER_ERRORS:
        reason += f", {messages.ENHANCER_ERRORS[error.detail]}"
    return RequestRefused(
        f"the board refused a {request.type.name}: {reason} (docs/protocol.md explains the codes)"
    )
