"""Requests and replies as dataclasses, and their bytes.

The layouts are those of ``docs/protocol.md``; the device's side is
``targets/firmware/link/commands.c``. Numbers are little-endian. A payload that
does not fit its layout raises :class:`MalformedReply`.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.counting import COUNTER_KINDS, CYCLE_COUNTERS, TickCounter
from firmware_bridge.errors import LinkError


class MessageType(IntEnum):
    """Requests; the reply to one is its type with :data:`REPLY` set."""

    HELLO = 0x01
    RESET = 0x02
    HOP = 0x03
    FRAME = 0x04
    TENSORS = 0x05
    LAYERS = 0x06
    DESCRIBE = 0x07
    STATS = 0x08
    SET_EMBEDDING = 0x09
    GET_EMBEDDING = 0x0A


REPLY = 0x80
ERROR = 0xFF
MIN_PAYLOAD, MAX_PAYLOAD = 640, 16384
"""Any board takes and gives payloads of at least the first, and none longer than the second."""


class ErrorCode(IntEnum):
    """Why a board did not do as asked."""

    VERSION = 1
    DAMAGED = 2
    SEQUENCE = 3
    GREETING = 4
    TYPE = 5
    LENGTH = 6
    RANGE = 7
    ROOM = 8
    ENHANCER = 9
    FAULT = 10
    CHECKSUM = 11


ENHANCER_ERRORS = {
    -1: "a wrong argument",
    -2: "the arena is too small",
    -3: "it is not initialised",
    -4: "the model takes no embedding",
    -5: "an embedding of another length",
    -6: "an embedding with a value of -128",
}
"""What the detail of an ENHANCER says: the ``sluice_error`` of ``sluice.h``."""


class Described(IntEnum):
    """The lists that DESCRIBE gives."""

    TENSORS = 0
    LAYERS = 1
    PROBES = 2


class MalformedReply(LinkError):
    """A reply passed its CRC but does not have the layout of its type."""


@dataclass(frozen=True)
class Request:
    """What to ask of the board."""

    type: MessageType
    payload: bytes = b""


@dataclass(frozen=True)
class BoardError:
    """An ERROR's payload: a code (:class:`ErrorCode` where known) and its detail."""

    code: int
    detail: int


@dataclass(frozen=True)
class Greeting:
    """Who answered: the link's limits, the model, the board.

    Sizes in bytes. ``gates`` is per block, ``dense_macs`` per frame, ``hop`` in
    samples, ``counter`` what ticks stand for. ``ram_bytes`` are the static
    variables, the arena among them and the stack not.
    """

    nonce: int
    max_payload: int
    window: int
    receive_bytes: int
    sample_rate: int
    hop: int
    bins: int
    blocks: int
    gates: int
    layers: int
    tensors: int
    probes: int
    counter: TickCounter
    tensor_bytes: int
    dense_macs: int
    arena_bytes: int
    flash_bytes: int
    ram_bytes: int
    stack_bytes: int
    model_hash: str
    build_id: str
    board: str
    preset: str


@dataclass(frozen=True)
class FrameCounters:
    """Of one hop or frame; ticks are the board's, see :class:`TickCounter`."""

    executed_macs: int
    weight_bytes: int
    ticks: int
    analysis_ticks: int
    synthesis_ticks: int


@dataclass(frozen=True)
class FrameResult:
    """What one frame gave.

    ``probes``: int32 ``[P]``. ``gates``: bool ``[blocks, gates]``, True is open.
    ``pcm``: int16 ``[hop]``, empty for a FRAME.
    """

    counters: FrameCounters
    probes: NDArray[np.int32]
    gates: NDArray[np.bool_]
    pcm: NDArray[np.int16]


@dataclass(frozen=True)
class LayerCounters:
    """Of one layer in the last frame."""

    name: str
    executed_macs: int
    weight_bytes: int
    ticks: int


@dataclass(frozen=True)
class Description:
    """A tensor, layer or probe by name; only tensors have channels and a zero point."""

    name: str
    channels: int
    zero_point: int


@dataclass(frozen=True)
class Stats:
    """How the board and its end of the link fare since its start."""

    stack_used: int
    requests: int
    repeated: int
    damaged: int
    out_of_sequence: int
    overruns: int


_ERROR = struct.Struct("<Ii")
_GREETING = struct.Struct("<IHHIIHHHHHHHBBIIIIIII32s16s")
_GREETING_NUMBERS = (
    *("nonce", "max_payload", "window", "receive_bytes"),
    *("sample_rate", "hop", "bins", "blocks", "gates", "layers", "tensors", "probes"),
    *("counter_kind", "counter_shift", "counter_hz"),
    *("tensor_bytes", "dense_macs", "arena_bytes", "flash_bytes", "ram_bytes", "stack_bytes"),
)
_COUNTERS = struct.Struct("<5I")
_LIST = struct.Struct("<HH")
_LAYER = struct.Struct("<3I")
_STATS = struct.Struct("<6I")
_CRC = struct.Struct("<I")


def hello(nonce: int) -> Request:
    return Request(MessageType.HELLO, struct.pack("<I", nonce))


def hop(pcm: NDArray[np.int16]) -> Request:
    """``pcm``: int16 ``[hop]``."""
    return Request(MessageType.HOP, pcm.astype("<i2", casting="equiv").tobytes())


def frame(features: NDArray[np.int8]) -> Request:
    """``features``: int8 ``[bins]``."""
    return Request(MessageType.FRAME, features.astype(np.int8, casting="equiv").tobytes())


def tensors(offset: int) -> Request:
    return Request(MessageType.TENSORS, struct.pack("<I", offset))


