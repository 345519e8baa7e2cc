"""Training: a preset to a float checkpoint, resumable, seeded step by step.

The data of a step depend on the preset's seed and the step's number alone, so
a run that was killed goes on as if it had not been.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from dyncp.checkpoint import Checkpoint, save_checkpoint
from dyncp.data.labels import active_level
from dyncp.data.open import open_source
from dyncp.data.source import Mixture
from dyncp.errors import UserError
from dyncp.files import replacing
from dyncp.loss import Transform, enhancement_loss, utilisation
from dyncp.metrics import si_sdr
from dyncp.network import GatedConvFSENet
from dyncp.preset import Preset, Training

_VALIDATION_CLIPS = 24
_VALIDATION_SECONDS = 4.0


@dataclass(frozen=True)
class Validation:
    """Means over the validation clips; ``si_sdr_gain`` in dB."""

    step: int
    loss: float
    si_sdr_gain: float
    utilisation: float


def learning_rate(training: Training, step: int) -> float:
    """Cosine from ``learning_rate`` to ``final_learning_rate``, after a short warm-up."""
    warm_up = min(1.0, (step + 1) / 200)
    cosine = 0.5 * (1 + math.cos(math.pi * step / training.steps))
    span = training.learning_rate - training.final_learning_rate
    return warm_up * (training.final_learning_rate + span * cosine)


def _stack(
    mixtures: list[Mixture], hop: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
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
    """One training run in a folder; :meth:`run` goes on where the folder left off."""

    def __init__(
        self,
        preset: Preset,
        folder: Path,
        threads: int | None = None,
        data: Path | None = None,
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        torch.manual_seed(preset.training.seed)
        self.preset, self.folder = preset, folder
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = GatedConvFSENet(preset).to(self.device)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=0.0)
        self.transform = Transform(preset.audio, self.device)
        self.source = open_source(data, preset.audio.sample_rate, "train")
        validation = open_source(data, preset.audio.sample_rate, "validation")
        seed = (preset.training.seed, 1)
        self._validation = validation.batch(seed, _VALIDATION_CLIPS, _VALIDATION_SECONDS)
        self.step = 0
        self.seconds = 0.0
        self.history: list[Validation] = []
        self.best_loss = math.inf

    @property
    def state_path(self) -> Path:
        return self.folder / "state.pt"

    @property
    def best_path(self) -> Path:
        return self.folder / "best.pt"

    def resume(self) -> bool:
        """Take up the folder's state, if it has one that fits the preset."""
        if not self.state_path.is_file():
            return False
        state = torch.load(self.state_path, map_location=self.device, weights_only=True)
        if state["preset"] != self.preset.to_dict():
            raise UserError(
                f"{self.folder} holds a run of another version of preset '{self.preset.name}'; "
                "remove that folder to train anew"
            )
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
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
        }
        with replacing(self.state_path) as temporary:
            torch.save(state, temporary)

    def run(self) -> None:
        """Train to the preset's last step, with progress, validating as it asks."""
        training = self.preset.training
        bar = tqdm(
            total=training.steps,
            initial=self.step,
            desc=f"train {self.preset.name}",
            disable=not sys.stderr.isatty(),
        )
        started = time.monotonic()
        while self.step < training.steps:
            loss, share = self._train_step()
            self.step += 1
            bar.update()
            bar.set_postfix(loss=f"{loss:.4f}", open=f"{share:.3f}")
            if self.step % training.validate_every == 0 or self.step == training.steps:
                result = self.validate()
                self.history.append(result)
                self.seconds += time.monotonic() - started
                started = time.monotonic()
                self._keep_if_best(result)
                self.save_state()
                bar.write(
                    f"step {result.step}: validation loss {result.loss:.5f}, "
                    f"SI-SDR gain {result.si_sdr_gain:+.2f} dB, open {result.utilisation:.3f}",
                    file=sys.stderr,
                )
        bar.close()

    def _train_step(self) -> tuple[float, float]:
        training = self.preset.training
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(training, self.step)
        mixtures = self.source.batch(
            (training.seed, 0, self.step), training.batch, training.crop_seconds
        )
        noisy, clean, level = _stack(mixtures, self.preset.audio.hop, self.device)
        self.network.train()
        spectrum = self.transform.spectrum(noisy)
        mask, logits = self.network(self.transform.features(spectrum))
        estimate = self.transform.resynthesise(spectrum, mask)
        loss = enhancement_loss(self.transform, estimate, clean[:, : estimate.shape[1]], level)
        total, share = loss, 1.0
        if self.preset.gate:
            use = utilisation(logits, self.preset.gate.surrogate)
            ramp = min(1.0, self.step / max(1, training.utilisation_ramp_steps))
            excess = use - self.preset.gate.utilisation
            total = loss + ramp * training.utilisation_weight * excess**2
            share = use.item()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        return loss.item(), share

    @torch.no_grad()
    def validate(self) -> Validation:
        """Loss, SI-SDR gain and utilisation on the fixed validation clips."""
        self.network.eval()
        noisy, clean, level = _stack(self._validation, self.preset.audio.hop, self.device)
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
        return {
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
