"""From a `.tflite` and a board to `firmware.elf`, its map and its size figures.

Files written to the output folder::

    firmware.elf    the image, with symbols
    firmware.map    where the linker put everything
    firmware.json   board, build id, model hash, compiler, sizes in bytes
    source/         the C that was generated: the model, the board, the build id
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dyncp.errors import UserError
from dyncp.files import replacing, write_text
from quantize.macs import Layouts
from targets.board import Board, board_names, load_board, uart_drivers
from targets.compiler.c_text import in_comment, string
from targets.compiler.compile import compile_model
from targets.compiler.emit import LAYOUTS, write_c
from targets.compiler.packing import layout_of
from targets.compiler.plan import Plan
from targets.sources import C_FLAGS, FIRMWARE_FOLDER, include_folders, runtime_sources
from targets.toolchain import ToolFailure, find_tool, run_tool

COMPILER = "arm-none-eabi-gcc"
BUILD_FLAGS = (*C_FLAGS, "-g", "-ffunction-sections", "-fdata-sections")
LIBRARY_FLAGS = ("-O2",)
APPLICATION_FLAGS = ("-Os",)
"""The link, ports and main(): none of it runs in the time of a hop."""
LINK_FLAGS = ("-nostartfiles", "--specs=nano.specs", "-Wl,--gc-sections", "-Wl,--fatal-warnings")
BUILD_ID_BYTES = 16
LOADED_SECTIONS = (".text", ".rodata", ".ARM.exidx", ".data", ".bss", ".stack")

_DEFAULT_PAYLOAD = 1024
_COUNTERS_BYTES = 20
_COUNTER_KINDS = {"instructions": "LINK_COUNTER_INSTRUCTIONS", "cycles": "LINK_COUNTER_CYCLES"}


@dataclass(frozen=True)
class ModelSources:
    """An enhancer in C: what implements ``sluice.h``, and ``sluice_model.h`` in ``folder``.

    ``max_payload``: bytes of the longest message that the model needs.
    """

    sources: tuple[Path, ...]
    folder: Path
    preset: str
    model_hash: str
    max_payload: int = _DEFAULT_PAYLOAD
    layouts: Layouts = field(default_factory=dict)


@dataclass(frozen=True)
class Firmware:
    """What was built. Sizes in bytes; ``ram_bytes`` leaves out the stack.

    ``layouts``: how the weights of each layer are stored.
    """

    board: str
    preset: str
    build_id: str
    model_hash: str
    compiler: str
    flags: tuple[str, ...]
    flash_bytes: int
    ram_bytes: int
    stack_bytes: int
    sections: dict[str, int]
    layouts: Layouts


def build_firmware(model: Path, board: Board, out: Path) -> Firmware:
    """Compile the `.tflite` ``model`` and build its firmware for ``board`` in ``out``.

    Raises :class:`UserError` as :func:`build_image` does, and if the model is
    not one that can be compiled.
    """
    find_tool(COMPILER)  # before anything is written
    kernels = board.core.kernels
    plan = compile_model(model, kernels)
    source, _ = write_c(plan, out / "source")
    sources = ModelSources(
        sources=(*runtime_sources(kernels), source),
        folder=source.parent,
        preset=plan.preset,
        model_hash=plan.model_hash,
        max_payload=_plan_payload_bytes(plan),
        layouts={
            layer.name: layout_of(plan.network, layer, kernels) for layer in plan.network.layers
        },
    )
    return build_image(sources, board, out)


def add_firmware_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Add ``firmware`` to the command line of ``python -m targets``."""
    text = "build the firmware of a .tflite for a board"
    command = commands.add_parser("firmware", help=text, description=text)
    command.add_argument("--model", type=Path, required=True, help="the .tflite")
    command.add_argument(
        "--board", required=True, help=f"{', '.join(board_names())}, or a .toml file"
    )
    command.add_argument("--out", type=Path, required=True, help="folder to write into")
    command.set_defaults(body=_firmware)


