"""Training: a preset to a float checkpoint, resumable, seeded step by step.

The data of a step depend on the preset's seed and the step's number alone, so
a run that was killed goes on as if it had not been.
"""

from __future__ import annotations

import math
import signal
import sys
import time
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from dyncp.checkpoint import Checkpoint, save_checkpoint
from dyncp.data.labels import active_level
from dyncp.data.open import open_source
from dyncp.data.source import Mixture
from dyncp.data.speeds import RECORDED, at_speeds
from dyncp.errors import UserError
from dyncp.metrics import si_sdr
from dyncp.network import GatedConvFSENet
from dyncp.preset import Preset
from dyncp.training.curves import Curves
from dyncp.training.distributed import World, share_batch_statistics
from dyncp.training.interrupt import StoppedEarly, listening
from dyncp.training.joint_probes import JointProbes
from dyncp.training.loss import (
    Transform,
    block_utilisation,
    distillation_loss,
    enhancement_loss,
    utilisation,
    utilisation_loss,
)
from dyncp.training.run_state import read_state, require_teacher, write_state
from dyncp.training.schedule import learning_rate, utilisation_ramp
from dyncp.training.transfer import check_teacher, load_shipped, start_from

_VALIDATION_CLIPS = 24
_VALIDATION_SECONDS = 4.0
_SAVE_SECONDS = 60.0
"""The most work that a kill loses, beside the step it hits."""


@dataclass(frozen=True)
class Validation:
    """Means over the validation clips; ``si_sdr_gain`` in dB."""

    step: int
    loss: float
    si_sdr_gain: float
    utilisation: float


@dataclass(frozen=True)
class Step:
    """What one step of training gave, over the whole batch; names as in the curves."""

    loss: float
    gradient_norm: float
    shares: list[float]
    """Of open gates, by block; empty without gates."""
    extras: dict[str, float]
    """The losses that only some presets have."""

    @property
    def utilisation(self) -> float:
        return sum(self.shares) / len(self.shares) if self.shares else 1.0

    def curves(self) -> dict[str, float]:
        values = {"loss": self.loss, "gradient_norm": self.gradient_norm, **self.extras}
        values["utilisation"] = self.utilisation
        curves = {f"train/{name}": value for name, value in values.items()}
        return curves | {f"utilisation/block{n}": share for n, share in enumerate(self.shares)}


