"""What every packing gives, and the form that all kernels can fall back on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dyncp.preset import GateSite
from quantize.macs import STORAGE, Layout
from targets.compiler.plan import ConvolutionPlan

CLOSED_OUTPUTS: dict[GateSite | None, tuple[str, ...]] = {
    None: (),
    "output": (".down",),
    "hidden": (".up", ".depthwise"),
}
"""The layers whose rows gates close, by their names' ends."""

CLOSED_INPUTS: dict[GateSite | None, tuple[str, ...]] = {
    None: (),
    "output": (),
    "hidden": (".down",),
}
"""The layers whose columns gates close."""


@dataclass(frozen=True, eq=False)
class Packed:
    """A layer as stored. ``weights``: int8; ``constants``: int32; both in one dimension."""

    weights: NDArray[np.int8]
    constants: NDArray[np.int32]


def filled(layer: ConvolutionPlan, layout: Layout) -> NDArray[np.int64]:
    """The weights filled up with zeros as ``layout`` stores them: int64 ``[outputs, inputs]``."""
    storage = STORAGE[layout]
    weights = np.zeros((storage.rows(layer.outputs), storage.columns(layer.inputs)), np.int64)
    weights[: layer.outputs, : layer.inputs] = layer.weights
    return weights


def plain(layer: ConvolutionPlan) -> Packed:
    """``[outputs][inputs]``, and bias, multiplier and shift of every output."""
    columns = (layer.bias, layer.multiplier, layer.shift)
    constants = np.stack([np.asarray(column, np.int32) for column in columns], axis=1)
    return Packed(layer.weights.reshape(-1), constants.reshape(-1))
