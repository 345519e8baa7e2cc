"""The personalised enhancers behind one form: noisy samples and an embedding to samples."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from dyncp.checkpoint import SHIPPED_FOLDER, load_checkpoint
from dyncp.network import GatedConvFSENet
from dyncp.personal.e3net import E3Net
from dyncp.personal.settings import NetworkSettings
from dyncp.preset import Preset
from dyncp.training.loss import Transform


class Enhanced(NamedTuple):
    """``samples`` ``[B, N - hop]``, aligned with the input; the gates' ``logits``, if any."""

    samples: Tensor
    logits: list[Tensor]


class Enhancer(nn.Module):
    """A network of :mod:`dyncp.personal.settings`, whole sequences at a time."""

    def __init__(self, settings: NetworkSettings, dimensions: int) -> None:
        super().__init__()
        self.settings = settings
        if isinstance(settings.shape, Preset):
            self.network: GatedConvFSENet | E3Net = GatedConvFSENet(settings.shape)
            self.transform = Transform(settings.shape.audio, torch.device("cpu"))
        else:
            self.network = E3Net(settings.shape, dimensions)

    @property
    def preset(self) -> Preset | None:
        """The preset of a gated network; None for E3Net."""
        shape = self.settings.shape
        return shape if isinstance(shape, Preset) else None

    def forward(self, noisy: Tensor, embedding: Tensor) -> Enhanced:
        """``noisy`` ``[B, N]`` (whole hops) and embeddings ``[B, D]``, real values."""
        if isinstance(self.network, E3Net):
            return Enhanced(self.network(noisy, embedding), [])
        spectrum = self.transform.spectrum(noisy)
        mask, logits = self.network(self.transform.features(spectrum), embedding)
        return Enhanced(self.transform.resynthesise(spectrum, mask), logits)

    def start(self) -> None:
        """The weights that the stem starts with, where the preset names another's."""
        if self.preset is None or self.preset.training.start is None:
            return
        path = SHIPPED_FOLDER / f"{self.preset.training.start}.pt"
        shipped = load_checkpoint(path).network.state_dict()
        # Alike in all but the speaker's weights, which stay 0.
        _, unknown = self.network.load_state_dict(shipped, strict=False)
        assert not unknown

    def hold_basis(self) -> None:
        """Stop training what recipes share with the stem: an E3Net's encoder and decoder."""
        if isinstance(self.network, E3Net):
            self.network.encoder.requires_grad_(False)
            self.network.decoder.requires_grad_(False)
