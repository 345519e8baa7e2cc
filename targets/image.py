"""Compiling and linking C for a board: what every image of the project has in common."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dyncp.errors import UserError
from dyncp.files import write_text
from targets.board import PLL_SOURCES, Board, Enable
from targets.board_checks import chosen_drivers, driver_kinds
from targets.compiler.c_text import in_comment, string
from targets.sources import C_FLAGS, FIRMWARE_FOLDER, include_folders
from targets.toolchain import ToolFailure, run_tool

COMPILER = "arm-none-eabi-gcc"
BUILD_FLAGS = (*C_FLAGS, "-g", "-ffunction-sections", "-fdata-sections")
LIBRARY_FLAGS = ("-O2",)
APPLICATION_FLAGS = ("-Os",)
"""What runs beside the library: none of it takes the time of a hop."""
LINK_FLAGS = ("-nostartfiles", "--specs=nano.specs", "-Wl,--gc-sections", "-Wl,--fatal-warnings")

_COUNTER_KINDS = {"instructions": "LINK_COUNTER_INSTRUCTIONS", "cycles": "LINK_COUNTER_CYCLES"}


class ImageTooLarge(UserError):
    """The image does not fit the memory of its board."""


def compiler_version() -> str:
    """What the cross compiler calls itself; raises :class:`UserError` if there is none."""
    return run_tool(COMPILER, ["--version"]).splitlines()[0]


def write_board_files(board: Board, folder: Path) -> None:
    """Write ``board_config.h`` and ``memory.ld``, which the ports need, into ``folder``."""
    write_text(folder / "board_config.h", _board_config(board))
    write_text(folder / "memory.ld", _memory_script(board))


def port_sources(board: Board) -> list[Path]:
    """Start-up, counter, and the drivers that the board names."""
    prefixes = tuple(f"{kind}_" for kind in driver_kinds())
    chosen = set(chosen_drivers(board).values())
    return sorted(
        path
        for path in (FIRMWARE_FOLDER / "ports").glob("*.c")
        if not path.stem.startswith(prefixes) or path.stem in chosen
    )


def link_image(
    library: Sequence[Path],
    application: Sequence[Path],
    board: Board,
    generated: Path,
    *,
    elf: Path,
    link_map: Path,
    flags: Sequence[str],
    includes: Sequence[Path] = (),
) -> None:
    """Compile ``library`` and, for size, ``application`` with ``flags``; link them as ``elf``.

    ``generated``: what :func:`write_board_files` filled. ``includes``: more folders for
    ``-I``. Raises :class:`UserError` if a source is not accepted, or if the image does
    not fit the board's memory.
    """
    folders = [*include_folders(), generated, *includes]
    common: list[str | Path] = [
        *flags,
        # The image must not depend on where it was built.
        f"-ffile-prefix-map={FIRMWARE_FOLDER}=firmware",
        f"-ffile-prefix-map={generated.parent}=build",
        *(f"-I{folder}" for folder in folders),
    ]
    linking = [
        *LINK_FLAGS,
        f"-Wl,-L,{generated}",
        f"-Wl,-T,{FIRMWARE_FOLDER / 'ports' / 'link.ld'}",
        f"-Wl,-Map={link_map}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        joined = Path(folder) / "application.o"
        join: list[str | Path] = ["-r", "-nostdlib", "-o", joined]
        run_tool(COMPILER, [*common, *APPLICATION_FLAGS, *application, *join])
        try:
            run_tool(COMPILER, [*common, *LIBRARY_FLAGS, joined, *library, *linking, "-o", elf])
        except ToolFailure as failure:
            _explain_overflow(failure, board)
            raise


def _board_config(board: Board) -> str:
    uart, pins, pll = board.uart, board.uart.pins, board.clock.pll
    counted = board.emulator if board.clock.counts == "instructions" else None
    shift = counted.icount_shift if counted else 0
    values: dict[str, str] = {
        "BOARD_NAME": string(board.name),
        "BOARD_COUNTER_KIND": _COUNTER_KINDS[board.clock.counts],
        "BOARD_COUNTER_SHIFT": f"{shift}u",
        "BOARD_TICK_HZ": f"{board.clock.tick_hz}u",
        "BOARD_STACK_BYTES": f"{board.memory.stack_bytes}u",
        "BOARD_UART_BASE": f"0x{uart.base:08x}u",
        "BOARD_UART_CLOCK_HZ": f"{uart.clock_hz}u",
        "BOARD_UART_DIVIDER": f"{uart.divider}u",
        "BOARD_UART_INTERRUPT": f"{uart.receive_interrupt}u",
        **_enable_config("BOARD_UART", uart.enable),
    }
    if pins:
        values["BOARD_PINS_TRANSMIT"] = f"{pins.transmit}u"
        values["BOARD_PINS_RECEIVE"] = f"{pins.receive}u"
        if pins.port is not None:
            values["BOARD_PINS_PORT"] = f"0x{pins.port:08x}u"
        if pins.function is not None:
            values["BOARD_PINS_FUNCTION"] = f"{pins.function}u"
        values |= _enable_config("BOARD_PINS", pins.enable)
    if pll:
        for number, source in enumerate(PLL_SOURCES):
            values[f"BOARD_PLL_{source.upper()}"] = f"{number}u"
        values["BOARD_PLL_SOURCE"] = f"BOARD_PLL_{pll.source.upper()}"
        values["BOARD_PLL_INPUT_HZ"] = f"{pll.input_hz}u"
        values["BOARD_PLL_DIVIDE"] = f"{pll.divide}u"
        values["BOARD_PLL_MULTIPLY"] = f"{pll.multiply}u"
        values["BOARD_PLL_POST_DIVIDE"] = f"{pll.post_divide}u"
    lines = [f"#define {name} {value}" for name, value in values.items()]
    notice = f"/* {in_comment(board.title)}; written by the build. */"
    return "\n".join([notice, "#pragma once", *lines, ""])


def _enable_config(prefix: str, enable: Enable | None) -> dict[str, str]:
    if enable is None:
        return {}
    return {
        f"{prefix}_ENABLE_REGISTER": f"0x{enable.register:08x}u",
        f"{prefix}_ENABLE_BIT": f"{enable.bit}u",
    }


def _memory_script(board: Board) -> str:
    """What ``ports/link.ld`` includes: the board's regions, and the size of the stack."""
    regions = board.memory.regions
    lines = [
        f"    {name.upper()} : ORIGIN = 0x{region.origin:08x}, LENGTH = 0x{region.bytes:x}"
        for name, region in regions.items()
    ]
    alias = [] if "constants" in regions else ['REGION_ALIAS("CONSTANTS", FLASH)']
    notice = f"/* {in_comment(board.title)}; written by the build. */"
    stack = f"board_stack_bytes = 0x{board.memory.stack_bytes:x};"
    return "\n".join([notice, "MEMORY", "{", *lines, "}", *alias, stack, ""])


def _explain_overflow(failure: ToolFailure, board: Board) -> None:
    """Raise a better message if the linker failed because a memory is too small."""
    overflows = re.findall(r"region `(\w+)' overflowed by (\d+) bytes", failure.output)
    if overflows:
        regions = board.memory.regions
        parts = [
            f"memory.{region.lower()} has {regions[region.lower()].bytes} bytes, {excess} too few"
            for region, excess in overflows
        ]
        raise ImageTooLarge(
            f"the image does not fit board '{board.name}': {' and '.join(parts)}; "
            "choose a smaller preset or another board"
        ) from failure
