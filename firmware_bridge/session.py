"""A board as Python sees it: reset it, give it hops or frames, ask what it counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dyncp.errors import UserError
from firmware_bridge import messages
from firmware_bridge.errors import TransportClosed, WrongFirmware
from firmware_bridge.frame_log import FrameLog
from firmware_bridge.link import Link, LinkCounts
from firmware_bridge.messages import (
    Described,
    Description,
    FrameResult,
    Greeting,
    LayerCounters,
    MessageType,
    Request,
    Stats,
)
from firmware_bridge.transport import Deadline, Transport

CONNECT_SECONDS = 10.0

Entry = TypeVar("Entry")


class Board:
    """An open session with a board. Closes its transport; use it with ``with``.

    Every error of the link is a :class:`firmware_bridge.errors.LinkError`.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        reply_seconds: float = 1.0,
        attempts: int = 8,
        build_id: str | None = None,
        model_hash: str | None = None,
        log: FrameLog | None = None,
    ) -> None:
        """Greet the board and learn what it runs.

        With ``build_id`` or ``model_hash`` (hex), raises :class:`WrongFirmware`
        if the board runs another. ``log``: where every frame is written; closed with
        the session.
        """
        self._transport = transport
        self._connect_seconds = connect_seconds
        self._log = log
        self._embedding: NDArray[np.int8] | None = None
        self._link = Link(transport, reply_seconds, attempts, log)
        try:
            self.greeting = self._link.greet(Deadline(connect_seconds))
            _expect(transport.name, self.greeting, build_id, model_hash)
            self.tensors_described = self._describe(Described.TENSORS, self.greeting.tensors)
            self.layer_names = self._names(Described.LAYERS, self.greeting.layers)
            self.probe_names = self._names(Described.PROBES, self.greeting.probes)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the transport and the log. May be called again."""
        try:
            self._transport.close()
        finally:
            if self._log is not None:
                self._log.close()

    @property
    def name(self) -> str:
        """Where the board is, for a person."""
        return self._transport.name

    def greet_again(self) -> None:
        """Begin anew with a board that was reset, on its port, which may have gone for a while.

        It must run what it ran before, else :class:`WrongFirmware`. Whom this session told it
        to keep it is told again.
        """
        was = self.greeting
        try:
            self.greeting = self._link.greet(Deadline(self._connect_seconds))
        except TransportClosed:
            self._transport.reopen(Deadline(self._connect_seconds))
            self.greeting = self._link.greet(Deadline(self._connect_seconds))
        _expect(self.name, self.greeting, was.build_id, was.model_hash)
        if self._embedding is not None:
            self.set_embedding(self._embedding)

    @property
    def link_counts(self) -> LinkCounts:
        """What this end of the link has sent, repeated and found damaged."""
        return self._link.counts

    def reset(self) -> None:
        """Back to a cold start: silence and zero activation. The embedding stays."""
        self._link.ask(Request(MessageType.RESET))

    def set_embedding(self, embedding: NDArray[np.int8]) -> None:
        """Keep somebody else from the next hop on: int8 ``[dimensions]``, in -127..127.

        The board keeps it until it is told otherwise or starts anew, also beyond this
        session. Raises :class:`RequestRefused` for one that does not fit the model, and where
        that takes none; the old one stays then.
        """
        values = np.ascontiguousarray(embedding)
        if values.dtype != np.int8 or values.ndim != 1:
            raise UserError(
                f"an embedding must be int8 [dimensions], not {values.dtype} {list(values.shape)}"
            )
        messages.parse_embedding_set(self._link.ask(messages.set_embedding(values)), values)
        self._embedding = values.copy()

    def embedding(self) -> NDArray[np.int8]:
        """Whom the board keeps: int8 ``[dimensions]``; empty where the model takes none."""
        return messages.parse_embedding(self._link.ask(Request(MessageType.GET_EMBEDDING)))

    def process_hop(self, pcm: NDArray[np.int16]) -> FrameResult:
        """Enhance one hop, int16 ``[hop]``; the result's ``pcm`` is the hop before's."""
        (result,) = self.process_hops([pcm])
        return result

    def process_hops(
        self, hops: Iterable[NDArray[np.int16]], in_flight: int | None = None
    ) -> Iterator[FrameResult]:
        """Enhance hops one after the other; see :meth:`Link.exchange` for ``in_flight``.

        With more than one in flight, a hop arrives while the one before is
        processed, and its ticks count the interrupts that receive it.
        """
        requests = (messages.hop(pcm) for pcm in hops)
        for payload in self._link.exchange(requests, in_flight):
            yield messages.parse_result(payload, self.greeting, with_pcm=True)

    def process_frame(self, features: NDArray[np.int8]) -> FrameResult:
        """Run the network alone on int8 features ``[bins]``."""
        payload = self._link.ask(messages.frame(features))
        return messages.parse_result(payload, self.greeting, with_pcm=False)

    def tensors(self) -> dict[str, NDArray[np.int8]]:
        """Every output tensor of the last frame, by name, int8 ``[channels]``."""
        step = self.greeting.max_payload - 4
        offsets = range(0, self.greeting.tensor_bytes, step)
        replies = self._link.exchange(messages.tensors(offset) for offset in offsets)
        data = b"".join(
            messages.parse_tensors(reply, offset)
            for reply, offset in zip(replies, offsets, strict=True)
        )
        sizes = [tensor.channels for tensor in self.tensors_described]
        if len(data) != sum(sizes):
            raise messages.MalformedReply(
                f"the board sent {len(data)} bytes of tensors, not the {sum(sizes)} it announced"
            )
        parts = np.split(np.frombuffer(data, np.int8).copy(), np.cumsum(sizes)[:-1])
        names = [tensor.name for tensor in self.tensors_described]
        return dict(zip(names, parts, strict=True))

    def layers(self) -> list[LayerCounters]:
        """Counters of every layer in the last frame, front to back."""
        counted = self._list(self.greeting.layers, messages.layers, messages.parse_layers)
        return [
            LayerCounters(name, *counters)
            for name, counters in zip(self.layer_names, counted, strict=True)
        ]

    def stats(self) -> Stats:
        """Stack and link counters since the board started."""
        return messages.parse_stats(self._link.ask(Request(MessageType.STATS)))

    def _describe(self, what: Described, count: int) -> list[Description]:
        return self._list(
            count, lambda first: messages.describe(what, first), messages.parse_descriptions
        )

    def _names(self, what: Described, count: int) -> list[str]:
        return [described.name for described in self._describe(what, count)]

    def _list(
        self,
        count: int,
        request: Callable[[int], Request],
        parse: Callable[[bytes, int], list[Entry]],
    ) -> list[Entry]:
        """A list of ``count`` entries that may take several replies."""
        found: list[Entry] = []
        while len(found) < count:
            found += parse(self._link.ask(request(len(found))), len(found))
        if len(found) != count:
            raise messages.MalformedReply(
                f"the board listed {len(found)} entries, not the {count} it announced"
            )
        return found


def _expect(where: str, found: Greeting, build_id: str | None, model_hash: str | None) -> None:
    for what, runs, wanted in (
        ("build", found.build_id, build_id),
        ("model", found.model_hash, model_hash),
    ):
        if wanted is not None and runs != wanted:
            raise WrongFirmware(
                f"the board on {where} runs {what} {runs}, not {wanted} ({found.preset} for "
                f"{found.board}); flash the firmware that was built from these sources"
            )
