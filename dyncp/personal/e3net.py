"""E3Net, the end-to-end enhancement network of arXiv 2204.00771, personalised.

Learned encoder -> PReLU, LN -> with the embedding into a linear layer -> blocks of two linear
layers and an LSTM -> sigmoid mask -> learned decoder. Where the skips lie and that the first
block reads the wide projection are our reading; at the published sizes it has 9.8 M
parameters. Encoder and decoder start as a windowed Fourier basis, each function with both
signs, and its inverse (ours): behind the PReLU a linear layer then reads magnitudes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dyncp import audio
from dyncp.embedding import NEUTRAL
from dyncp.personal.speaker_encoder import SETTINGS

_WINDOW, _HOP = SETTINGS.n_fft, SETTINGS.hop


@dataclass(frozen=True)
class E3NetShape:
    """Widths: of the encoder, of the linear layers, of the LSTMs; and how many blocks."""

    encoder: int
    linear: int
    recurrent: int
    blocks: int


class _Block(nn.Module):
    def __init__(self, inputs: int, shape: E3NetShape) -> None:
        super().__init__()
        self.narrow = nn.Sequential(
            nn.Linear(inputs, shape.linear),
            nn.PReLU(),
            nn.Linear(shape.linear, shape.recurrent),
            nn.PReLU(),
            nn.LayerNorm(shape.recurrent),
        )
        self.recurrent = nn.LSTM(shape.recurrent, shape.recurrent, batch_first=True)
        self.norm = nn.LayerNorm(shape.recurrent)
        self.joined_norm = nn.LayerNorm(shape.recurrent)

    def forward(self, x: Tensor) -> Tensor:
        x = self.narrow(x)
        y, _ = self.recurrent(x)
        return self.joined_norm(x + self.norm(y))


class E3Net(nn.Module):
    """Noisy samples ``[B, N]`` (whole hops) and embeddings ``[B, D]`` to samples.

    The output is aligned with the input and one hop shorter; window 32 ms, hop 16 ms.
    """

    def __init__(self, shape: E3NetShape, dimensions: int) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = nn.Conv1d(1, shape.encoder, _WINDOW, stride=_HOP, bias=False)
        self.activation = nn.PReLU()
        self.norm = nn.LayerNorm(shape.encoder)
        self.project = nn.Linear(shape.encoder + dimensions, shape.linear)
        self.blocks = nn.Sequential(
            *(
                _Block(shape.linear if index == 0 else shape.recurrent, shape)
                for index in range(shape.blocks)
            )
        )
        self.mask = nn.Linear(shape.recurrent, shape.encoder)
        self.decoder = nn.ConvTranspose1d(shape.encoder, 1, _WINDOW, stride=_HOP, bias=False)
        _start_as_fourier(self.encoder, self.decoder)

    def forward(self, noisy: Tensor, embedding: Tensor) -> Tensor:
        coded = self.encoder(F.pad(noisy, (_HOP, 0))[:, None]).transpose(1, 2)
        x = self.norm(self.activation(coded))
        wanted = (embedding - NEUTRAL)[:, None].expand(-1, x.shape[1], -1)
        x = self.blocks(self.project(torch.cat([x, wanted], dim=2)))
        masked = coded * torch.sigmoid(self.mask(x))
        return self.decoder(masked.transpose(1, 2))[:, 0, _HOP:-_HOP]

    @property
    def macs(self) -> int:
        """Multiply-accumulates a frame of 16 ms."""
        shape = self.shape
        linear = sum(
            module.in_features * module.out_features
            for module in self.modules()
            if isinstance(module, nn.Linear)
        )
        return (
            2 * _WINDOW * shape.encoder
            + linear
            + shape.blocks * 8 * shape.recurrent * shape.recurrent
        )


def _start_as_fourier(encoder: nn.Conv1d, decoder: nn.ConvTranspose1d) -> None:
    """The first rows: cosines and sines of the window's DFT and their negatives, of which the
    decoder takes half each; any other rows stay random, and small."""
    rows = _fourier_rows()
    rows = np.stack([rows, -rows], axis=1).reshape(-1, _WINDOW)[: encoder.out_channels]
    with torch.no_grad():
        for weight, window in (
            (encoder.weight, audio.analysis_window(SETTINGS)),
            (decoder.weight, audio.synthesis_window(SETTINGS) / 2),
        ):
            weight.mul_(0.1)
            weight[: len(rows), 0] = torch.from_numpy(rows * window).float()


def _fourier_rows() -> np.ndarray:
    """An orthonormal real DFT: float64 ``[window, window]``."""
    time = np.arange(_WINDOW)
    rows = []
    for bin_ in range(_WINDOW // 2 + 1):
        angle = 2 * np.pi * bin_ * time / _WINDOW
        rows.append(np.cos(angle))
        if 0 < bin_ < _WINDOW // 2:
            rows.append(np.sin(angle))
    table = np.array(rows)
    return np.asarray(table / np.linalg.norm(table, axis=1, keepdims=True))
