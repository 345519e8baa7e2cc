"""One training run of anything in this room: progress, curves, resume, the best by validation."""

from __future__ import annotations

import math
import signal
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from dyncp.errors import UserError
from dyncp.training.curves import Curves
from dyncp.training.interrupt import StoppedEarly, listening
from dyncp.training.run_state import write_state
from dyncp.training.schedule import learning_rate

_SAVE_SECONDS = 60.0
_LARGEST_GRADIENT = 5.0


@dataclass(frozen=True)
class Schedule:
    """Adam with a linear warm-up, then a cosine to ``final_learning_rate``."""

    seed: int
    steps: int
    batch: int
    crop_seconds: float
    learning_rate: float
    final_learning_rate: float
    validate_every: int
    warm_up_steps: int

    def rate(self, step: int) -> float:
        return learning_rate(self, step, self.warm_up_steps)


class Task(Protocol):
    """What is trained. All it draws depends on the schedule's seed and the step alone."""

    @property
    def name(self) -> str: ...

    @property
    def schedule(self) -> Schedule: ...

    @property
    def module(self) -> nn.Module:
        """All that is trained, and all that a checkpoint of the task holds."""

    @property
    def identity(self) -> dict[str, Any]:
        """Plain values: a run is gone on with only where they are the same."""

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of a step, and what else its curve shows."""

    def validate(self) -> dict[str, float]:
        """Measures on fixed clips; the checkpoint with the least ``loss`` is kept."""


class Run:
    """A task's training in a folder; :meth:`run` goes on where the folder left off.

    ``keep``: the weights of the best validation, or those of the last step.
    """

    def __init__(self, task: Task, folder: Path, keep: Literal["best", "last"] = "best") -> None:
        self.task, self.folder, self.keep = task, folder, keep
        self.optimiser = torch.optim.Adam(task.module.parameters(), lr=0.0)
        self.step = 0
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}
        self._resume()

    @property
    def state_path(self) -> Path:
        return self.folder / "state.pt"

    def _resume(self) -> None:
        if not self.state_path.is_file():
            return
        try:
            state = torch.load(self.state_path, map_location="cpu", weights_only=True)
            identity = state["identity"]
        except Exception as error:  # torch.load raises whatever its unpickler met
            raise UserError(
                f"{self.state_path} is not the state of a training run; remove it to train anew"
            ) from error
        if identity != self.task.identity:
            changed = sorted(
                key
                for key in {**identity, **self.task.identity}
                if identity.get(key) != self.task.identity.get(key)
            )
            raise UserError(
                f"{self.folder} holds another run of {self.task.name}: {', '.join(changed)} "
                "changed; remove that folder to train anew"
            )
        self.task.module.load_state_dict(state["module"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.history, self.best = state["history"], state["best"]

    def _save(self) -> None:
        state = {
            "identity": self.task.identity,
            "module": self.task.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
            "best": self.best,
        }
        write_state(self.state_path, state)

    def run(self) -> None:
        """Train to the last step; the module then holds the weights that are kept.

        Raises :class:`StoppedEarly` after SIGINT or SIGTERM, with the state saved.
        """
        steps = self.task.schedule.steps
        if self.step < steps:
            with (
                listening() as request,
                tqdm(
                    total=steps,
                    initial=self.step,
                    desc=f"train {self.task.name}",
                    disable=not sys.stderr.isatty(),
                ) as bar,
                closing(Curves(self.folder / "tensorboard", self.step + 1)) as curves,
            ):
                saved = time.monotonic()
                while self.step < steps:
                    curves.write(self.step + 1, self._train_step())
                    self.step += 1
                    bar.update()
                    due = self.step % self.task.schedule.validate_every == 0 or self.step == steps
                    if due:
                        self._validate(curves, bar)
                    now = time.monotonic()
                    if due or request.signal or now - saved > _SAVE_SECONDS:
                        self.seconds, saved = self.seconds + now - saved, now
                        curves.flush()
                        self._save()
                    if request.signal:
                        raise StoppedEarly(
                            f"stopped by {signal.Signals(request.signal).name} at step {self.step} "
                            f"of {steps}; saved, the same command goes on from there",
                            request.signal,
                        )
        if self.keep == "best":
            self.task.module.load_state_dict(self.best)
        self.task.module.eval()

    def _train_step(self) -> dict[str, float]:
        for group in self.optimiser.param_groups:
            group["lr"] = self.task.schedule.rate(self.step)
        self.task.module.train()
        loss, extras = self.task.loss(self.step)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.task.module.parameters(), _LARGEST_GRADIENT)
        self.optimiser.step()
        values = {"loss": loss.item(), "gradient_norm": norm.item(), **extras}
        return {f"train/{name}": value for name, value in values.items()}

    def _validate(self, curves: Curves, bar: tqdm) -> None:
        self.task.module.eval()
        with torch.no_grad():
            measures = self.task.validate()
        least = min((entry["loss"] for entry in self.history), default=math.inf)
        if measures["loss"] <= least:
            self.best = {
                name: tensor.detach().clone()
                for name, tensor in self.task.module.state_dict().items()
            }
        self.history.append({"step": float(self.step), **measures})
        curves.write(self.step, {f"validation/{k}": v for k, v in measures.items()})
        line = ", ".join(f"{name} {value:.4f}" for name, value in measures.items())
        bar.write(f"{self.task.name}, step {self.step}: {line}", file=sys.stderr)

    def record(self) -> dict[str, Any]:
        """How the weights came to be, to ship beside them."""
        best = min(self.history, key=lambda entry: entry["loss"])
        kept = {"best": best} if self.keep == "best" else {"last": self.history[-1]}
        schedule = self.task.schedule
        return {
            "identity": self.task.identity,
            "torch": str(torch.__version__),
            "hours": round(self.seconds / 3600, 2),
            "audio_hours_seen": round(self.step * schedule.batch * schedule.crop_seconds / 3600, 2),
            **kept,
            "history": self.history,
        }