def _firmware(arguments: argparse.Namespace) -> None:
    firmware = build_firmware(arguments.model, load_board(arguments.board), arguments.out)
    print(
        f"{arguments.out / 'firmware.elf'}: {firmware.preset} on {firmware.board}, flash "
        f"{firmware.flash_bytes} bytes, RAM {firmware.ram_bytes} + {firmware.stack_bytes} stack, "
        f"build {firmware.build_id}"
    )


def _plan_payload_bytes(plan: Plan) -> int:
    """The longest payload of a HOP, a FRAME or a reply to one (docs/protocol.md)."""
    network, hop = plan.network, plan.audio.n_fft // 2
    gate_bytes = len(network.blocks) * ((network.gates + 7) // 8)
    result = _COUNTERS_BYTES + 4 * len(plan.probes) + gate_bytes + 2 * hop
    longest = max(result, plan.audio.bins)
    return max(_DEFAULT_PAYLOAD, (longest + 15) // 16 * 16)


def build_image(model: ModelSources, board: Board, out: Path) -> Firmware:
    """Compile and link ``model`` for ``board`` into the folder ``out``.

    Raises :class:`UserError` if the compiler is missing or does not accept the
    sources, or if the image does not fit the board's memory.
    """
    generated = out / "source"
    write_text(generated / "board_config.h", _board_config(board))
    write_text(generated / "memory.ld", _memory_script(board))
    application = _application_sources(board)
    flags = (
        *board.core.flags,
        *BUILD_FLAGS,
        f"-DLINK_MAX_PAYLOAD={model.max_payload}",
        *_layout_flags(model.layouts),
    )
    compiler = run_tool(COMPILER, ["--version"]).splitlines()[0]
    settings = [compiler, *flags, *LIBRARY_FLAGS, *APPLICATION_FLAGS, *LINK_FLAGS]
    build_id = _build_id([*application, *model.sources], [generated, model.folder], settings)
    write_text(generated / "build_id.h", _build_id_header(build_id))

    includes = [f"-I{folder}" for folder in (*include_folders(), generated, model.folder)]
    common: list[str | Path] = [
        *flags,
        # The image must not depend on where it was built.
        f"-ffile-prefix-map={FIRMWARE_FOLDER}=firmware",
        f"-ffile-prefix-map={out}=build",
        *includes,
    ]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        joined = folder / "application.o"
        join: list[str | Path] = ["-r", "-nostdlib", "-o", joined]
        run_tool(COMPILER, [*common, *APPLICATION_FLAGS, *application, *join])
        arguments = [
            *common,
            *LIBRARY_FLAGS,
            joined,
            *model.sources,
            *LINK_FLAGS,
            f"-Wl,-L,{generated}",
            f"-Wl,-T,{FIRMWARE_FOLDER / 'ports' / 'link.ld'}",
        ]
        elf, link_map, figures = (
            stack.enter_context(replacing(out / f"firmware.{suffix}"))
            for suffix in ("elf", "map", "json")
        )
        try:
            run_tool(COMPILER, [*arguments, f"-Wl,-Map={link_map}", "-o", elf])
        except ToolFailure as failure:
            _explain_overflow(failure, board)
            raise
        sections = _section_sizes(elf)
        firmware = Firmware(
            board=board.name,
            preset=model.preset,
            build_id=build_id.hex(),
            model_hash=model.model_hash,
            compiler=compiler,
            flags=flags,
            flash_bytes=sum(sections.get(name, 0) for name in LOADED_SECTIONS[:4]),
            ram_bytes=sections.get(".data", 0) + sections.get(".bss", 0),
            stack_bytes=sections[".stack"],
            sections=sections,
            layouts=model.layouts,
        )
        figures.write_text(json.dumps(asdict(firmware), indent=2) + "\n", encoding="utf-8")
    return firmware


def _explain_overflow(failure: ToolFailure, board: Board) -> None:
    """Raise a better message if the linker failed because a memory is too small."""
    overflows = re.findall(r"region `(\w+)' overflowed by (\d+) bytes", failure.output)
    if overflows:
        regions = board.memory.regions
        parts = [
            f"memory.{region.lower()} has {regions[region.lower()].bytes} bytes, {excess} too few"
            for region, excess in overflows
        ]
        raise UserError(
            f"the image does not fit board '{board.name}': {' and '.join(parts)}; "
            "choose a smaller preset or another board"
        ) from failure


def read_firmware(elf: Path) -> Firmware:
    """The figures of a built image, from the ``firmware.json`` beside it."""
    path = elf.with_suffix(".json")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Firmware(**{**values, "flags": tuple(values["flags"])})
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror or error}; build it with: "
            "python -m targets firmware"
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{path} is not what `python -m targets firmware` writes ({error}); build it again"
        ) from error


