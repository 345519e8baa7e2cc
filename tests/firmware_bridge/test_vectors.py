"""Both ends of the link against the vectors: firmware and host cannot drift apart unnoticed."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from firmware_bridge import framing
from firmware_bridge.framing import Damaged, Receiver
from firmware_bridge.messages import ErrorCode, MessageType
from tests.firmware_bridge.fake_board import LINK_FOLDER, MAX_PAYLOAD, FakeBoard
from tests.firmware_bridge.vectors import (
    PATH,
    VECTORS,
    frame_of,
    reference_cobs,
    reference_wire,
)

REASONS = {
    "cobs": "ends inside a COBS group",
    "short": "less than a header and a CRC",
    "crc": "CRC-32 does not match",
    "long": "longer than any frame",
}


def all_of(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", VECTORS[kind], ids=lambda v: v.get("name", v))


def sides() -> list[tuple[bytes, bytes]]:
    """Body and wire of every intact frame in the file."""
    pairs = [*VECTORS["frame"]]
    for step in VECTORS["step"]:
        pairs += [step[side] for side in ("host", "board") if "body" in step.get(side, {})]
    return [(bytes.fromhex(pair["body"]), bytes.fromhex(pair["wire"])) for pair in pairs]


def test_the_wires_in_the_file_follow_from_the_bodies() -> None:
    """Whoever implements a third side from the file must not chase a mistake in it."""
    assert len(sides()) > 50
    for body, wire in sides():
        assert reference_wire(body) == wire
    for vector in VECTORS["cobs"]:
        assert reference_cobs(bytes.fromhex(vector["data"])) == bytes.fromhex(vector["encoded"])


@pytest.mark.parametrize("vector", VECTORS["crc"], ids=lambda v: f"{v['crc']:08x}")
def test_crc(vector: dict[str, Any], fake_board: FakeBoard) -> None:
    data = bytes.fromhex(vector["data"])
    assert zlib.crc32(data) == vector["crc"]
    assert fake_board.crc32(data) == vector["crc"]


@all_of("cobs")
def test_cobs(vector: dict[str, Any], fake_board: FakeBoard) -> None:
    data, encoded = bytes.fromhex(vector["data"]), bytes.fromhex(vector["encoded"])
    assert framing.cobs_encode(data) == encoded
    assert framing.cobs_decode(encoded) == data
    assert fake_board.encode(data) == b"\0" + encoded + b"\0"


def test_frames_of_the_host() -> None:
    for body, wire in sides():
        frame = frame_of(body)
        assert framing.encode(frame) == wire
        assert Receiver(MAX_PAYLOAD).feed(wire) == [frame]


def test_frames_of_the_firmware(fake_board: FakeBoard) -> None:
    for body, wire in sides():
        with_crc = body + zlib.crc32(body).to_bytes(4, "little")
        assert fake_board.encode(with_crc) == wire
        assert fake_board.receive(wire) == [with_crc]


@all_of("damaged")
def test_damaged_frames_are_taken_by_nobody(vector: dict[str, Any], fake_board: FakeBoard) -> None:
    wire = bytes.fromhex(vector["wire"])
    (event,) = Receiver(MAX_PAYLOAD).feed(wire)
    assert isinstance(event, Damaged)
    assert REASONS[vector["reason"]] in event.reason
    assert fake_board.receive(wire) == [None]


def test_the_firmware_holds_the_conversation(fake_board: FakeBoard) -> None:
    """Every message and every error of the page, byte for byte, from the real session."""
    for step in VECTORS["step"]:
        expected = bytes.fromhex(step.get("board", {}).get("wire", ""))
        assert fake_board.feed(bytes.fromhex(step["host"]["wire"])) == expected, step["name"]


def test_the_conversation_leaves_nothing_out() -> None:
    """A message or an error that is added must get a vector."""
    bodies = [bytes.fromhex(s[side]["body"]) for s in VECTORS["step"] for side in ("host", "board")
              if "body" in s.get(side, {})]  # fmt: skip
    types = {body[1] for body in bodies}
    errors = {body[4] for body in bodies if body[1] == 0xFF}
    assert {int(t) for t in MessageType} | {int(t) | 0x80 for t in MessageType} <= types
    # ROOM and FAULT take another board; tests/firmware_bridge/test_session.py has them.
    assert errors == {int(code) for code in ErrorCode} - {ErrorCode.ROOM, ErrorCode.FAULT}


def test_the_page_names_every_message_and_error() -> None:
    page = (PATH.parents[1] / "docs" / "protocol.md").read_text(encoding="utf-8")
    for kind in MessageType:
        assert f"### {kind.name}, {kind:02x}" in page
    for code in ErrorCode:
        assert f"| {code:d} | {code.name} |" in page


def test_the_numbers_of_messages_and_errors_are_those_of_the_firmware() -> None:
    header = (LINK_FOLDER / "messages.h").read_text(encoding="utf-8")
    theirs = {}
    for line in header.splitlines():
        name, equals, value = line.partition(" = ")
        if equals and name.strip().startswith("LINK_"):
            theirs[name.strip().removeprefix("LINK_")] = int(value.split(",")[0], 0)
    for code in ErrorCode:
        assert theirs[f"ERROR_{code.name}"] == code
    for kind in MessageType:
        assert theirs["FRAME_REQUEST" if kind.name == "FRAME" else kind.name] == kind
