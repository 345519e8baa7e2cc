"""A TOML table as a dataclass: every key that is unknown, missing or of a wrong type is named."""

from __future__ import annotations

import types
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_args, get_type_hints

from dyncp.errors import UserError


def read_table(kind: type, values: Any, source: str, prefix: str = "", **given: Any) -> Any:
    """The dataclass ``kind`` of a TOML table.

    ``source`` names the file in errors; ``prefix`` is the table's dotted name with a dot at
    its end. ``given``: fields that are not the file's to set. A field with a default may be
    left out. Types: int (32 bits, unsigned), str, Literal, tuple[str, ...], dataclasses.
    Raises :class:`UserError` naming the file and the key that is wrong.
    """
    if not isinstance(values, dict):
        raise UserError(f"{source}: '{prefix[:-1]}' must be a table, not {values!r}")
    hints = get_type_hints(kind)
    for key in values:
        if key not in hints or key in given:
            known = ", ".join(hint for hint in hints if hint not in given)
            raise UserError(f"{source}: unknown key '{prefix}{key}'; known: {known}")
    converted = dict(given)
    for field in fields(kind):
        if field.name in values:
            key = f"{prefix}{field.name}"
            converted[field.name] = _value(hints[field.name], values[field.name], source, key)
        elif field.default is MISSING and field.name not in given:
            raise UserError(f"{source}: key '{prefix}{field.name}' is missing")
    return kind(**converted)


def _value(hint: Any, value: Any, source: str, key: str) -> Any:
    if isinstance(hint, types.UnionType):  # an optional key
        hint = get_args(hint)[0]
    if hint == tuple[str, ...]:
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise UserError(f"{source}: '{key}' must be a list of strings, not {value!r}")
    choices = get_args(hint)
    if choices:
        if value not in choices:
            raise UserError(f"{source}: '{key}' must be one of {', '.join(choices)}, not {value!r}")
        return value
    if is_dataclass(hint):
        assert isinstance(hint, type)
        return read_table(hint, value, source, f"{key}.")
    if type(value) is not hint:  # so that True is no integer
        name = {int: "an integer", str: "a string"}[hint]
        raise UserError(f"{source}: '{key}' must be {name}, not {value!r}")
    if hint is int and not 0 <= value < 2**32:
        raise UserError(f"{source}: '{key}' must fit 32 bits, not {value:#x}")
    return value
