"""Ways of rounding one network side by side, and what more bits would give."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dyncp.checkpoint import Checkpoint
from dyncp.data.mixtures import calibration_features
from dyncp.network import GatedConvFSENet
from quantize.agreement import compare_with_float, signal_to_noise
from quantize.balance import balance
from quantize.calibrate import quantise_network
from quantize.methods import DEFAULT_METHOD, METHODS
from quantize.model import QuantizedModel
from quantize.qat.network import FakeQuantNet
from quantize.wiring import activation_names

_CALIBRATION_SECONDS, _CALIBRATION_SEED = 60.0, 1
_HELD_OUT_SECONDS, _HELD_OUT_SEED = 60.0, 2

KINDS = {
    "features": "the input",
    "input": "the residual (block inputs)",
    "squeezed": "inside the gates",
    "logits": "the gates' logits",
    "hidden": "after `up`",
    "filtered": "after `depthwise`",
    "update": "after `down`",
    "mask_logits": "before the sigmoid",
    "": "all of these",
}
"""Kinds of activations, by what their names end with."""


def compare_ways(checkpoint: Checkpoint) -> dict[str, Any]:
    """Share of equal gates and mask SNR, dB, on a minute of held-out audio, as plain values.

    ``methods``: every way to find ranges, with channels balanced and not, and with weights that
    make good each other's rounding, by the integer model. ``wide``: with one kind of activation
    in 16 bits, by the fake-quantised network, for no integer model has such tensors; its weights
    are rounded to the nearest. Its first row, all in 8 bits, is what to compare with; what the
    last, all in 16, falls short by is the weights'.
    """
    torch.set_num_threads(1)  # small tensors: more threads cost more than they bring
    preset = checkpoint.preset
    clips = calibration_features(preset, _CALIBRATION_SECONDS, _CALIBRATION_SEED)
    held_out = np.concatenate(
        calibration_features(preset, _HELD_OUT_SECONDS, _HELD_OUT_SEED), axis=1
    )
    balanced = balance(checkpoint.network, clips)
    methods = []
    for method in METHODS:
        for network, compensated in (
            (checkpoint.network, False),
            (balanced, False),
            (balanced, True),
        ):
            found = compare_with_float(
                network, quantise_network(network, clips, (), method, compensated), held_out
            )
            methods.append(
                {
                    "method": method,
                    "balanced": network is balanced,
                    "compensated": compensated,
                    "gates": found.gates,
                    "mask_snr": found.mask_snr,
                }
            )
    model = quantise_network(balanced, clips, (), DEFAULT_METHOD)
    names = activation_names(preset)
    wide = [_fake(balanced, model, held_out, ())]
    for kind in KINDS:
        of_kind = [name for name in names if _kind(name) == kind or (not kind and name != "mask")]
        if of_kind:
            wide.append({"kind": kind, **_fake(balanced, model, held_out, of_kind)})
    return {"preset": preset.name, "methods": methods, "wide": wide}


def _kind(name: str) -> str:
    if name == "mask_logits":
        return name
    return name.rpartition(".")[2].rpartition("_")[2]


@torch.inference_mode()
def _fake(
    network: GatedConvFSENet,
    model: QuantizedModel,
    features: NDArray[np.float32],
    wide: Collection[str],
) -> dict[str, Any]:
    batch = torch.from_numpy(features)[None]
    wanted = network(batch)
    got = FakeQuantNet(network, model.activations, wide)(batch)
    gates = None
    if wanted.logits:
        equal = [
            ((ours > 0) == (theirs > 0)).double().mean()
            for ours, theirs in zip(got.logits, wanted.logits, strict=True)
        ]
        gates = float(torch.stack(equal).mean())
    snr = signal_to_noise(wanted.mask.numpy(), got.mask.numpy())
    return {"gates": gates, "mask_snr": snr}
