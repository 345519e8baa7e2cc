"""Every message's bytes: no field swapped, none misread, nothing accepted that does not fit."""

from __future__ import annotations

import dataclasses
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge import messages
from firmware_bridge.counting import TickCounter
from firmware_bridge.messages import (
    BoardError,
    Described,
    Description,
    FrameCounters,
    FrameResult,
    Greeting,
    MalformedReply,
    MessageType,
    Request,
    Stats,
)
from tests.firmware_bridge.fake_board import BUILD_ID, MODEL_HASH, assert_same
from tests.firmware_bridge.vectors import step

GREETING = Greeting(
    nonce=0x12345678, max_payload=640, window=2, receive_bytes=1306,
    sample_rate=16000, hop=4, bins=5, blocks=2, gates=10, layers=100, tensors=60, probes=2,
    counter=TickCounter("instructions", 25_000_000, 7),
    tensor_bytes=2400, dense_macs=0x2222, arena_bytes=0x3333,
    flash_bytes=0x4444, ram_bytes=0x5555, stack_bytes=0x6666,
    model_hash=MODEL_HASH, build_id=BUILD_ID, board="fake-board", preset="fake",
)  # fmt: skip


def body(request: Request, sequence: int) -> bytes:
    return struct.pack("<BBH", 1, request.type, sequence) + request.payload


def reply(name: str) -> bytes:
    """The payload of the board's answer in the vectors."""
    return step(name)["board"][4:]


@pytest.mark.parametrize(
    ("request_", "name", "sequence"),
    [
        (messages.hello(0x12345678), "HELLO with any", 7),
        (Request(MessageType.RESET), "RESET", 8),
        (messages.hop(np.array([1, 2, -1, -32768], np.int16)), "HOP", 9),
        (messages.frame(np.array([1, 2, 3, 4, 5], np.int8)), "FRAME", 11),
        (messages.frame(np.array([-128, 0, 0, 0, 0], np.int8)), "FRAME that", 12),
        (messages.tensors(2390), "TENSORS", 13),
        (messages.layers(98), "LAYERS", 15),
        (messages.describe(Described.TENSORS, 58), "DESCRIBE tensors", 17),
        (messages.describe(Described.LAYERS, 99), "DESCRIBE layers", 18),
        (messages.describe(Described.PROBES, 0), "DESCRIBE probes", 19),
        (Request(MessageType.STATS), "STATS", 23),
    ],
    ids=lambda value: value.type.name if isinstance(value, Request) else str(value),
)
def test_requests_have_the_layout_of_the_vectors(
    request_: Request, name: str, sequence: int
) -> None:
    assert body(request_, sequence) == step(name)["host"]


def test_a_greeting_field_by_field() -> None:
    assert messages.parse_greeting(reply("HELLO with any")) == GREETING


def test_results_field_by_field() -> None:
    gates = np.zeros((2, 10), bool)
    gates[0, [0]] = True  # 1
    gates[1, [1, 2, 4, 6, 8]] = True  # 0x156
    expected = FrameResult(
        counters=FrameCounters(1001, 2001, 3001, 401, 501),
        probes=np.array([1, -1], np.int32),
        gates=gates,
        pcm=np.array([1, 0, 0, 0], np.int16),
    )
    assert_same(messages.parse_result(reply("HOP"), GREETING, with_pcm=True), expected)
    frame = messages.parse_result(reply("FRAME"), GREETING, with_pcm=False)
    assert frame.counters.executed_macs == 1003
    assert frame.pcm.shape == (0,)


def test_a_static_network_has_neither_gates_nor_probes() -> None:
    static = dataclasses.replace(GREETING, gates=0, probes=0)
    result = messages.parse_result(reply("HOP")[:20], static, with_pcm=False)
    assert result.gates.shape == (2, 0)
    assert result.probes.shape == (0,)


def test_the_other_replies_field_by_field() -> None:
    assert messages.parse_tensors(reply("TENSORS"), 2390) == bytes(range(0x52, 0x5C))
    assert messages.parse_layers(reply("LAYERS"), 98) == [(3, 98, 686), (3, 99, 693)]
    assert messages.parse_descriptions(reply("DESCRIBE tensors"), 58) == [
        Description("tensor58", 40, -70),
        Description("tensor59", 40, -69),
    ]
    assert messages.parse_descriptions(reply("DESCRIBE probes"), 0) == [
        Description("vad", 0, 0),
        Description("minus", 0, 0),
    ]
    assert messages.parse_stats(reply("STATS")) == Stats(
        stack_used=0x321, requests=16, repeated=3, damaged=2, out_of_sequence=2, overruns=3
    )
    assert messages.parse_error(reply("FRAME that")) == BoardError(code=9, detail=-3)


