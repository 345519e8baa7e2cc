"""What is trained must be what is deployed: the torch form rounds where the integers do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from dyncp.network import GatedConvFSENet
from dyncp.preset import Preset
from quantize.arithmetic import dequantise, quantise, sigmoid_values
from quantize.calibrate import round_network
from quantize.checks import LOGIT_SHIFT
from quantize.integer_model import IntegerModel, _Layer, open_gates
from quantize.model import QuantizedModel
from quantize.qat.network import FakeQuantNet
from quantize.wiring import layer_specs
from tests.conftest import tiny_preset
from tests.quantize.models import audio_features, mixed_network, tiny_model


def start_of(preset: Preset) -> tuple[FakeQuantNet, QuantizedModel]:
    """The torch form as training finds it, and the integers that it mirrors."""
    network = mixed_network(preset)
    with torch.no_grad():
        for block in network.blocks:
            if block.gate is not None:
                # No logit is exactly 0, as the median of a `mixed_network` is: rounded, a tie.
                block.gate.score.bias += torch.linspace(0.01, 0.02, preset.gates)
    model = round_network(network, tiny_model(preset).activations)
    return FakeQuantNet(network, model.activations), model


def test_before_training_it_is_the_model_it_starts_from(any_common_preset: Preset) -> None:
    net, model = start_of(any_common_preset)
    assert net.activations == model.activations
    assert round_network(net.network, net.activations).model_hash == model.model_hash


@torch.no_grad()
def fake_layer(net: FakeQuantNet, name: str, x: Tensor) -> Tensor:
    """One layer of the torch form on values ``[T, inputs]``, or taps ``[3, T, channels]``."""
    spec = next(spec for spec in layer_specs(net.preset) if spec.name == name)
    owner: Any = net.network if spec.block is None else net.network.blocks[spec.block]
    if spec.role in ("squeeze", "score"):
        owner = owner.gate
    conv = getattr(owner, spec.role)
    if spec.role in ("up", "depthwise"):
        weight, bias = net._folded(name, conv, getattr(owner, f"{spec.role}_norm"))
    else:
        shift = net._given[spec.output].scale * LOGIT_SHIFT if spec.role == "score" else 0.0
        weight, bias = net._rounded_layer(name, conv.weight, conv.bias, shift)
    if spec.depthwise:
        y = torch.einsum("ntc,cn->tc", x, weight[:, 0, :, 0]) + bias
    else:
        y = x @ weight[:, :, 0, 0].T + bias
    return net._on_grid(torch.relu(y) if spec.relu else y, spec.output)


def test_every_layer_gives_the_integers_but_for_rare_single_steps(
    any_common_preset: Preset,
) -> None:
    """Each layer is fed the same random integers, so that no difference is carried on.

    Not all are equal: requantisation rounds twice (to 31 bits of product, then to the step)
    and its halves go away from zero, torch rounds once, to even, and in float32.
    """
    net, model = start_of(any_common_preset)
    rng = np.random.default_rng(2)
    for name, layer in model.layers.items():
        spec = layer.spec
        source, target = model.activations[spec.input], model.activations[spec.output]
        shape = (3, 500, spec.outputs) if spec.depthwise else (500, spec.inputs)
        given = np.clip(np.rint(rng.normal(scale=40, size=shape)) + source.zero_point, -128, 127)
        expected = _Layer(model, name)(given.astype(np.int64))
        values = torch.from_numpy((given - source.zero_point) * source.scale).float()
        got = fake_layer(net, name, values).numpy() / target.scale + target.zero_point
        difference = np.rint(got) - expected
        np.testing.assert_allclose(got, np.rint(got), atol=1e-3, err_msg=name)
        assert len(np.unique(expected)) > 50, name
        assert abs(difference).max() <= 1, name
        assert (difference == 0).mean() >= 0.99, name


@torch.no_grad()
def fake_outputs(
    net: FakeQuantNet, features: NDArray[np.float32]
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """Mask and logits, ``[T, channels]`` each."""
    mask, logits = net(torch.from_numpy(features)[None])
    return mask[0].numpy().T, [scores[0].numpy().T for scores in logits]


def test_the_whole_network_follows_the_integers(any_common_preset: Preset) -> None:
    """Wired the same way: same history, same gates at the same site, same residual."""
    net, model = start_of(any_common_preset)
    features = audio_features(any_common_preset, 200, seed=8)
    mask, logits = fake_outputs(net, features)
    grid = model.activations["features"]
    outputs = IntegerModel(model).run(quantise(features.T, grid.scale, grid.zero_point))
    mask_grid = model.activations["mask"]
    expected = dequantise(outputs["mask"], mask_grid.scale, mask_grid.zero_point)
    opened = open_gates(model, outputs)
    assert len(logits) == len(opened)
    for block, (scores, gates) in enumerate(zip(logits, opened, strict=True)):
        name = f"gate{block}_logits"
        grid = model.activations[name]
        integers = dequantise(outputs[name], grid.scale, grid.zero_point)
        # The first block's gates have nothing before them that a flip could have changed.
        assert ((scores > 0) == gates).mean() >= (0.99 if block == 0 else 0.95), name
        assert (abs(scores - integers) < 0.5 * grid.scale).mean() >= (0.95 if block == 0 else 0.7)
    steps = abs(mask - expected) * 256
    assert np.median(steps) == 0
    assert (steps > 3).mean() < 0.05


def one_step(net: FakeQuantNet, features: NDArray[np.float32]) -> None:
    mask, logits = net(torch.from_numpy(features)[None])
    total = mask.square().mean() + sum(
        (scores.square().mean() for scores in logits), torch.zeros(())
    )
    total.backward()


def test_the_gradient_reaches_what_is_trained_and_nothing_else(any_common_preset: Preset) -> None:
    net, _ = start_of(any_common_preset)
    net.train()
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    one_step(net, audio_features(any_common_preset, 500, seed=7))
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert before  # the norms' statistics
    for name, buffer in net.named_buffers():
        assert torch.equal(buffer, before[name]), name
        assert not buffer.requires_grad
    trained = {name for name, _ in net.named_parameters()}
    assert any(name.endswith("up_norm.weight") for name in trained)
    assert not any("running" in name for name in trained)


def test_training_does_not_wake_the_batch_norms() -> None:
    net, _ = start_of(tiny_preset())
    for mode in (True, False):
        assert net.train(mode).training is mode
        assert not any(module.training for module in net.network.modules())


def test_grids_that_are_given_stay() -> None:
    """Of the input, the mask and the logits: the device, TFLite and the margin rely on them."""
    net, model = start_of(tiny_preset())
    with torch.no_grad():
        for factor in net.scales:
            factor.fill_(0.25)
    found = net.activations
    for name, grid in model.activations.items():
        assert found[name].zero_point == grid.zero_point, name
        if name in ("features", "mask") or name.startswith("gate"):
            assert found[name] == grid, name
        else:
            assert found[name].scale == pytest.approx(grid.scale * np.exp(0.25), rel=2e-2), name
            assert found[name].scale == float(np.float32(found[name].scale)), name


@pytest.mark.parametrize("factor", np.linspace(-0.3, 0.3, 13))
def test_a_learned_scale_of_the_mask_logits_stays_off_ties(factor: float) -> None:
    """On a tie two libraries' exp would make two tables of one model."""
    net, _ = start_of(tiny_preset())
    with torch.no_grad():
        net._factors["mask_logits"].fill_(factor)
    grid = net.activations["mask_logits"]
    values = sigmoid_values(grid.scale, grid.zero_point)
    assert np.abs(values % 1.0 - 0.5).min() >= 1e-3
    round_network(net.network, net.activations)


