"""The shared vectors, read; and a frame encoder that owes nothing to either side's."""

from __future__ import annotations

import tomllib
import zlib
from pathlib import Path
from typing import Any

from firmware_bridge.framing import Frame

PATH = Path(__file__).parents[2] / "firmware_bridge" / "protocol_vectors.toml"
VECTORS: dict[str, list[dict[str, Any]]] = tomllib.loads(PATH.read_text(encoding="utf-8"))


def reference_cobs(data: bytes) -> bytes:
    """Split at zeros; each piece becomes full groups of 254 and a shorter one."""
    encoded = b""
    *pieces, last = data.split(b"\0")
    for piece in pieces:
        whole = len(piece) // 254 * 254
        encoded += b"".join(b"\xff" + piece[i : i + 254] for i in range(0, whole, 254))
        encoded += bytes([len(piece) - whole + 1]) + piece[whole:]
    for i in range(0, max(1, len(last)), 254):
        encoded += bytes([len(last[i : i + 254]) + 1]) + last[i : i + 254]
    return encoded


def reference_wire(body: bytes) -> bytes:
    """Version, type, sequence number and payload as they go over the wire."""
    return b"\0" + reference_cobs(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"


def frame_of(body: bytes) -> Frame:
    return Frame(body[1], int.from_bytes(body[2:4], "little"), body[4:], version=body[0])


def step(start: str) -> dict[str, bytes]:
    """The bodies of the first step whose name starts so."""
    found = next(s for s in VECTORS["step"] if s["name"].startswith(start))
    return {side: bytes.fromhex(found[side]["body"]) for side in ("host", "board")}
