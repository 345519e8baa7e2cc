"""What a frame costs: multiply-accumulates and weight bytes, layer by layer.

The counts depend on the gates alone, so the firmware's counters must equal
them. Of a layer, ``outputs`` rows run, each over ``inputs`` columns:

    macs          outputs x inputs
    weight bytes  outputs x (inputs + 12)

The 12 bytes are a row's bias, multiplier and shift (int32 each) as the firmware
stores them. Closed gates leave out rows of `down` (site `output`); or rows of
`up`, channels of `depthwise` and columns of `down` (site `hidden`), whose rows
then still cost their 12 bytes each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dyncp.preset import Preset
from quantize.wiring import CLOSED_AXES, LayerSpec, layer_specs

ROW_CONSTANT_BYTES = 12


@dataclass(frozen=True)
class Work:
    """One layer in one frame."""

    macs: int
    weight_bytes: int


def dense_work(preset: Preset) -> dict[str, Work]:
    """Every layer with all gates open, front to back."""
    return {spec.name: _work(spec.outputs, spec.inputs) for spec in layer_specs(preset)}


def executed_work(preset: Preset, gates: Sequence[NDArray[np.bool_]]) -> dict[str, Work]:
    """Every layer of one frame; ``gates``: the open ones, bool ``[gates]`` per block."""
    return {spec.name: _executed(preset, spec, gates) for spec in layer_specs(preset)}


def total(work: dict[str, Work]) -> Work:
    """The sum over the layers."""
    return Work(
        sum(layer.macs for layer in work.values()),
        sum(layer.weight_bytes for layer in work.values()),
    )


def _executed(preset: Preset, spec: LayerSpec, gates: Sequence[NDArray[np.bool_]]) -> Work:
    outputs, inputs = spec.outputs, spec.inputs
    if preset.gate and spec.block is not None:
        channels = int(np.count_nonzero(gates[spec.block])) * preset.gate.group
        axis = CLOSED_AXES[preset.gate.site].get(spec.role)
        if axis in ("output", "channel"):
            outputs = channels
        elif axis == "input":
            inputs = channels
    return _work(outputs, inputs)


def _work(outputs: int, inputs: int) -> Work:
    return Work(outputs * inputs, outputs * (inputs + ROW_CONSTANT_BYTES))
