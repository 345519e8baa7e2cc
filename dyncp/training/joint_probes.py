"""Linear probes trained along with the gates, so that the gates tell more about the sound.

They shape the gates and are then forgotten: the probes that a checkpoint carries are
fitted afterwards, on gates that no longer move.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dyncp.data.labels import voice_activity
from dyncp.data.noise_clips import noise_classes
from dyncp.data.source import Mixture
from dyncp.network import heaviside
from dyncp.preset import Preset


class JointProbes(nn.Module):
    """Voice activity and noise class of every frame, from the gates of all blocks."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.preset = preset
        self.classes = noise_classes("train")
        self.voice = nn.Conv1d(preset.blocks * preset.gates, 1, 1)
        self.noise = nn.Conv1d(preset.blocks * preset.gates, len(self.classes), 1)

    def loss(self, logits: list[Tensor], mixtures: Sequence[Mixture]) -> Tensor:
        """Mean cross-entropy of both, over all frames; its gradient goes on into the gates.

        ``logits``: ``[B, gates, frames]`` per block, of ``mixtures``. A noise that is not
        one of the classes counts for voice activity alone.
        """
        assert self.preset.gate
        scores = torch.cat(logits, dim=1)
        gates = heaviside(scores, self.preset.gate.surrogate)
        frames = gates.shape[2]
        labels = [voice_activity(self.preset.audio, mixture.clean)[:frames] for mixture in mixtures]
        active = torch.from_numpy(np.stack(labels)).to(gates)
        names = [mixture.noise for mixture in mixtures]
        known = [name in self.classes for name in names]
        kinds = [self.classes.index(name) if name in self.classes else 0 for name in names]
        target = torch.tensor(kinds, device=gates.device)[:, None].expand(-1, frames)
        voice = F.binary_cross_entropy_with_logits(self.voice(gates)[:, 0], active)
        noise = F.cross_entropy(self.noise(gates), target, reduction="none")
        return voice + torch.mean(noise * torch.tensor(known, device=gates.device)[:, None])
