"""How close the integer model comes to the float network: gates and mask.

Reported, never required: rounding to int8 may flip a gate whose logit is near
the threshold. Needs torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dyncp.embedding import Embedding
from dyncp.network import GatedConvFSENet
from quantize.arithmetic import dequantise, quantise
from quantize.clips import float_inputs
from quantize.integer_model import IntegerModel, open_gates
from quantize.model import QuantizedModel


@dataclass(frozen=True)
class Agreement:
    """``gates``: share of equal decisions; ``utilisation``: share open, float and integer.

    ``mask_snr``: power of the float mask over that of the difference, dB.
    The first two are None for a static network.
    """

    frames: int
    gates: float | None
    utilisation: tuple[float, float] | None
    mask_snr: float

    def lines(self) -> list[str]:
        """The summary, for people."""
        lines = [f"integer model against float, {self.frames} held-out frames:"]
        if self.gates is not None and self.utilisation is not None:
            lines.append(f"  equal gates   {self.gates:8.3%}")
            lines.append(
                f"  open gates    {self.utilisation[1]:8.3%} (float {self.utilisation[0]:.3%})"
            )
        lines.append(f"  mask SNR      {self.mask_snr:7.2f} dB")
        return lines


def signal_to_noise(reference: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Power of ``reference`` over that of its difference to ``other``, dB; infinite if equal."""
    wanted = np.asarray(reference, np.float64)
    noise = float(np.square(wanted - np.asarray(other, np.float64)).sum())
    signal = float(np.square(wanted).sum())
    return float(10.0 * np.log10(signal / noise)) if noise > 0 and signal > 0 else float("inf")


def compare_with_float(
    network: GatedConvFSENet,
    model: QuantizedModel,
    features: NDArray[np.float32],
    embedding: Embedding | None = None,
) -> Agreement:
    """Run both from a cold start on one stretch of features, float32 ``[bins, frames]``.

    ``embedding``: whom a personalised network keeps; None: everybody.
    """
    clip = features if embedding is None else (features, embedding)
    with torch.inference_mode():
        floating = network(*float_inputs(clip))
    grid = model.activations["features"]
    frames = quantise(features.T, grid.scale, grid.zero_point)
    runner = IntegerModel(model)
    if embedding is not None:
        runner.set_embedding(embedding)
    outputs = runner.run(frames)
    mask_grid = model.activations["mask"]
    mask = dequantise(outputs["mask"], mask_grid.scale, mask_grid.zero_point)
    snr = signal_to_noise(floating.mask[0].numpy().T, mask)
    if model.preset.gate is None:
        return Agreement(len(frames), None, None, snr)
    ours = np.stack(open_gates(model, outputs))
    theirs = np.stack([(logits[0] > 0).numpy().T for logits in floating.logits])
    share = float((ours == theirs).mean())
    return Agreement(len(frames), share, (float(theirs.mean()), float(ours.mean())), snr)