def layers(first: int) -> Request:
    return Request(MessageType.LAYERS, struct.pack("<H", first))


def describe(what: Described, first: int) -> Request:
    return Request(MessageType.DESCRIBE, struct.pack("<BxH", what, first))


def set_embedding(values: NDArray[np.int8]) -> Request:
    """``values``: int8 ``[dimensions]``."""
    data = values.astype(np.int8, casting="equiv").tobytes()
    return Request(MessageType.SET_EMBEDDING, data + struct.pack("<I", zlib.crc32(data)))


def parse_error(payload: bytes) -> BoardError:
    _require(len(payload) == _ERROR.size, "an error")
    code, detail = _ERROR.unpack(payload)
    return BoardError(code, detail)


def parse_greeting(payload: bytes) -> Greeting:
    _require(len(payload) >= _GREETING.size, "a greeting")
    *numbers, model_hash, build_id = _GREETING.unpack_from(payload)
    board, rest = _string(payload[_GREETING.size :])
    preset, rest = _string(rest)
    fields = dict(zip(_GREETING_NUMBERS, numbers, strict=True))
    kind = fields.pop("counter_kind")
    _require(not rest and kind < len(COUNTER_KINDS), "a greeting")
    _require(fields["counter_hz"] > 0 or COUNTER_KINDS[kind] == "none", "a greeting")
    if COUNTER_KINDS[kind] == "cycles":
        _require(fields["counter_shift"] < len(CYCLE_COUNTERS), "a greeting")
    _require(fields["max_payload"] >= MIN_PAYLOAD and fields["window"] > 0, "a greeting")
    counter = TickCounter(
        unit=COUNTER_KINDS[kind],
        tick_hz=fields.pop("counter_hz"),
        shift=fields.pop("counter_shift"),
    )
    return Greeting(
        counter=counter,
        model_hash=model_hash.hex(),
        build_id=build_id.hex(),
        board=board,
        preset=preset,
        **fields,
    )


def parse_result(payload: bytes, greeting: Greeting, with_pcm: bool) -> FrameResult:
    """The reply to a HOP (``with_pcm``) or a FRAME."""
    gate_bytes = (greeting.gates + 7) // 8
    sizes = [
        _COUNTERS.size,
        4 * greeting.probes,
        gate_bytes * greeting.blocks,
        2 * greeting.hop if with_pcm else 0,
    ]
    _require(len(payload) == sum(sizes), "a frame's result")
    counters, probes, gates, pcm = _split(payload, sizes)
    bits = np.frombuffer(gates, np.uint8).reshape(greeting.blocks, gate_bytes)
    return FrameResult(
        counters=FrameCounters(*_COUNTERS.unpack(counters)),
        probes=np.frombuffer(probes, "<i4").astype(np.int32),
        gates=np.unpackbits(bits, axis=1, count=greeting.gates, bitorder="little").astype(bool),
        pcm=np.frombuffer(pcm, "<i2").astype(np.int16),
    )


def parse_tensors(payload: bytes, offset: int) -> bytes:
    """The tensors' bytes from ``offset``, as many as the reply held."""
    _require(len(payload) > 4 and struct.unpack_from("<I", payload)[0] == offset, "tensors")
    return payload[4:]


def parse_layers(payload: bytes, first: int) -> list[tuple[int, int, int]]:
    """Executed MACs, weight bytes and ticks of the layers from ``first``."""
    entries = _list(payload, first, "layers")
    _require(len(entries) == _LIST.unpack_from(payload)[1] * _LAYER.size, "layers")
    return list(_LAYER.iter_unpack(entries))


def parse_descriptions(payload: bytes, first: int) -> list[Description]:
    rest = _list(payload, first, "descriptions")
    found = []
    for _ in range(_LIST.unpack_from(payload)[1]):
        name, rest = _string(rest)
        _require(len(rest) >= 4, "descriptions")
        channels, zero_point = struct.unpack_from("<Hh", rest)
        found.append(Description(name, channels, zero_point))
        rest = rest[4:]
    _require(not rest, "descriptions")
    return found


def parse_stats(payload: bytes) -> Stats:
    _require(len(payload) == _STATS.size, "statistics")
    return Stats(*_STATS.unpack(payload))


def parse_embedding_set(payload: bytes, values: NDArray[np.int8]) -> None:
    """The reply to a SET_EMBEDDING of ``values``."""
    _require(payload == struct.pack("<I", zlib.crc32(values.tobytes())), "an embedding's reply")


def parse_embedding(payload: bytes) -> NDArray[np.int8]:
    """The embedding in force, int8 ``[dimensions]``; empty of a model that takes none."""
    _require(len(payload) >= _CRC.size, "an embedding")
    values = payload[_CRC.size :]
    _require(_CRC.unpack_from(payload)[0] == zlib.crc32(values), "an embedding")
    return np.frombuffer(values, np.int8).copy()


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise MalformedReply(
            f"the board's reply does not have the layout of {what}; "
            "rebuild the firmware from these sources"
        )


def _split(payload: bytes, sizes: list[int]) -> list[bytes]:
    ends = np.cumsum(sizes)
    return [payload[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def _string(payload: bytes) -> tuple[str, bytes]:
    _require(len(payload) >= 1 and len(payload) > payload[0], "a string")
    end = 1 + payload[0]
    return payload[1:end].decode("utf-8", errors="replace"), payload[end:]


def _list(payload: bytes, first: int, what: str) -> bytes:
    _require(len(payload) >= _LIST.size, what)
    start, count = _LIST.unpack_from(payload)
    _require(start == first and count > 0, what)
    return payload[_LIST.size :]
