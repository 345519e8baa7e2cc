"""Linear probes trained along with the gates, so that the gates tell more about the sound.

They shape the gates and are then forgotten: the probes that a checkpoint carries are
fitted afterwards, on gates that no longer move. The idea and the weights are ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dyncp.data.labels import fundamental_frequency, level_ratios, voice_activity
from dyncp.data.source import Mixture
from dyncp.network import heaviside
from dyncp.preset import Preset

_VALUES = ("gender", "snr", "f0")
_SNR_SPREAD = 8.0
_F0_CENTRE, _F0_SPREAD = 160.0, 65.0
"""Hz; roughly the mean and spread over voices, so that all losses are of one size."""
_F0_CROPS = 2
"""Mixtures of a batch whose pitch is measured: that takes as long as the network does."""


class JointProbes(nn.Module):
    """Voice activity, noise class, gender, SNR and F0 of every frame, from all gates."""

    def __init__(self, preset: Preset, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.preset, self.classes = preset, classes
        gates = preset.blocks * preset.gates
        self.voice = nn.Conv1d(gates, 1, 1)
        self.noise = nn.Conv1d(gates, len(classes), 1)
        self.values = nn.Conv1d(gates, len(_VALUES), 1)

    def loss(self, logits: list[Tensor], mixtures: Sequence[Mixture]) -> Tensor:
        """The sum of five means over the frames that have a label; its gradient goes on
        into the gates.

        Cross-entropy for voice activity, noise class and gender, squared error in units of
        the spread for SNR and F0. ``logits``: ``[B, gates, frames]`` per block, of
        ``mixtures``. A noise that is not one of the classes has no label. With several processes
        each takes the means over its own share.
        """
        assert self.preset.gate
        scores = torch.cat(logits, dim=1)
        gates = heaviside(scores, self.preset.gate.surrogate)
        labels = self._labels(mixtures, gates.shape[2])
        truth = {name: torch.from_numpy(values).to(gates) for name, values in labels.items()}
        gender, snr, f0 = self.values(gates).unbind(dim=1)
        kinds = torch.where(truth["noise"].isnan(), -1, truth["noise"]).long()
        return (
            F.binary_cross_entropy_with_logits(self.voice(gates)[:, 0], truth["vad"])
            + _mean(F.cross_entropy(self.noise(gates), kinds, ignore_index=-1, reduction="none"),
                    truth["noise"])
            + _mean(F.binary_cross_entropy_with_logits(gender, truth["gender"].nan_to_num(),
                                                       reduction="none"), truth["gender"])
            + _mean((snr - truth["snr"].nan_to_num()) ** 2, truth["snr"])
            + _mean((f0 - truth["f0"].nan_to_num()) ** 2, truth["f0"])
        )  # fmt: skip

    def _labels(self, mixtures: Sequence[Mixture], frames: int) -> dict[str, np.ndarray]:
        """float32 ``[B, frames]`` by task, NaN where there is no label."""
        settings = self.preset.audio
        shape = (len(mixtures), frames)
        labels = {name: np.full(shape, np.nan, np.float32) for name in ("noise", *_VALUES)}
        labels["vad"] = np.zeros(shape, np.float32)
        for row, mixture in enumerate(mixtures):
            active = voice_activity(settings, mixture.clean)[:frames]
            labels["vad"][row] = active
            if mixture.noise in self.classes:
                labels["noise"][row] = self.classes.index(mixture.noise)
            if mixture.speaker.gender is not None:
                labels["gender"][row, active] = mixture.speaker.gender == "f"
            snr, _ = level_ratios(settings, mixture.noisy, mixture.clean)
            labels["snr"][row, active] = snr[:frames][active] / _SNR_SPREAD
            if row < _F0_CROPS:
                f0 = fundamental_frequency(settings, mixture.clean)[:frames]
                labels["f0"][row, active] = (f0[active] - _F0_CENTRE) / _F0_SPREAD
        return labels


def _mean(values: Tensor, truth: Tensor) -> Tensor:
    """Mean where there is a label; 0 where there is none at all."""
    known = ~truth.isnan()
    return (values * known).sum() / known.sum().clamp_min(1)
