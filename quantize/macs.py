"""What a frame costs: multiply-accumulates and weight bytes, layer by layer.

The counts depend on the gates alone, so the firmware's counters must equal
them. Of a layer, ``outputs`` rows run, each over ``inputs`` columns:

    macs          outputs x inputs
    weight bytes  outputs x (inputs + 12), as stored

What is stored depends on the layout that a core's kernels read
(``targets/compiler/packing.py``): `plain` and `folded` nothing but the weights; `rows` fills up
inputs to a multiple of 8, `tiles` outputs too. The 12 bytes are a row's bias, multiplier
and shift (int32 each) as the firmware
stores them. Closed gates leave out rows of `down` (site `output`); or rows of
`up`, channels of `depthwise` and columns of `down` (site `hidden`), whose rows
then still cost their 12 bytes each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dyncp.preset import Preset
from quantize.wiring import CLOSED_AXES, LayerSpec, layer_specs

ROW_CONSTANT_BYTES = 12
STORED_MULTIPLE = 8

Layout = Literal["plain", "rows", "tiles", "folded"]
Layouts = Mapping[str, Layout]
"""The layout of each layer by name; a layer that is left out is `plain`."""


@dataclass(frozen=True)
class Work:
    """One layer in one frame."""

    macs: int
    weight_bytes: int


def dense_work(preset: Preset, layouts: Layouts | None = None) -> dict[str, Work]:
    """Every layer with all gates open, front to back."""
    return {
        spec.name: _work(spec.outputs, spec.inputs, _layout(layouts, spec))
        for spec in layer_specs(preset)
    }


def executed_work(
    preset: Preset, gates: Sequence[NDArray[np.bool_]], layouts: Layouts | None = None
) -> dict[str, Work]:
    """Every layer of one frame; ``gates``: the open ones, bool ``[gates]`` per block."""
    return {
        spec.name: _executed(preset, spec, gates, _layout(layouts, spec))
        for spec in layer_specs(preset)
    }


def total(work: dict[str, Work]) -> Work:
    """The sum over the layers."""
    return Work(
        sum(layer.macs for layer in work.values()),
        sum(layer.weight_bytes for layer in work.values()),
    )


def _layout(layouts: Layouts | None, spec: LayerSpec) -> Layout:
    return (layouts or {}).get(spec.name, "plain")


def _executed(
    preset: Preset, spec: LayerSpec, gates: Sequence[NDArray[np.bool_]], layout: Layout
) -> Work:
    outputs, inputs = spec.outputs, spec.inputs
    if preset.gate and spec.block is not None:
        channels = int(np.count_nonzero(gates[spec.block])) * preset.gate.group
        axis = CLOSED_AXES[preset.gate.site].get(spec.role)
        if axis in ("output", "channel"):
            outputs = channels
        elif axis == "input":
            # Open inputs are read one by one, so nothing is filled up.
            return _work(outputs, channels, layout, fill_inputs=False)
    return _work(outputs, inputs, layout)


def _work(outputs: int, inputs: int, layout: Layout, fill_inputs: bool = True) -> Work:
    rows = filled_up(outputs) if layout == "tiles" else outputs
    filled = fill_inputs and layout in ("rows", "tiles")
    columns = filled_up(inputs) if filled else inputs
    return Work(outputs * inputs, rows * (columns + ROW_CONSTANT_BYTES))


def filled_up(size: int) -> int:
    """``size`` rounded up to what layouts other than `plain` store."""
    return -(-size // STORED_MULTIPLE) * STORED_MULTIPLE
