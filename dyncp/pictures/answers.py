"""A checkpoint's probes, task by task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dyncp.probes.shipped import scores
from dyncp.probes.tasks import TASKS, Task, predicted


@dataclass(frozen=True)
class Probe:
    """All rows of one task. ``classes``: their names, empty where the task has none."""

    task: Task
    classes: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]

    @property
    def weights(self) -> np.ndarray:
        """float32 ``[rows, blocks * gates]``."""
        return np.stack([row["weights"] for row in self.rows])

    def answers(self, gates: np.ndarray) -> np.ndarray:
        """What it says of every frame of ``[frames, blocks * gates]``: float ``[frames]``.

        In the task's unit, 0 or 1, or an index into :attr:`classes`.
        """
        return predicted(self.task, np.stack([scores(row, gates) for row in self.rows], axis=1))


def probes_of(rows: Sequence[dict[str, Any]]) -> dict[str, Probe]:
    """The probes among a checkpoint's rows, by task, in the order of the tasks."""
    found: dict[str, Probe] = {}
    for task in TASKS:
        own = tuple(row for row in rows if row["name"].split("/")[0] == task.name)
        if own:
            names = tuple(row["name"].split("/", 1)[1] for row in own if "/" in row["name"])
            found[task.name] = Probe(task, names, own)
    return found
