"""Random networks that use their gates, audio to run them on, and their quantised models."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dyncp import audio
from dyncp.network import GatedConvFSENet, GateNet, SpeakerBias, moving_average
from dyncp.preset import Preset
from quantize.calibrate import quantise_network
from quantize.clips import personalised
from quantize.model import QuantizedModel


@cache
def noisy_speech(sample_rate: int, seconds: float, seed: int) -> NDArray[np.float32]:
    """Syllables of gliding harmonics in noise: what training data are does not matter here."""
    rng = np.random.default_rng(seed)
    samples = int(sample_rate * seconds)
    knots = int(seconds * 5) + 3

    def curve(low: float, high: float) -> NDArray[np.float64]:
        values = rng.uniform(low, high, knots)
        return np.interp(np.linspace(0, knots - 1, samples), np.arange(knots), values)

    phase = 2 * np.pi * np.cumsum(curve(90, 250)) / sample_rate
    voice = sum(np.sin(k * phase) * curve(0, 1) / k for k in range(1, 16))
    syllables = np.clip(curve(-0.6, 1.0), 0, 1)
    noise = rng.standard_normal(samples) * np.exp(curve(-6, 0))
    return np.asarray(0.12 * (voice * syllables + noise), np.float32)


def audio_features(preset: Preset, frames: int, seed: int) -> NDArray[np.float32]:
    """Features ``[bins, frames]`` of noisy speech, at most 1.6 s of it."""
    samples = noisy_speech(preset.audio.sample_rate, 1.6, seed)[-frames * preset.audio.hop :]
    return audio.features(preset.audio, samples)


@torch.no_grad()
def mixed_network(preset: Preset) -> GatedConvFSENet:
    """A random network: batch norms not the identity, masks that vary, gates that switch.

    Every gate stands open on about half of the frames of noisy speech.
    """
    torch.manual_seed(0)
    network = GatedConvFSENet(preset).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
            torch.nn.init.normal_(module.running_mean, std=0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
        elif isinstance(module, SpeakerBias):
            torch.nn.init.normal_(module.weight, std=0.2)
    torch.nn.init.normal_(network.back.weight, std=0.5)
    features = torch.from_numpy(audio_features(preset, 500, seed=7))[None]
    x = torch.relu(network.front(features.unsqueeze(3)))
    for block in network.blocks:
        if block.gate is not None:
            _switch(block.gate, x)
        x, _ = block(x)
    return network


def _switch(gate: GateNet, x: torch.Tensor) -> None:
    """Both of a gate's layers centred on what they see, so that they do not see it at an edge."""
    torch.nn.init.normal_(gate.squeeze.weight, std=1.0)
    torch.nn.init.normal_(gate.score.weight, std=1.0)
    squeezed = gate.squeeze(moving_average(x, gate.pool_frames))
    gate.squeeze.bias -= squeezed[0, :, :, 0].median(dim=1).values
    gate.score.bias -= gate(x)[0, :, :, 0].median(dim=1).values


def probe_of(preset: Preset) -> dict[str, Any]:
    """A probe on all gates, as a checkpoint holds it."""
    weights = np.random.default_rng(5).normal(size=preset.blocks * preset.gates)
    return {"name": "vad", "weights": weights.astype(np.float32), "bias": -0.75}


@cache
def tiny_model(preset: Preset) -> QuantizedModel:
    """The mixed network calibrated on noisy speech; with a probe where there are gates."""
    probes = [probe_of(preset)] if preset.gate else []
    clips = personalised(preset, [audio_features(preset, 500, seed=7)])
    return quantise_network(mixed_network(preset), clips, probes)


def with_layer(model: QuantizedModel, name: str, **changes: Any) -> QuantizedModel:
    """``model`` with other ``weight``, ``weight_scale`` or ``bias`` in one layer."""
    layer = replace(model.layers[name], **changes)
    return replace(model, layers={**model.layers, name: layer})


def with_activation(model: QuantizedModel, name: str, **changes: Any) -> QuantizedModel:
    """``model`` with another ``scale`` or ``zero_point`` of one activation."""
    grid = replace(model.activations[name], **changes)
    return replace(model, activations={**model.activations, name: grid})
