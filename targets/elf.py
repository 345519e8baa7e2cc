"""Other values for constants of an image that is built: the code stays as it is."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from dyncp.errors import UserError
from dyncp.files import write_bytes
from targets.toolchain import run_tool

_SEGMENT_TABLE = struct.Struct("<28xI10xHH")  # from the header: offset, entry size, entries
_SEGMENT = struct.Struct("<IIIII")  # type, offset in the file, address, load address, bytes


def overwrite(elf: Path, out: Path, values: Mapping[str, bytes]) -> None:
    """Write ``elf`` as ``out`` with the constants of these names replaced.

    Raises :class:`UserError` if the image has no such constant, or of another size.
    """
    image = bytearray(elf.read_bytes())
    symbols = _symbols(elf)
    segments = list(_segments(bytes(image)))
    for name, value in values.items():
        address, size = symbols.get(name, (0, 0))
        if size != len(value):
            raise UserError(f"{elf} has {size} bytes of '{name}', not {len(value)}")
        (offset,) = (
            start + address - first
            for start, first, count in segments
            if first <= address < first + count
        )
        image[offset : offset + size] = value
    write_bytes(out, bytes(image))


def _symbols(elf: Path) -> dict[str, tuple[int, int]]:
    """Address and size of what has one."""
    rows = [line.split() for line in run_tool("nm", ["-S", elf]).splitlines()]
    return {row[3]: (int(row[0], 16), int(row[1], 16)) for row in rows if len(row) == 4}


def _segments(image: bytes) -> Iterator[tuple[int, int, int]]:
    """Offset in the file, address and bytes of each."""
    table, entry, count = _SEGMENT_TABLE.unpack_from(image)
    for index in range(count):
        _, offset, address, _, size = _SEGMENT.unpack_from(image, table + index * entry)
        yield offset, address, size
