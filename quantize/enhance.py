"""The integer model on audio: what a device's network does, between float STFTs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dyncp import audio
from quantize.arithmetic import dequantise, quantise
from quantize.integer_model import IntegerModel, open_gates


@dataclass(frozen=True)
class Enhanced:
    """``samples``: float32, aligned with the input and as long. ``features``: float32
    ``[bins, frames]``; ``mask``: gains ``[frames, bins]``; ``gates``: bool
    ``[blocks, frames, gates]``, of the same frames."""

    samples: NDArray[np.float32]
    features: NDArray[np.float32]
    mask: NDArray[np.float32]
    gates: NDArray[np.bool_]


def enhance(model: IntegerModel, samples: NDArray[np.float32]) -> Enhanced:
    """Enhance float samples in [-1, 1] from a cold start; as :func:`dyncp.enhance.enhance`.

    A personalised model keeps whom it was told to (:meth:`IntegerModel.set_embedding`).
    """
    settings, activations = model.model.preset.audio, model.model.activations
    # One more hop of silence, to get the last samples out of the overlap.
    padded = np.concatenate([samples, np.zeros(settings.hop, np.float32)])
    spectra = audio.spectrum(settings, padded)
    features = audio.compress(settings, spectra)
    grid = activations["features"]
    outputs = model.run(quantise(features.T, grid.scale, grid.zero_point))
    mask = dequantise(outputs["mask"], activations["mask"].scale, activations["mask"].zero_point)
    output = audio.resynthesise(settings, spectra, mask.T)
    gates = open_gates(model.model, outputs)
    return Enhanced(
        output[settings.hop : settings.hop + len(samples)].astype(np.float32),
        features,
        mask,
        np.stack(gates) if gates else np.zeros((0, len(mask), 0), bool),
    )
