"""Boards: a core, its memory and its serial port, read from TOML and checked key by key."""

from __future__ import annotations

import re
import tomllib
import types
from dataclasses import MISSING, dataclass, fields
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from dyncp.errors import UserError
from targets.sources import FIRMWARE_FOLDER, Kernels

VECTOR_ALIGNMENT = 2048
"""Bytes: of a vector table of any length, which begins the flash."""

BOARD_FOLDER = Path(__file__).parent / "boards"


@dataclass(frozen=True)
class Core:
    """What the compiler is told with ``-mcpu``, ``-mfpu`` and ``-mfloat-abi``.

    ``fpu``: "auto" for what ``cpu`` has, which is the way to Helium.
    ``kernels``: "dsp" for cores with the DSP extension (M4, M7, most M33), "helium"
    for those with Helium, integers at least (M52, M55, M85).
    """

    cpu: str
    fpu: str
    float_abi: Literal["soft", "softfp", "hard"]
    kernels: Kernels

    @property
    def flags(self) -> tuple[str, ...]:
        return f"-mcpu={self.cpu}", f"-mfpu={self.fpu}", f"-mfloat-abi={self.float_abi}", "-mthumb"


@dataclass(frozen=True)
class Clock:
    """What SysTick counts and how often it ticks in a second of the board's time."""

    counts: Literal["instructions", "cycles"]
    tick_hz: int


@dataclass(frozen=True)
class Region:
    """A piece of the address space."""

    origin: int
    bytes: int

    @property
    def end(self) -> int:
        return self.origin + self.bytes


@dataclass(frozen=True)
class Memory:
    """Code in ``flash``, where the core starts; variables and the stack in ``ram``.

    Constants, weights above all, are in ``constants``, or in ``flash`` without it.
    """

    flash: Region
    ram: Region
    stack_bytes: int
    constants: Region | None = None

    @property
    def regions(self) -> dict[str, Region]:
        """Those that there are, by their key."""
        regions = {"flash": self.flash, "constants": self.constants, "ram": self.ram}
        return {name: region for name, region in regions.items() if region}


@dataclass(frozen=True)
class Uart:
    """The serial port; ``driver`` is ``targets/firmware/ports/uart_DRIVER.c``."""

    driver: str
    base: int
    divider: int
    baud: int
    receive_interrupt: int


@dataclass(frozen=True)
class Emulator:
    """QEMU's name of the machine; an instruction lasts ``2 ** icount_shift`` ns.

    ``spare``: RAM of the machine that no firmware uses, where test data is loaded.
    """

    machine: str
    icount_shift: int
    spare: Region | None = None


@dataclass(frozen=True)
class Probe:
    """The debug probe on a board's USB socket, whose serial port leads to the board.

    ``usb``: its ``vendor:product``, all of them where it comes with several.
    ``flash_with``: the tool that writes the firmware; ``target``: what that calls the chip.
    """

    usb: tuple[str, ...]
    flash_with: Literal["pyocd", "openocd", "picotool"]
    target: str | None = None


@dataclass(frozen=True)
class Board:
    """A target and how to reach it. ``emulator`` and ``probe`` are None where there is none."""

    name: str
    title: str
    core: Core
    clock: Clock
    memory: Memory
    uart: Uart
    emulator: Emulator | None = None
    probe: Probe | None = None


def board_names() -> list[str]:
    """The boards that ship."""
    return sorted(path.stem for path in BOARD_FOLDER.glob("*.toml"))


