"""Training of the personalised VAD on scenes of all kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dyncp.personal.enrolled import Enrolled
from dyncp.personal.pvad import PersonalVad, speech_labels, target_accuracy, vad_loss
from dyncp.personal.run import Schedule
from dyncp.personal.scenes import Scenario, Scene, SceneSource
from dyncp.personal.speaker_encoder import SETTINGS, SpeakerEncoder
from dyncp.personal.voices import SPEEDS
from dyncp.training.loss import Transform

_SHARES: dict[Scenario, float] = {"TS1": 0.5, "TS2": 0.2, "TS3": 0.3}
_VALIDATION_SCENES, _VALIDATION_SECONDS = 48, 4.0


class VadTask:
    """Three classes a frame; the embedding is the speaker encoder's, which stands still."""

    name = "personalised VAD"

    def __init__(
        self,
        schedule: Schedule,
        width: int,
        encoder: SpeakerEncoder,
        cache: Path,
        speeds: Sequence[int] = SPEEDS,
    ) -> None:
        torch.manual_seed(schedule.seed)
        self.schedule = schedule
        self.module = PersonalVad(encoder.dimensions, width)
        self.module.start_as(encoder)
        self._train = Enrolled(SceneSource(SETTINGS.sample_rate, "train", cache, speeds), encoder)
        unseen = Enrolled(SceneSource(SETTINGS.sample_rate, "validation", cache), encoder)
        self._key = self._train.key
        self._transform = Transform(SETTINGS, torch.device("cpu"))
        scenes = unseen.source.scenes(
            (schedule.seed, 1), _VALIDATION_SCENES, _VALIDATION_SECONDS, _SHARES
        )
        self._validation = self._material(unseen, scenes, np.random.default_rng(schedule.seed))

    @property
    def identity(self) -> dict[str, Any]:
        return {"width": self.module.width, "embeddings": self._key, **asdict(self.schedule)}

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        schedule = self.schedule
        seed = (schedule.seed, 0, step)
        scenes = self._train.source.scenes(seed, schedule.batch, schedule.crop_seconds, _SHARES)
        material = self._material(self._train, scenes, np.random.default_rng([*seed, 1]))
        features, embedding, labels = material
        logits = self.module(features, embedding)
        return vad_loss(logits, labels), {}

    def validate(self) -> dict[str, float]:
        features, embedding, labels = self._validation
        logits = self.module(features, embedding)
        probability = self.module.target_probability(features, embedding)
        return {
            "loss": vad_loss(logits, labels).item(),
            "target_accuracy": target_accuracy(probability, labels),
        }

    def _material(
        self, enrolled: Enrolled, scenes: list[Scene], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        samples = len(scenes[0].noisy) // SETTINGS.hop * SETTINGS.hop
        noisy = torch.from_numpy(np.stack([scene.noisy[:samples] for scene in scenes]))
        features = self._transform.features(self._transform.spectrum(noisy))
        labels = np.stack([speech_labels(scene)[: features.shape[2]] for scene in scenes])
        return features, enrolled.embeddings(scenes, rng), torch.from_numpy(labels)