def test_learned_scales_and_weights_reach_the_integers() -> None:
    """One step of training changes what is rounded, and the torch form still mirrors it."""
    preset = tiny_preset("hidden", 4)
    net, model = start_of(preset)
    net.network.requires_grad_(True)
    optimiser = torch.optim.Adam(
        [{"params": net.network.parameters(), "lr": 1e-3}, {"params": net.scales, "lr": 0.05}]
    )
    features = audio_features(preset, 100, seed=8)
    one_step(net, features)
    optimiser.step()
    trained = round_network(net.network, net.activations)
    assert trained.activations["block0.hidden"] != model.activations["block0.hidden"]
    assert not np.array_equal(trained.layers["block0.up"].weight, model.layers["block0.up"].weight)
    _, (logits, _) = fake_outputs(net, features)
    grid = trained.activations["features"]
    outputs = IntegerModel(trained).run(quantise(features.T, grid.scale, grid.zero_point))
    assert ((logits > 0) == open_gates(trained, outputs)[0]).mean() >= 0.995


@torch.no_grad()
def float_mask(network: GatedConvFSENet, features: NDArray[np.float32]) -> NDArray[np.float32]:
    return network(torch.from_numpy(features)[None]).mask[0].numpy().T


@pytest.mark.parametrize("name", ["features", "block0.hidden", "block1.update", "mask_logits"])
def test_a_wide_tensor_is_rounded_256_times_as_finely(name: str) -> None:
    network, grids = mixed_network(tiny_preset(None)), tiny_model(tiny_preset(None)).activations
    grid = grids[name]
    low, high = ((end - grid.zero_point) * grid.scale for end in (-128, 127))
    values = torch.linspace(low, high, 10_001)
    narrow, wide = (
        float(
            (FakeQuantNet(network, grids, only)._on_grid(values, name) - values)
            .detach()
            .abs()
            .max()
        )
        for only in ((), (name,))
    )
    assert narrow == pytest.approx(grid.scale / 2, rel=0.05)
    assert wide < grid.scale / 400
    # It saturates where the narrow one does.
    beyond = FakeQuantNet(network, grids, (name,))._on_grid(torch.tensor([-1e6, 1e6]), name)
    assert beyond.tolist() == pytest.approx([low, high], rel=1e-5, abs=1e-6)


def test_all_wide_comes_nearer_to_the_float_network() -> None:
    preset = tiny_preset(None)
    network, grids = mixed_network(preset), tiny_model(preset).activations
    features = audio_features(preset, 100, seed=7)
    reference = float_mask(network, features)
    errors = [
        float(
            np.abs(fake_outputs(FakeQuantNet(network, grids, wide), features)[0] - reference).mean()
        )
        for wide in ((), grids)
    ]
    assert errors[1] < 0.8 * errors[0]


def test_a_wide_logit_carries_half_of_its_own_step() -> None:
    """Half a narrow step would open gates that are 127 of its steps below the threshold."""
    preset = tiny_preset()
    network, grids = mixed_network(preset), tiny_model(preset).activations
    scale = grids["gate0_logits"].scale
    for sign in (1, -1):
        with torch.no_grad():
            network.blocks[0].gate.score.weight.zero_()
            network.blocks[0].gate.score.bias.fill_(sign * 0.1 * scale)
        net = FakeQuantNet(network, grids, ("gate0_logits",))
        _, (logits, _) = fake_outputs(net, audio_features(preset, 5, seed=8))
        assert ((logits > 0) == (sign > 0)).all()
        assert abs(logits - sign * 0.1 * scale).max() < scale / 128
