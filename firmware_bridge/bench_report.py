"""The bench's figures as text for a terminal, and as the page ``docs/bench.md``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Figures = dict[str, Any]

ROLES = ("front", "squeeze", "score", "up", "depthwise", "down", "back")
_GATED = "paper, 25 % open"

PEER_KERNEL = {"cortex-m4": 2.27, "cortex-m55": 0.576}
"""Quoted: CMSIS-NN's fully-connected kernel at 128x128, instructions a MAC."""

PEER_STATIC = {"cortex-m4": 1_821_607, "cortex-m55": 497_039}
PEER_GATED = {"cortex-m4": 2_044_183, "cortex-m55": 622_360}
"""Quoted: TFLite Micro with CMSIS-NN, the network of a frame, instructions."""

_PAGE = """\
# What kernels and frames cost

Written by `make bench UPDATE=1`; the same figures are in `bench.json`. Do not edit.

All figures are **instructions retired on an emulated core (QEMU)**, counted and not timed;
nothing here ran on silicon, and instructions are not cycles. Compiler: {compiler}.
`make bench` counts again and fails if a figure has grown by more than 1 %.
"""

_KERNELS = """\
## Kernels

Whole layers, with the call; in brackets instructions for each MAC that is executed. `inputs x4`:
gates close inputs, four channels each. Every call's outputs are compared with the integer
arithmetic before its count is believed. A layer follows the list of open inputs here even where
a network would run it dense.
"""

_FRAMES = """\
## Frames

The network of one frame without the front end: presets' shapes, random weights, the given share
of each block's gates open at random places; in brackets relative to `static`.
"""

_PEERS = """\
## Beside others

Peers' figures are **quoted**: they were measured once with the same counter and compiler, random
weights, outputs equal to the reference kernels byte for byte, and are not measured by
`make bench`. TFLite Micro in its best form for each core; an interpreter that cannot skip pays
for the gates.
"""


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows, the first of them the head, as aligned Markdown; numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(cells)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [line(rows[0]), line(rule), *(line(row) for row in rows[1:])]


def text(figures: Figures) -> str:
    """All tables, for a terminal."""
    return "\n\n".join("\n".join(table(rows)) for rows in _tables(figures))


def page(figures: Figures) -> str:
    """The generated page."""
    kernels, frames, front, *layers, peers = _tables(figures)
    parts = [_PAGE.format(compiler=figures["compiler"])]
    for words, rows in ((_KERNELS, kernels), (_FRAMES, frames)):
        parts += [words, _block(rows)]
    parts += ["## The front end\n\nAnalysis and synthesis of one hop.\n", _block(front)]
    parts.append("## Frames by layer\n\nSummed over the blocks.\n")
    parts += [_block(rows) for rows in layers]
    parts += [_PEERS, _block(peers)]
    return "\n".join(parts)


def _block(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join([*table(rows), ""])


def _tables(figures: Figures) -> list[list[list[str]]]:
    boards = figures["boards"]
    return [
        _across(boards, "kernels", "kernel", _kernel_cell),
        _across(boards, "frames", "network of a frame", _frame_cell),
        _alike(_across(boards, "frames", "front end", _front_cell)),
        *(_layers(board) for board in boards.values()),
        _peers(boards),
    ]


def _across(boards: Figures, part: str, title: str, cell: Any) -> list[list[str]]:
    """A row for each item, a column for each board."""
    names = list(dict.fromkeys(name for board in boards.values() for name in board[part]))
    head = [title, *(_core(board) for board in boards.values())]
    return [head, *([name, *(cell(board, name) for board in boards.values())] for name in names)]


def _alike(rows: list[list[str]]) -> list[list[str]]:
    """The rows, or one for all where they do not differ."""
    if len({tuple(row[1:]) for row in rows[1:]}) != 1:
        return rows
    return [rows[0], ["any network", *rows[1][1:]]]


def _core(board: Figures) -> str:
    return f"{board['cpu']} ({board['form']})"


def _kernel_cell(board: Figures, name: str) -> str:
    kernel = board["kernels"].get(name)
    if kernel is None:
        return "-"
    count, macs = kernel["instructions"], kernel["macs"]
    return f"{count:,} ({count / macs:.3f})" if macs else f"{count:,}"


def _frame_cell(board: Figures, name: str) -> str:
    frames = board["frames"]
    if name not in frames:
        return "-"
    count = frames[name]["network"]
    if "static" not in frames:
        return f"{count:,}"
    return f"{count:,} ({100 * count / frames['static']['network']:.0f} %)"


def _front_cell(board: Figures, name: str) -> str:
    frame = board["frames"].get(name)
    return f"{frame['analysis']:,} + {frame['synthesis']:,}" if frame else "-"


def _layers(board: Figures) -> list[list[str]]:
    rows = [[_core(board), *ROLES]]
    for name, frame in board["frames"].items():
        counts = [frame["layers"].get(role) for role in ROLES]
        rows.append([name, *("-" if count is None else f"{count:,}" for count in counts)])
    return rows


def _peers(boards: Figures) -> list[list[str]]:
    """Ours beside theirs, where there is a figure of both."""
    rows = [["", "ours", "theirs, quoted", "theirs is"]]

    def row(title: str, ours: float, theirs: float, digits: int) -> None:
        cells = [f"{ours:,.{digits}f}", f"{theirs:,.{digits}f}"]
        rows.append([title, *cells, f"{theirs / ours:.1f} times ours"])

    for board in boards.values():
        cpu, kernels, frames = board["cpu"], board["kernels"], board["frames"]
        dense = kernels.get("pointwise 128->128 dense")
        if dense and cpu in PEER_KERNEL:
            ours = dense["instructions"] / dense["macs"]
            row(f"{cpu}, 128x128 a MAC: CMSIS-NN", ours, PEER_KERNEL[cpu], 3)
        for name, peer in (("static", PEER_STATIC), (_GATED, PEER_GATED)):
            if name in frames and cpu in peer:
                title = f"{cpu}, {name}: TFLite Micro + CMSIS-NN"
                row(title, frames[name]["network"], peer[cpu], 0)
    return rows
