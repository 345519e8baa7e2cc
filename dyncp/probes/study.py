"""Every task on every set of features: how much each knows, and what it costs."""

from __future__ import annotations

import sys
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from dyncp.checkpoint import Checkpoint
from dyncp.preset import Preset
from dyncp.probes.features import FEATURES, TOP, Features, operations
from dyncp.probes.linear import LinearModel, fit
from dyncp.probes.observations import LabelledFrames, Observations, labelled_frames, observe
from dyncp.probes.tasks import TASKS, Task, judge

TRAIN_SEED, TEST_SEED = 1, 2
STUDY_MINUTES = 30.0
"""Of each split, as in the paper."""
_FIT_STRIDE = 3
"""Models are fitted on every third frame: the gates average over 43, neighbours are alike."""


def stream_of_frames(frames: LabelledFrames) -> np.ndarray:
    """Which stream each frame is of: int ``[frames]``."""
    return np.repeat(np.arange(len(frames.lengths)), frames.lengths)


def fit_thinned(task: Task, taken: np.ndarray, frames: LabelledFrames) -> LinearModel:
    """Fit a task on features of ``frames`` that :func:`thinned` has thinned out."""
    return fit(task, taken, thinned(frames.labels.of(task.name)), len(frames.classes))


def thinned(of_frames: np.ndarray) -> np.ndarray:
    """The frames that models are fitted on, of ``[frames, ...]``."""
    return of_frames[::_FIT_STRIDE]


class Fitter:
    """Features and labels of both splits, to fit and judge on."""

    def __init__(
        self,
        preset: Preset,
        train: tuple[LabelledFrames, Observations],
        test: tuple[LabelledFrames, Observations],
    ) -> None:
        self.preset = preset
        self.train, self.test = train[0], test[0]
        self._seen = {"train": train[1], "test": test[1]}

    def take(self, features: Features) -> tuple[np.ndarray, np.ndarray]:
        """A set's features of both splits, those to train on thinned out."""
        train = features.take(self._seen["train"], self.preset, stream_of_frames(self.train))
        test = features.take(self._seen["test"], self.preset, stream_of_frames(self.test))
        return thinned(train), test

    def fit(self, task: Task, taken: np.ndarray) -> LinearModel:
        return fit_thinned(task, taken, self.train)

    def judge(self, task: Task, scores: np.ndarray) -> dict[str, float]:
        return judge(task, scores, self.test.labels.of(task.name), self.test.speakers).to_dict()


def study(
    checkpoint: Checkpoint, minutes: float = STUDY_MINUTES, data: Path | None = None
) -> dict[str, Any]:
    """Fit on streams of the training split, judge on the test split; speakers are disjoint.

    Gives ``{"minutes", "classes", "gates", "results": [one a task and set of features]}``:
    the minutes of each split that were heard, the names of the noise classes, how many gates
    there are. A result has what applies of :class:`dyncp.probes.tasks.Judgement`, its interval
    over the test speakers, ``operations`` a frame and ``used`` features. A network without
    gates has the STFT and the suppression mask alone, what gates are compared with.
    """
    fitter = observed(checkpoint, minutes, data)
    sets = [f for f in FEATURES if checkpoint.preset.gate or f.name in ("stft", "mask")]
    bar = tqdm(total=len(sets) * len(TASKS), desc="fit", disable=not sys.stderr.isatty())
    results: list[dict[str, Any]] = []
    best: dict[str, np.ndarray] = {}
    for features in sets:
        train, test = fitter.take(features)
        for task in TASKS:
            columns = np.arange(train.shape[1])
            if features.name == "top64":
                columns = np.sort(np.argsort(best[task.name], kind="stable")[::-1][:TOP])
            model = fitter.fit(task, train[:, columns])
            if features.name == "binary":
                best[task.name] = model.importance
            results.append(
                {
                    "features": features.name,
                    "task": task.name,
                    **fitter.judge(task, model.scores(test[:, columns])),
                    "operations": operations(features, test[:, columns], model.weights),
                    "used": int((model.weights != 0).any(axis=0).sum()),
                }
            )
            bar.update()
    bar.close()
    rate = checkpoint.preset.audio.frames_per_second
    return {
        "minutes": round(len(fitter.test.segments) / rate / 60, 2),
        "classes": list(fitter.test.classes),
        "gates": checkpoint.preset.blocks * checkpoint.preset.gates,
        "results": results,
    }


def observed(checkpoint: Checkpoint, minutes: float, data: Path | None) -> Fitter:
    """Both splits' streams, seen by the checkpoint's network."""
    preset = checkpoint.preset
    fitted = labelled_frames(preset.audio, "train", minutes, TRAIN_SEED, data, speeds=preset.speeds)
    judged = labelled_frames(preset.audio, "test", minutes, TEST_SEED, data)
    train, test = ((frames, observe(checkpoint.network, frames)) for frames in (fitted, judged))
    return Fitter(preset, train, test)


def format_study(result: dict[str, Any]) -> str:
    """The table for the terminal: accuracy or R2 of each task, a row a set of features."""
    lines = [
        f"{'features':<34}" + "".join(f"{task.name:>9}" for task in TASKS) + f"{'operations':>12}"
    ]
    for features in FEATURES:
        rows = {r["task"]: r for r in result["results"] if r["features"] == features.name}
        if rows:
            cells = "".join(
                f"{row.get('r2' if task.kind == 'value' else 'accuracy', nan):>9.3f}"
                for task, row in ((task, rows[task.name]) for task in TASKS)
            )
            lines.append(
                f"{features.title:<34}{cells}{sum(r['operations'] for r in rows.values()):>12.0f}"
            )
    first = {
        task.name: next(r for r in result["results"] if r["task"] == task.name) for task in TASKS
    }
    baseline = "".join(
        f"{first[task.name].get('baseline', nan):>9.3f}" if task.kind != "value" else f"{0:>9.3f}"
        for task in TASKS
    )
    return "\n".join([*lines, f"{'the commoner answer, the mean':<34}{baseline}"])
