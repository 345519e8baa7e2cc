"""Work that is counted wrongly would promise savings that no board shows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dyncp.preset import Preset
from quantize.macs import Work, dense_work, executed_work, total
from tests.conftest import tiny_preset

Gates = list[NDArray[np.bool_]]


def random_gates(preset: Preset, seed: int) -> Gates:
    rng = np.random.default_rng(seed)
    return [rng.random(preset.gates) < 0.4 for _ in range(preset.blocks)]


def counted(preset: Preset, gates: Gates) -> dict[str, Work]:
    """Every product of a frame, one by one: does it meet a closed channel?"""
    network, bins = preset.network, preset.audio.bins
    channels, hidden = range(network.channels), range(network.hidden)
    found: dict[str, Work] = {}

    def count(name: str, rows: list[int], columns: list[int]) -> None:
        macs = weight_bytes = 0
        for _row in rows:
            weight_bytes += 4 + 4 + 4  # bias, multiplier, shift
            for _column in columns:
                macs += 1
                weight_bytes += 1
        found[name] = Work(macs, weight_bytes)

    count("front", list(channels), list(range(bins)))
    for block in range(preset.blocks):
        inner, gate = f"block{block}.", preset.gate
        runs = {"output": list(channels), "hidden": list(hidden)}
        if gate:
            count(f"{inner}squeeze", list(range(gate.hidden)), list(channels))
            count(f"{inner}score", list(range(preset.gates)), list(range(gate.hidden)))
            runs[gate.site] = [c for c in runs[gate.site] if gates[block][c // gate.group]]
        count(f"{inner}up", runs["hidden"], list(channels))
        count(f"{inner}depthwise", runs["hidden"], [0, 1, 2])
        count(f"{inner}down", runs["output"], runs["hidden"])
    count("back", list(range(bins)), list(channels))
    return found


def test_executed_work_is_what_open_channels_cost(any_tiny_preset: Preset) -> None:
    for seed in range(4):
        gates = random_gates(any_tiny_preset, seed)
        assert executed_work(any_tiny_preset, gates) == counted(any_tiny_preset, gates)


def test_dense_work_is_that_of_open_gates(any_tiny_preset: Preset) -> None:
    gates = [np.ones(any_tiny_preset.gates, bool)] * any_tiny_preset.blocks
    assert dense_work(any_tiny_preset) == counted(any_tiny_preset, gates)
    assert executed_work(any_tiny_preset, gates) == dense_work(any_tiny_preset)


@pytest.mark.parametrize(
    ("preset", "closed", "macs", "weight_bytes"),
    [
        # front and back 33 x 16 each, and two blocks of 64 + 64 + 512 + 96 + 512; 249 rows
        (tiny_preset("output"), 0, 3552, 6540),
        # three rows of each `down`: 3 x 32 products, 3 x 44 bytes
        (tiny_preset("output"), 3, 3360, 6276),
        # `score` has 4 x 4; a group of 8 is 8 x 16 of `up`, 8 x 3, and 16 x 8 of `down`
        (tiny_preset("hidden", 8), 1, 3456 - 2 * 280, 6156 - 2 * (8 * 28 + 8 * 15 + 16 * 8)),
        (tiny_preset(None), 0, 3296, 5804),
    ],
    ids=["output dense", "output", "hidden", "static"],
)
def test_sums_by_hand(preset: Preset, closed: int, macs: int, weight_bytes: int) -> None:
    gates = [np.arange(preset.gates) >= closed] * preset.blocks
    work = total(executed_work(preset, gates))
    assert work.macs == macs
    assert work.weight_bytes == weight_bytes


def test_with_all_gates_closed_the_gates_still_cost() -> None:
    preset = tiny_preset("hidden")
    work = executed_work(preset, [np.zeros(32, bool)] * 2)
    assert work["block0.up"] == work["block0.depthwise"] == Work(0, 0)
    assert work["block0.down"] == Work(0, 16 * 12)  # its biases are still added
    assert work["block0.score"] == Work(32 * 4, 32 * 16)