def stacked(
    mixtures: list[Mixture], hop: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy and clean ``[B, samples]``, whole hops, and the level ``[B]`` of the clean speech."""
    length = len(mixtures[0].clean) // hop * hop
    noisy = np.stack([m.noisy[:length] for m in mixtures])
    clean = np.stack([m.clean[:length] for m in mixtures])
    level = np.array([active_level(m.clean) for m in mixtures], np.float32)
    return (
        torch.from_numpy(noisy).to(device),
        torch.from_numpy(clean).to(device),
        torch.from_numpy(level).to(device),
    )


class Trainer:
    """One training run in a folder; :meth:`run` goes on where the folder left off.

    With a ``world`` of several processes each makes a Trainer and calls the same methods;
    the main one alone writes, validates and prints.
    """

    def __init__(
        self,
        preset: Preset,
        folder: Path,
        threads: int | None = None,
        data: Path | None = None,
        world: World | None = None,
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        torch.manual_seed(preset.training.seed)
        self.preset, self.folder = preset, folder
        self.world = world or World()
        self._share = self.world.share(preset.training.batch)
        self.device = self.world.device
        self.network = GatedConvFSENet(preset).to(self.device)
        share_batch_statistics(self.network, self.world)
        self._checkpoints: dict[str, str] = {}
        self._teachers = self._load_checkpoints()
        self.transform = Transform(preset.audio, self.device)
        with self.world.main_first():  # what is not in the cache is rendered once
            self.source = open_source(data, preset.audio.sample_rate, "train")
            validation = open_source(data, preset.audio.sample_rate, "validation")
        self._refined = preset.refined()
        self._parameters = [*self.network.parameters()]
        self._probes = None
        if preset.training.probe_weight:
            classes = self.source.trained_noise_classes
            self._probes = JointProbes(preset, classes).to(self.device)
            self._parameters += self._probes.parameters()
        self.optimiser = torch.optim.Adam(self._parameters, lr=0.0)
        seed = (preset.training.seed, 1)
        self._validation = validation.batch(seed, _VALIDATION_CLIPS, _VALIDATION_SECONDS)
        self.step = 0
        self.seconds = 0.0
        self.history: list[Validation] = []
        self.best_loss = math.inf

    def _load_checkpoints(self) -> dict[str, GatedConvFSENet]:
        """Start from one checkpoint, if the preset says so, and give the teachers by name."""
        training, teachers = self.preset.training, {}
        if training.start:
            source, self._checkpoints["start"] = load_shipped(training.start, "[training] start")
            start_from(self.network, source)
        refinement = self.preset.refinement
        for kept_as, section, name in (
            ("teacher", "training", training.teacher),
            ("refinement_teacher", "refinement", refinement and refinement.teacher),
        ):
            if name:
                key = f"[{section}] teacher"
                teacher, self._checkpoints[kept_as] = load_shipped(name, key)
                check_teacher(self.preset, teacher, key)
                teachers[name] = teacher.to(self.device)
        return teachers

    @property
    def state_path(self) -> Path:
        return self.folder / "state.pt"

    @property
    def best_path(self) -> Path:
        return self.folder / "best.pt"

    @property
    def curves_path(self) -> Path:
        return self.folder / "tensorboard"

    def resume(self) -> bool:
        """Take up the folder's state, if it has one that fits the preset."""
        if not self.state_path.is_file():
            return False
        state = read_state(
            self.state_path, self.preset, self._checkpoints.get("teacher"), self.device
        )
        if state["step"] > self.preset.training.steps:
            refined_by = self._checkpoints.get("refinement_teacher")
            require_teacher(self.state_path, state.get("refinement_teacher"), refined_by)
        heard = state.get("data", self.source.name)  # what began before it was kept
        if heard != self.source.name:
            raise UserError(
                f"{self.folder} holds a run on other data ({heard}, not {self.source.name}); "
                "give another --folder, or remove that one"
            )
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self._probes:
            self._probes.load_state_dict(state["probes"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.history = [Validation(**values) for values in state["history"]]
        self.best_loss = state["best_loss"]
        return True

    def save_state(self) -> None:
        state = {
            "preset": self.preset.to_dict(),
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "history": [vars(v) for v in self.history],
            "best_loss": self.best_loss,
            "data": self.source.name,
        }
        if self._probes:
            state["probes"] = self._probes.state_dict()
        for key in ("teacher", "refinement_teacher"):
            if key in self._checkpoints:
                state[key] = self._checkpoints[key]
        write_state(self.state_path, state)

    def run(self) -> None:
        """Train to the preset's last step, with progress, validating as it asks.

        Raises :class:`StoppedEarly` after SIGINT or SIGTERM, with the state saved.
        """
        last = self.preset.total_steps
        if self.step >= last:
            return
        with (
            listening() as request,
            self._progress() as bar,
            closing(Curves(self.curves_path, self.step + 1))
            if self.world.is_main
            else nullcontext() as curves,
        ):
            saved = time.monotonic()
            while self.step < last:
                began = time.monotonic()
                result = self._train_step()
                self.step += 1
                bar.update()
                bar.set_postfix(loss=f"{result.loss:.4f}", open=f"{result.utilisation:.3f}")
                if curves:
                    values = result.curves()
                    values["train/learning_rate"] = self.optimiser.param_groups[0]["lr"]
                    values["train/seconds_per_step"] = time.monotonic() - began
                    curves.write(self.step, values)
                due = self._validation_due()
                if due and curves:
                    self._validate_and_keep(curves, bar)
                stop = self.world.any(request.signal)
                now = time.monotonic()
                if curves and (stop or due or now - saved > _SAVE_SECONDS):
                    self.seconds, saved = self.seconds + now - saved, now
                    # Before the state: the curve must reach as far as what goes on from it.
                    curves.flush()
                    self.save_state()
                if stop:
                    raise StoppedEarly(self._stop_line(stop), stop)

    def _progress(self) -> tqdm:
        return tqdm(
            total=self.preset.total_steps,
            initial=self.step,
            desc=f"train {self.preset.name}",
            disable=not self.world.is_main or not sys.stderr.isatty(),
        )

    def _stop_line(self, number: int) -> str:
        return (
            f"stopped by {signal.Signals(number).name} at step {self.step} of "
            f"{self.preset.total_steps}; saved, the same command goes on from there"
        )

    def _validate_and_keep(self, curves: Curves, bar: tqdm) -> None:
        result = self.validate()
        if self.step > self.preset.training.steps >= self.history[-1].step:
            # The refinement's best is what ships: under another target, or on other voices,
            # losses from before it are no match for its own.
            self.best_loss = math.inf
        self.history.append(result)
        self._keep_if_best(result)
        curves.write(
            result.step,
            {f"validation/{name}": value for name, value in vars(result).items() if name != "step"},
        )
        bar.write(
            f"step {result.step}: validation loss {result.loss:.5f}, "
            f"SI-SDR gain {result.si_sdr_gain:+.2f} dB, open {result.utilisation:.3f}",
            file=sys.stderr,
        )

    def _stage(self) -> tuple[Preset, int]:
        """The settings that the next step is trained with, and its number among theirs."""
        begun = self.step - self.preset.training.steps
        if self.preset.refinement and begun >= 0:
            return self._refined, begun
        return self.preset, self.step

    def _validation_due(self) -> bool:
        steps, every = self.preset.training.steps, self.preset.training.validate_every
        return self.step % every == 0 or self.step in (steps, self.preset.total_steps)

    def _train_step(self) -> Step:
        preset, step = self._stage()
        training, gate, world = preset.training, preset.gate, self.world
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(training, step)
        source = at_speeds(self.source, training.speeds or RECORDED)
        mixtures = source.batch(
            (training.seed, 0, self.step), training.batch, training.crop_seconds
        )[self._share]
        noisy, clean, level = stacked(mixtures, self.preset.audio.hop, self.device)
        self.network.train()
        spectrum = self.transform.spectrum(noisy)
        features = self.transform.features(spectrum)
        mask, logits = self.network(features)
        estimate = self.transform.resynthesise(spectrum, mask)
        loss = enhancement_loss(self.transform, estimate, clean[:, : estimate.shape[1]], level)
        total, shares, extras = loss, None, {}
        if gate:
            shares = block_utilisation(logits, gate.surrogate)
            if world.size > 1:
                # The target is the whole batch's: its value, with this share's gradient.
                shares = shares + (world.mean(shares) - shares.detach())
            weight = utilisation_ramp(training, step) * training.utilisation_weight
            total = loss + weight * utilisation_loss(shares, gate, training)
        if training.teacher and training.distillation_weight:
            with torch.no_grad():
                taught = self._teachers[training.teacher](features).mask
            extras["distillation_loss"] = distillation_loss(
                self.transform, spectrum, mask, taught, level
            )
            total = total + training.distillation_weight * extras["distillation_loss"]
        if self._probes and training.probe_weight:
            extras["probe_loss"] = self._probes.loss(logits, mixtures)
            total = total + training.probe_weight * extras["probe_loss"]
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        world.average_gradients(self._parameters)
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, 5.0)
        self.optimiser.step()
        return Step(
            loss=world.mean(loss).item(),
            gradient_norm=norm.item(),
            shares=shares.tolist() if shares is not None else [],
            extras={name: world.mean(value).item() for name, value in extras.items()},
        )

    @torch.no_grad()
    def validate(self) -> Validation:
        """Loss, SI-SDR gain and utilisation on the fixed validation clips."""
        self.network.eval()
        noisy, clean, level = stacked(self._validation, self.preset.audio.hop, self.device)
        spectrum = self.transform.spectrum(noisy)
        mask, logits = self.network(self.transform.features(spectrum))
        estimate = self.transform.resynthesise(spectrum, mask)
        length = estimate.shape[1]
        loss = enhancement_loss(self.transform, estimate, clean[:, :length], level)
        gains = []
        for output, reference, before in zip(estimate, clean, noisy, strict=True):
            target = reference[:length].cpu().numpy()
            if target.any():
                after = si_sdr(output.cpu().numpy(), target)
                gains.append(after - si_sdr(before[:length].cpu().numpy(), target))
        gate = self.preset.gate
        share = utilisation(logits, gate.surrogate).item() if gate else 1.0
        return Validation(self.step, loss.item(), float(np.mean(gains)), share)

    def _keep_if_best(self, result: Validation) -> None:
        # While the utilisation target ramps up, a low loss is bought with open gates.
        training = self.preset.training
        if self.preset.gate and self.step < min(training.utilisation_ramp_steps, training.steps):
            return
        if result.loss < self.best_loss:
            self.best_loss = result.loss
            save_checkpoint(self.best_path, Checkpoint(self.preset, self.network))

    def record(self) -> dict[str, Any]:
        """How the checkpoint came to be, to ship beside it."""
        best = min(self.history, key=lambda v: abs(v.loss - self.best_loss))
        record = {
            "preset": self.preset.name,
            "seed": self.preset.training.seed,
            "settings": self.preset.to_dict(),
            # A class of its own, which a loader that trusts nothing would refuse.
            "torch": str(torch.__version__),
            "device": str(self.device),
            "hours": round(self.seconds / 3600, 2),
            "audio_hours_seen": round(
                self.step * self.preset.training.batch * self.preset.training.crop_seconds / 3600,
                1,
            ),
            "best": vars(best),
            "history": [vars(v) for v in self.history],
        }
        if self.world.size > 1:
            record["processes"] = self.world.size
        if self._checkpoints:
            record["checkpoints_sha256"] = self._checkpoints
        return record
