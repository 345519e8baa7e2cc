"""Which gates the probes listen to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dyncp.checkpoint import Checkpoint
from dyncp.pictures.answers import Probe, probes_of
from dyncp.pictures.style import picture

TITLES = {
    "vad": "voice activity",
    "gender": "gender",
    "noise": "noise class",
    "snr": "SNR",
    "si_sdr": "SI-SDR",
    "pesq": "PESQ",
    "f0": "F0",
}
_PANEL = 0.95
"""Inches of height."""


def draw_coefficients(checkpoint: Checkpoint, path: Path) -> None:
    """Write ``coefficients.png``: a panel a task, of the weights by block and gate."""
    probes = list(probes_of(checkpoint.probes).values())
    with picture(path, height=0.75 + (_PANEL + 0.36) * len(probes)) as figure:
        width, total = figure.get_size_inches()
        for number, probe in enumerate(probes):
            bottom = total - 0.38 - (_PANEL + 0.36) * number - _PANEL
            box = (0.8 / width, bottom / total, (width - 1.75) / width, _PANEL / total)
            axes = figure.add_axes(box)
            _panel(figure, axes, probe, checkpoint)
            if number == len(probes) - 1:
                group = checkpoint.preset.gate.group  # type: ignore[union-attr]
                kind = "channel" if group == 1 else f"gate, of {group} channels"
                axes.set_xlabel(f"{kind} (grey: not used)")
            else:
                axes.tick_params(labelbottom=False)


def _panel(figure: Figure, axes: Axes, probe: Probe, checkpoint: Checkpoint) -> None:
    blocks, gates = checkpoint.preset.blocks, checkpoint.preset.gates
    used = (probe.weights != 0).any(axis=0)
    values = strongest(probe.weights).reshape(blocks, gates)
    # The few largest would leave the others pale.
    limit = float(np.percentile(np.abs(values[values != 0]), 95)) if used.any() else 1.0
    image = axes.imshow(
        np.where(used.reshape(blocks, gates), values, np.nan),
        aspect="auto", cmap="PuOr", vmin=-limit, vmax=limit, interpolation="nearest",
    )  # fmt: skip
    axes.set_facecolor("#CCCCCC")
    step = 2 if blocks > 5 else 1
    axes.set_yticks(range(0, blocks, step))
    axes.set_ylabel("block")
    for edge in range(1, blocks):
        axes.axhline(edge - 0.5, color="white", linewidth=0.6)
    largest = f", the largest of {len(probe.rows)} classes" if len(probe.rows) > 1 else ""
    axes.set_title(
        f"{TITLES[probe.task.name]}: what an open gate adds{largest}; "
        f"{used.sum():,} of {used.size:,} gates used"
    )
    box = axes.get_position()
    bar = figure.colorbar(
        image, cax=figure.add_axes((box.x1 + 0.01, box.y0, 0.012, box.height)), extend="both"
    )
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.set_label(probe.task.unit or "log-odds")


def strongest(weights: np.ndarray) -> np.ndarray:
    """Of ``[rows, gates]``, each gate's weight that is furthest from 0: ``[gates]``."""
    rows = np.abs(weights).argmax(axis=0)
    return np.asarray(weights[rows, np.arange(weights.shape[1])])
