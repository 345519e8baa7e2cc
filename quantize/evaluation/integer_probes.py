"""What the probes say on the masks of the integer model, in integers: what a device says."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dyncp import audio
from dyncp.checkpoint import load_checkpoint
from dyncp.errors import UserError
from dyncp.probes.observations import LabelledFrames, labelled_frames, observe
from dyncp.probes.shipped import scores
from dyncp.probes.study import TEST_SEED
from dyncp.probes.tasks import TASKS, Task, judge
from quantize.arithmetic import quantise
from quantize.integer_model import IntegerModel, open_gates
from quantize.model import load_model
from quantize.probes import classes_of

_MOST_MINUTES = 600


@dataclass(frozen=True)
class _Stream:
    model: Path
    noisy: NDArray[np.float32]
    frames: int

    def gates(self) -> NDArray[np.bool_]:
        """From a cold start: ``[frames, blocks * gates]``."""
        model = _loaded(self.model)
        settings = model.model.preset.audio
        features = audio.compress(settings, audio.spectrum(settings, self.noisy)).T
        grid = model.model.activations["features"]
        outputs = model.run(quantise(features[: self.frames], grid.scale, grid.zero_point))
        return np.concatenate(open_gates(model.model, outputs), axis=1)


@cache
def _loaded(path: Path) -> IntegerModel:
    return IntegerModel(load_model(path))


def judge_integer_probes(
    checkpoint_path: Path, model_path: Path, minutes: float, data: Path | None = None
) -> dict[str, Any]:
    """Judge the shipped probes on the first streams of the test split, in float and int8.

    Gives ``{"minutes", "rows", "results": [one a task]}``; a result has the fields of
    :class:`dyncp.probes.tasks.Judgement` under ``int8`` and ``float`` (the float network's
    masks and float weights), and ``operations`` a frame: additions on open gates.
    Raises :class:`UserError` where the two do not carry the same probes, or none.
    """
    if not 0 < minutes <= _MOST_MINUTES:
        raise UserError(f"--minutes must be above 0 and at most {_MOST_MINUTES}, not {minutes:g}")
    checkpoint, model = load_checkpoint(checkpoint_path), load_model(model_path)
    if not model.probes:
        raise UserError(f"{model_path} carries no probes; a preset with a [gate] does")
    same_network = checkpoint.preset.architecture() == model.preset.architecture()
    named = {row["name"] for row in checkpoint.probes}
    if not same_network or {probe.name for probe in model.probes} != named:
        raise UserError(
            f"{model_path} was not made of {checkpoint_path}: another network or other probes; "
            "quantise that checkpoint again (python -m quantize)"
        )
    frames = labelled_frames(model.preset.audio, "test", minutes, TEST_SEED, data)
    integer = _integer_gates(model_path, frames)
    floating = observe(checkpoint.network, frames).gates
    names = [probe.name for probe in model.probes]
    weights = np.array([probe.weights for probe in model.probes], np.int64)
    bias = np.array([probe.bias for probe in model.probes], np.int64)
    scale = np.array([probe.scale for probe in model.probes])
    answers = (integer @ weights.T + bias) * scale
    by_name = {row["name"]: row for row in checkpoint.probes}
    float_answers = np.stack([scores(by_name[name], floating) for name in names], axis=1)
    judged, judged_float = (judge_answers(names, a, frames) for a in (answers, float_answers))
    results = []
    for task, figures in judged.items():
        rows = list(classes_of(names)[task].values())
        used = (weights[rows] != 0).any(axis=0)
        results.append(
            {
                "task": task,
                "int8": figures,
                "float": judged_float[task],
                "operations": float(integer[:, used].sum(axis=1).mean() * len(rows)),
            }
        )
    return {"minutes": minutes, "rows": len(names), "results": results}


def judge_answers(
    names: Sequence[str], answers: NDArray[np.float64], frames: LabelledFrames
) -> dict[str, dict[str, float]]:
    """Judge answers ``[frames, probes]``, score * scale, of each task that has probes.

    Gives the fields of :class:`dyncp.probes.tasks.Judgement` by task.
    """
    found: dict[str, dict[str, float]] = {}
    for task in TASKS:
        rows = _rows(task, names, frames.classes)
        if rows:
            found[task.name] = _judged(task, answers[:, rows], frames)
    return found


def _rows(task: Task, names: Sequence[str], classes: tuple[str, ...]) -> list[int]:
    of_task = classes_of(names).get(task.name, {})
    if task.kind != "class":
        return list(of_task.values())
    return [of_task[kind] for kind in classes if kind in of_task]


def _judged(task: Task, answers: NDArray[np.float64], frames: LabelledFrames) -> dict[str, float]:
    return judge(task, answers, frames.labels.of(task.name), frames.speakers).to_dict()


def _integer_gates(model: Path, frames: LabelledFrames) -> NDArray[np.bool_]:
    streams = [
        _Stream(model, frames.noisy(index), length) for index, length in enumerate(frames.lengths)
    ]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        parts = tqdm(
            pool.map(_Stream.gates, streams),
            desc="integer model",
            total=len(streams),
            disable=not sys.stderr.isatty(),
        )
        return np.concatenate(list(parts))
