"""The personalised VAD: nobody, somebody else, or the target, frame by frame, causally.

The classes are those of Personal VAD (Ding et al., Odyssey 2020); the network (a projection,
two GRUs, a likeness to the embedding, three logits) and its size are ours. It serves in
training; the masks of the gated network are measured against it.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dyncp.data.labels import active_level, voice_activity
from dyncp.embedding import NEUTRAL
from dyncp.personal.scenes import Scene
from dyncp.personal.speaker_encoder import SETTINGS


class Speech(IntEnum):
    """What a frame holds; where both speak it is the target's."""

    NONE = 0
    OTHER = 1
    TARGET = 2


class PersonalVad(nn.Module):
    """Features ``[B, bins, T]`` and embeddings ``[B, D]`` to logits ``[B, 3, T]``."""

    def __init__(self, dimensions: int, width: int) -> None:
        super().__init__()
        self.dimensions, self.width = dimensions, width
        self.heard = nn.Conv1d(SETTINGS.bins, width, 1)
        self.wanted = nn.Linear(dimensions, width, bias=False)
        self.recurrent = nn.GRU(width, width, num_layers=2, batch_first=True)
        self.voice = nn.Conv1d(width, dimensions, 1)
        self.decide = nn.Conv1d(width + 1, len(Speech), 1)

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        x = F.relu(self.heard(features) + self.wanted(embedding - NEUTRAL)[:, :, None])
        y = self.recurrent(x.transpose(1, 2))[0].transpose(1, 2)
        # How alike the voice heard of late and the one wanted are.
        alike = (self.voice(y) * (embedding - NEUTRAL)[:, :, None]).mean(dim=1, keepdim=True)
        return self.decide(torch.cat([y, alike], dim=1))

    def target_probability(self, features: Tensor, embedding: Tensor) -> Tensor:
        """That the target speaks: ``[B, T]``, 0..1."""
        return self(features, embedding).softmax(dim=1)[:, Speech.TARGET]

    @property
    def macs(self) -> int:
        """Multiply-accumulates a frame; the embedding's part is a bias."""
        width = self.width
        recurrent = 2 * 3 * 2 * width * width
        alike = (width + 1) * self.dimensions
        return width * SETTINGS.bins + recurrent + alike + len(Speech) * (width + 1)


def speech_labels(scene: Scene) -> np.ndarray:
    """:class:`Speech` of every frame, int64 ``[frames]``, by the clean signals' levels.

    A voice is active as :func:`dyncp.data.labels.voice_activity` says, by its own level.
    """

    def active(samples: np.ndarray) -> np.ndarray:
        return voice_activity(SETTINGS, samples, active_level(samples))

    labels = np.where(active(scene.interferer), Speech.OTHER, Speech.NONE)
    return np.where(active(scene.target), Speech.TARGET, labels).astype(np.int64)


def vad_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy over the frames of ``[B, 3, T]`` and ``[B, T]``."""
    return F.cross_entropy(logits, labels)


def target_accuracy(probability: Tensor, labels: Tensor) -> float:
    """Share of frames in which "the target speaks" is decided rightly, 0..1."""
    return ((probability > 0.5) == (labels == Speech.TARGET)).float().mean().item()
