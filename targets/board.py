"""Boards: a core, its memory and its serial port, read from TOML and checked key by key."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from dyncp.errors import UserError
from targets.board_checks import check_board
from targets.board_schema import read_table
from targets.sources import Kernels

PllSource = Literal["crystal", "external", "internal"]
PLL_SOURCES: tuple[PllSource, ...] = get_args(PllSource)

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
    caches: str | None = None

    @property
    def flags(self) -> tuple[str, ...]:
        return f"-mcpu={self.cpu}", f"-mfpu={self.fpu}", f"-mfloat-abi={self.float_abi}", "-mthumb"


@dataclass(frozen=True)
class Pll:
    """How the core's clock is made: ``input_hz / divide * multiply / post_divide``.

    ``source``: where the input comes from: a crystal at the chip, a clock that another
    chip feeds in, or the chip's own oscillator.
    """

    source: PllSource
    input_hz: int
    divide: int
    multiply: int
    post_divide: int


@dataclass(frozen=True)
class Clock:
    """What ticks count, and how often they come in a second of the board's time.

    On silicon that is the core's clock, which ``firmware/ports/clock_DRIVER.c`` makes with
    ``pll``; without a driver the core runs as it comes out of reset.
    """

    counts: Literal["instructions", "cycles"]
    tick_hz: int
    driver: str | None = None
    pll: Pll | None = None


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
    ``image_block``: ``firmware/ports/image_block_NAME.c``, what a boot ROM looks for.
    """

    flash: Region
    ram: Region
    stack_bytes: int
    constants: Region | None = None
    image_block: str | None = None

    @property
    def regions(self) -> dict[str, Region]:
        """Those that there are, by their key."""
        regions = {"flash": self.flash, "constants": self.constants, "ram": self.ram}
        return {name: region for name, region in regions.items() if region}


@dataclass(frozen=True)
class Enable:
    """The bit that gives a peripheral its clock."""

    register: int
    bit: int


@dataclass(frozen=True)
class Pins:
    """Where the serial port leaves the chip, set up by ``firmware/ports/pins_DRIVER.c``.

    ``port``: address of the registers of the pins' port; ``function``: the port's number
    for the UART; ``enable``: of the port.
    """

    driver: str
    transmit: int
    receive: int
    port: int | None = None
    function: int | None = None
    enable: Enable | None = None


@dataclass(frozen=True)
class Uart:
    """The serial port; ``driver`` is ``firmware/ports/uart_DRIVER.c``.

    It divides ``clock_hz`` by ``divider``, and the line then runs at ``baud`` or close to it.
    """

    driver: str
    base: int
    clock_hz: int
    divider: int
    baud: int
    receive_interrupt: int
    enable: Enable | None = None
    pins: Pins | None = None


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
    board: Board = read_table(Board, values, source, name=name)
    check_board(board, source)
    return board
