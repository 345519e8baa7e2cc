"""What streaming with credits makes of a serial line: counted bytes, and virtual time.

Nothing here is a clock's: the bytes are those of a session with an emulated board, the
instructions are the board's count, and the line's times follow from its speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from firmware_bridge.emulator import EmulatorTransport
from firmware_bridge.messages import FrameResult
from firmware_bridge.report import table
from firmware_bridge.session import Board
from firmware_bridge.virtual_line import BITS_PER_BYTE, VirtualLine
from targets.board import load_board

USB_SECONDS = 0.001
"""Latency in either direction: a USB bridge hands over what it has once a millisecond."""


@dataclass(frozen=True)
class Streaming:
    """Hops streamed over a line.

    ``to_board`` and ``from_board``: bytes on the wire a hop; ``payload``: of the latter, without
    framing. ``seconds``: of virtual time a hop. ``use``: the share of what the line can carry
    from the board that was payload. ``most_work``: the most instructions (or cycles) of
    a hop. ``hop_seconds``: of audio.
    """

    baud: int
    hops: int
    to_board: float
    from_board: float
    payload: int
    seconds: float
    most_work: int
    hop_seconds: float

    @property
    def use(self) -> float:
        return self.payload * BITS_PER_BYTE / self.baud / self.seconds

    @property
    def line_seconds(self) -> float:
        """What the replies need of the line a hop, which is also when the core sends."""
        return self.from_board * BITS_PER_BYTE / self.baud

    @property
    def real_time(self) -> bool:
        return self.seconds <= self.hop_seconds

    @property
    def work_hz(self) -> float | None:
        """Instructions a second that the core must do for real time; None if none is enough."""
        left = self.hop_seconds - self.line_seconds
        return self.most_work / left if left > 0 else None


def stream_over_line(
    board: str,
    elf: Path,
    baud: int,
    hops: int,
    *,
    in_flight: int | None = None,
    work_hz: float | None = None,
    latency: float = USB_SECONDS,
) -> Streaming:
    """Stream noise through the emulated ``board`` over a line of ``baud``.

    ``work_hz``: instructions a second of its core, None for a core that takes no time. The hops
    are timed from the first request to the last reply.
    """
    transport = EmulatorTransport(load_board(board), elf)
    line = VirtualLine(transport, baud, work_hz=work_hz, latency=latency)
    with Board(line) as session:
        greeting = session.greeting
        line.set_counter(greeting.counter)
        session.reset()
        noise = np.random.default_rng(0).normal(0, 3000, (hops, greeting.hop)).astype(np.int16)
        began, sent, came = line.now, line.sent_bytes, line.came_bytes
        results = list(session.process_hops(noise, in_flight))
        return Streaming(
            baud=baud,
            hops=hops,
            to_board=(line.sent_bytes - sent) / hops,
            from_board=(line.came_bytes - came) / hops,
            payload=_payload_bytes(results[0]),
            seconds=(line.now - began) / hops,
            most_work=max(greeting.counter.count(result.counters.ticks) for result in results),
            hop_seconds=greeting.hop / greeting.sample_rate,
        )


def line_report(board: str, elf: Path, bauds: Sequence[int], hops: int) -> str:
    """A table for people, a row for each speed."""
    rows = []
    for baud in bauds:
        credit = stream_over_line(board, elf, baud, hops)
        single = stream_over_line(board, elf, baud, hops, in_flight=1)
        need = credit.work_hz
        rows.append(
            [
                f"{baud:,}",
                f"{credit.to_board:.0f} + {credit.from_board:.0f}",
                f"{credit.payload / credit.from_board:.1%}",
                f"{credit.use:.1%}",
                f"{single.use:.1%}",
                f"{credit.line_seconds * 1e3:.2f} of {credit.hop_seconds * 1e3:.2f}",
                "yes" if credit.real_time else "no",
                f"{need / 1e6:.1f}" if need else "none is enough",
            ]
        )
    head = [
        "baud", "bytes a hop, to + from", "payload", "line used", "one in flight",
        "ms of a hop", "real time", "Minstructions/s needed",
    ]  # fmt: skip
    return (
        f"{hops} hops through {board}, masks, probes and PCM with every one; "
        f"{USB_SECONDS * 1e3:g} ms of latency each way\n\n{table(head, rows)}\n\n"
        "  line used: payload that came, of what the line could have carried in the time\n"
        "  real time: on a core that takes no time; the last column says what a core must do"
    )


def _payload_bytes(result: FrameResult) -> int:
    """Of a HOP's reply (docs/protocol.md)."""
    blocks, gates = result.gates.shape
    return 20 + 4 * len(result.probes) + blocks * ((gates + 7) // 8) + 2 * len(result.pcm)
