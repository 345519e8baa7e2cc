"""Tiny networks taken all the way to C: what the tests of this folder look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from convert.flatbuffer import pack, parse
from convert.onnx_export import export_onnx, layer_weights
from convert.structure import float_structure
from convert.tflite_build import build_tflite
from dyncp import audio
from dyncp.files import write_bytes
from dyncp.network import GatedConvFSENet
from dyncp.preset import Preset
from quantize.arithmetic import quantise
from quantize.calibrate import quantise_network
from quantize.integer_model import IntegerModel, open_gates
from quantize.model import QuantizedModel, load_model, save_model
from targets.compiler.compile import compile_model
from targets.compiler.plan import Plan
from targets.host_library import LIBRARY, HostLibrary, make_host_library
from tests.quantize.models import audio_features, mixed_network, noisy_speech

CLOSED_GATE = 0
"""This gate of every block never opens; most of the others open and close."""

FRAMES = 200

PROBES = {
    "f0": 60.0, "gender": 2.0, "noise/babble": 1.0, "noise/car": 0.2, "noise/white": 3.0,
    "pesq": 0.5, "si_sdr": 8.0, "snr": 10.0, "vad": 1.5,
}  # fmt: skip
"""The size of the weights by name; as many rows as are summed together, and one."""


@dataclass(frozen=True)
class Built:
    """A network as the quantised model, the .tflite and the C, in one folder."""

    preset: Preset
    folder: Path

    @property
    def tflite(self) -> Path:
        return self.folder / "model.tflite"

    @property
    def c_folder(self) -> Path:
        return self.folder / "c"

    @cached_property
    def model(self) -> QuantizedModel:
        return load_model(self.folder / "quantized.npz")

    @cached_property
    def plan(self) -> Plan:
        return compile_model(self.tflite)

    @cached_property
    def frames(self) -> NDArray[np.int8]:
        """Noisy speech that calibration has not seen, as int8 ``[FRAMES, bins]``."""
        return quantised_features(self.model, audio_features(self.preset, FRAMES, seed=8))

    @cached_property
    def expected(self) -> dict[str, NDArray[np.int8]]:
        """What the integer model makes of :attr:`frames` from a cold start."""
        return IntegerModel(self.model).run(self.frames)

    @cached_property
    def gates(self) -> NDArray[np.bool_]:
        """The open gates of :attr:`expected`, ``[FRAMES, blocks, gates]``."""
        found = open_gates(self.model, self.expected)
        shape = len(self.frames), self.preset.blocks, 0
        return np.stack(found, axis=1) if found else np.zeros(shape, np.bool_)

    def library(self) -> HostLibrary:
        """A new instance, cold."""
        return HostLibrary(self.c_folder / LIBRARY)


def quantised_features(model: QuantizedModel, features: NDArray[np.floating]) -> NDArray[np.int8]:
    """Float features ``[bins, frames]`` as the network's input, int8 ``[frames, bins]``."""
    grid = model.activations["features"]
    return quantise(features.T, grid.scale, grid.zero_point)


def noisy_pcm(preset: Preset, hops: int) -> NDArray[np.int16]:
    """Noisy speech as int16 ``[hops, hop]``."""
    rate, hop = preset.audio.sample_rate, preset.audio.hop
    samples = noisy_speech(rate, (hops + 1) * hop / rate, seed=3)
    return audio.to_pcm(samples[-hops * hop :]).reshape(hops, hop)


def build(preset: Preset, folder: Path) -> Built:
    """Make and convert a random network; done once for a folder."""
    built = Built(preset, folder)
    if (built.c_folder / LIBRARY).is_file():
        return built
    folder.mkdir(parents=True)
    network = _network(preset)
    clips = [audio_features(preset, 500, seed=7)]
    save_model(folder / "quantized.npz", quantise_network(network, clips, _probes(preset)))
    onnx = folder / "model.onnx"
    export_onnx(onnx, network)
    # From here on as the command lines do it, file by file.
    weights = layer_weights(onnx, preset)
    write_bytes(built.tflite, build_tflite(float_structure(onnx), weights, built.model))
    make_host_library(built.tflite, built.c_folder)
    return built


@torch.no_grad()
def _network(preset: Preset) -> GatedConvFSENet:
    network = mixed_network(preset)
    for block in network.blocks:
        if block.gate is not None:
            block.gate.score.weight[CLOSED_GATE] = 0.0
            block.gate.score.bias[CLOSED_GATE] = -1.0
    return network


def _probes(preset: Preset) -> list[dict[str, Any]]:
    """Rows of several tasks, of different sizes, on about two thirds of the gates."""
    if preset.gate is None:
        return []
    rng = np.random.default_rng(5)
    gates = preset.blocks * preset.gates
    used = rng.permutation(gates) < 2 * gates / 3
    return [
        {"name": name, "weights": size * rng.normal(size=gates) * used, "bias": size * rng.normal()}
        for name, size in PROBES.items()
    ]


def edited(tflite: Path, output: Path, edit: Callable[[Any], None]) -> Path:
    """A copy of a .tflite with ``edit`` applied to its ``ModelT``."""
    model = parse(tflite.read_bytes(), str(tflite))
    edit(model)
    output.write_bytes(pack(model))
    return output
