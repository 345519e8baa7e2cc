"""Compensated rounding: the layer's output counts, not each weight."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dyncp.checkpoint import SHIPPED_FOLDER, load_checkpoint
from dyncp.data.mixtures import MixtureSource, calibration_features
from dyncp.preset import Preset
from quantize.agreement import compare_with_float
from quantize.calibrate import quantise_network
from quantize.compensate import input_moments, round_rows
from tests.quantize.models import audio_features, mixed_network, tiny_model

Floats = NDArray[np.float64]


def layer(seed: int, inputs: int = 24, frames: int = 400) -> tuple[Floats, Floats, Floats, Floats]:
    """Weights, bias, steps, and inputs ``[inputs, frames]`` that go together, none negative."""
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(8, inputs)), rng.normal(size=8)
    steps = np.abs(weight).max(axis=1) / 127
    heard = np.maximum(rng.normal(size=(inputs, 4)) @ rng.normal(size=(4, frames)) + 0.5, 0)
    return weight, bias, steps, heard


def moments_of(heard: Floats) -> Floats:
    x = np.concatenate([heard, np.ones((1, heard.shape[1]))])
    return x @ x.T / heard.shape[1]


@given(st.integers(0, 10**6))
def test_the_output_of_a_layer_comes_nearer_than_by_rounding_to_the_nearest(seed: int) -> None:
    weight, bias, steps, heard = layer(seed)
    integers, suited = round_rows(weight, bias, steps, moments_of(heard))
    wanted = weight @ heard + bias[:, None]
    ours = (integers * steps[:, None]) @ heard + suited[:, None]
    nearest = (np.rint(weight / steps[:, None]) * steps[:, None]) @ heard + bias[:, None]
    assert np.square(ours - wanted).sum() < 0.5 * np.square(nearest - wanted).sum()


@given(st.integers(0, 10**6))
def test_weights_stay_int8_and_near_what_they_were(seed: int) -> None:
    weight, bias, steps, heard = layer(seed)
    integers, _ = round_rows(weight, bias, steps, moments_of(heard))
    assert np.array_equal(integers, np.rint(integers)) and np.abs(integers).max() <= 127
    assert np.abs(integers - weight / steps[:, None]).max() < 6


def test_inputs_that_do_not_go_together_are_rounded_to_the_nearest() -> None:
    weight, bias, steps, heard = layer(3)
    alone = np.diag([*np.linspace(1, 2, heard.shape[0]), 1.0])
    integers, suited = round_rows(weight, bias, steps, alone)
    np.testing.assert_array_equal(integers, np.rint(weight / steps[:, None]))
    np.testing.assert_array_equal(suited, bias)


def test_an_input_that_calibration_never_woke_is_borne() -> None:
    weight, bias, steps, heard = layer(4)
    heard[5:9] = 0
    integers, suited = round_rows(weight, bias, steps, moments_of(heard))
    nearest = np.rint(weight / steps[:, None])
    np.testing.assert_array_equal(integers[:, 5:9], nearest[:, 5:9])
    silent, _ = round_rows(weight, bias, steps, moments_of(np.zeros_like(heard)))
    np.testing.assert_array_equal(silent, nearest)
    assert np.isfinite(suited).all()


def test_moments_are_of_what_each_layer_is_fed(any_tiny_preset: Preset) -> None:
    """Gates closed and averages taken, as in the running network."""
    network = mixed_network(any_tiny_preset)
    clips = [audio_features(any_tiny_preset, frames, seed=7) for frames in (60, 40)]
    found = input_moments(network, clips)
    fed: dict[str, list[torch.Tensor]] = {}

    def hear(name: str, module: torch.nn.Module) -> None:
        def hook(_module: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
            fed.setdefault(name, []).append(inputs[0][0, :, :, 0].double())

        module.register_forward_pre_hook(hook)

    hear("front", network.front)
    hear("block1.down", network.blocks[1].down)
    if any_tiny_preset.gate:
        hear("block1.squeeze", network.blocks[1].gate.squeeze)
    with torch.inference_mode():
        for clip in clips:
            network(torch.from_numpy(clip)[None])
    assert fed["front"][0].shape == (any_tiny_preset.audio.bins, 60)
    for name, parts in fed.items():
        np.testing.assert_allclose(found[name], moments_of(torch.cat(parts, 1).numpy()), rtol=1e-9)
    layers = tiny_model(any_tiny_preset).layers
    assert set(found) == {n for n, layer in layers.items() if not layer.spec.depthwise}


def test_a_trained_network_keeps_more_of_its_gates_and_mask() -> None:
    """On the tiny networks, whose weights are random, it is a toss-up, and so it is on the
    statistics of a second or two."""
    checkpoint = load_checkpoint(SHIPPED_FOLDER / "paper.pt")
    network, preset = checkpoint.network, checkpoint.preset
    clips = calibration_features(preset, 24.0, seed=5)
    unseen = MixtureSource(preset.audio.sample_rate, "test")
    other = np.concatenate(calibration_features(preset, 24.0, seed=6, source=unseen), axis=1)
    nearest, compensated = (
        compare_with_float(network, quantise_network(network, clips, (), "mse", way), other)
        for way in (False, True)
    )
    assert compensated.gates is not None and nearest.gates is not None
    assert compensated.gates > nearest.gates
    assert compensated.mask_snr > nearest.mask_snr
