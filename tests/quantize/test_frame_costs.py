"""A saving that leaves out what the gates cost, or counts it twice, would be a false promise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dyncp.preset import load_preset
from quantize.evaluation.costs import frame_costs
from quantize.macs import dense_work, executed_work, total
from tests.conftest import tiny_preset


@pytest.mark.parametrize(("site", "group"), [("output", 1), ("output", 4), ("hidden", 4)])
def test_costs_of_mean_shares_are_the_mean_costs_of_the_frames(site: str, group: int) -> None:
    preset = tiny_preset(site=site, group=group)
    rng = np.random.default_rng(3)
    frames = [[rng.random(preset.gates) < 0.4 for _ in range(preset.blocks)] for _ in range(20)]
    counted = [total(executed_work(preset, gates)) for gates in frames]
    shares = np.mean(frames, axis=(0, 2))
    costs = frame_costs(preset, shares.tolist())
    assert costs.executed_macs == pytest.approx(np.mean([work.macs for work in counted]))
    assert costs.executed_bytes == pytest.approx(np.mean([w.weight_bytes for w in counted]))


def test_the_gates_own_macs_are_taken_off_the_saving() -> None:
    preset = tiny_preset()
    static = dataclasses.replace(preset, gate=None)
    costs = frame_costs(preset, [1.0] * preset.blocks)
    assert costs.dense.macs == total(dense_work(static)).macs
    assert costs.executed_macs == costs.dense.macs + costs.gate_macs
    assert costs.saved == pytest.approx(-costs.gate_macs / costs.dense.macs)
    assert costs.gate_macs > 0


def test_a_static_network_saves_nothing() -> None:
    preset = load_preset("static")
    costs = frame_costs(preset, [])
    assert (costs.saved, costs.gate_macs) == (0, 0)
    assert costs.executed_macs == costs.dense.macs == 662_528


def test_shares_of_another_network_are_refused() -> None:
    with pytest.raises(ValueError, match="2 shares for"):
        frame_costs(load_preset("paper"), [0.2, 0.3])


def test_static_narrow_costs_what_paper_executes() -> None:
    """Else it would be no honest baseline."""
    paper = load_preset("paper")
    assert paper.gate
    executed = frame_costs(paper, [paper.gate.utilisation] * paper.blocks).executed_macs
    narrow = frame_costs(load_preset("static-narrow"), []).executed_macs
    assert narrow == pytest.approx(executed, rel=0.05)
