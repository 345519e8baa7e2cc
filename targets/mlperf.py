"""The build for MLPerf Tiny's runner: what its results are, computed as the C computes them.

Results are the probabilities of a task's classes: a softmax of the probes' integer scores, in
integers, of a table of exp() in steps of 1/256 (``firmware/mlperf/probabilities.c``). The
tables are made here, once, and are written into the build.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dyncp.errors import UserError
from quantize.probes import classes_of
from targets.compiler.c_text import array, integers, string

TASKS = ("noise", "vad")
FRAMES = 64
"""How many frames an image has room for: about a second of the shipped presets."""

NO_SPEECH = "no speech"
_ONE = 1 << 16
_COARSE = 16 * 12
"""Steps of 1/16 until exp(-x) is less than half of 1/65536."""
EXP_COARSE = tuple(round(_ONE * math.exp(-step / 16)) for step in range(_COARSE))
EXP_FINE = tuple(round(_ONE * math.exp(-step / 256)) for step in range(16))
_STEPS = 256
_MULTIPLIER_BITS = 31
_LARGEST_SCALE, _LARGEST_SHIFT = 1e6, 63


@dataclass(frozen=True)
class Results:
    """What an ``infer`` answers with.

    ``task``: "vad" or "noise". ``classes``: in the order of the probabilities. ``rows``: the
    probe of each class, -1 where its score is 0. ``scale``: of the scores.
    """

    task: str
    classes: tuple[str, ...]
    rows: tuple[int, ...]
    scale: float

    @property
    def step(self) -> tuple[int, int]:
        """Multiplier and shift that turn a difference of scores into steps of 1/256."""
        fraction, exponent = math.frexp(min(self.scale, _LARGEST_SCALE) * _STEPS)
        multiplier, shift = round(fraction * (1 << _MULTIPLIER_BITS)), _MULTIPLIER_BITS - exponent
        return (multiplier, shift) if shift <= _LARGEST_SHIFT else (0, 0)

    def thousandths(self, scores: NDArray[np.integer]) -> list[int]:
        """Of all probes' int32 ``scores [P]``: each class's probability, rounded."""
        own = [int(scores[row]) if row >= 0 else 0 for row in self.rows]
        multiplier, shift = self.step
        steps = [((max(own) - score) * multiplier) >> shift for score in own]
        weights = [_exponential(step) for step in steps]
        total = sum(weights)
        return [(1000 * weight + total // 2) // total for weight in weights]

    def text(self, scores: NDArray[np.integer]) -> str:
        """The line that a board must print, without its end."""
        numbers = [f"{value // 1000}.{value % 1000:03d}" for value in self.thousandths(scores)]
        return f"m-results-[{','.join(numbers)}]"


def _exponential(step: int) -> int:
    """exp(-step / 256) in 1/65536."""
    if step >= 16 * _COARSE:
        return 0
    return (EXP_COARSE[step // 16] * EXP_FINE[step % 16] + _ONE // 2) >> 16


def results_of(names: Sequence[str], scales: Sequence[float], task: str | None = None) -> Results:
    """The results of a model with probes of these ``names``.

    ``task``: :data:`TASKS`; the first that the model has if None. Raises
    :class:`UserError` if it has none of them.
    """
    rows = classes_of(names)
    known = [name for name in TASKS if name in rows]
    if task is None and not known:
        raise UserError(
            f"the model has no probe for any of {', '.join(TASKS)}, so an MLPerf build would have "
            "no results; use a preset with a [gate]"
        )
    task = task or known[0]
    if task not in known:
        raise UserError(
            f"the model has no results for task '{task}'; choose one of {', '.join(known) or '-'}"
        )
    if task == "vad":
        (row,) = rows[task].values()
        return Results(task, (NO_SPEECH, "speech"), (-1, row), scales[row])
    kinds = sorted(rows[task])
    return Results(
        task, tuple(kinds), tuple(rows[task][k] for k in kinds), scales[rows[task][kinds[0]]]
    )


def model_id(preset: str, task: str) -> str:
    """What ``profile`` calls the model."""
    return f"{preset}-{task}"


def config_header(results: Results, preset: str) -> str:
    """``mlperf_config.h``."""
    multiplier, shift = results.step
    values = {
        "MODEL": string(model_id(preset, results.task)),
        "FRAMES": FRAMES,
        "CLASSES": len(results.classes),
        "SCALE_MULTIPLIER": f"UINT64_C({multiplier})",
        "SCALE_SHIFT": shift,
        "EXP_COARSE": len(EXP_COARSE),
    }
    lines = [f"#define MLPERF_{name} {value}" for name, value in values.items()]
    return "\n".join(
        [
            "/* Written by the build. */\n#pragma once\n#include <stdint.h>\n",
            *lines,
            "",
            array("int16_t", "mlperf_rows", integers(results.rows), ", ".join(results.classes)),
            array("uint32_t", "mlperf_exp_coarse", integers(EXP_COARSE), "65536 exp(-i / 16)"),
            array("uint32_t", "mlperf_exp_fine", integers(EXP_FINE), "65536 exp(-i / 256)"),
        ]
    )
