"""The personalised VAD: nobody, somebody else, or the target, frame by frame, causally.

The classes are those of Personal VAD (Ding et al., Odyssey 2020); the network (a
time-delay network, likenesses to the embedding, a GRU) and its size are ours. It serves in
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
from dyncp.network import moving_average
from dyncp.personal.scenes import Scene
from dyncp.personal.speaker_encoder import (
    FRAME_WIDTH,
    SETTINGS,
    SpeakerEncoder,
    frame_layers,
)

_MEMORY = 32
"""Frames over which a voice is compared with the one wanted, beside the present one."""
_QUIET = 0.02


class Speech(IntEnum):
    """What a frame holds; where both speak it is the target's."""

    NONE = 0
    OTHER = 1
    TARGET = 2


class PersonalVad(nn.Module):
    """Features ``[B, bins, T]`` and embeddings ``[B, D]`` to logits ``[B, 3, T]``.

    The frame layers are the speaker encoder's, shifted to be causal, and start as they are
    there (:meth:`start_as`).
    """

    def __init__(self, dimensions: int, width: int) -> None:
        super().__init__()
        self.dimensions, self.width = dimensions, width
        self.frames = frame_layers(causal=True)
        self.voice = nn.Conv1d(FRAME_WIDTH, dimensions, 1)
        self.recurrent = nn.GRU(FRAME_WIDTH + 2, width, batch_first=True)
        self.decide = nn.Conv1d(width, len(Speech), 1)

    def start_as(self, encoder: SpeakerEncoder) -> None:
        """Take over the encoder's frame layers, and what it makes of their mean."""
        self.frames.load_state_dict(encoder.frames.state_dict())
        weight = encoder.project.weight.detach()[:, :FRAME_WIDTH, None]
        with torch.no_grad():
            self.voice.weight.copy_(weight)

    def heard(self, features: Tensor) -> Tensor:
        """What the frame layers make of features: ``[B, FRAME_WIDTH, T]``."""
        # By the level so far: how loud a recording is says nothing of who speaks.
        count = torch.arange(1, features.shape[2] + 1, device=features.device)
        level = features.mean(dim=1, keepdim=True).cumsum(dim=2) / count
        return self.frames(features / level.clamp_min(_QUIET))

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        x = self.heard(features)
        wanted = (embedding - NEUTRAL)[:, :, None]
        of_late = moving_average(x[..., None], _MEMORY)[..., 0]
        alike = [(self.voice(y) * wanted).mean(dim=1, keepdim=True) for y in (x, of_late)]
        y = self.recurrent(torch.cat([x, *alike], dim=1).transpose(1, 2))[0]
        return self.decide(y.transpose(1, 2))

    def target_probability(self, features: Tensor, embedding: Tensor) -> Tensor:
        """That the target speaks: ``[B, T]``, 0..1."""
        return self(features, embedding).softmax(dim=1)[:, Speech.TARGET]

    @property
    def macs(self) -> int:
        """Multiply-accumulates a frame; the moving average of a projection is one of its sums."""
        layers = sum(
            layer.in_channels * layer.out_channels * layer.kernel_size[0]
            for layer in self.frames
            if isinstance(layer, nn.Conv1d)
        )
        alike = (FRAME_WIDTH + 2) * self.dimensions
        recurrent = 3 * self.width * (FRAME_WIDTH + 2 + self.width)
        return layers + alike + recurrent + len(Speech) * self.width


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
