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
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dyncp.errors import UserError
from dyncp.files import replacing, write_text
from quantize.macs import Layouts
from targets.board import Board, board_names, load_board
from targets.compiler.compile import compile_model
from targets.compiler.emit import LAYOUTS, write_c
from targets.compiler.packing import layout_of
from targets.compiler.plan import Plan
from targets.image import (
    APPLICATION_FLAGS,
    BUILD_FLAGS,
    COMPILER,
    LIBRARY_FLAGS,
    LINK_FLAGS,
    compiler_version,
    link_image,
    port_sources,
    write_board_files,
)
from targets.mlperf import TASKS, config_header, results_of
from targets.sources import FIRMWARE_FOLDER, runtime_sources
from targets.toolchain import find_tool, run_tool

BUILD_ID_BYTES = 16
APPS = ("link", "mlperf")
"""What an image says on its port: our own link, or the protocol of MLPerf Tiny's runner."""

LOADED_SECTIONS = (".text", ".rodata", ".ARM.exidx", ".data", ".bss", ".stack")

_DEFAULT_PAYLOAD = 1024
_COUNTERS_BYTES = 20
_APP_SOURCES = {"link": ("app/main.c", "link/*.c"), "mlperf": ("app/mlperf.c", "mlperf/*.c")}


@dataclass(frozen=True)
class ModelSources:
    """An enhancer in C: what implements ``sluice.h``, and ``sluice_model.h`` in ``folder``.

    ``max_payload``: bytes of the longest message that the model needs. ``mlperf``: what
    ``mlperf_config.h`` says of it; such an image speaks MLPerf Tiny's protocol.
    """

    sources: tuple[Path, ...]
    folder: Path
    preset: str
    model_hash: str
    max_payload: int = _DEFAULT_PAYLOAD
    layouts: Layouts = field(default_factory=dict)
    has_probes: bool = True
    has_embedding: bool = True
    mlperf: str | None = None


@dataclass(frozen=True)
class Firmware:
    """What was built. Sizes in bytes; ``ram_bytes`` leaves out the stack.

    ``layouts``: how the weights of each layer are stored. ``app``: one of :data:`APPS`.
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
    app: str = APPS[0]


def build_firmware(
    model: Path, board: Board, out: Path, *, app: str = APPS[0], task: str | None = None
) -> Firmware:
    """Compile the `.tflite` ``model`` and build its firmware for ``board`` in ``out``.

    ``task``: of an ``mlperf`` app, see :func:`targets.mlperf.results_of`.
    Raises :class:`UserError` as :func:`build_image` does, and if the model is not one that
    can be compiled.
    """
    find_tool(COMPILER)  # before anything is written
    plan = compile_model(model, board.core.kernels)
    return build_planned(plan, board, out, app=app, task=task)


def build_planned(
    plan: Plan, board: Board, out: Path, *, app: str = APPS[0], task: str | None = None
) -> Firmware:
    """The same of a network that has been compiled, for the board's kernels."""
    mlperf = _mlperf_config(plan, task) if app == "mlperf" else None
    kernels = board.core.kernels
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
        has_probes=bool(plan.probes),
        has_embedding=plan.network.dimensions > 0,
        mlperf=mlperf,
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
    command.add_argument(
        "--app",
        choices=APPS,
        default=APPS[0],
        help="mlperf: for the runner of MLPerf Tiny (docs/mlperf.md) instead of our own link",
    )
    command.add_argument(
        "--task", choices=TASKS, help="what its results are (default: the first that there is)"
    )
    command.set_defaults(body=_firmware)


def _firmware(arguments: argparse.Namespace) -> None:
    if arguments.task and arguments.app != "mlperf":
        raise UserError("--task is of --app mlperf; give both, or leave it out")
    firmware = build_firmware(
        arguments.model,
        load_board(arguments.board),
        arguments.out,
        app=arguments.app,
        task=arguments.task,
    )
    print(
        f"{arguments.out / 'firmware.elf'}: {firmware.preset} on {firmware.board}, flash "
        f"{firmware.flash_bytes} bytes, RAM {firmware.ram_bytes} + {firmware.stack_bytes} stack, "
        f"build {firmware.build_id}"
    )


def _mlperf_config(plan: Plan, task: str | None) -> str:
    names, scales = [probe.name for probe in plan.probes], [probe.scale for probe in plan.probes]
    return config_header(results_of(names, scales, task), plan.preset)


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
    write_board_files(board, generated)
    app = "link" if model.mlperf is None else "mlperf"
    # What a build for another use has left in the folder is no part of this one.
    (generated / "mlperf_config.h").unlink(missing_ok=True)
    if model.mlperf is not None:
        write_text(generated / "mlperf_config.h", model.mlperf)
    ours = [path for pattern in _APP_SOURCES[app] for path in FIRMWARE_FOLDER.glob(pattern)]
    application = [*port_sources(board), *sorted(ours)]
    flags = (
        *board.core.flags,
        *BUILD_FLAGS,
        f"-DLINK_MAX_PAYLOAD={model.max_payload}",
        *_layout_flags(model.layouts),
        f"-DSLUICE_HAS_PROBES={int(model.has_probes)}",
        f"-DSLUICE_HAS_EMBEDDING={int(model.has_embedding)}",
    )
    compiler = compiler_version()
    settings = [compiler, *flags, *LIBRARY_FLAGS, *APPLICATION_FLAGS, *LINK_FLAGS]
    build_id = _build_id([*application, *model.sources], [generated, model.folder], settings)
    write_text(generated / "build_id.h", _build_id_header(build_id))

    with ExitStack() as stack:
        elf, link_map, figures = (
            stack.enter_context(replacing(out / f"firmware.{suffix}"))
            for suffix in ("elf", "map", "json")
        )
        link_image(
            model.sources,
            application,
            board,
            generated,
            elf=elf,
            link_map=link_map,
            flags=flags,
            includes=[model.folder],
        )
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
            app=app,
        )
        figures.write_text(json.dumps(asdict(firmware), indent=2) + "\n", encoding="utf-8")
    return firmware


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


def _layout_flags(layouts: Layouts) -> list[str]:
    """Leaves out the kernels of layouts that a model does not use (``kernels/layout.h``)."""
    if not layouts:
        return []
    return [f"-DSLUICE_LAYOUTS={sum(1 << LAYOUTS.index(name) for name in {*layouts.values()})}u"]


def _build_id_header(build_id: bytes) -> str:
    digits = ", ".join(f"0x{byte:02x}" for byte in build_id)
    return f"/* Written by the build. */\n#pragma once\n#define BUILD_ID {{{digits}}}\n"


def _build_id(sources: Sequence[Path], generated: Sequence[Path], settings: Sequence[str]) -> bytes:
    """A hash of all that makes the image: our C, the model's, the board's, the flags."""
    ours = [
        path for path in FIRMWARE_FOLDER.rglob("*") if path.suffix in (".h", ".inc", ".S", ".ld")
    ]
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


def _section_sizes(elf: Path) -> dict[str, int]:
    sizes = {}
    for line in run_tool("arm-none-eabi-size", ["-A", elf]).splitlines():
        words = line.split()
        if words and words[0] in LOADED_SECTIONS:
            sizes[words[0]] = int(words[1])
    return sizes
