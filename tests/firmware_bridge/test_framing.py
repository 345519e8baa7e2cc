"""Frames, in Python and in C: nothing intact is lost, nothing damaged is taken."""

from __future__ import annotations

import tracemalloc
import zlib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.framing import (
    Damaged,
    Frame,
    Receiver,
    cobs_decode,
    cobs_encode,
    encode,
)
from tests.firmware_bridge.fake_board import MAX_PAYLOAD, FakeBoard
from tests.firmware_bridge.vectors import reference_cobs, reference_wire

# Long runs without a zero, and zeros, are what COBS can get wrong.
pieces = st.one_of(
    st.binary(max_size=8),
    st.integers(250, 260).map(lambda count: b"\x07" * count),
    st.integers(1, 3).map(bytes),
)
contents = st.lists(pieces, max_size=5).map(b"".join)
payloads = contents.map(lambda data: data[:MAX_PAYLOAD])
frames = st.builds(Frame, st.integers(0, 255), st.integers(0, 65535), payloads)


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A frame's wire with some of its bytes dropped, changed or doubled."""
    wire = bytearray(encode(draw(frames)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(wire) - 1))
        wire[at : at + 1] = draw(st.sampled_from([b"", b"\0", b"\x01", b"\xff", b"\x05\x05"]))
        if not wire:
            break
    return bytes(wire)


noise = st.one_of(st.binary(max_size=20), mangled(), st.just(b"\xff" * 900))
streams = st.lists(st.one_of(noise, frames.map(encode)), max_size=6).map(b"".join)


def in_pieces(receiver: Receiver, data: bytes, length: int) -> list[Frame | Damaged]:
    events = []
    for start in range(0, len(data), length):
        events += receiver.feed(data[start : start + length])
    return events


def sealed(frame: Frame) -> bytes:
    body = bytes([frame.version, frame.type]) + frame.sequence.to_bytes(2, "little") + frame.payload
    return body + zlib.crc32(body).to_bytes(4, "little")


@given(contents)
def test_cobs_gives_back_what_it_was_given(data: bytes) -> None:
    encoded = cobs_encode(data)
    assert 0 not in encoded
    assert encoded == reference_cobs(data)
    assert cobs_decode(encoded) == data


@given(contents)
def test_firmware_and_host_encode_alike(link_library: Path, data: bytes) -> None:
    assert FakeBoard(link_library).encode(data) == b"\0" + cobs_encode(data) + b"\0"
    assert FakeBoard(link_library).crc32(data) == zlib.crc32(data)


@given(frames)
def test_a_frame_of_the_host_reaches_the_firmware(link_library: Path, frame: Frame) -> None:
    assert FakeBoard(link_library).receive(encode(frame)) == [sealed(frame)]


@given(frames)
def test_a_frame_of_the_firmware_reaches_the_host(link_library: Path, frame: Frame) -> None:
    wire = FakeBoard(link_library).encode(sealed(frame))
    assert wire == encode(frame)
    assert Receiver(MAX_PAYLOAD).feed(wire) == [frame]


@given(noise, frames)
def test_noise_never_costs_the_next_frame(link_library: Path, before: bytes, frame: Frame) -> None:
    """Noise of any kind, ended or not, directly in front of a frame."""
    receiver = Receiver(MAX_PAYLOAD)
    receiver.feed(before)
    assert receiver.feed(encode(frame))[-1] == frame
    assert FakeBoard(link_library).receive(before + encode(frame))[-1] == sealed(frame)


@settings(max_examples=300)
@given(streams, st.integers(1, 700))
def test_firmware_and_host_receive_alike(link_library: Path, stream: bytes, length: int) -> None:
    """The same frames and the same number of damaged ones, however the bytes come in."""
    ours = in_pieces(Receiver(MAX_PAYLOAD), b"\0" + stream, length)
    theirs = FakeBoard(link_library).receive(stream)
    assert [sealed(event) if isinstance(event, Frame) else None for event in ours] == theirs


@given(st.integers(-2, 2), st.booleans(), st.sampled_from([b"\x55", b"\0", b"\x55" * 253 + b"\0"]))
def test_the_longest_frame_is_taken_and_a_longer_one_is_not(
    link_library: Path, excess: int, more: bool, pattern: bytes
) -> None:
    count = MAX_PAYLOAD + excess + (300 if more else 0)
    frame = Frame(3, 9, (pattern * count)[:count])
    expected = [sealed(frame)] if count <= MAX_PAYLOAD else [None]
    assert FakeBoard(link_library).receive(encode(frame)) == expected
    (event,) = Receiver(MAX_PAYLOAD).feed(encode(frame))
    assert (event == frame) == (count <= MAX_PAYLOAD)


def test_what_follows_the_longest_frame_is_not_cut_off(link_library: Path) -> None:
    """A frame that is intact up to the end of the buffer is still not what was sent."""
    longer = sealed(Frame(3, 9, b"\x55" * MAX_PAYLOAD)) + b"\x55"
    wire = b"\0" + cobs_encode(longer) + b"\0"
    assert FakeBoard(link_library).receive(wire) == [None]
    assert [type(event) for event in Receiver(MAX_PAYLOAD).feed(wire)] == [Damaged]


def test_a_needless_last_group_is_no_damage(link_library: Path) -> None:
    """Some encoders close a full group with an empty one; docs/protocol.md allows it."""
    candidates = (Frame(3, 0x101 + n, b"\x55" * 246) for n in range(1000))
    frame = next(frame for frame in candidates if 0 not in sealed(frame))
    assert len(sealed(frame)) == 254
    wire = encode(frame)[:-1] + b"\x01\x00"
    assert Receiver(MAX_PAYLOAD).feed(wire) == [frame]
    assert FakeBoard(link_library).receive(wire) == [sealed(frame)]


def test_endless_noise_is_not_collected() -> None:
    """A wrong baud rate for an hour must not fill the host's memory."""
    receiver = Receiver(MAX_PAYLOAD)
    tracemalloc.start()
    try:
        for _ in range(2000):
            assert receiver.feed(b"\x55" * 1000) == []
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    events = receiver.feed(reference_wire(bytes([1, 2, 3, 0])))
    assert [type(event) for event in events] == [Damaged, Frame]
