"""What a frame costs: multiply-accumulates and weight bytes, layer by layer.

The counts depend on the gates alone, so the firmware's counters must equal
them. Of a layer, ``outputs`` rows run, each over ``inputs`` columns:

    macs          outputs x inputs
    weight bytes  outputs x (inputs + constants), as stored

What is stored depends on the layout that a core's kernels read
(``targets/compiler/packing/``): :data:`STORAGE` has the bytes of a row's constants
(bias, multiplier, shift), and what rows and columns are filled up to. Closed gates
leave out rows of `down` (site `output`); or rows of `up`, channels of `depthwise` and
columns of `down` (site `hidden`), whose rows then still cost their constants each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dyncp.preset import Preset
from quantize.wiring import CLOSED_AXES, LayerSpec, layer_specs

Layout = Literal[
    "plain", "rows", "quads", "tiles", "folded", "octets", "offset_octets", "lone_rows", "channels"
]  # fmt: skip


@dataclass(frozen=True)
class Storage:
    """How a layout stores a layer; rows and columns are filled up to whole multiples.

    With ``dense_sixteenths`` of 16 parts of its inputs open a layer runs dense: to
    follow the list of the open ones would cost more.
    """

    constant_bytes: int
    outputs: int = 1
    inputs: int = 1
    dense_sixteenths: int = 17

    def rows(self, outputs: int) -> int:
        """``outputs`` filled up."""
        return -(-outputs // self.outputs) * self.outputs

    def columns(self, inputs: int) -> int:
        """``inputs`` filled up."""
        return -(-inputs // self.inputs) * self.inputs


STORAGE: dict[Layout, Storage] = {
    "plain": Storage(12),
    "rows": Storage(8, inputs=16),
    "quads": Storage(8, outputs=4, inputs=8),
    "tiles": Storage(8, outputs=8, inputs=8, dense_sixteenths=15),
    "folded": Storage(8),
    "octets": Storage(9, outputs=8, inputs=16, dense_sixteenths=0),
    "offset_octets": Storage(9, outputs=8, inputs=16, dense_sixteenths=14),
    "lone_rows": Storage(9, inputs=16),
    "channels": Storage(9),
}
"""Every layout; the firmware has the same table in ``kernels/layout.h``."""

LARGEST_MULTIPLE = 16
"""What the inputs of any layout are at most filled up to."""

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
        elif axis == "input" and 16 * channels < STORAGE[layout].dense_sixteenths * inputs:
            # Open inputs are read one by one, so nothing is filled up.
            return _work(outputs, channels, layout, fill_inputs=False)
    return _work(outputs, inputs, layout)


def _work(outputs: int, inputs: int, layout: Layout, fill_inputs: bool = True) -> Work:
    storage = STORAGE[layout]
    columns = storage.columns(inputs) if fill_inputs else inputs
    return Work(outputs * inputs, storage.rows(outputs) * (columns + storage.constant_bytes))
