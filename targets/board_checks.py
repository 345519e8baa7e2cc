"""What must be true of a board beyond the types of its keys: addresses, clocks, line rate."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import combinations
from typing import TYPE_CHECKING

from dyncp.errors import UserError
from targets.sources import FIRMWARE_FOLDER

if TYPE_CHECKING:
    from targets.board import Board

VECTOR_ALIGNMENT = 2048
"""Bytes: of a vector table of any length, which begins the flash."""

LARGEST_BAUD_ERROR = Fraction(2, 100)
"""Of our side alone: 8N1 bears some 4 % between both."""

_DIVIDER_UNITS = {"pl011": Fraction(1, 4)}
"""What one step of ``uart.divider`` divides by; 1 where a driver is not named. The PL011 counts
64ths of 16 clocks."""

_NEEDED: dict[str, dict[str, tuple[str, ...]]] = {
    "clock.driver": {
        "stm32f4": ("clock.pll",),
        "stm32h7": ("clock.pll",),
        "stm32u5": ("clock.pll",),
        "rp2350": ("clock.pll",),
    },
    "uart.driver": {
        "stm32": ("uart.enable",),
        "stm32_fifo": ("uart.enable",),
        "uarte": ("uart.pins",),
    },
    "uart.pins.driver": {
        "stm32": ("uart.pins.port", "uart.pins.function", "uart.pins.enable"),
        "rp2350": ("uart.pins.function",),
        "nrf": ("uart.pins.port",),
    },
}
"""Keys that are optional in general and that these drivers read."""

_DRIVERS = {
    "core.caches": "caches",
    "clock.driver": "clock",
    "memory.image_block": "image_block",
    "uart.driver": "uart",
    "uart.pins.driver": "pins",
}
"""Keys that name a source, ``targets/firmware/ports/KIND_NAME.c``, and its kind."""


def check_board(board: Board, source: str) -> None:
    """Raise :class:`UserError` naming the file and the key if ``board`` cannot be right."""
    _check_memory(board, source)
    _check_drivers(board, source)
    _check_clock(board, source)
    _check_uart(board, source)
    if board.probe:
        _check_probe(board, source)


def drivers(kind: str) -> list[str]:
    """The drivers of a kind that ship: "uart", "clock", "pins", "caches" or "image_block"."""
    ports = FIRMWARE_FOLDER / "ports"
    return sorted(path.stem.removeprefix(f"{kind}_") for path in ports.glob(f"{kind}_*.c"))


def chosen_drivers(board: Board) -> dict[str, str]:
    """The drivers that a board names: source names without suffix, by key."""
    found = {key: _key(board, key) for key in _DRIVERS}
    return {key: f"{_DRIVERS[key]}_{name}" for key, name in found.items() if name is not None}


def driver_kinds() -> set[str]:
    """All kinds of drivers: sources that begin with one are only built where they are named."""
    return set(_DRIVERS.values())


def line_rate(board: Board) -> Fraction:
    """Baud, as the UART's clock and divider make it."""
    unit = _DIVIDER_UNITS.get(board.uart.driver, Fraction(1))
    return board.uart.clock_hz / (board.uart.divider * unit)


def _key(board: Board, key: str) -> object:
    """The value of a dotted key, None where it or a table on the way is left out."""
    value: object = board
    for name in key.split("."):
        value = getattr(value, name) if value is not None else None
    return value


def _require(condition: bool, source: str, message: str) -> None:
    if not condition:
        raise UserError(f"{source}: {message}")


def _check_memory(board: Board, source: str) -> None:
    memory, uart = board.memory, board.uart
    regions = {f"memory.{name}": region for name, region in memory.regions.items()}
    if board.emulator and board.emulator.spare:
        regions["emulator.spare"] = board.emulator.spare
    for key, region in regions.items():
        _require(region.bytes > 0, source, f"'{key}.bytes' must be positive")
        for part in ("origin", "bytes"):
            aligned = getattr(region, part) % 16 == 0
            _require(aligned, source, f"'{key}.{part}' must be a multiple of 16")
        _require(region.end <= 2**32, source, f"'{key}' ends beyond the 32-bit address space")
        inside = region.origin <= uart.base < region.end
        _require(not inside, source, f"'uart.base' lies inside '{key}'")
    for (key, one), (other_key, other) in combinations(regions.items(), 2):
        apart = one.end <= other.origin or other.end <= one.origin
        _require(apart, source, f"'{key}' and '{other_key}' overlap")
    _require(
        memory.flash.origin % VECTOR_ALIGNMENT == 0,
        source,
        f"'memory.flash.origin' must be a multiple of {VECTOR_ALIGNMENT}: it holds the vectors",
    )
    _require(
        1024 <= memory.stack_bytes < memory.ram.bytes and memory.stack_bytes % 16 == 0,
        source,
        "'memory.stack_bytes' must be a multiple of 16, at least 1024, and fit 'memory.ram'",
    )


