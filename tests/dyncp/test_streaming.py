"""The deployed form must be the trained network, or every later proof proves the wrong thing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dyncp.embedding import nobody, quantised, real
from dyncp.network import GatedConvFSENet, SpeakerBias, moving_average
from dyncp.preset import Preset
from dyncp.state import StateRings, input_shapes, output_shapes
from dyncp.streaming import StreamingNet
from tests.conftest import tiny_preset


def network_with_statistics(preset: Preset, seed: int = 0) -> GatedConvFSENet:
    """A random network whose batch norms are not the identity."""
    torch.manual_seed(seed)
    network = GatedConvFSENet(preset)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
            torch.nn.init.normal_(module.running_mean, std=0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
        elif isinstance(module, SpeakerBias):
            torch.nn.init.normal_(module.weight, std=0.2)
    for block in network.blocks:
        if block.gate is not None:
            # About half open, so that both sides of every gate are tested.
            torch.nn.init.normal_(block.gate.score.bias, std=0.1)
    return network.eval()


PERSONAL = [
    tiny_preset("output", 1, 5, 8),
    tiny_preset("hidden", 8, 1, 4),
    tiny_preset(None, speaker=8),
]


def test_streaming_equals_whole_sequence(any_tiny_preset: Preset) -> None:
    assert_streaming_equals_whole(any_tiny_preset)


@pytest.mark.parametrize("preset", PERSONAL, ids=lambda preset: preset.name)
def test_an_embedding_counts_alike_in_training_and_in_the_deployed_form(preset: Preset) -> None:
    assert_streaming_equals_whole(preset)


@torch.no_grad()
@pytest.mark.parametrize("preset", PERSONAL, ids=lambda preset: preset.name)
def test_an_embedding_changes_what_is_heard_and_nobodys_does_not(preset: Preset) -> None:
    assert preset.speaker
    network = network_with_statistics(preset)
    features = torch.rand(1, preset.audio.bins, 10) * 3
    somebody = torch.from_numpy(real(embedding_of(preset)))[None]
    neutral = torch.from_numpy(real(nobody(preset.speaker.dimensions)))[None]
    everybody = network(features).mask
    torch.testing.assert_close(network(features, neutral).mask, everybody, rtol=0, atol=0)
    assert (network(features, somebody).mask - everybody).abs().max() > 0.01


def embedding_of(preset: Preset, seed: int = 5) -> np.ndarray:
    assert preset.speaker
    direction = np.random.default_rng(seed).normal(size=preset.speaker.dimensions)
    return quantised(direction / np.linalg.norm(direction))


@torch.no_grad()
def assert_streaming_equals_whole(preset: Preset) -> None:
    network = network_with_statistics(preset)
    features = torch.rand(1, preset.audio.bins, 40) * 3
    embedding = torch.from_numpy(real(embedding_of(preset)))[None] if preset.speaker else None
    mask, logits = network(features, embedding)
    streaming = StreamingNet(network)
    rings = StateRings(preset, dict.fromkeys(input_shapes(preset), 0.0), np.float32)
    for frame in range(features.shape[2]):
        states = [torch.from_numpy(s) for s in rings.inputs().values()]
        x = features[:, :, frame].reshape(1, -1, 1, 1)
        if embedding is not None:
            states.append(embedding.reshape(1, -1, 1, 1))
        values = streaming(x, *states)
        named = {k: v.numpy() for k, v in zip(output_shapes(preset), values, strict=True)}
        for name, shape in output_shapes(preset).items():
            assert named[name].shape == shape
        rings.push(named)
        np.testing.assert_allclose(
            named["mask"].ravel(), mask[0, :, frame].numpy(), rtol=0, atol=2e-6
        )
        for block, scores in enumerate(logits):
            np.testing.assert_allclose(
                named[f"gate{block}_logits"].ravel(), scores[0, :, frame], rtol=0, atol=2e-5
            )


@torch.no_grad()
def test_gates_close_channels(any_tiny_preset: Preset) -> None:
    """With all gates shut the blocks add nothing but their residual."""
    network = network_with_statistics(any_tiny_preset)
    features = torch.rand(1, any_tiny_preset.audio.bins, 10)
    if any_tiny_preset.gate is None:
        assert network(features).logits == []
        return
    for block in network.blocks:
        torch.nn.init.constant_(block.gate.score.bias, -1e3)
        torch.nn.init.zeros_(block.down.bias)
        torch.nn.init.zeros_(block.depthwise_norm.bias)
    front = torch.relu(network.front(features.unsqueeze(3)))
    expected = torch.sigmoid(network.back(front)).squeeze(3)
    torch.testing.assert_close(network(features).mask, expected)


def test_moving_average_counts_silence_before_the_start() -> None:
    x = torch.arange(1.0, 7.0).reshape(1, 1, 6, 1)
    averaged = moving_average(x, 3).ravel()
    torch.testing.assert_close(averaged, torch.tensor([1.0, 3.0, 6.0, 9.0, 12.0, 15.0]) / 3)


def test_gate_gets_a_gradient(any_tiny_preset: Preset) -> None:
    """Without the surrogate, gates would never learn."""
    if any_tiny_preset.gate is None:
        return
    torch.manual_seed(0)  # of some networks a gate's squeeze is 0 everywhere
    network = GatedConvFSENet(any_tiny_preset)
    network(torch.rand(2, any_tiny_preset.audio.bins, 12)).mask.sum().backward()
    for block in network.blocks:
        assert block.gate.score.weight.grad.abs().sum() > 0


def test_making_the_streaming_form_leaves_the_network_free_to_train() -> None:
    """Training validates on the way: what it validates must not be frozen by that."""
    network = GatedConvFSENet(tiny_preset())
    streaming = StreamingNet(network)
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not any(parameter.requires_grad for parameter in streaming.parameters())
