"""Every frame in both directions, with the time, in a file: what to read when a run failed.

A line: seconds since the log began, direction, what it is, and its bytes on the wire in hex
(without the delimiters)::

        0.013204 -> HOP 17, payload 256 bytes: 0101031181...
        0.019533 <- reply to HOP 17, payload 333 bytes: 01018311...
        0.021001 <- damaged: its CRC-32 does not match: 0431...
"""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType

from dyncp.errors import UserError
from firmware_bridge import messages
from firmware_bridge.framing import DELIMITER, Damaged, Frame, decode
from firmware_bridge.messages import ERROR, REPLY, ErrorCode, MessageType

SENT, CAME = "->", "<-"
_LONGEST_FRAME = 2 * messages.MAX_PAYLOAD


def describe(event: Frame | Damaged) -> str:
    """A frame in a few words, for people."""
    if isinstance(event, Damaged):
        return f"damaged: {event.reason}"
    size = f"payload {len(event.payload)} bytes"
    if event.type == ERROR:
        try:
            error = messages.parse_error(event.payload)
        except messages.MalformedReply:
            return f"ERROR {event.sequence}, {size}"
        names = {code.value: code.name for code in ErrorCode}
        reason = names.get(error.code, str(error.code))
        return f"ERROR {reason} {event.sequence}, detail {error.detail}"
    names = {kind.value: kind.name for kind in MessageType}
    kind = event.type & ~REPLY
    of = "reply to " if event.type & REPLY else ""
    return f"{of}{names.get(kind, f'type 0x{kind:02x}')} {event.sequence}, {size}"


class FrameLog:
    """A log in a new file at ``path``; closes it. Raises :class:`UserError` if it cannot."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A line at a time: a run that is killed leaves all that it saw.
            self._file = path.open("w", encoding="utf-8", buffering=1)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error
        self._began = time.monotonic()
        self._parts = {SENT: bytearray(), CAME: bytearray()}

    def __enter__(self) -> FrameLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def wire(self, direction: str, data: bytes) -> None:
        """Note bytes of the wire, ``direction`` SENT or CAME; a frame is written when it ends."""
        if self._file.closed:
            return
        parts = self._parts[direction]
        *ended, rest = data.split(DELIMITER)
        for part in ended:
            parts += part
            if parts:
                self._line(direction, describe(decode(bytes(parts))), bytes(parts))
            parts.clear()
        parts += rest
        if len(parts) > _LONGEST_FRAME:
            # A wrong speed, or a board that floods: no frame, and not to be collected.
            self._line(direction, "no frame, and more of it", bytes(parts))
            parts.clear()

    def note(self, text: str) -> None:
        """A line that is no frame."""
        if not self._file.closed:
            self._file.write(f"{time.monotonic() - self._began:12.6f} -- {text}\n")

    def close(self) -> None:
        """Write what came and never ended, and close. May be called again."""
        if self._file.closed:
            return
        for direction, parts in self._parts.items():
            if parts:
                self._line(direction, "a frame that never ended", bytes(parts))
        self._file.close()

    def _line(self, direction: str, text: str, wire: bytes) -> None:
        seconds = time.monotonic() - self._began
        self._file.write(f"{seconds:12.6f} {direction} {text}: {wire.hex()}\n")