def _application_sources(board: Board) -> list[Path]:
    """What is around the library: the link, the ports with the board's driver, main()."""
    other_drivers = {f"uart_{name}.c" for name in uart_drivers() if name != board.uart.driver}
    return [
        path
        for folder in ("link", "ports", "app")
        for path in sorted((FIRMWARE_FOLDER / folder).glob("*.c"))
        if path.name not in other_drivers
    ]


def _layout_flags(layouts: Layouts) -> list[str]:
    """Leaves out the kernels of layouts that a model does not use (``kernels/layout.h``)."""
    if not layouts:
        return []
    return [f"-DSLUICE_LAYOUTS={sum(1 << LAYOUTS.index(name) for name in {*layouts.values()})}u"]


def _board_config(board: Board) -> str:
    shift = board.emulator.icount_shift if board.emulator else 0
    values = {
        "BOARD_NAME": string(board.name),
        "BOARD_COUNTER_KIND": _COUNTER_KINDS[board.clock.counts],
        "BOARD_COUNTER_SHIFT": f"{shift}u",
        "BOARD_TICK_HZ": f"{board.clock.tick_hz}u",
        "BOARD_STACK_BYTES": f"{board.memory.stack_bytes}u",
        "BOARD_UART_BASE": f"0x{board.uart.base:08x}u",
        "BOARD_UART_DIVIDER": f"{board.uart.divider}u",
        "BOARD_UART_INTERRUPT": f"{board.uart.receive_interrupt}u",
    }
    lines = [f"#define {name} {value}" for name, value in values.items()]
    notice = f"/* {in_comment(board.title)}; written by the build. */"
    return "\n".join([notice, "#pragma once", *lines, ""])


def _build_id_header(build_id: bytes) -> str:
    digits = ", ".join(f"0x{byte:02x}" for byte in build_id)
    return f"/* Written by the build. */\n#pragma once\n#define BUILD_ID {{{digits}}}\n"


def _build_id(sources: Sequence[Path], generated: Sequence[Path], settings: Sequence[str]) -> bytes:
    """A hash of all that makes the image: our C, the model's, the board's, the flags."""
    suffixes = (".h", ".inc", ".S", ".ld")
    ours = [path for path in FIRMWARE_FOLDER.rglob("*") if path.suffix in suffixes]
    written = [
        path
        for folder in generated
        for path in folder.iterdir()
        if path.suffix in (".c", ".h", ".ld") and path.name != "build_id.h"
    ]
    digest = hashlib.sha256()
    for path in sorted({*ours, *written, *sources}, key=lambda path: (path.name, str(path))):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    digest.update("\0".join(settings).encode())
    return digest.digest()[:BUILD_ID_BYTES]


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


def _section_sizes(elf: Path) -> dict[str, int]:
    sizes = {}
    for line in run_tool("arm-none-eabi-size", ["-A", elf]).splitlines():
        words = line.split()
        if words and words[0] in LOADED_SECTIONS:
            sizes[words[0]] = int(words[1])
    return sizes
