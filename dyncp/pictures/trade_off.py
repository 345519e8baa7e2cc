"""What quality costs: PESQ against the multiply-accumulates of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from dyncp.errors import UserError
from dyncp.pictures.style import BLUE, GREY, LIGHT, VERMILLION, picture


@dataclass(frozen=True)
class QualityPoint:
    """A preset: MACs of a mean frame, mean PESQ (MOS-LQO) and its 95 % interval.

    A static network executes all its MACs: ``executed_macs`` equals ``dense_macs``.
    """

    name: str
    executed_macs: float
    dense_macs: float
    pesq: float
    low: float
    high: float

    @property
    def gated(self) -> bool:
        return self.executed_macs < self.dense_macs


def quality_against_macs(points: Sequence[QualityPoint], path: Path, *, noisy_pesq: float) -> None:
    """Write a scatter of presets to ``path``; ``noisy_pesq`` is the untouched input's.

    A gated preset has a line to where it would be if all its gates were open. Raises
    :class:`UserError` without points, or for one whose interval does not hold its PESQ.
    """
    if not points:
        raise UserError("no preset to draw: quality against MACs needs one at least")
    for point in points:
        if not point.low <= point.pesq <= point.high:
            raise UserError(
                f"{point.name}: PESQ {point.pesq:g} is not in its interval "
                f"{point.low:g} to {point.high:g}"
            )
    with picture(path, height=5.0) as figure:
        axes = figure.add_axes((0.085, 0.115, 0.895, 0.8))
        _scatter(axes, points)
        axes.axhline(noisy_pesq, color=GREY, linewidth=1.0, linestyle=(0, (4, 3)))
        axes.set_xlim(0, max(point.dense_macs for point in points) / 1e3 * 1.1)
        low = min([noisy_pesq, *(point.low for point in points)])
        high = max([noisy_pesq, *(point.high for point in points)])
        margin = 0.12 * max(high - low, 0.05)
        axes.set_ylim(low - margin, high + margin)
        note = axes.annotate(
            "noisy input", (1, noisy_pesq), xycoords=("axes fraction", "data"), ha="right",
            xytext=(-2, 3), textcoords="offset points", color=GREY,
        )  # fmt: skip
        _name(figure, axes, points, note.get_window_extent(_renderer(figure)))


def _scatter(axes: Axes, points: Sequence[QualityPoint]) -> None:
    for point in points:
        colour, marker = (BLUE, "o") if point.gated else (VERMILLION, "s")
        x = point.executed_macs / 1e3
        if point.gated:
            axes.plot(
                [x, point.dense_macs / 1e3], [point.pesq] * 2, color=colour, alpha=0.45,
                linewidth=1.0, marker="|", markevery=[1], markersize=6,
            )  # fmt: skip
        axes.errorbar(
            x, point.pesq, [[point.pesq - point.low], [point.high - point.pesq]], fmt=marker,
            color=colour, markersize=6.5, elinewidth=1.2, capsize=3,
        )  # fmt: skip
    handles = []
    if any(point.gated for point in points):
        handles += [
            Line2D([], [], linestyle="", marker="o", color=BLUE, label="gated"),
            Line2D([], [], color=BLUE, alpha=0.45, marker="|", markevery=[1],
                   label="to its MACs with all gates open"),
        ]  # fmt: skip
    if any(not point.gated for point in points):
        handles.append(Line2D([], [], linestyle="", marker="s", color=VERMILLION, label="static"))
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, borderpad=0,
        columnspacing=1.5, handletextpad=0.5,
    )  # fmt: skip
    axes.set_xlabel("executed MACs a frame (thousands)")
    axes.set_ylabel("PESQ, wide band (MOS-LQO), 95 % interval")
    axes.grid(color=LIGHT, linewidth=0.6)
    axes.set_axisbelow(True)


def _name(figure: Figure, axes: Axes, points: Sequence[QualityPoint], note: Bbox) -> None:
    """Names beside their marks, where nothing else is drawn."""
    taken = [note]
    for point in points:
        ends = axes.transData.transform(
            [
                (point.executed_macs / 1e3, point.low),
                (point.executed_macs / 1e3, point.high),
                (point.dense_macs / 1e3, point.pesq),
            ]
        )
        (x, low), (_, high), (dense, y) = ends
        taken += [
            Bbox([[x - 8, min(low, y - 8)], [x + 8, max(high, y + 8)]]),
            Bbox([[x, y - 3], [dense + 3, y + 3]]),
        ]
    inside = axes.get_window_extent()
    marks = axes.transData.transform([(p.executed_macs / 1e3, p.pesq) for p in points])
    for number, point in enumerate(points):
        best, least = None, np.inf
        for dx, dy, side in _PLACES:
            text = axes.annotate(
                point.name, (point.executed_macs / 1e3, point.pesq), (dx, dy),
                textcoords="offset points", ha=side, va="center",
                color=BLUE if point.gated else VERMILLION,
            )  # fmt: skip
            box = text.get_window_extent(_renderer(figure))
            hidden = sum(_overlap(box, other) for other in taken)
            hidden += box.width * box.height - _overlap(box, inside)
            # A name that another mark is nearer to would be read as that one's.
            hidden += _NEARER * (int(_distances(box, marks).argmin()) != number)
            if hidden < least - 1e-6:
                if best is not None:
                    best.remove()
                best, least = text, hidden
            else:
                text.remove()
        assert best is not None
        taken.append(best.get_window_extent(_renderer(figure)))


_PLACES = [
    (sign * across, up, side)
    for up in (9, -9, 18, -18, 28, -28, 40, -40, 54, -54, 70, -70)
    for across in (6, 16)
    for sign, side in ((1, "left"), (-1, "right"))
]
"""Offsets of a name from its mark, in points, the best first."""
_NEARER = 400.0
"""Square pixels of overlap that are as bad as to be nearer to another mark."""


def _distances(box: Bbox, marks: np.ndarray) -> np.ndarray:
    """From a box to every mark of ``[points, 2]``, in pixels."""
    nearest = np.clip(marks, (box.x0, box.y0), (box.x1, box.y1))
    return np.asarray(np.linalg.norm(marks - nearest, axis=1))


def _overlap(one: Bbox, other: Bbox) -> float:
    """Common area in square pixels."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(width, 0.0) * max(height, 0.0)


def _renderer(figure: Figure) -> RendererAgg:
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    return canvas.get_renderer()
