"""Frames on the wire: COBS between zeros, a header of four bytes, a CRC-32.

The twin of ``targets/firmware/link/{cobs,crc32,receiver}.c``; both are held to
``protocol_vectors.toml``. Layout: ``docs/protocol.md``.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

PROTOCOL_VERSION = 1
DELIMITER = b"\x00"
_HEADER = struct.Struct("<BBH")
_CRC = struct.Struct("<I")
_LONGEST_RUN = 254


@dataclass(frozen=True)
class Frame:
    """An intact frame: message ``type`` 0..255, ``sequence`` 0..65535."""

    type: int
    sequence: int
    payload: bytes = b""
    version: int = PROTOCOL_VERSION


@dataclass(frozen=True)
class Damaged:
    """Something ended that is not an intact frame."""

    reason: str


def cobs_encode(data: bytes) -> bytes:
    """``data`` without zeros; the delimiters are not included."""
    encoded = bytearray()
    start = 0
    while True:
        end = data.find(0, start, start + _LONGEST_RUN)
        zero_follows = end >= 0
        if not zero_follows:
            end = min(start + _LONGEST_RUN, len(data))
        encoded.append(end - start + 1)
        encoded += data[start:end]
        start = end
        if start == len(data):
            return bytes(encoded)
        if zero_follows:
            start += 1


def cobs_decode(encoded: bytes) -> bytes | None:
    """The inverse; None if ``encoded`` ends inside a group or holds a zero."""
    decoded = bytearray()
    position = 0
    while position < len(encoded):
        code = encoded[position]
        group = encoded[position + 1 : position + code]
        if code == 0 or len(group) != code - 1 or 0 in group:
            return None
        decoded += group
        position += code
        if code <= _LONGEST_RUN and position < len(encoded):
            decoded.append(0)
    return bytes(decoded)


def encode(frame: Frame) -> bytes:
    """A frame as it goes on the wire, between two delimiters.

    The first one ends whatever noise may have begun.
    """
    body = _HEADER.pack(frame.version, frame.type, frame.sequence) + frame.payload
    return DELIMITER + cobs_encode(body + _CRC.pack(zlib.crc32(body))) + DELIMITER


def decode(encoded: bytes) -> Frame | Damaged:
    """What stood between two delimiters."""
    data = cobs_decode(encoded)
    if data is None:
        return Damaged("it ends inside a COBS group")
    if len(data) < _HEADER.size + _CRC.size:
        return Damaged(f"it holds {len(data)} bytes, less than a header and a CRC")
    body, crc = data[: -_CRC.size], data[-_CRC.size :]
    if _CRC.unpack(crc)[0] != zlib.crc32(body):
        return Damaged("its CRC-32 does not match")
    version, kind, sequence = _HEADER.unpack_from(body)
    return Frame(kind, sequence, body[_HEADER.size :], version)


class Receiver:
    """Bytes in, frames out. Whatever arrives, a delimiter brings it back in step.

    ``max_payload``: a longer frame is damaged, and never held in memory.
    """

    def __init__(self, max_payload: int) -> None:
        data = _HEADER.size + max_payload + _CRC.size
        self._max_data = data
        # The longest encoding that any sender may use for that much data.
        self._max_encoded = data + data // _LONGEST_RUN + 1
        self._pending = bytearray()
        self._overlong = False

    def feed(self, data: bytes) -> list[Frame | Damaged]:
        """Take bytes from the wire; give what they completed, in order."""
        events: list[Frame | Damaged] = []
        *ended, rest = data.split(DELIMITER)
        for part in ended:
            self._append(part)
            if self._pending or self._overlong:
                events.append(self._finish())
        self._append(rest)
        return events

    def _append(self, part: bytes) -> None:
        self._pending += part
        if len(self._pending) > self._max_encoded:
            self._overlong = True
            self._pending.clear()

    def _finish(self) -> Frame | Damaged:
        event: Frame | Damaged = Damaged("it is longer than any frame")
        if not self._overlong:
            event = decode(bytes(self._pending))
            if isinstance(event, Frame) and (
                _HEADER.size + len(event.payload) + _CRC.size > self._max_data
            ):
                event = Damaged("it is longer than any frame")
        self._pending.clear()
        self._overlong = False
        return event
