"""A line to a board that damages what it carries: for tests of what a link makes of it.

Two parts: :class:`Damage` does to bytes what a bad cable, a full buffer or a pulled plug
does, by chance and repeatably; :class:`FaultyLine` is a TCP port with damage in both directions
between a program and a board.
"""

from __future__ import annotations

import math
import os
import random
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from firmware_bridge.errors import LinkError
from firmware_bridge.transport import Transport

WEIGHTS: Mapping[str, float] = {
    "flip": 25, "drop": 15, "insert": 15, "duplicate": 15, "truncate": 14, "delay": 14,
    "close": 1, "kill": 1,
}  # fmt: skip
"""The faults there are, and how often each is chosen."""

FATAL = ("close", "kill")
"""After these no byte comes any more: the connection is closed, or the emulator killed."""

_MOST_INSERTED = 40
_MOST_REPEATED = 300  # whole frames among it
_LONGEST_DELAY = 0.03  # seconds
_POLL_SECONDS = 0.05
_READ_SIZE = 4096
_JOIN_SECONDS = 30.0


class KillableBoard(Transport, Protocol):
    """An emulated board and its process."""

    @property
    def pid(self) -> int: ...


@dataclass
class Passed:
    """What is left of some bytes: pass on ``data`` after ``delay`` seconds, then ``fatal``."""

    data: bytearray = field(default_factory=bytearray)
    delay: float = 0.0
    fatal: str | None = None


class Damage:
    """Faults in a stream of bytes, each byte hit with probability ``rate``.

    Where faults fall and of which kind they are depends on ``seed`` and on how many bytes
    have come, not on how they were cut into pieces. ``counts``: faults so far, by kind;
    ``bytes``: how many have come. ``truncate`` loses the rest of a frame, ``duplicate``
    repeats what has just passed, a byte of it or whole frames.
    """

    def __init__(self, seed: int, rate: float, weights: Mapping[str, float] = WEIGHTS) -> None:
        self.counts: Counter[str] = Counter()
        self.bytes = 0
        self._random = random.Random(seed)
        self._kinds, self._weights = list(weights), list(weights.values())
        self._recent = bytearray()
        self._losing = False
        self.set_rate(rate)

    def set_rate(self, rate: float) -> None:
        """From the next byte on."""
        self._rate = rate
        self._left = self._gap()

    def begin(self) -> None:
        """A new connection: what was on the way is gone."""
        self._recent.clear()
        self._losing = False

    def feed(self, data: bytes) -> Passed:
        """Bytes in, what becomes of them out."""
        passed = Passed()
        self.bytes += len(data)
        start = 0
        while start < len(data) and passed.fatal is None:
            whole = data[start : start + self._left] if self._left < len(data) else data[start:]
            self._pass(passed, whole)
            start += len(whole)
            self._left -= len(whole)
            if start < len(data):
                self._hit(passed, data[start])
                start += 1
                self._left = self._gap()
        return passed

    def _gap(self) -> int:
        """Bytes that pass before the next fault."""
        if self._rate <= 0:
            return 1 << 62
        if self._rate >= 1:
            return 0
        return int(math.log(1.0 - self._random.random()) / math.log(1.0 - self._rate))

    def _pass(self, passed: Passed, data: bytes) -> None:
        if self._losing:
            end = data.find(0)
            if end < 0:
                return
            self._losing = False
            data = data[end:]
        passed.data += data
        self._recent += data
        del self._recent[:-_MOST_REPEATED]

    def _hit(self, passed: Passed, byte: int) -> None:
        (kind,) = self._random.choices(self._kinds, self._weights)
        self.counts[kind] += 1
        several = self._random.random() < 0.5
        if kind == "flip":
            self._pass(passed, bytes([byte ^ 1 << self._random.randrange(8)]))
        elif kind == "drop":
            pass
        elif kind == "insert":
            count = self._random.randrange(1, _MOST_INSERTED) if several else 1
            self._pass(passed, bytes([byte]) + self._random.randbytes(count))
        elif kind == "duplicate":
            self._pass(passed, bytes([byte]))
            count = self._random.randrange(1, _MOST_REPEATED) if several else 1
            self._pass(passed, bytes(self._recent[-count:]))
        elif kind == "truncate":
            self._losing = True
        elif kind == "delay":
            self._pass(passed, bytes([byte]))
            passed.delay += self._random.uniform(0.0, _LONGEST_DELAY)
        else:
            passed.fatal = kind


class FaultyLine:
    """A port on the loopback interface that leads to one board after the other.

    ``out`` damages what goes to the board, ``back`` what comes from it. The port
    stays the same; :meth:`lead_to` gives it a board and :meth:`cut` takes it away.
    """

    def __init__(self, out: Damage, back: Damage) -> None:
        self.out, self.back = out, back
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        self._listener.settimeout(_POLL_SECONDS)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._connection: socket.socket | None = None
        self._board: KillableBoard | None = None

    @property
    def url(self) -> str:
        """What pyserial opens."""
        return f"socket://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> FaultyLine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cut()
        self._listener.close()

    def lead_to(self, board: KillableBoard) -> None:
        """The next connection is one to ``board``, which stays the caller's to close."""
        self.cut()
        self._stop.clear()
        self._board = board
        self.out.begin()
        self.back.begin()
        self._start(self._serve)

    def cut(self) -> None:
        """End the connection, if there is one. The board may be closed afterwards."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)
            assert not thread.is_alive(), "a line that cannot be cut"
        self._threads.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _start(self, body: Callable[[], None]) -> None:
        thread = threading.Thread(target=body, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                self._connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection.settimeout(_POLL_SECONDS)
            back = threading.Thread(target=self._carry_back, daemon=True)
            back.start()
            self._carry_out()
            back.join()
            return

    def _carry_out(self) -> None:
        assert self._connection and self._board
        with suppress(LinkError, OSError):  # the other end has gone, and so has the line
            while not self._stop.is_set():
                try:
                    data = self._connection.recv(_READ_SIZE)
                except TimeoutError:
                    continue
                if not data or not self._pass_on(self.out.feed(data), self._board.write):
                    break
        self.hang_up()

    def _carry_back(self) -> None:
        assert self._connection and self._board
        with suppress(LinkError, OSError):
            while not self._stop.is_set():
                data = self._board.read(_POLL_SECONDS)
                if data and not self._pass_on(self.back.feed(data), self._send_back):
                    break
        self.hang_up()

    def _pass_on(self, passed: Passed, write: Callable[[bytes], None]) -> bool:
        """False when the line has broken."""
        if passed.delay:
            self._stop.wait(passed.delay)
        if passed.data:
            write(bytes(passed.data))
        if passed.fatal == "kill":
            assert self._board
            os.kill(self._board.pid, signal.SIGKILL)
        return passed.fatal is None

    def _send_back(self, data: bytes) -> None:
        assert self._connection
        left = memoryview(data)
        while left and not self._stop.is_set():
            try:
                left = left[self._connection.send(left) :]
            except TimeoutError:
                continue

    def hang_up(self) -> None:
        """End the connection as the other side sees it; :meth:`cut` still has to be called."""
        self._stop.set()
        if self._connection is not None:
            with suppress(OSError):  # it had gone already
                self._connection.shutdown(socket.SHUT_RDWR)
