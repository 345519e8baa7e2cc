"""The program that runs kernels on given cases: for a board, and for the host.

On a board it is built as the firmware is, of the same kernels with the same flags,
so that what is checked and counted is what runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dyncp.errors import UserError
from dyncp.files import replacing
from targets.board import Board
from targets.image import BUILD_FLAGS, link_image, port_sources, write_board_files
from targets.sources import C_FLAGS, FIRMWARE_FOLDER, Kernels, include_folders, runtime_sources
from targets.toolchain import run_tool


def kernel_sources(kernels: Kernels) -> list[Path]:
    """The kernels, and what runs them on cases; no ``main``."""
    own = [path for path in runtime_sources(kernels) if path.parent.name == "kernels"]
    harness = (FIRMWARE_FOLDER / "bench").glob("*.c")
    return sorted([*own, *(path for path in harness if path.name != "main.c")])


def build_kernel_image(board: Board, out: Path) -> Path:
    """Build ``out/kernels.elf`` for an emulated board; gives its path.

    Raises :class:`UserError` if the board has no spare memory for cases, and as
    :func:`targets.image.link_image` does.
    """
    if board.emulator is None or board.emulator.spare is None:
        raise UserError(f"board {board.name} has no 'emulator.spare' to load cases into")
    generated = out / "source"
    write_board_files(board, generated)
    library = kernel_sources(board.core.kernels)
    application = [*port_sources(board), FIRMWARE_FOLDER / "bench" / "main.c"]
    flags = [*board.core.flags, *BUILD_FLAGS, f"-DBENCH_FILE=0x{board.emulator.spare.origin:08x}u"]
    with replacing(out / "kernels.elf") as elf, replacing(out / "kernels.map") as link_map:
        link_image(library, application, board, generated, elf=elf, link_map=link_map, flags=flags)
    return out / "kernels.elf"


def build_kernel_program(program: Path, out: Path, extra: Sequence[str] = ()) -> Path:
    """Build ``program``, which has a ``main``, with the portable kernels for the host.

    ``extra``: more flags, such as :data:`targets.host_library.SANITISERS`.
    """
    flags = [*C_FLAGS, "-O2", *extra, *(f"-I{folder}" for folder in include_folders())]
    with replacing(out) as temporary:
        run_tool("gcc", [*flags, *kernel_sources("portable"), program, "-o", temporary])
    out.chmod(0o755)
    return out
