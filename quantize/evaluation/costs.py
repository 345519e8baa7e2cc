"""What a preset costs a frame when a share of each block's gates is open."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dyncp.preset import Preset
from quantize.macs import Work, dense_work, executed_work, total


@dataclass(frozen=True)
class FrameCosts:
    """Multiply-accumulates and bytes of int8 weights (with bias, multiplier, shift) a frame.

    ``dense``: the same network without gates. ``executed``: with them, and with what the
    gates themselves cost, ``gate_macs``. ``saved``: the share of the dense MACs that is
    left out, net.
    """

    dense: Work
    executed_macs: float
    executed_bytes: float
    gate_macs: int

    @property
    def saved(self) -> float:
        return 1 - self.executed_macs / self.dense.macs


def frame_costs(preset: Preset, open_shares: Sequence[float]) -> FrameCosts:
    """Costs with ``open_shares[block]`` of the gates open, 0..1; empty without gates.

    Both counts are linear in the open gates of a block (layout `plain`), so means over
    frames give means.
    """
    dense = total(dense_work(dataclasses.replace(preset, gate=None)))
    if preset.gate is None:
        return FrameCosts(dense, dense.macs, dense.weight_bytes, 0)
    if len(open_shares) != preset.blocks:
        raise ValueError(f"{len(open_shares)} shares for {preset.blocks} blocks")
    closed = [np.zeros(preset.gates, bool)] * preset.blocks
    least = total(executed_work(preset, closed))
    macs, weight_bytes = float(least.macs), float(least.weight_bytes)
    for block, share in enumerate(open_shares):
        gates = list(closed)
        gates[block] = np.ones(preset.gates, bool)
        most = total(executed_work(preset, gates))
        macs += share * (most.macs - least.macs)
        weight_bytes += share * (most.weight_bytes - least.weight_bytes)
    gate_macs = total(dense_work(preset)).macs - dense.macs
    return FrameCosts(dense, macs, weight_bytes, gate_macs)