def _check_drivers(board: Board, source: str) -> None:
    for key, kind in _DRIVERS.items():
        name, known = _key(board, key), drivers(kind)
        choices = ", ".join(known)
        _require(name is None or name in known, source, f"'{key}' must be one of {choices}")
        for needed in _NEEDED.get(key, {}).get(str(name), ()):
            _require(
                _key(board, needed) is not None,
                source,
                f"key '{needed}' is missing: driver '{name}' of '{key}' reads it",
            )


def _check_clock(board: Board, source: str) -> None:
    clock, pll = board.clock, board.clock.pll
    _require(clock.tick_hz > 0, source, "'clock.tick_hz' must be positive")
    _require(
        (clock.counts == "instructions") == (board.emulator is not None),
        source,
        '\'clock.counts\' must be "instructions" with an [emulator], and "cycles" without',
    )
    if pll:
        for name in ("input_hz", "divide", "multiply", "post_divide"):
            _require(getattr(pll, name) > 0, source, f"'clock.pll.{name}' must be positive")
        made = Fraction(pll.input_hz * pll.multiply, pll.divide * pll.post_divide)
        _require(
            made == clock.tick_hz,
            source,
            f"'clock.tick_hz' must be what 'clock.pll' makes, {float(made):.12g} Hz, "
            f"not {clock.tick_hz}",
        )
    if board.emulator:
        shift = board.emulator.icount_shift
        _require(shift <= 10, source, "'emulator.icount_shift' must lie in 0..10")
        # Whole ticks stand for one count of instructions only if they are this dense.
        _require(
            clock.tick_hz << shift > 2 * 10**9,
            source,
            "'emulator.icount_shift' is too small: 'clock.tick_hz' must give more than 2 ticks "
            "in the 2^icount_shift ns of an instruction",
        )


def _check_uart(board: Board, source: str) -> None:
    uart = board.uart
    for name in ("clock_hz", "baud", "divider"):
        _require(getattr(uart, name) > 0, source, f"'uart.{name}' must be positive")
    _require(uart.base % 4 == 0, source, "'uart.base' must be a multiple of 4")
    _require(uart.receive_interrupt < 480, source, "'uart.receive_interrupt' must lie in 0..479")
    rate = line_rate(board)
    error = rate / uart.baud - 1
    _require(
        abs(error) < LARGEST_BAUD_ERROR,
        source,
        f"'uart.divider' {uart.divider} of 'uart.clock_hz' makes {float(rate):.0f} baud, "
        f"{float(100 * error):+.1f} % off 'uart.baud'; it must be within "
        f"{float(100 * LARGEST_BAUD_ERROR):.0f} %",
    )
    for key in ("uart.enable", "uart.pins.enable"):
        register = _key(board, f"{key}.register")
        if isinstance(register, int):
            _require(register % 4 == 0, source, f"'{key}.register' must be a multiple of 4")
            bit = _key(board, f"{key}.bit")
            _require(isinstance(bit, int) and bit < 32, source, f"'{key}.bit' must lie in 0..31")
    pins = uart.pins
    if pins:
        _require(
            pins.transmit != pins.receive,
            source,
            "'uart.pins.transmit' and 'uart.pins.receive' must differ",
        )
        limit = {"stm32": 16, "nrf": 32, "rp2350": 48}.get(pins.driver, 256)
        for name in ("transmit", "receive"):
            inside = getattr(pins, name) < limit
            _require(inside, source, f"'uart.pins.{name}' must lie in 0..{limit - 1}")
        _require(
            pins.function is None or pins.function < 16,
            source,
            "'uart.pins.function' must lie in 0..15",
        )
        _require(
            pins.port is None or pins.port % 4 == 0,
            source,
            "'uart.pins.port' must be a multiple of 4",
        )


def _check_probe(board: Board, source: str) -> None:
    assert board.probe
    for usb_id in board.probe.usb:
        _require(
            re.fullmatch("[0-9a-f]{4}:[0-9a-f]{4}", usb_id) is not None,
            source,
            f"'probe.usb' must be like '0483:374b', in lower case, not {usb_id!r}",
        )
    _require(
        board.probe.target is not None or board.probe.flash_with == "picotool",
        source,
        f"key 'probe.target' is missing: {board.probe.flash_with} asks for the chip's name",
    )
