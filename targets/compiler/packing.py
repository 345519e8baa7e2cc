"""How a layer's weights lie in memory, for the kernels of a core.

``plain``: ``[outputs][inputs]``, for the portable kernels. The DSP extension's
layouts are those of ``firmware/kernels/dsp.h``: ``tiles`` where whole tiles of 8
outputs run and the sums of two outputs fit one accumulator, else ``rows``; ``folded``
for a depthwise convolution that no gate closes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dyncp.preset import GateSite
from quantize.arithmetic import INT8_MIN
from quantize.macs import Layout, filled_up
from targets.compiler.plan import ConvolutionPlan, NetworkPlan
from targets.sources import Kernels

TILE = 8
_LARGEST_INPUT = 255
_ROW_ORDER = (0, 2, 1, 3)
_GATED_LAYERS: dict[GateSite | None, tuple[str, ...]] = {
    None: (),
    "output": (".down",),
    "hidden": (".up", ".down"),
}


def layout_of(network: NetworkPlan, layer: ConvolutionPlan, kernels: Kernels) -> Layout:
    """The layout that ``kernels`` run a layer of ``network`` in."""
    if kernels == "portable":
        return "plain"
    if layer.name.endswith(".depthwise"):
        foldable = network.site != "hidden" and layer.outputs % 2 == 0
        return "folded" if foldable and _rounds_shortly(layer) else "plain"
    gated = layer.name.endswith(_GATED_LAYERS[network.site])
    if gated and network.group % TILE:
        return "rows"
    return "tiles" if _fits_tiles(layer) else "rows"


def _fits_tiles(layer: ConvolutionPlan) -> bool:
    """Whether two outputs' sums fit one accumulator, and the short requantisation is exact."""
    weights = np.abs(layer.weights.astype(np.int64))
    bound = weights.sum(axis=1) * _LARGEST_INPUT + np.abs(layer.bias.astype(np.int64))
    return bool(
        weights.max() <= -INT8_MIN - 1 and (256 * bound).max() < 1 << 31 and _rounds_shortly(layer)
    )


def _rounds_shortly(layer: ConvolutionPlan) -> bool:
    """Whether the short requantisation of the DSP kernels is exact."""
    return bool(layer.shift.max() <= -1 and layer.lowest == INT8_MIN)


def pack(layer: ConvolutionPlan, layout: Layout) -> NDArray[np.int8]:
    """The weights as stored, int8, in one dimension."""
    if layout in ("plain", "folded"):
        return layer.weights.reshape(-1)
    outputs, inputs = (filled_up(size) for size in layer.weights.shape)
    if layout == "rows":
        rows = np.zeros((layer.outputs, inputs), np.int8)
        rows[:, : layer.inputs] = layer.weights
        return rows.reshape(layer.outputs, -1, 4)[:, :, _ROW_ORDER].reshape(-1)
    weights = np.zeros((outputs, inputs), np.int16)
    weights[: layer.outputs, : layer.inputs] = layer.weights
    mixed = weights[1::2] * np.int16(256) + weights[0::2]
    tiles = mixed.reshape(outputs // TILE, TILE // 2, inputs // 2, 2)
    return np.ascontiguousarray(tiles.transpose(0, 2, 1, 3), "<i2").reshape(-1).view(np.int8)


def stored_channels(layer: ConvolutionPlan, layout: Layout) -> list[tuple[int, int, int]]:
    """Bias, multiplier and shift of every output as stored."""
    bias = layer.bias.astype(np.int64)
    if layout == "folded":
        bias = bias - layer.input_zero_point * layer.weights.astype(np.int64).sum(axis=1)
    columns = (bias, layer.multiplier, layer.shift)
    channels = [(int(b), int(m), int(s)) for b, m, s in zip(*columns, strict=True)]
    if layout == "tiles":
        channels += [(0, 0, -1)] * (filled_up(layer.outputs) - layer.outputs)
    return channels
