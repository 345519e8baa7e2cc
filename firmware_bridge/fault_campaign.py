"""Frames through an emulated board over a line that damages them, each answer held to the C.

Every frame ends in one of two ways: in the right bytes, those of the same network compiled for
this machine; or in an error of the link that has a name, within its deadline, after which the
campaign goes on with a new emulator. Anything else is a failure, and so is a process, a
thread, an open file or a lock that is left behind.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dyncp.errors import UserError
from firmware_bridge.board_lock import BoardLock
from firmware_bridge.connect import Address, PortTransport
from firmware_bridge.emulator import EmulatorTransport
from firmware_bridge.errors import LinkError, LinkTimeout, TransportClosed
from firmware_bridge.faulty_line import WEIGHTS, Damage, FaultyLine
from firmware_bridge.messages import FrameResult
from firmware_bridge.session import Board
from targets.board import Board as Target
from targets.firmware_build import Firmware
from targets.host_library import HostLibrary

RATES = (1e-4, 3e-4, 1e-3, 2e-3)
"""Faults a byte."""

EXPECTED_ERRORS = (LinkTimeout, TransportClosed)
"""What damage may end in. Any other error says that something damaged was believed."""

_RUN_FRAMES = 50  # from one cold start
_RUNS = 20  # different ones, again and again
_OPENING_REQUESTS = 16  # the lists of names; more than any network has needed
_SLACK_SECONDS = 10.0  # a busy machine
_WATCH_SECONDS = 0.1
_TOLD = 5

Progress = Callable[[int, int], None]
"""Called with the frames done, and all of them."""


@dataclass(frozen=True)
class Patience:
    """How long the host waits, as in :class:`firmware_bridge.session.Board`."""

    reply_seconds: float = 0.2
    attempts: int = 8
    connect_seconds: float = 10.0

    @property
    def opening_seconds(self) -> float:
        """By when a session must be open, or an error have come."""
        requests = _OPENING_REQUESTS * self.attempts * self.reply_seconds
        return self.connect_seconds + requests + _SLACK_SECONDS

    def answer_seconds(self, window: int) -> float:
        """By when an answer must have come after the one before, or an error."""
        return window * self.attempts * self.reply_seconds + _SLACK_SECONDS


@dataclass
class Counts:
    """What came of the frames at one ``rate``.

    ``right`` + ``wrong`` + the sum of ``errors`` (by name) are the frames. ``unexplained``:
    those that damage alone cannot cause. ``told``: the first wrong answers and unexplained
    errors, in words. ``late``: deadlines that passed without an
    answer or an error. ``repeated``, ``timeouts`` and ``damaged`` as in
    :class:`firmware_bridge.link.LinkCounts`. ``bytes`` in both directions.
    """

    rate: float
    right: int = 0
    wrong: int = 0
    late: int = 0
    sessions: int = 0
    repeated: int = 0
    timeouts: int = 0
    damaged: int = 0
    bytes: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    unexplained: int = 0
    told: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)

    @property
    def frames(self) -> int:
        return self.right + self.wrong + self.errors.total()

    @property
    def passed(self) -> bool:
        return not (self.wrong or self.late or self.unexplained or self.left_behind)

    def tell(self, story: str) -> None:
        if len(self.told) < _TOLD:
            self.told.append(story)


@dataclass(frozen=True)
class Run:
    """Hops from a cold start, and what they must give."""

    hops: list[NDArray[np.int16]]
    expected: list[bytes]


def make_runs(library: HostLibrary, seed: int) -> list[Run]:
    """Bursts of noise of many levels through the C on this machine."""
    random = np.random.default_rng(seed)
    runs = []
    for _ in range(_RUNS):
        library.reset()
        hops, expected = [], []
        for _ in range(_RUN_FRAMES):
            level = 10 ** random.uniform(0.5, 4.2)
            hop = random.normal(0, level, library.info.hop).clip(-32768, 32767).astype(np.int16)
            pcm = library.process_hop(hop)
            macs = library.counters().executed_macs
            gates = [library.gates(block) for block in range(library.info.blocks)]
            hops.append(hop)
            expected.append(
                _bytes(
                    pcm,
                    np.array(gates if library.info.gates else [], np.bool_),
                    np.array(list(library.probes().values()), np.int32),
                    macs,
                )
            )
        runs.append(Run(hops, expected))
    return runs


def _bytes(
    pcm: NDArray[np.int16],
    gates: NDArray[np.bool_],
    probes: NDArray[np.int32],
    macs: int,
) -> bytes:
    """All of an answer that does not depend on the core: its ticks and weight bytes do."""
    number = np.array(macs, np.int64)
    return b"".join(part.tobytes() for part in (pcm, np.packbits(gates), probes, number))


def _answer(result: FrameResult) -> bytes:
    return _bytes(result.pcm, result.gates, result.probes, result.counters.executed_macs)


class _WrongAnswer(Exception):
    """What follows on the same emulator depends on it."""


class _Watch:
    """Cuts the line when nothing has happened for too long, so that no run can hang."""

    def __init__(self, line: FaultyLine) -> None:
        self.late = 0
        self._line = line
        self._end = float("inf")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def within(self, seconds: float) -> None:
        """From now on."""
        self._end = time.monotonic() + seconds

    def rest(self) -> None:
        self._end = float("inf")

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_WATCH_SECONDS):
            if time.monotonic() > self._end:
                self.rest()
                self.late += 1
                self._line.hang_up()


class Campaign:
    """``firmware`` at ``elf`` on emulated ``board``, held to ``library``, over one faulty line.

    Raises :class:`UserError` if the library is of another network.
    """

    def __init__(
        self,
        board: Target,
        elf: Path,
        firmware: Firmware,
        library: HostLibrary,
        *,
        seed: int = 1,
        patience: Patience | None = None,
        weights: Mapping[str, float] = WEIGHTS,
    ) -> None:
        if library.info.model_hash != firmware.model_hash:
            raise UserError(
                f"{elf} and the host library are of different networks; build both again"
            )
        self._board, self._elf, self._firmware = board, elf, firmware
        self._patience = patience or Patience()
        self._runs = make_runs(library, seed)
        self._out = Damage(2 * seed, 0.0, weights)
        self._back = Damage(2 * seed + 1, 0.0, weights)

    def run(
        self, frames: int, rates: Sequence[float] = RATES, progress: Progress | None = None
    ) -> Iterator[Counts]:
        """``frames`` shared out among ``rates``, one after the other."""
        done = 0
        for index, rate in enumerate(rates):
            share = frames * (index + 1) // len(rates) - frames * index // len(rates)
            counts = Counts(rate)
            with _nothing_left_behind(counts), FaultyLine(self._out, self._back) as line:
                watch = _Watch(line)
                try:
                    self._at_rate(counts, line, watch, share, progress, done, frames)
                finally:
                    watch.close()
                counts.late = watch.late
            done += share
            yield counts

    def _at_rate(  # noqa: PLR0917
        self,
        counts: Counts,
        line: FaultyLine,
        watch: _Watch,
        share: int,
        progress: Progress | None,
        done: int,
        frames: int,
    ) -> None:
        before = self._out.counts + self._back.counts
        carried = self._out.bytes + self._back.bytes
        began = time.monotonic()
        self._out.set_rate(counts.rate)
        self._back.set_rate(counts.rate)
        while counts.frames < share:
            try:
                self._session(counts, line, watch, share)
            except EXPECTED_ERRORS as error:
                counts.errors[type(error).__name__] += 1
            except LinkError as error:
                counts.errors[type(error).__name__] += 1
                counts.unexplained += 1
                counts.tell(f"{type(error).__name__}: {error}")
            except _WrongAnswer as answer:
                counts.wrong += 1
                counts.tell(str(answer))
            watch.rest()
            if progress:
                progress(min(done + counts.frames, frames), frames)
        counts.seconds = time.monotonic() - began
        counts.faults = (self._out.counts + self._back.counts) - before
        counts.bytes = self._out.bytes + self._back.bytes - carried

    def _session(self, counts: Counts, line: FaultyLine, watch: _Watch, share: int) -> None:
        """Runs on one emulator until it fails, or there are enough frames."""
        counts.sessions += 1
        emulator = EmulatorTransport(self._board, self._elf)
        patience, session = self._patience, None
        try:
            line.lead_to(emulator)
            watch.within(patience.opening_seconds)
            session = Board(
                PortTransport(self._board, Address(line.url, line.url)),
                connect_seconds=patience.connect_seconds,
                reply_seconds=patience.reply_seconds,
                attempts=patience.attempts,
                build_id=self._firmware.build_id,
                model_hash=self._firmware.model_hash,
            )
            while counts.frames < share:
                self._one_run(counts, session, watch, share)
        finally:
            if session is not None:
                session.close()
                counts.repeated += session.link_counts.repeated
                counts.timeouts += session.link_counts.timeouts
                counts.damaged += session.link_counts.damaged
            line.cut()
            emulator.close()
            _see_what_is_left(counts, emulator.pid, line.url)

    def _one_run(self, counts: Counts, session: Board, watch: _Watch, share: int) -> None:
        run = self._runs[counts.frames // _RUN_FRAMES % len(self._runs)]
        # With credits and, every other time, one by one: their repetitions differ.
        in_flight = None if counts.frames // _RUN_FRAMES % 2 == 0 else 1
        seconds = self._patience.answer_seconds(session.greeting.window)
        watch.within(seconds)
        session.reset()
        some = share - counts.frames
        results = session.process_hops(run.hops[:some], in_flight)
        for index, (result, expected) in enumerate(zip(results, run.expected[:some], strict=True)):
            watch.within(seconds)
            if _answer(result) != expected:
                raise _WrongAnswer(f"hop {index} of a run gave other bytes than the C does here")
            counts.right += 1


def _see_what_is_left(counts: Counts, pid: int, lock: str) -> None:
    if Path(f"/proc/{pid}").exists():
        counts.left_behind.append(f"emulator {pid} still runs")
    try:
        BoardLock(lock, wait_seconds=0.0, say=lambda _: None).release()
    except UserError as error:
        counts.left_behind.append(str(error))


@contextmanager
def _nothing_left_behind(counts: Counts) -> Iterator[None]:
    """Open files, sockets among them, and threads are as many after as before."""

    def held() -> dict[str, int]:
        return {
            "open files and ports": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
            "threads": threading.active_count(),
        }

    before = held()
    yield
    after = held()
    counts.left_behind += [
        f"{after[what] - before[what]} {what}" for what in before if after[what] > before[what]
    ]
