"""The probes that a checkpoint carries: rows of weights on one list of gates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dyncp.checkpoint import Checkpoint
from dyncp.probes.linear import LinearModel
from dyncp.probes.observations import LabelledFrames, labelled_frames, observe
from dyncp.probes.study import STUDY_MINUTES, TRAIN_SEED, fit_thinned, thinned
from dyncp.probes.tasks import TASKS, Task

SHIPPED_GATES = 256
"""The probes share this many gates: a device looks at no others."""


def fit_probes(
    checkpoint: Checkpoint, minutes: float = STUDY_MINUTES, data: Path | None = None
) -> list[dict[str, Any]]:
    """Rows for :attr:`dyncp.checkpoint.Checkpoint.probes`, fitted on the binary masks.

    A row is ``{"name", "weights": float32 [blocks * gates], "bias": float}``. A task of
    classes has one for each, named ``task/class``; a task that the data have no label for
    has none. All share the gates that matter most, the others' weights are 0. The test
    split is not touched.
    """
    preset = checkpoint.preset
    frames = labelled_frames(preset.audio, "train", minutes, TRAIN_SEED, data, speeds=preset.speeds)
    gates = thinned(observe(checkpoint.network, frames).gates)
    tasks = [task for task in TASKS if not np.isnan(frames.labels.of(task.name)).all()]
    columns = _chosen(tasks, frames, gates)
    rows = []
    for task in tasks:
        model = fit_thinned(task, gates[:, columns], frames)
        rows += _rows(task, model, columns, gates.shape[1], frames.classes)
    return rows


def _chosen(tasks: list[Task], frames: LabelledFrames, gates: np.ndarray) -> np.ndarray:
    """The gates with the largest weights, each task counting as much."""
    total = np.zeros(gates.shape[1])
    for task in tasks:
        importance = fit_thinned(task, gates, frames).importance
        total += importance / max(importance.sum(), 1e-12)
    best = np.argsort(total, kind="stable")[::-1][:SHIPPED_GATES]
    return np.sort(best[total[best] > 0])


def _rows(
    task: Task, model: LinearModel, columns: np.ndarray, gates: int, classes: tuple[str, ...]
) -> list[dict[str, Any]]:
    names = [f"{task.name}/{kind}" for kind in classes] if task.kind == "class" else [task.name]
    rows = []
    for name, weights, bias in zip(names, model.weights, model.bias, strict=True):
        row = np.zeros(gates, np.float32)
        row[columns] = weights
        rows.append({"name": name, "weights": row, "bias": float(bias)})
    return rows


def scores(probe: dict[str, Any], gates: np.ndarray) -> np.ndarray:
    """A row's score for every frame of ``[frames, blocks * gates]``."""
    return np.asarray(gates @ probe["weights"] + probe["bias"])
