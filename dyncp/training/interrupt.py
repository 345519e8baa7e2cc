"""Ctrl-C and SIGTERM end a run at the border of a step, with its state saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StoppedEarly(Exception):
    """A signal ended a run whose state is saved; the message says how to go on."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + number
        """What a shell gives for a process that the signal ended: 130 or 143."""


class StopRequest:
    """The number of the first signal that asked the run to stop; 0 while there is none."""

    def __init__(self) -> None:
        self.signal = 0

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Signal handler. A second Ctrl-C is in earnest: it stops at once, nothing saved."""
        if self.signal == number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = self.signal or number


@contextmanager
def listening() -> Iterator[StopRequest]:
    """Take SIGINT and SIGTERM as requests to stop, while the body runs."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request  # signal handlers are the main thread's alone
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, request.receive) for number in numbers]
    try:
        yield request
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