def load_board(name_or_path: str) -> Board:
    """Read a board that ships, by name, or any TOML file, by path.

    Raises :class:`UserError` naming the file and the key that is wrong.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = BOARD_FOLDER / f"{name_or_path}.toml"
        if not path.is_file():
            raise UserError(
                f"unknown board '{name_or_path}'; choose one of {', '.join(board_names())}, "
                "or give the path of a .toml file"
            )
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read board {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"board {path} is not valid TOML: {error}") from error
    return parse_board(path.stem, values, source=str(path))


def parse_board(name: str, values: dict[str, Any], source: str) -> Board:
    """Build a board from parsed TOML; ``source`` names it in errors."""
    if "name" in values:
        raise UserError(f"{source}: unknown key 'name'; a board is named by its file")
    board: Board = _table(Board, {"name": name, **values}, source, prefix="")
    _check(board, source)
    return board


def _table(kind: type, values: Any, source: str, prefix: str) -> Any:
    """A dataclass from a TOML table; ``prefix`` is its dotted name with a dot."""
    if not isinstance(values, dict):
        raise UserError(f"{source}: '{prefix[:-1]}' must be a table, not {values!r}")
    hints = get_type_hints(kind)
    for key in values:
        if key not in hints:
            known = ", ".join(hint for hint in hints if (kind, hint) != (Board, "name"))
            raise UserError(f"{source}: unknown key '{prefix}{key}'; known: {known}")
    converted = {}
    for field in fields(kind):
        if field.name in values:
            key = f"{prefix}{field.name}"
            converted[field.name] = _value(hints[field.name], values[field.name], source, key)
        elif field.default is MISSING:
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
    if hint not in (int, str):
        return _table(hint, value, source, f"{key}.")
    if not isinstance(value, hint) or isinstance(value, bool):
        name = {int: "an integer", str: "a string"}[hint]
        raise UserError(f"{source}: '{key}' must be {name}, not {value!r}")
    if hint is int and not 0 <= value < 2**32:
        raise UserError(f"{source}: '{key}' must fit 32 bits, not {value:#x}")
    return value


def _check(board: Board, source: str) -> None:
    def require(condition: bool, message: str) -> None:
        if not condition:
            raise UserError(f"{source}: {message}")

    memory, uart = board.memory, board.uart
    regions = {f"memory.{name}": region for name, region in memory.regions.items()}
    if board.emulator and board.emulator.spare:
        regions["emulator.spare"] = board.emulator.spare
    for key, region in regions.items():
        require(region.bytes > 0, f"'{key}.bytes' must be positive")
        require(region.origin % 16 == 0, f"'{key}.origin' must be a multiple of 16")
        require(region.end <= 2**32, f"'{key}' ends beyond the 32-bit address space")
        require(not region.origin <= uart.base < region.end, f"'uart.base' lies inside '{key}'")
    for (key, one), (other_key, other) in combinations(regions.items(), 2):
        require(
            one.end <= other.origin or other.end <= one.origin,
            f"'{key}' and '{other_key}' overlap",
        )
    require(
        memory.flash.origin % VECTOR_ALIGNMENT == 0,
        f"'memory.flash.origin' must be a multiple of {VECTOR_ALIGNMENT}: it holds the vectors",
    )
    require(
        1024 <= memory.stack_bytes < memory.ram.bytes and memory.stack_bytes % 16 == 0,
        "'memory.stack_bytes' must be a multiple of 16, at least 1024, and fit 'memory.ram'",
    )
    require(board.clock.tick_hz > 0, "'clock.tick_hz' must be positive")
    require(uart.baud > 0, "'uart.baud' must be positive")
    require(uart.divider > 0, "'uart.divider' must be positive")
    require(uart.base % 4 == 0, "'uart.base' must be a multiple of 4")
    require(uart.receive_interrupt < 480, "'uart.receive_interrupt' must lie in 0..479")
    drivers = uart_drivers()
    require(uart.driver in drivers, f"'uart.driver' must be one of {', '.join(drivers)}")
    require(
        (board.clock.counts == "instructions") == (board.emulator is not None),
        '\'clock.counts\' must be "instructions" with an [emulator], and "cycles" without',
    )
    for usb_id in board.probe.usb if board.probe else ():
        require(
            re.fullmatch("[0-9a-f]{4}:[0-9a-f]{4}", usb_id) is not None,
            f"'probe.usb' must be like '0483:374b', in lower case, not {usb_id!r}",
        )
    if board.probe:
        require(
            board.probe.target is not None or board.probe.flash_with == "picotool",
            f"key 'probe.target' is missing: {board.probe.flash_with} asks for the chip's name",
        )
    if board.emulator:
        shift = board.emulator.icount_shift
        require(shift <= 10, "'emulator.icount_shift' must lie in 0..10")
        # Whole ticks stand for one count of instructions only if they are this dense.
        require(
            board.clock.tick_hz << shift > 2 * 10**9,
            "'emulator.icount_shift' is too small: 'clock.tick_hz' must give more than 2 ticks "
            "in the 2^icount_shift ns of an instruction",
        )


def uart_drivers() -> list[str]:
    """The UART drivers that ship."""
    return sorted(
        path.stem.removeprefix("uart_") for path in (FIRMWARE_FOLDER / "ports").glob("uart_*.c")
    )
