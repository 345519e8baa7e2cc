"""The speaker encoder: an enrolment recording to a unit vector that tells voices apart.

A small time-delay network with statistics pooling (Snyder et al., x-vectors, ICASSP 2018),
trained with an additive margin on the cosine (Wang et al., 2018). Shape and size are ours.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dyncp import audio
from dyncp.embedding import Embedding, quantised
from dyncp.preset import Audio

SETTINGS = Audio(sample_rate=16000, n_fft=512, hop=256, bins=257, compression=0.3, epsilon=1e-5)
"""The features: those of the enhancers, whose bins tell the harmonics of a voice apart."""
FRAME_WIDTH = 96
_CONTEXTS = ((5, 1), (3, 2), (3, 3))
"""Kernel and dilation of each convolution over frames: 15 frames in all."""
_QUIET = 0.35
"""Of the mean level: frames below it say nothing of the voice."""


def frame_layers(causal: bool = False) -> nn.Sequential:
    """Convolutions over frames, ``[B, bins, T]`` to ``[B, FRAME_WIDTH, T]``.

    ``causal``: a frame sees itself and earlier ones, in place of as many on each side.
    """
    layers: list[nn.Module] = []
    width = SETTINGS.bins
    for kernel, dilation in _CONTEXTS:
        reach = dilation * (kernel - 1)
        pad = nn.ConstantPad1d((reach, 0) if causal else (reach // 2, reach // 2), 0.0)
        convolution = nn.Conv1d(width, FRAME_WIDTH, kernel, dilation=dilation)
        layers += [pad, convolution, nn.ReLU(), nn.BatchNorm1d(FRAME_WIDTH)]
        width = FRAME_WIDTH
    return nn.Sequential(*layers)


class SpeakerEncoder(nn.Module):
    """Features ``[B, bins, T]`` to directions ``[B, dimensions]`` of unit length."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.dimensions = dimensions
        self.frames = frame_layers()
        self.project = nn.Linear(2 * FRAME_WIDTH, dimensions)

    def forward(self, features: Tensor) -> Tensor:
        # How loud a recording is says nothing of who speaks.
        features = features / features.mean(dim=(1, 2), keepdim=True).clamp_min(1e-4)
        loud = features.mean(dim=1, keepdim=True)
        weight = (loud > _QUIET).to(features.dtype) + 1e-3
        weight = weight / weight.sum(dim=2, keepdim=True)
        seen = self.frames(features)
        mean = (seen * weight).sum(dim=2)
        deviation = ((seen - mean[:, :, None]) ** 2 * weight).sum(dim=2).clamp_min(1e-6).sqrt()
        return F.normalize(self.project(torch.cat([mean, deviation], dim=1)))


@torch.no_grad()
def embed(encoder: SpeakerEncoder, recording: np.ndarray) -> Embedding:
    """The embedding of a voice from float samples at 16 kHz: int8 ``[dimensions]``."""
    features = torch.from_numpy(audio.features(SETTINGS, recording))[None]
    return quantised(encoder.eval()(features)[0].numpy())


def margin_loss(
    directions: Tensor, centres: Tensor, voices: Tensor, margin: float, scale: float
) -> Tensor:
    """Cross entropy over cosines to the centres ``[voices, dimensions]``, the right one's less
    ``margin`` (additive-margin softmax)."""
    cosines = directions @ F.normalize(centres).T
    right = F.one_hot(voices, len(centres)).to(cosines.dtype)
    return F.cross_entropy(scale * (cosines - margin * right), voices)


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> float:
    """Where false alarms and misses are equally many: 0..1, of the cosines of trial pairs."""
    thresholds = np.sort(np.concatenate([same, different]))
    misses = np.searchsorted(np.sort(same), thresholds) / len(same)
    alarms = 1 - np.searchsorted(np.sort(different), thresholds) / len(different)
    nearest = int(np.argmin(np.abs(misses - alarms)))
    return float((misses[nearest] + alarms[nearest]) / 2)