def test_a_board_whose_limits_make_no_sense_is_refused() -> None:
    """They would otherwise end in a division by 0 or an endless loop."""
    whole = reply("HELLO with any")
    for start, value in [(4, b"\x7f\x02"), (6, b"\0\0"), (30, b"\x03"), (32, bytes(4))]:
        wrong = whole[:start] + value + whole[start + len(value) :]
        with pytest.raises(MalformedReply, match="layout of a greeting"):
            messages.parse_greeting(wrong)


@pytest.mark.parametrize(
    ("kind", "which", "name"),
    [(2, 0, "SysTick"), (2, 1, "DWT CYCCNT"), (1, 1, "SysTick"), (0, 0, "none")],
)
def test_the_greeting_says_which_counter_counts(kind: int, which: int, name: str) -> None:
    """A cycle of a counter that nobody can name is no measurement."""
    whole = reply("HELLO with any")
    greeting = messages.parse_greeting(whole[:30] + bytes([kind, which]) + whole[32:])
    assert greeting.counter.name == name


def test_a_counter_of_a_later_firmware_is_refused() -> None:
    whole = reply("HELLO with any")
    with pytest.raises(MalformedReply, match="layout of a greeting"):
        messages.parse_greeting(whole[:30] + bytes([2, 2]) + whole[32:])


PARSERS: dict[str, tuple[str, Callable[[bytes], Any]]] = {
    "greeting": ("HELLO with any", messages.parse_greeting),
    "hop": ("HOP", lambda payload: messages.parse_result(payload, GREETING, with_pcm=True)),
    "frame": ("FRAME", lambda payload: messages.parse_result(payload, GREETING, with_pcm=False)),
    "tensors": ("TENSORS", lambda payload: messages.parse_tensors(payload, 2390)),
    "layers": ("LAYERS", lambda payload: messages.parse_layers(payload, 98)),
    "descriptions": ("DESCRIBE t", lambda payload: messages.parse_descriptions(payload, 58)),
    "stats": ("STATS", messages.parse_stats),
    "error": ("FRAME that", messages.parse_error),
}


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
def test_nonsense_is_malformed_and_nothing_worse(name: str, data: st.DataObject) -> None:
    """A board of other sources gets one clear line, never a traceback."""
    start, parse = PARSERS[name]
    whole = reply(start)
    kept = data.draw(st.integers(0, len(whole)), label="kept")
    payload = whole[:kept] + data.draw(st.binary(max_size=40), label="rest")
    try:
        parse(payload)
    except MalformedReply as error:
        assert re.fullmatch(r".*does not have the layout of .*; rebuild the firmware.*", str(error))


@pytest.mark.parametrize("name", [name for name in PARSERS if name != "tensors"])
def test_a_byte_more_or_less_is_not_accepted(name: str) -> None:
    start, parse = PARSERS[name]
    whole = reply(start)
    parse(whole)
    for wrong in (whole[:-1], whole + b"\0", b""):
        with pytest.raises(MalformedReply):
            parse(wrong)


def test_replies_about_another_place_are_not_accepted() -> None:
    with pytest.raises(MalformedReply):
        messages.parse_tensors(reply("TENSORS"), 2391)
    with pytest.raises(MalformedReply):
        messages.parse_tensors(reply("TENSORS")[:4], 2390)  # nothing: it would go on for ever
    with pytest.raises(MalformedReply):
        messages.parse_layers(reply("LAYERS"), 97)
    with pytest.raises(MalformedReply):
        messages.parse_layers(bytes.fromhex("62000000"), 98)
    with pytest.raises(MalformedReply):
        messages.parse_descriptions(reply("DESCRIBE tensors"), 0)


def test_audio_and_features_of_a_wrong_type_are_not_converted() -> None:
    """Float audio cast to int16 would be silence, and nobody would notice."""
    with pytest.raises(TypeError):
        messages.hop(np.zeros(4, np.float32))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        messages.frame(np.zeros(5, np.uint8))  # type: ignore[arg-type]
