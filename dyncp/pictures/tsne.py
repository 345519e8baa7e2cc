"""A map of the masks: frames that open the same gates lie close together.

An island is often one segment of a stream, which is one speaker in one noise: the map
shows what the masks tell apart, not how well a probe does on another speaker.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from dyncp.pictures.frames import Pictured, changing
from dyncp.pictures.style import (
    BLUE,
    GREEN,
    LIGHT,
    ORANGE,
    PURPLE,
    bare,
    class_colour,
    class_marker,
    picture,
)

FRAMES = 3000
_PERPLEXITY = 40


def draw_tsne(shown: Pictured, path: Path, seed: int, frames: int = FRAMES) -> None:
    """Write ``tsne.png``: ``frames`` masks in the plane, coloured by three labels."""
    labels = shown.frames.labels
    rng = np.random.default_rng([29, seed])
    count = min(frames, len(shown.gates))
    picked = rng.permutation(len(shown.gates))[:count]
    masks = shown.flat[picked]
    moving = masks[:, changing(masks)]
    points = embed(moving, seed)
    with picture(path, height=3.75) as figure:
        panels = [figure.add_axes((0.012 + 0.329 * k, 0.2, 0.317, 0.66)) for k in range(3)]
        for axes in panels:
            bare(axes)
            axes.set(xticks=[], yticks=[])
        noise = labels.noise[picked]
        names = dict(enumerate(shown.frames.classes))
        colours = {kind: class_colour(kind) for kind in names}
        _classes(panels[0], points, noise, names, colours, title="noise class")
        _classes(
            panels[1], points, labels.vad[picked], {0: "silent", 1: "speaking"},
            {0: ORANGE, 1: BLUE}, title="voice activity",
        )  # fmt: skip
        gender = labels.gender[picked]
        if np.isnan(gender).all():
            _snr(figure, panels[2], points, labels.snr[picked])
        else:
            _classes(
                panels[2], points, gender, {1: "woman", 0: "man", -1: "nobody speaks"},
                {0: GREEN, 1: PURPLE, -1: LIGHT}, title="gender",
            )  # fmt: skip
        figure.text(
            0.014, 0.955, f"t-SNE of {count:,} frames' masks ({moving.shape[1]:,} changing gates, "
            "open or closed): a point is a frame, neighbours are alike", fontsize=9,
        )  # fmt: skip


def embed(masks: np.ndarray, seed: int) -> np.ndarray:
    """t-SNE of bool ``[frames, gates]``: float32 ``[frames, 2]``."""
    # Threads add in whatever order they come: one gives the same map every time.
    with threadpool_limits(limits=1):
        model = TSNE(
            perplexity=min(_PERPLEXITY, (len(masks) - 1) / 3), init="random", random_state=seed
        )
        return np.asarray(model.fit_transform(masks.astype(np.float32)))


def _classes(
    axes: Axes,
    points: np.ndarray,
    labels: np.ndarray,
    names: dict[int, str],
    colours: dict[int, str],
    *,
    title: str,
) -> None:
    kinds = np.where(np.isnan(labels), -1, labels).astype(int)
    handles = []
    for kind in sorted(names):
        own = points[kinds == kind]
        marker = class_marker(max(kind, 0))
        axes.scatter(own[:, 0], own[:, 1], s=3, color=colours[kind], marker=marker, linewidths=0)
    for kind, name in names.items():
        handles.append(
            Line2D([], [], linestyle="", marker=class_marker(max(kind, 0)), markersize=5.5,
                   markeredgewidth=0, color=colours[kind], label=name)
        )  # fmt: skip
    axes.set_title(title)
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=3, columnspacing=0.9,
        handletextpad=0.1, borderpad=0, labelspacing=0.3,
    )  # fmt: skip


def _snr(figure: Figure, axes: Axes, points: np.ndarray, snr: np.ndarray) -> None:
    spoken = ~np.isnan(snr)
    x, y = points.T
    axes.scatter(x[~spoken], y[~spoken], s=3, color=LIGHT, linewidths=0)
    marks = axes.scatter(x[spoken], y[spoken], s=3, c=snr[spoken], cmap="viridis", linewidths=0)
    axes.set_title("SNR (grey: nobody speaks)")
    box = axes.get_position()
    bar = figure.colorbar(
        marks,
        cax=figure.add_axes((box.x0 + 0.05, box.y0 - 0.07, box.width - 0.1, 0.03)),
        orientation="horizontal",
    )
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.set_label("SNR (dB)")
