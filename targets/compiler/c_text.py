"""Pieces of C: arrays and initialisers, laid out the same way every time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_WIDTH = 96
_PLAIN = frozenset(range(0x20, 0x7F)) - frozenset(b'"\\?')
"""The bytes that a string literal may hold as they are; ``?`` could begin a trigraph."""


def wrap(items: Iterable[str], indent: str = "    ") -> str:
    """Items separated by commas, in lines of at most 96 characters."""
    lines: list[str] = []
    line = indent
    for item in items:
        if len(line) + len(item) + 1 > _WIDTH and line.strip():
            lines.append(line.rstrip())
            line = indent
        line += f"{item}, "
    if line.strip():
        lines.append(line.rstrip())
    return "\n".join(lines)


def array(kind: str, name: str, items: Sequence[str], comment: str = "") -> str:
    """A constant array of the file."""
    head = f"/* {comment} */\n" if comment else ""
    return f"{head}static const {kind} {name}[{len(items)}] = {{\n{wrap(items)}\n}};\n"


def integers(values: Iterable[int]) -> list[str]:
    """Signed 32-bit values as C constants; -2**31 has none of its own."""
    return ["INT32_MIN" if int(v) == -(1 << 31) else str(int(v)) for v in values]


def fields(values: dict[str, object], indent: str = "    ") -> str:
    """A designated initialiser, a field a line."""
    return "".join(f"{indent}.{name} = {value},\n" for name, value in values.items())


def identifier(layer: str) -> str:
    """A layer's name as C can have it."""
    return layer.replace(".", "_")


def string(text: str) -> str:
    """A C string literal: what is not plain becomes octal escapes of its UTF-8."""
    encoded = text.encode("utf-8", errors="replace")
    plain = [chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in encoded]
    return f'"{"".join(plain)}"'


def in_comment(text: str) -> str:
    """What can stand inside a C comment: one line that does not end it."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line.replace("*/", "* /").replace("/*", "/ *")
