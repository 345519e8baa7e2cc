"""Balancing may change what int8 makes of a network, never what the network does."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dyncp.network import GatedConvFSENet
from dyncp.preset import Preset
from quantize import balance as module
from quantize.agreement import compare_with_float
from quantize.balance import balance
from quantize.calibrate import quantise_network
from quantize.ranges import channel_peaks
from tests.conftest import tiny_preset
from tests.quantize.models import audio_features, mixed_network


@torch.no_grad()
def uneven_network(preset: Preset, spread: float = 8.0) -> GatedConvFSENet:
    """Of the function of `mixed_network`, its channels' sizes ``1 / spread`` to ``spread``.

    The factors are powers of 2, so that float32 computes the same bits.
    """
    network = mixed_network(preset)
    rng = np.random.default_rng(6)

    def factors(channels: int) -> torch.Tensor:
        limit = np.log2(spread)
        exponents = np.rint(rng.uniform(-limit, limit, channels))
        return torch.from_numpy(2.0**exponents).float()

    residual = factors(preset.network.channels)
    for name in ("weight", "bias"):
        getattr(network.front, name).mul_(residual.reshape(-1, *[1] * (3 * (name == "weight"))))
    network.back.weight /= residual.reshape(1, -1, 1, 1)
    for block in network.blocks:
        hidden, filtered = factors(preset.network.hidden), factors(preset.network.hidden)
        block.up.weight /= residual.reshape(1, -1, 1, 1)
        block.up_norm.weight *= hidden
        block.up_norm.bias *= hidden
        block.depthwise.weight /= hidden.reshape(-1, 1, 1, 1)
        block.depthwise_norm.weight *= filtered
        block.depthwise_norm.bias *= filtered
        block.down.weight *= residual.reshape(-1, 1, 1, 1) / filtered.reshape(1, -1, 1, 1)
        block.down.bias *= residual
        if block.gate is not None:
            block.gate.squeeze.weight /= residual.reshape(1, -1, 1, 1)
    return network


def clips_of(preset: Preset) -> list[NDArray[np.float32]]:
    return [audio_features(preset, 200, seed) for seed in (7, 8)]


@torch.no_grad()
def outputs_of(network: GatedConvFSENet, features: NDArray[np.float32]) -> list[torch.Tensor]:
    found = network(torch.from_numpy(features)[None])
    return [found.mask, *found.logits]


@pytest.mark.parametrize("make", [mixed_network, uneven_network])
def test_the_network_still_does_the_same(any_tiny_preset: Preset, make) -> None:
    network = make(any_tiny_preset)
    balanced = balance(network, clips_of(any_tiny_preset))
    features = audio_features(any_tiny_preset, 150, seed=9)
    before, after = outputs_of(network, features), outputs_of(balanced, features)
    assert len(before) == len(after) == (3 if any_tiny_preset.gate else 1)
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)
    assert not torch.equal(network.back.weight, balanced.back.weight)


def test_the_network_that_came_in_is_left_as_it_was() -> None:
    preset = tiny_preset("hidden", 4)
    network = mixed_network(preset)
    before = copy.deepcopy(network.state_dict())
    balance(network, clips_of(preset))
    for name, values in network.state_dict().items():
        assert torch.equal(values, before[name]), name


@pytest.mark.parametrize("shift", [-1e-4, 0.0, 1e-4])
def test_the_last_bits_of_a_peak_do_not_reach_the_weights(
    shift: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another processor adds in another order; the integers must be the same ones."""
    preset = tiny_preset()
    network, clips = mixed_network(preset), clips_of(preset)
    expected = balance(network, clips)
    rng = np.random.default_rng(3)

    def shaken(*arguments) -> dict[str, NDArray[np.float64]]:
        found = channel_peaks(*arguments)
        return {name: p * (1 + shift * rng.uniform(0, 1, p.shape)) for name, p in found.items()}

    monkeypatch.setattr(module, "channel_peaks", shaken)
    got = balance(network, clips).state_dict()
    for name, values in expected.state_dict().items():
        assert torch.equal(values, got[name]), name


def test_factors_lie_on_their_grid_and_within_their_limit() -> None:
    peaks = np.random.default_rng(4).lognormal(sigma=3, size=500)
    grains = 8 * torch.log2(module._factors(peaks).double()).numpy()
    np.testing.assert_allclose(grains, np.rint(grains), atol=1e-5)
    assert len(np.unique(np.rint(grains))) > 20
    assert np.abs(grains).max() / 8 <= np.log2(10) + 1 / 16


def test_channels_that_never_woke_are_left_alone() -> None:
    """Whatever they do on sound that calibration has not heard, they do as before."""
    preset = tiny_preset()
    network = mixed_network(preset)
    with torch.no_grad():
        network.blocks[0].up_norm.bias[3] = -1e3
        network.blocks[1].up_norm.bias[:] = -1e3
    balanced = balance(network, clips_of(preset))
    for before, after in zip(network.blocks, balanced.blocks, strict=True):
        dead = torch.tensor([3]) if before is network.blocks[0] else torch.arange(32)
        assert torch.equal(before.up_norm.weight[dead], after.up_norm.weight[dead])
        assert torch.equal(before.up_norm.bias[dead], after.up_norm.bias[dead])
        assert torch.equal(before.depthwise.weight[dead], after.depthwise.weight[dead])
    awake = module._factors(np.array([0.0, 1.0, 100.0, 0.0]))
    assert awake[0] == awake[3] == 1
    assert awake[1] * awake[2] == pytest.approx(1)  # the dead do not count in the mean
    assert module._factors(np.zeros(4)).tolist() == [1, 1, 1, 1]


def spread_of(peaks: NDArray[np.float64]) -> float:
    """How unlike the channels of one tensor are, in octaves."""
    return float(np.log2(peaks[peaks > 0]).std())


def test_channels_come_nearer_to_each_other(any_tiny_preset: Preset) -> None:
    network, clips = uneven_network(any_tiny_preset), clips_of(any_tiny_preset)
    before, after = (channel_peaks(n, clips) for n in (network, balance(network, clips)))
    for name, peaks in before.items():
        if name.endswith((".hidden", ".filtered", ".squeezed")):
            assert spread_of(after[name]) < 0.75 * spread_of(peaks), name
        elif name.endswith(".input"):
            # All blocks share their factors, so no tensor gets those that are best for it.
            assert spread_of(after[name]) < spread_of(peaks), name


@pytest.mark.parametrize("site", ["output", "hidden", None])
def test_int8_keeps_more_of_a_network_with_uneven_channels(site: str | None) -> None:
    preset = tiny_preset(site)
    network, clips = uneven_network(preset, spread=16.0), clips_of(preset)
    held_out = audio_features(preset, 300, seed=9)
    balanced = balance(network, clips)
    before, after = (
        compare_with_float(each, quantise_network(each, clips), held_out)
        for each in (network, balanced)
    )
    assert after.mask_snr > before.mask_snr + 1.5
    if before.gates is not None and after.gates is not None:
        assert after.gates > before.gates
