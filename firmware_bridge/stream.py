"""Audio through a board, hop by hop, and what the board said of every frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.messages import FrameResult
from firmware_bridge.session import Board

Progress = Callable[[int, int], None]
"""Called with the hops done, and all of them."""


@dataclass(frozen=True)
class Streamed:
    """What came back, frames as in :func:`dyncp.audio.spectrum`.

    ``pcm``: int16, aligned with the input and as long. ``gates``: bool
    ``[T, blocks, gates]``, True is open. ``probes``: int32 ``[T, P]``. The
    others: int64 ``[T]``; ``counts`` and those of the audio path are in the
    board's unit (:class:`firmware_bridge.counting.TickCounter`).
    """

    pcm: NDArray[np.int16]
    gates: NDArray[np.bool_]
    probes: NDArray[np.int32]
    executed_macs: NDArray[np.int64]
    weight_bytes: NDArray[np.int64]
    counts: NDArray[np.int64]
    analysis_counts: NDArray[np.int64]
    synthesis_counts: NDArray[np.int64]


def hops_of(pcm: NDArray[np.int16], hop: int) -> Iterator[NDArray[np.int16]]:
    """``pcm`` in hops, the last one padded, and one of silence.

    The output lags by one hop, so the silence brings out the last samples.
    """
    hops = -(-len(pcm) // hop)
    padded = np.zeros((hops + 1) * hop, np.int16)
    padded[: len(pcm)] = pcm
    yield from padded.reshape(-1, hop)


def stream(session: Board, pcm: NDArray[np.int16], progress: Progress | None = None) -> Streamed:
    """Enhance int16 ``[samples]`` from a cold start.

    One hop is in flight at a time: while another arrives, the interrupts that
    receive it would be counted with the frame.
    """
    hop = session.greeting.hop
    frames = -(-len(pcm) // hop)
    session.reset()
    results: list[FrameResult] = []
    for result in session.process_hops(hops_of(pcm, hop), in_flight=1):
        results.append(result)
        if progress:
            progress(min(len(results), frames), frames)
    output = np.concatenate([result.pcm for result in results])[hop:]
    counted = results[:frames]
    counter = session.greeting.counter

    def column(name: str) -> NDArray[np.int64]:
        return np.array([getattr(result.counters, name) for result in counted], np.int64)

    return Streamed(
        pcm=output[: len(pcm)],
        gates=np.stack([result.gates for result in counted]),
        probes=np.stack([result.probes for result in counted]),
        executed_macs=column("executed_macs"),
        weight_bytes=column("weight_bytes"),
        counts=counter.counts(column("ticks")),
        analysis_counts=counter.counts(column("analysis_ticks")),
        synthesis_counts=counter.counts(column("synthesis_ticks")),
    )
