"""A serial line of a given speed before a board, in virtual time.

An emulated board answers over a socket that has no speed, and how long that takes says
how busy this machine is. Here its true bytes are given the times at which a line
of so many baud would have carried them: nothing waits, and the times repeat exactly.

The board is taken for what it is on silicon: it receives while it works, works on one
request at a time, and waits until its reply is on the wire (``uart_write`` polls).
"""

from __future__ import annotations

import struct
from collections import deque

from firmware_bridge.counting import TickCounter
from firmware_bridge.framing import DELIMITER, Frame, decode
from firmware_bridge.messages import REPLY, MessageType
from firmware_bridge.transport import Deadline, Transport

BITS_PER_BYTE = 10
"""On the wire: a start bit, 8 of data, a stop bit."""

_REPLY_SECONDS = 60.0
_TICKS_AT = 8  # in the reply to a HOP


class VirtualLine:
    """A transport through ``board``, which answers every frame with one; closes it.

    ``work_hz``: how many instructions (or cycles) the board's core does in a second, None for
    a core that takes no time; it needs :meth:`set_counter`. ``latency``: seconds on the way in
    either direction, beside the line's own. ``now``: seconds of virtual time.
    """

    def __init__(
        self,
        board: Transport,
        baud: int,
        *,
        work_hz: float | None = None,
        latency: float = 0.0,
    ) -> None:
        self.name = board.name
        self.now = 0.0
        self.sent_bytes = self.came_bytes = 0
        self._board = board
        self._byte_seconds = BITS_PER_BYTE / baud
        self._counter: TickCounter | None = None
        self._work_hz = work_hz
        self._latency = latency
        self._line_free = self._board_free = 0.0
        self._coming: deque[tuple[float, bytes]] = deque()
        self._pending = bytearray()

    def set_counter(self, counter: TickCounter) -> None:
        """What the board's ticks are, as its greeting says: from now on hops take time."""
        self._counter = counter

    def write(self, data: bytes) -> None:
        """Send whole frames; the replies come when the line would have brought them."""
        start = max(self.now, self._line_free)
        self._line_free = start + len(data) * self._byte_seconds
        self.sent_bytes += len(data)
        self._board.write(data)
        sent = 0
        for part in data.split(DELIMITER):
            sent += len(part) + 1
            if part:
                self._answer(start + min(sent, len(data)) * self._byte_seconds + self._latency)

    def read(self, seconds: float) -> bytes:
        if not self._coming or self._coming[0][0] > self.now + seconds:
            self.now += seconds
            return b""
        time, data = self._coming.popleft()
        self.now = max(self.now, time)
        self.came_bytes += len(data)
        return data

    def close(self) -> None:
        self._board.close()

    def reopen(self, deadline: Deadline) -> None:
        self._board.reopen(deadline)

    def _answer(self, arrived: float) -> None:
        reply = self._next_reply()
        wire = DELIMITER + reply + DELIMITER
        begun = max(arrived, self._board_free)
        self._board_free = begun + self._work_seconds(reply) + len(wire) * self._byte_seconds
        self._coming.append((self._board_free + self._latency, wire))

    def _work_seconds(self, reply: bytes) -> float:
        frame = decode(reply)
        if self._counter is None or self._work_hz is None:
            return 0.0
        if not isinstance(frame, Frame) or frame.type != MessageType.HOP | REPLY:
            return 0.0
        (ticks,) = struct.unpack_from("<I", frame.payload, _TICKS_AT)
        return self._counter.count(ticks) / self._work_hz

    def _next_reply(self) -> bytes:
        """The board's next frame, without delimiters."""
        deadline = Deadline(_REPLY_SECONDS)
        while not deadline.expired():
            part, found, rest = self._pending.partition(DELIMITER)
            if found:
                self._pending = rest
                if part:
                    return bytes(part)
            else:
                self._pending += self._board.read(deadline.remaining())
        raise AssertionError("the board did not answer a frame; this line is for boards that do")
