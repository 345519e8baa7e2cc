"""Quantisation-aware training: a float checkpoint to one that int8 harms less, resumable.

The float network that came in teaches the rounded one its mask and its gates. The data of
a step depend on the preset's seed and the step's number alone.
"""

from __future__ import annotations

import copy
import hashlib
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from dyncp.checkpoint import Checkpoint
from dyncp.data.open import open_source
from dyncp.errors import UserError
from dyncp.training.interrupt import StoppedEarly, listening
from dyncp.training.loss import Transform, distillation_loss, enhancement_loss
from dyncp.training.run_state import read_state, write_state
from dyncp.training.trainer import stacked
from quantize.agreement import compare_with_float
from quantize.calibrate import quantise_network
from quantize.methods import DEFAULT_METHOD
from quantize.model import QuantizedModel
from quantize.qat.loss import margin_loss
from quantize.qat.network import FakeQuantNet

_SAVE_SECONDS = 60.0
_STREAM = 3
"""Tells the batches from those of float training."""


@dataclass(frozen=True)
class Settings:
    """``distillation`` and ``margin`` are weights; ``margin_steps`` in int8 steps of a logit.

    ``scale_rate`` is the learning rate of the scales' logarithms.
    """

    steps: int = 600
    batch: int = 8
    crop_seconds: float = 2.0
    rate: float = 3e-5
    scale_rate: float = 3e-4
    enhancement: float = 0.0
    distillation: float = 1.0
    margin: float = 0.5
    margin_steps: float = 6.0
    validate_every: int = 100

    def check(self) -> None:
        """Raise :class:`UserError` for what cannot be trained with."""
        if not 1 <= self.steps <= 1_000_000:
            raise UserError(f"--steps must lie in 1..1000000, not {self.steps}")
        if self.validate_every < 1:
            raise UserError(f"validate_every must be at least 1, not {self.validate_every}")


@dataclass(frozen=True)
class Validation:
    """The integer model on validation clips. Agreement is a share of gate decisions.

    ``gates``: with the float network that came in; ``own_gates``: with the float network of
    the same weights, which is what ships beside it; None without gates. ``mask_snr``: dB,
    against the network that came in.
    """

    step: int
    gates: float | None
    own_gates: float | None
    mask_snr: float

    @property
    def score(self) -> float:
        """What the best step has most of: right gates first, in 0.001 %, then the mask."""
        return 1e5 * (self.own_gates or 0.0) + self.mask_snr


