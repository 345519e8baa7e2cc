"""Training of the speaker encoder: which of the training voices speaks?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dyncp.personal.run import Schedule
from dyncp.personal.scenes import SceneSource
from dyncp.personal.speaker_encoder import (
    SETTINGS,
    SpeakerEncoder,
    equal_error_rate,
    margin_loss,
)
from dyncp.training.loss import Transform

_MARGIN, _SCALE = 0.2, 20.0
_CLEAN_SHARE = 0.3
_SNR = (5.0, 30.0)
_TRIALS_A_VOICE = 8
"""Recordings of each voice that the validation compares."""


class EncoderTask:
    """Cosines to one centre for each voice; noise on most recordings, of any level."""

    name = "speaker encoder"

    def __init__(self, schedule: Schedule, dimensions: int, cache: Path) -> None:
        torch.manual_seed(schedule.seed)
        self.schedule = schedule
        self.encoder = SpeakerEncoder(dimensions)
        self._train = SceneSource(SETTINGS.sample_rate, "train", cache)
        self._unseen = SceneSource(SETTINGS.sample_rate, "validation", cache)
        self.centres = nn.Parameter(torch.randn(len(self._train.voices), dimensions))
        self.module = nn.ModuleDict({"encoder": self.encoder})
        self.module.register_parameter("centres", self.centres)
        self._transform = Transform(SETTINGS, torch.device("cpu"))
        self._trials = self._draw_trials()

    @property
    def identity(self) -> dict[str, Any]:
        return {"dimensions": self.encoder.dimensions, **asdict(self.schedule)}

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        rng = np.random.default_rng([self.schedule.seed, 0, step])
        voices = rng.integers(len(self._train.voices), size=self.schedule.batch)
        clips = [_recording(self._train, rng, v, self.schedule.crop_seconds) for v in voices]
        directions = self.encoder(self._features(clips))
        right = torch.from_numpy(voices)
        loss = margin_loss(directions, self.centres, right, _MARGIN, _SCALE)
        found = (directions @ nn.functional.normalize(self.centres).T).argmax(dim=1)
        return loss, {"accuracy": (found == right).float().mean().item()}

    def validate(self) -> dict[str, float]:
        """Equal error rate on voices that were not trained with; ``loss`` is it and a little of
        how far apart the two kinds of trials lie, so that equal rates have a better one."""
        directions = self.encoder(self._features(self._trials)).numpy()
        voices = np.repeat(np.arange(len(self._unseen.voices)), _TRIALS_A_VOICE)
        one, other = np.triu_indices(len(voices), 1)
        cosines = np.sum(directions[one] * directions[other], axis=1)
        same = voices[one] == voices[other]
        rate = equal_error_rate(cosines[same], cosines[~same])
        apart = float(cosines[same].mean() - cosines[~same].mean())
        return {"loss": rate - 0.1 * apart, "equal_error_rate": rate, "apart": apart}

    def _draw_trials(self) -> list[np.ndarray]:
        rng = np.random.default_rng([self.schedule.seed, 1])
        return [
            _recording(self._unseen, rng, voice, self.schedule.crop_seconds)
            for voice in range(len(self._unseen.voices))
            for _ in range(_TRIALS_A_VOICE)
        ]

    def _features(self, clips: list[np.ndarray]) -> Tensor:
        return self._transform.features(self._transform.spectrum(torch.from_numpy(np.stack(clips))))


def _recording(
    source: SceneSource, rng: np.random.Generator, voice: int, seconds: float
) -> np.ndarray:
    """A voice for ``seconds``, with noise mostly: float32 ``[samples]``."""
    said = source.voices[voice]
    samples = int(seconds * source.sample_rate) // SETTINGS.hop * SETTINGS.hop
    parts, have = [], 0
    while have < samples:
        number = int(rng.integers(len(said.talk) + len(said.enrol)))
        late = number - len(said.talk)
        parts.append(said.talk[number] if late < 0 else said.enrol[late])
        have += len(parts[-1])
    start = int(rng.integers(0, have - samples + 1))
    clean = np.concatenate(parts)[start : start + samples].astype(np.float32) / 32768.0
    if rng.random() < _CLEAN_SHARE:
        return clean
    kinds = source.noise_classes
    level = 20 * np.log10(max(float(np.sqrt(np.mean(clean**2))), 1e-4))
    kind = str(kinds[rng.integers(len(kinds))])
    noise = source._noise_at(rng, kind, samples, level - rng.uniform(*_SNR))
    return clean + noise
