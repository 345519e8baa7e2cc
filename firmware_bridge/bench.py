"""The bench: what kernels and whole frames cost on the emulated boards, in instructions.

Instructions are counted and never timed, so a figure is the same on every machine that
has the same compiler. The figures are kept as ``docs/bench.json``::

    format     1
    compiler   what the cross compiler calls itself
    boards     by name: cpu, form (of its kernels), and
      kernels    by name: instructions, macs
      frames     by name, "PRESET, N % open": network (instructions of a frame without the
                 front end), analysis, synthesis, macs, and layers by role, summed over blocks
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from dyncp.errors import UserError
from dyncp.files import write_text
from dyncp.preset import Preset, load_preset
from firmware_bridge.bench_kernels import SHARES, kernels_to_count
from firmware_bridge.bench_models import bench_plan, pinned_gates, pins
from firmware_bridge.emulator import EmulatorTransport
from firmware_bridge.kernel_runs import counter_of, run_cases
from firmware_bridge.session import Board as Session
from targets import kernel_cases
from targets.board import Board, board_names, load_board
from targets.elf import overwrite
from targets.firmware_build import build_planned
from targets.image import compiler_version
from targets.kernel_image import build_kernel_image

FORMAT = 1
PRESETS = ("static", "paper", "paper-grouped", "hidden")
_FRAMES = 3
"""Hops that are run from a cold start; the last one counts."""

_AT_A_TIME = 2
"""Boards that are built for and run at once."""

Figures = dict[str, Any]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Selection:
    """What is counted; ``presets`` and ``shares`` of whole frames."""

    boards: Sequence[str]
    kernels: bool = True
    presets: Sequence[str] = PRESETS
    shares: Sequence[int] = SHARES

    @property
    def steps(self) -> int:
        """Images that are run on all boards together."""
        frames = sum(len(_shares(load_preset(preset), self)) for preset in self.presets)
        return len(self.boards) * (frames + self.kernels)


def emulated_boards() -> list[str]:
    """The boards that ship and can be counted on."""
    boards = map(load_board, board_names())
    return [board.name for board in boards if board.emulator and board.emulator.spare]


class Announcer:
    """Progress as lines on standard error: which image of how many has run."""

    def __init__(self, steps: int) -> None:
        self._steps, self._done, self._lock = steps, 0, Lock()

    def __call__(self, what: str) -> None:
        with self._lock:
            self._done += 1
            print(f"[{self._done:2d}/{self._steps}] {what}", file=sys.stderr, flush=True)


def run_bench(selection: Selection, progress: Progress) -> Figures:
    """Build, run and count; ``progress`` is told of each image that has run.

    Raises :class:`UserError` if a kernel gives a wrong byte: what is wrong has no cost.
    """
    boards = [load_board(name) for name in selection.boards]
    with ThreadPoolExecutor(_AT_A_TIME) as pool, tempfile.TemporaryDirectory() as folder:
        figures = pool.map(
            lambda board: _board_figures(board, selection, Path(folder) / board.name, progress),
            boards,
        )
        return {
            "format": FORMAT,
            "compiler": compiler_version(),
            "boards": {board.name: found for board, found in zip(boards, figures, strict=True)},
        }


def _board_figures(board: Board, selection: Selection, folder: Path, progress: Progress) -> Figures:
    figures: Figures = {
        "cpu": board.core.cpu,
        "form": board.core.kernels,
        "kernels": {},
        "frames": {},
    }
    if selection.kernels:
        figures["kernels"] = count_kernels(board, folder / "kernels")
        progress(f"{board.name}: kernels")
    for name in selection.presets:
        preset = load_preset(name)
        shares = _shares(preset, selection)
        for item, frame in count_frames(board, preset, shares, folder / name):
            figures["frames"][item] = frame
            progress(f"{board.name}: {item}")
    return figures


def _shares(preset: Preset, selection: Selection) -> Sequence[int]:
    return selection.shares if preset.gate else (100,)


def count_kernels(board: Board, folder: Path) -> Figures:
    """Instructions of every kernel that :mod:`firmware_bridge.bench_kernels` lists."""
    image = build_kernel_image(board, folder)
    kernels = kernels_to_count(board.core.kernels)
    cases = [kernel_cases.nothing(), *(kernel.case for kernel in kernels)]
    results = run_cases(board, image, cases)
    wrong = kernel_cases.complaints(cases, results)
    if wrong:
        raise UserError(f"{board.name}: {wrong[0]}")
    count = counter_of(board).count
    clock, *counted = (count(result.ticks) for result in results)
    return {
        kernel.name: {"instructions": instructions - clock, "macs": kernel.macs}
        for kernel, instructions in zip(kernels, counted, strict=True)
    }


def count_frames(
    board: Board, preset: Preset, shares: Sequence[int], folder: Path
) -> Iterator[tuple[str, Figures]]:
    """Name and figures of a frame for each share of open gates."""
    plan = bench_plan(preset, board.core.kernels)
    build_planned(plan, board, folder)
    for share in shares:
        gates = pinned_gates(preset, share)
        elf = folder / f"{share}.elf"
        overwrite(folder / "firmware.elf", elf, pins(plan, gates))
        name = f"{preset.name}, {share} % open" if preset.gate else preset.name
        with Session(EmulatorTransport(board, elf)) as session:
            yield name, _frame(session, gates, name)


def _frame(session: Session, gates: np.ndarray[Any, Any], name: str) -> Figures:
    rng = np.random.default_rng(1)
    count = session.greeting.counter.count
    for _ in range(_FRAMES):
        hop = rng.integers(-8000, 8000, session.greeting.hop).astype(np.int16)
        result = session.process_hop(hop)
        if not np.array_equal(result.gates, gates):
            raise UserError(f"{session.greeting.board}: {name}: gates did not stay as pinned")
    counters = result.counters
    ends = counters.analysis_ticks + counters.synthesis_ticks
    layers: dict[str, int] = {}
    for layer in session.layers():
        role = layer.name.split(".")[-1]
        layers[role] = layers.get(role, 0) + count(layer.ticks)
    return {
        "network": count(counters.ticks - ends),
        "analysis": count(counters.analysis_ticks),
        "synthesis": count(counters.synthesis_ticks),
        "macs": counters.executed_macs,
        "layers": layers,
    }


def write_figures(path: Path, figures: Figures) -> None:
    """Write ``figures`` as JSON."""
    write_text(path, json.dumps(figures, indent=1) + "\n")


def read_figures(path: Path) -> Figures:
    """What :func:`write_figures` wrote; raises :class:`UserError` if it is something else."""
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror or error}; write it with: "
            "python -m firmware_bridge bench --update"
        ) from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from error
    if not isinstance(figures, dict) or figures.get("format") != FORMAT:
        raise UserError(f"{path} does not hold figures of format {FORMAT}; write it anew")
    return figures
