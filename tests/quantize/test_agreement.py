"""The agreement that is reported must be the one that there is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quantize.agreement import compare_with_float, signal_to_noise
from quantize.arithmetic import quantise
from quantize.calibrate import quantise_network
from quantize.integer_model import IntegerModel, open_gates
from tests.conftest import tiny_preset
from tests.quantize.models import audio_features, mixed_network, tiny_model


def test_signal_to_noise_by_hand() -> None:
    assert signal_to_noise(np.array([3.0, 4.0]), np.array([3.0, 4.5])) == pytest.approx(20.0)
    assert signal_to_noise(np.ones(3), np.ones(3)) == float("inf")
    assert signal_to_noise(np.zeros(3), np.ones(3)) == float("inf")


def test_shares_are_counted_over_gates_and_frames() -> None:
    preset = tiny_preset("hidden", 4)
    network, model = mixed_network(preset), tiny_model(preset)
    features = audio_features(preset, 80, seed=8)
    found = compare_with_float(network, model, features)
    grid = model.activations["features"]
    outputs = IntegerModel(model).run(quantise(features.T, grid.scale, grid.zero_point))
    ours = np.concatenate(open_gates(model, outputs), axis=1)
    with torch.no_grad():
        logits = network(torch.from_numpy(features)[None]).logits
    theirs = np.concatenate([(scores[0] > 0).numpy() for scores in logits]).T
    assert found.frames == 80
    assert found.gates == 1 - np.count_nonzero(ours ^ theirs) / (80 * 16)
    assert found.utilisation == (theirs.mean(), ours.mean())
    assert 0.1 < found.utilisation[0] < 0.9
    assert found.gates < 1
    assert 15 < found.mask_snr < 60


@pytest.mark.parametrize(("bias", "share"), [(1e3, 1.0), (-1e3, 0.0)])
def test_gates_that_never_move_agree(bias: float, share: float) -> None:
    preset = tiny_preset()
    network = mixed_network(preset)
    for block in network.blocks:
        torch.nn.init.constant_(block.gate.score.bias, bias)
    features = audio_features(preset, 60, seed=8)
    found = compare_with_float(network, quantise_network(network, [features]), features)
    assert (found.gates, found.utilisation) == (1.0, (share, share))
    assert found.mask_snr > 25


def test_a_static_network_has_a_mask_to_compare_and_no_gates() -> None:
    preset = tiny_preset(None)
    found = compare_with_float(
        mixed_network(preset), tiny_model(preset), audio_features(preset, 60, seed=8)
    )
    assert (found.gates, found.utilisation) == (None, None)
    assert found.mask_snr > 30
    assert len(found.lines()) == 2


def test_the_summary_says_it_in_words() -> None:
    preset = tiny_preset()
    lines = compare_with_float(
        mixed_network(preset), tiny_model(preset), audio_features(preset, 40, seed=8)
    ).lines()
    assert "40 held-out frames" in lines[0]
    assert [line.split()[0:2] for line in lines[1:]] == [
        ["equal", "gates"], ["open", "gates"], ["mask", "SNR"],
    ]  # fmt: skip
