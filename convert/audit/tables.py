"""Flatbuffer tables whose every offset may be wrong.

Nothing is read outside the file, and what is read in total is bounded, so that
no file can make its reader crash, loop or fill the memory. Layout:
https://flatbuffers.dev/internals/
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

MOST_TABLES = 100_000
_SPARE_BYTES = 1 << 16

_FORMATS = {code: struct.Struct(f"<{code}") for code in "bBhHiIqQ?"}
_OFFSET, _SIGNED, _SHORT = _FORMATS["I"], _FORMATS["i"], _FORMATS["H"]
_FIRST_SLOT = 4


class Damaged(Exception):
    """An offset or length of the file leads out of it; the message says which."""


class File:
    """The bytes, and how much may still be read of them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._tables_left = MOST_TABLES
        # Tables may share what they point at, but few do: a sound file is read about once.
        self._bytes_left = 4 * len(data) + _SPARE_BYTES

    def root(self) -> Table:
        return Table(self, self.at(_OFFSET, 0, "the root offset"), "the root table")

    def at(self, kind: struct.Struct, position: int, what: str) -> int:
        """The integer at ``position``."""
        if not 0 <= position <= len(self.data) - kind.size:
            raise Damaged(f"{what} lies at byte {position} of {len(self.data)}")
        return int(kind.unpack_from(self.data, position)[0])

    def spend(self, tables: int = 0, size: int = 0) -> None:
        self._tables_left -= tables
        self._bytes_left -= size
        if self._tables_left < 0:
            raise Damaged(f"it has more than {MOST_TABLES} tables")
        if self._bytes_left < 0:
            raise Damaged("its tables share more data than the file has")


class Table:
    """One table; ``slot`` is a field's place in the schema, ``what`` names it in errors."""

    __slots__ = ("_end", "_fields", "_file", "_position", "_size", "_what")

    def __init__(self, file: File, position: int, what: str) -> None:
        file.spend(tables=1)
        self._file, self._position, self._what = file, position, what
        # The field list: its own length, the table's, and each field's place in the table.
        self._fields = position - file.at(_SIGNED, position, what)
        length = file.at(_SHORT, self._fields, f"the field list of {what}")
        self._size = file.at(_SHORT, self._fields + 2, f"the field list of {what}")
        self._end = self._fields + length
        if length < _FIRST_SLOT or max(self._end, position + self._size) > len(file.data):
            raise Damaged(f"{what} at byte {position} does not fit into the file")

    def _place(self, slot: int, width: int) -> int | None:
        """Where a field is; None if it is left out."""
        entry = self._fields + _FIRST_SLOT + 2 * slot
        if entry + 2 > self._end:
            return None
        offset = self._file.at(_SHORT, entry, self._what)
        if offset == 0:
            return None
        if offset + width > self._size:
            raise Damaged(f"field {slot} of {self._what} lies outside it")
        return self._position + offset

    def number(self, slot: int, code: str, default: int = 0) -> int:
        """An integer or bool; ``code`` as in :mod:`struct`."""
        kind = _FORMATS[code]
        place = self._place(slot, kind.size)
        return default if place is None else self._file.at(kind, place, self._what)

    def table(self, slot: int, what: str) -> Table | None:
        place = self._place(slot, 4)
        return None if place is None else self._follow(place, what)

    def tables(self, slot: int, what: str) -> list[Table]:
        """A vector of tables; empty if it is left out."""
        start, count = self._vector(slot, 4, what)
        # The tables are paid for one by one; a count beyond the budget must not be walked.
        if count > MOST_TABLES:
            raise Damaged(f"{what} are {count}, more than {MOST_TABLES}")
        return [self._follow(start + 4 * i, f"{what} {i}") for i in range(count)]

    def array(self, slot: int, kind: type[np.generic], what: str) -> NDArray | None:
        """A vector of numbers, read-only; None if it is left out."""
        if self._place(slot, 4) is None:
            return None
        dtype = np.dtype(kind).newbyteorder("<")
        start, count = self._vector(slot, dtype.itemsize, what)
        return np.frombuffer(self._file.data, dtype, count, start if count else 0)

    def text(self, slot: int, what: str) -> bytes:
        """A string's bytes, which need not be UTF-8; empty if it is left out."""
        start, count = self._vector(slot, 1, what)
        return self._file.data[start : start + count]

    def _follow(self, place: int, what: str) -> Table:
        return Table(self._file, place + self._file.at(_OFFSET, place, what), what)

    def _vector(self, slot: int, width: int, what: str) -> tuple[int, int]:
        """Where the first item is, and how many there are."""
        place = self._place(slot, 4)
        if place is None:
            return 0, 0
        start = place + self._file.at(_OFFSET, place, what)
        count = self._file.at(_OFFSET, start, f"the length of {what}")
        if start + 4 + count * width > len(self._file.data):
            raise Damaged(f"{what}: {count} items of {width} bytes do not fit into the file")
        self._file.spend(size=count * width)
        return start + 4, count
