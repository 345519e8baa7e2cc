"""The float network on audio: what every deployed form is compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from dyncp import audio
from dyncp.embedding import Embedding, real
from dyncp.network import GatedConvFSENet


@dataclass(frozen=True)
class Enhanced:
    """``samples``: float32, aligned with the input and as long.

    ``gates``: bool ``[frames, blocks, gates]``, frames as in :func:`dyncp.audio.spectrum`.
    """

    samples: np.ndarray
    gates: np.ndarray


@torch.no_grad()
def enhance(
    network: GatedConvFSENet, samples: np.ndarray, embedding: Embedding | None = None
) -> Enhanced:
    """Enhance float samples in [-1, 1] with the whole-sequence network.

    ``embedding``: whom a personalised one keeps, int8 ``[dimensions]``; None: everybody.
    """
    settings = network.preset.audio
    # One more hop of silence, to get the last samples out of the overlap.
    padded = np.concatenate([samples, np.zeros(settings.hop, np.float32)])
    spectra = audio.spectrum(settings, padded)
    features = torch.from_numpy(audio.compress(settings, spectra))[None]
    keep = None if embedding is None else torch.from_numpy(real(embedding))[None]
    mask, logits = network.eval()(features, keep)
    output = audio.resynthesise(settings, spectra, mask[0].numpy())
    frames = -(-len(samples) // settings.hop)
    gates = np.zeros((frames, network.preset.blocks, network.preset.gates), bool)
    for block, scores in enumerate(logits):
        gates[:, block] = scores[0].T[:frames].numpy() > 0
    aligned = output[settings.hop : settings.hop + len(samples)]
    return Enhanced(aligned.astype(np.float32), gates)
