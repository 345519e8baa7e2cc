"""Audio through a board, hop by hop, and what the board said of every frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dyncp.preset import DEPTHWISE_KERNEL, Preset
from firmware_bridge.errors import BoardRestarted, LinkError, LinkTimeout, TransportClosed
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
    board's unit (:class:`firmware_bridge.counting.TickCounter`). ``restarts``: how often
    the board began anew on the way.
    """

    pcm: NDArray[np.int16]
    gates: NDArray[np.bool_]
    probes: NDArray[np.int32]
    executed_macs: NDArray[np.int64]
    weight_bytes: NDArray[np.int64]
    counts: NDArray[np.int64]
    analysis_counts: NDArray[np.int64]
    synthesis_counts: NDArray[np.int64]
    restarts: int


def hops_of(pcm: NDArray[np.int16], hop: int) -> Iterator[NDArray[np.int16]]:
    """``pcm`` in hops, the last one padded, and one of silence.

    The output lags by one hop, so the silence brings out the last samples.
    """
    hops = -(-len(pcm) // hop)
    padded = np.zeros((hops + 1) * hop, np.int16)
    padded[: len(pcm)] = pcm
    yield from padded.reshape(-1, hop)


@dataclass(frozen=True)
class Resume:
    """How to go on after a board was reset or unplugged in the middle of a file.

    ``history``: how many hops a result depends on (:func:`history_hops`). They are sent
    again from a cold start before the first hop that has no result yet, and then all is
    as if nothing had happened. ``restarts``: the most that one file may cost.
    """

    history: int
    restarts: int = 3


def history_hops(preset: Preset) -> int:
    """How many hops before a hop its result depends on: the network forgets all that is older.

    A block's output depends on the frames of its taps and, with gates, of its
    average; gates of the hidden site closed the taps' frames too, by averages of their own
    time. Blocks add up. A frame has samples of two hops, and a hop's output parts of two
    frames.
    """
    pool = preset.gate.pool_frames - 1 if preset.gate else 0
    taps = (DEPTHWISE_KERNEL - 1) * np.array(preset.network.block_dilations)
    closed = preset.gate is not None and preset.gate.site == "hidden"
    return int((taps + pool if closed else np.maximum(taps, pool)).sum()) + 2


def stream(
    session: Board,
    pcm: NDArray[np.int16],
    progress: Progress | None = None,
    *,
    in_flight: int | None = 1,
    resume: Resume | None = None,
) -> Streamed:
    """Enhance int16 ``[samples]`` from a cold start.

    One hop is in flight at a time: while another arrives, the interrupts that
    receive it would be counted with the frame. ``in_flight`` None gives as many as the
    board has credit for: faster, and only the counts differ. Without ``resume`` a
    board that restarts is an error.
    """
    hop = session.greeting.hop
    frames = -(-len(pcm) // hop)
    results: list[FrameResult] = []

    def took(result: FrameResult) -> None:
        results.append(result)
        if progress:
            progress(min(len(results), frames), frames)

    restarts = _all_results(session, list(hops_of(pcm, hop)), results, took, in_flight, resume)
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
        restarts=restarts,
    )


def _all_results(  # noqa: PLR0917
    session: Board,
    hops: list[NDArray[np.int16]],
    results: list[FrameResult],
    took: Callable[[FrameResult], None],
    in_flight: int | None,
    resume: Resume | None,
) -> int:
    """Fill ``results`` by ``took``; gives how often the board began anew."""
    restarts, lost = 0, False
    while True:
        try:
            if lost:
                session.greet_again()
                lost = False
            session.reset()
            # The last result there is is made again, to see that it is the same.
            first = max(0, len(results) - 1 - resume.history) if resume else 0
            replies = session.process_hops(hops[first:], in_flight)
            for index, result in enumerate(replies, first):
                if index >= len(results):
                    took(result)
                elif index == len(results) - 1:
                    _require_same(session.name, index, result, results[index])
            return restarts
        except (BoardRestarted, LinkTimeout, TransportClosed):
            if resume is None or restarts == resume.restarts:
                raise
            restarts, lost = restarts + 1, True


def _require_same(where: str, hop: int, again: FrameResult, before: FrameResult) -> None:
    same = all(
        np.array_equal(getattr(again, name), getattr(before, name))
        for name in ("pcm", "gates", "probes")
    )
    if not same or again.counters.executed_macs != before.counters.executed_macs:
        raise LinkError(
            f"after its restart the board on {where} gives another result for hop {hop} than "
            "before; what follows would not continue it: stream the file again from its start"
        )
