"""What teaches a gated network to tell voices apart: heads that training adds and then forgets.

An embedding enters the network as biases alone, and learning from the enhancement loss which
voice goes with which embedding takes very long. Two heads shorten that (ours; the second step
of a distillation from the personalised VAD): after the first stack, whose field is as long as
that of the VAD's frame layers, one gives what the VAD makes of the voice; from the last
block's output and from the gates, one says whether the target speaks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dyncp.network import GatedConvFSENet, heaviside
from dyncp.personal.pvad import PersonalVad

VOICE_WEIGHT, TARGET_WEIGHT = 0.2, 0.4


class Guide(nn.Module):
    """The heads of one network; :meth:`loss` is of what it made of the last batch."""

    def __init__(self, network: GatedConvFSENet, dimensions: int) -> None:
        super().__init__()
        preset = network.preset
        channels = preset.network.channels
        self.surrogate = preset.gate.surrogate if preset.gate else None
        self.voice = nn.Conv2d(channels, dimensions, 1)
        self.target = nn.Conv2d(channels, 1, 1)
        self.gates = nn.Conv1d(preset.blocks * preset.gates, 1, 1) if preset.gate else None
        self._seen: dict[str, Tensor] = {}
        first_stack = len(preset.network.dilations)
        network.blocks[first_stack - 1].register_forward_hook(self._keep("voice"))
        network.blocks[-1].register_forward_hook(self._keep("target"))

    def _keep(self, name: str):  # type: ignore[no-untyped-def]
        def hook(module: nn.Module, given: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
            self._seen[name] = output[0]

        return hook

    def loss(
        self, vad: PersonalVad, features: Tensor, logits: list[Tensor], active: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """Weighted, and each for the curves. ``active`` bool ``[B, T]``: the target speaks."""
        with torch.no_grad():
            heard = vad.voice(vad.heard(features))
        voice = self.voice(self._seen["voice"])[..., 0]
        unlike = 1 - F.cosine_similarity(voice, heard, dim=1).mean()
        truth = active.to(voice.dtype)
        wrong = torch.stack(
            [
                F.binary_cross_entropy_with_logits(said[:, : truth.shape[1]], truth)
                for said in self._said(logits)
            ]
        )
        extras = {"voice_unlike": unlike.item(), "target_entropy": wrong[-1].item()}
        return VOICE_WEIGHT * unlike + TARGET_WEIGHT * wrong.sum(), extras

    def judge(self, logits: list[Tensor], active: Tensor) -> tuple[float, float]:
        """Of what the gates, or the last block, say of the target: the share of frames in which
        it is right, 0..1, and its cross entropy in nats."""
        said = self._said(logits)[-1][:, : active.shape[1]]
        entropy = F.binary_cross_entropy_with_logits(said, active.to(said.dtype))
        return ((said > 0) == active).float().mean().item(), entropy.item()

    def _said(self, logits: list[Tensor]) -> list[Tensor]:
        """Scores for "the target speaks", by the last block and, if there are any, the gates."""
        said = [self.target(self._seen["target"])[:, 0, :, 0]]
        if self.gates is not None and self.surrogate is not None:
            opened = heaviside(torch.cat(logits, dim=1), self.surrogate)
            said.append(self.gates(opened)[:, 0])
        return said