class QatTrainer:
    """One run in a folder; :meth:`run` goes on where the folder left off."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        start: QuantizedModel,
        clips: Sequence[NDArray[np.float32]],
        folder: Path,
        *,
        settings: Settings,
        data: Path | None = None,
    ) -> None:
        """``start``: the integers of the checkpoint, whose grids training starts from.

        ``clips``: calibration features; what was trained is rounded on them anew.
        """
        settings.check()
        if checkpoint.preset.speaker:
            raise UserError(
                f"preset '{checkpoint.preset.name}' is personalised, which quantisation-aware "
                "training does not know yet; use `python -m quantize ptq`"
            )
        self.preset, self.settings, self.folder = checkpoint.preset, settings, folder
        self.probes, self.clips = checkpoint.probes, clips
        torch.manual_seed(self.preset.training.seed)
        self.teacher = checkpoint.network.requires_grad_(False)
        self.network = FakeQuantNet(copy.deepcopy(checkpoint.network), start.activations)
        self.network.network.requires_grad_(True)
        self._origin = hashlib.sha256(f"{start.model_hash} {asdict(settings)}".encode()).hexdigest()
        self.transform = Transform(self.preset.audio, torch.device("cpu"))
        rate = self.preset.audio.sample_rate
        self.source = open_source(data, rate, "train")
        self._validation = self._validation_features(data)
        self._logit_scales = [
            start.activations[f"gate{block}_logits"].scale
            for block in range(self.preset.blocks if self.preset.gate else 0)
        ]
        self.optimiser = torch.optim.Adam(
            [
                {"params": list(self.network.network.parameters()), "peak": settings.rate},
                {"params": self.network.scales, "peak": settings.scale_rate},
            ],
            lr=0.0,
        )
        self.step = 0
        self.seconds = 0.0
        self.history: list[Validation] = []
        self.best: tuple[Validation, dict[str, Tensor]] | None = None

    def _validation_features(self, data: Path | None) -> NDArray[np.float32]:
        source = open_source(data, self.preset.audio.sample_rate, "validation")
        mixtures = source.batch((self.preset.training.seed, _STREAM), 10, 4.0)
        noisy, _, _ = stacked(mixtures, self.preset.audio.hop, torch.device("cpu"))
        features = self.transform.features(self.transform.spectrum(noisy))
        return np.concatenate(list(features.numpy()), axis=1)

    @property
    def state_path(self) -> Path:
        return self.folder / "qat.pt"

    def resume(self) -> bool:
        """Take up the folder's state, if it has one of this checkpoint and these settings."""
        if not self.state_path.is_file():
            return False
        state = read_state(
            self.state_path,
            self.preset,
            self._origin,
            torch.device("cpu"),
            "the checkpoint, its calibration or the settings (--steps) have",
        )
        heard = state.get("data", self.source.name)  # what began before it was kept
        if heard != self.source.name:
            raise UserError(
                f"{self.folder} holds a run on other data ({heard}, not {self.source.name}); "
                "remove that folder to train anew"
            )
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.history = [Validation(**values) for values in state["history"]]
        if state["best"]:
            self.best = Validation(**state["best"][0]), state["best"][1]
        return True

    def _save_state(self) -> None:
        state: dict[str, Any] = {
            "preset": self.preset.to_dict(),
            "teacher": self._origin,
            "data": self.source.name,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "history": [asdict(v) for v in self.history],
            "best": (asdict(self.best[0]), self.best[1]) if self.best else None,
        }
        write_state(self.state_path, state)

    def run(self) -> None:
        """Train to the last step, with progress; raises :class:`StoppedEarly` on a signal."""
        settings = self.settings
        if self.step >= settings.steps:
            return
        if not self.history:
            self._validate()
        saved = time.monotonic()
        with listening() as request, self._progress() as bar:
            while self.step < settings.steps:
                values = self._train_step()
                self.step += 1
                bar.update()
                bar.set_postfix({name: f"{value:.4f}" for name, value in values.items()})
                due = self.step % settings.validate_every == 0 or self.step == settings.steps
                if due:
                    bar.write(_line(self._validate()), file=sys.stderr)
                now = time.monotonic()
                if request.signal or due or now - saved > _SAVE_SECONDS:
                    self.seconds, saved = self.seconds + now - saved, now
                    self._save_state()
                if request.signal:
                    raise StoppedEarly(
                        f"stopped at step {self.step} of {settings.steps}; saved, the same "
                        "command goes on from there",
                        request.signal,
                    )

    def _progress(self) -> tqdm:
        return tqdm(
            total=self.settings.steps,
            initial=self.step,
            desc=f"qat {self.preset.name}",
            disable=not sys.stderr.isatty(),
        )

    def _train_step(self) -> dict[str, float]:
        settings = self.settings
        decay = 0.5 * (1 + math.cos(math.pi * self.step / settings.steps))
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * decay
        mixtures = self.source.batch(
            (self.preset.training.seed, _STREAM, self.step), settings.batch, settings.crop_seconds
        )
        noisy, clean, level = stacked(mixtures, self.preset.audio.hop, torch.device("cpu"))
        spectrum = self.transform.spectrum(noisy)
        features = self.transform.features(spectrum)
        with torch.no_grad():
            wanted = self.teacher(features)
        mask, logits = self.network(features)
        losses = {}
        if settings.enhancement:
            estimate = self.transform.resynthesise(spectrum, mask)
            losses["loss"] = settings.enhancement * enhancement_loss(
                self.transform, estimate, clean[:, : estimate.shape[1]], level
            )
        losses["taught"] = settings.distillation * distillation_loss(
            self.transform, spectrum, mask, wanted.mask, level
        )
        if logits:
            losses["margin"] = settings.margin * margin_loss(
                logits, wanted.logits, self._logit_scales, settings.margin_steps
            )
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._parameters(), 5.0)
        self.optimiser.step()
        return {name: value.item() for name, value in losses.items()}

    def _parameters(self) -> Iterator[nn.Parameter]:
        for group in self.optimiser.param_groups:
            yield from group["params"]

    def quantised(self) -> QuantizedModel:
        """The network as it stands, in integers: calibrated anew, and compensated.

        Of the grids trained with it, and each weight to the nearest, more gates flip.
        """
        return quantise_network(
            self.network.network, self.clips, self.probes, DEFAULT_METHOD, compensated=True
        )

    def _validate(self) -> Validation:
        model = self.quantised()
        taught = compare_with_float(self.teacher, model, self._validation)
        own = compare_with_float(self.network.network, model, self._validation)
        result = Validation(self.step, taught.gates, own.gates, taught.mask_snr)
        self.history.append(result)
        if self.best is None or result.score > self.best[0].score:
            weights = {name: t.detach().clone() for name, t in self.network.state_dict().items()}
            self.best = result, weights
        return result

    def finish(self) -> tuple[Checkpoint, QuantizedModel]:
        """The best step's float checkpoint, with how it came to be, and its integers."""
        assert self.best is not None
        self.network.load_state_dict(self.best[1])
        record = {
            "settings": asdict(self.settings),
            "hours": round(self.seconds / 3600, 2),
            "best": asdict(self.best[0]),
            "history": [asdict(v) for v in self.history],
        }
        model = self.quantised()
        grids = {name: (grid.scale, grid.zero_point) for name, grid in model.activations.items()}
        network = self.network.network.requires_grad_(False)
        return Checkpoint(self.preset, network, self.probes, record, grids), model


def _line(found: Validation) -> str:
    gates = ""
    if found.gates is not None and found.own_gates is not None:
        gates = f"gates as before {found.gates:.3%}, as its own float {found.own_gates:.3%}, "
    return f"step {found.step}: {gates}mask SNR {found.mask_snr:.2f} dB"
