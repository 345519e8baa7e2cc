"""Probes by task: which rows go together, and what their integer scores say of the sound.

A row named TASK/CLASS is one class of its task, and the largest score wins. Any other row
is a task of its own. Rows of one task share a scale, so that their integers compare.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dyncp.errors import UserError

NAME_LIMIT = 255
"""Characters of a row's name at most: what a string of the link holds (docs/protocol.md)."""

_NAME = re.compile("[a-z][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)?")

_GENDERS = np.array(["m", "f"])


def task_of(name: str) -> str:
    """The task that a row belongs to."""
    return name.partition("/")[0]


def classes_of(names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Where each task's rows are in ``names``: by class; a row of its own has class ``""``."""
    tasks: dict[str, dict[str, int]] = {}
    for index, name in enumerate(names):
        task, _, kind = name.partition("/")
        tasks.setdefault(task, {})[kind] = index
    return tasks


def check_rows(names: Sequence[str], scales: Sequence[float]) -> None:
    """Raise :class:`UserError` naming the first row that does not go with the others."""
    first: dict[str, int] = {}
    for index, (name, scale) in enumerate(zip(names, scales, strict=True)):
        if len(name) > NAME_LIMIT:
            raise UserError(
                f"probe '{name[:20]}...': its name has {len(name)} characters, more than the "
                f"{NAME_LIMIT} that the link can send"
            )
        if _NAME.fullmatch(name) is None:
            raise UserError(
                f"probe {name!r}: a name is TASK or TASK/CLASS, of a-z, 0-9, '_' and '-', "
                "and TASK begins with a letter"
            )
        if names.index(name) < index:
            raise UserError(f"two probes are named '{name}'")
        other = first.setdefault(task_of(name), index)
        if ("/" in name) != ("/" in names[other]):
            raise UserError(
                f"probe '{name}' beside '{names[other]}': a task has one row, or a row for "
                "each of its classes"
            )
        if scale != scales[other]:
            raise UserError(
                f"probe '{name}' has scale {scale:g}, '{names[other]}' of the same task "
                f"{scales[other]:g}; their scores cannot be compared"
            )
    for task, rows in classes_of(names).items():
        if len(rows) == 1 and "" not in rows:
            raise UserError(
                f"probe '{names[first[task]]}' is the only class of its task; there is nothing "
                "to choose from"
            )


def read_scores(
    names: Sequence[str], scores: NDArray[np.integer], scales: Sequence[float]
) -> dict[str, NDArray]:
    """What integer ``scores [..., rows]`` say, by task, each ``[...]``.

    ``vad``: bool, True is speech. ``gender``: ``"f"`` or ``"m"``. A task with classes: the
    class with the largest score, of equal ones the first in the alphabet. All others: float64,
    score * scale, in the unit of docs/contracts.md. One frame's ``[rows]`` gives scalars.
    """
    scores = np.asarray(scores)
    said: dict[str, NDArray] = {}
    for task, rows in classes_of(names).items():
        if "" not in rows:
            kinds = sorted(rows)
            best = scores[..., [rows[kind] for kind in kinds]].argmax(axis=-1)
            said[task] = np.array(kinds)[best]
            continue
        score = scores[..., rows[""]]
        if task == "vad":
            said[task] = score > 0
        elif task == "gender":
            said[task] = _GENDERS[(score > 0).astype(np.intp)]
        else:
            said[task] = score * np.float64(scales[rows[""]])
    return said


def probe_scores(
    rows: Sequence[tuple[NDArray[np.integer], int]], gates: Sequence[NDArray[np.bool_]]
) -> NDArray[np.int32]:
    """int32 ``[rows]``: each row's bias, and its weights of the gates that are open.

    ``rows``: weights ``[blocks * gates]`` and bias; ``gates``: bool ``[gates]`` a block.
    """
    opened = np.concatenate(gates)
    return np.array(
        [bias + int(weights[opened].sum(dtype=np.int64)) for weights, bias in rows], np.int32
    )
