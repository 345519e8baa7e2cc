"""What a network needs of every board, and which boards are too small for it."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from targets.board import Board, board_names, load_board
from targets.compiler.compile import compile_model
from targets.compiler.plan import Plan
from targets.firmware_build import build_planned
from targets.image import COMPILER, ImageTooLarge
from targets.sources import Kernels
from targets.toolchain import find_tool


@dataclass(frozen=True)
class Size:
    """Bytes that the firmware takes of a board; ``refusal`` says instead why it does not fit.

    ``flash``: code and constants, wherever they lie; ``ram``: variables and the stack.
    """

    board: Board
    flash: int = 0
    ram: int = 0
    refusal: str = ""

    @property
    def flash_room(self) -> int:
        memory = self.board.memory
        return memory.flash.bytes + (memory.constants.bytes if memory.constants else 0)

    def __str__(self) -> str:
        if self.refusal:
            return f"{self.board.name:16s} {self.refusal}"
        shares = (
            f"{name} {used:9,} of {room:9,} bytes ({used / room:6.1%})"
            for name, used, room in (
                ("flash", self.flash, self.flash_room),
                ("RAM", self.ram, self.board.memory.ram.bytes),
            )
        )
        return f"{self.board.name:16s} {', '.join(shares)}"


def sizes(model: Path, names: Sequence[str]) -> Iterator[Size]:
    """Build the firmware of the `.tflite` ``model`` for each board, and measure it.

    Raises :class:`dyncp.errors.UserError` if the compiler is missing or the model is not one that
    can be compiled; a board that is too small is a result.
    """
    find_tool(COMPILER)
    plans: dict[Kernels, Plan] = {}
    for board in map(load_board, names):
        kernels = board.core.kernels
        if kernels not in plans:
            plans[kernels] = compile_model(model, kernels)
        yield _size(plans[kernels], board)


def add_sizes_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``sizes`` to the command line of ``python -m targets``."""
    text = "what the firmware of a .tflite takes of every board, or of some"
    command = commands.add_parser("sizes", help=text, description=text)
    command.add_argument("--model", type=Path, required=True, help="the .tflite")
    command.add_argument(
        "--board", action="append", metavar="BOARD", help="a name or a .toml file; may be repeated"
    )
    command.set_defaults(body=_print_sizes)


def _print_sizes(arguments: argparse.Namespace) -> None:
    for size in sizes(arguments.model, arguments.board or board_names()):
        print(size, flush=True)


def _size(plan: Plan, board: Board) -> Size:
    with tempfile.TemporaryDirectory() as folder:
        try:
            firmware = build_planned(plan, board, Path(folder))
        except ImageTooLarge as error:
            return Size(board, refusal=str(error))
    return Size(board, firmware.flash_bytes, firmware.ram_bytes + firmware.stack_bytes)
