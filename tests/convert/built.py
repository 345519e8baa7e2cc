"""Tiny networks with all their files, and ways to break a .tflite."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from convert.contract import check_contract
from convert.flatbuffer import operator_name, pack, parse, text
from convert.onnx_export import export_onnx, layer_weights
from convert.structure import float_structure
from convert.tflite_build import build_tflite
from dyncp.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dyncp.errors import UserError
from dyncp.files import write_bytes
from dyncp.network import GatedConvFSENet
from dyncp.preset import Preset
from quantize.arithmetic import quantise
from quantize.model import QuantizedModel, load_model, save_model
from tests.quantize.models import audio_features, mixed_network, probe_of, tiny_model

Metadata = dict[str, Any]
Edit = Callable[[Any], Any]
"""A change of a ``ModelT`` in place."""


@dataclass(frozen=True)
class Built:
    """One network: checkpoint, quantised model, ONNX, onnx2tf's float .tflite, and ours."""

    preset: Preset
    folder: Path

    @property
    def checkpoint(self) -> Path:
        return self.folder / "model.pt"

    @property
    def quantized(self) -> Path:
        return self.folder / "quantized.npz"

    @property
    def onnx(self) -> Path:
        return self.folder / "model.onnx"

    @property
    def structure(self) -> Path:
        return self.folder / "structure.tflite"

    @property
    def tflite(self) -> Path:
        return self.folder / "model.tflite"

    @cached_property
    def network(self) -> GatedConvFSENet:
        return load_checkpoint(self.checkpoint).network

    @cached_property
    def model(self) -> QuantizedModel:
        return load_model(self.quantized)

    @cached_property
    def weights(self) -> dict[str, NDArray[np.float32]]:
        return layer_weights(self.onnx, self.preset)

    def features(self, frames: int) -> NDArray[np.float32]:
        """Noisy speech that calibration has not seen, ``[bins, frames]``."""
        return audio_features(self.preset, frames, seed=8)

    def frames(self, frames: int) -> NDArray[np.int8]:
        """The same as the network's input, ``[frames, bins]``."""
        grid = self.model.activations["features"]
        return quantise(self.features(frames).T, grid.scale, grid.zero_point)


def build(preset: Preset, folder: Path) -> Built:
    """Make all files of a network, once for all processes that share ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    built = Built(preset, folder)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.tflite.is_file():
            probes = [probe_of(preset)] if preset.gate else []
            save_checkpoint(built.checkpoint, Checkpoint(preset, mixed_network(preset), probes))
            save_model(built.quantized, tiny_model(preset))
            export_onnx(built.onnx, built.network)
            write_bytes(built.structure, float_structure(built.onnx))
            structure = built.structure.read_bytes()
            write_bytes(built.tflite, build_tflite(structure, built.weights, built.model))
    return built


def edited(source: Path, output: Path, edit: Edit) -> Path:
    """A copy of a .tflite with ``edit`` applied to its ``ModelT``."""
    model = parse(source.read_bytes(), str(source))
    edit(model)
    output.write_bytes(pack(model))
    return output


def with_metadata(edit: Callable[[Metadata], Any]) -> Edit:
    """An edit of a ``ModelT`` that changes its ``sluice`` entry in place."""

    def apply(model: Any) -> None:
        buffer = model.buffers[model.metadata[0].buffer]
        entry = json.loads(bytes(buffer.data).decode())
        edit(entry)
        buffer.data = np.frombuffer(json.dumps(entry).encode(), np.uint8)

    return apply


def tensor(model: Any, name: str) -> Any:
    """The ``TensorT`` of that name."""
    (found,) = [t for t in model.subgraphs[0].tensors if text(t.name) == name]
    return found


def index_of(model: Any, name: str) -> int:
    """The index of the tensor of that name."""
    return [text(t.name) for t in model.subgraphs[0].tensors].index(name)


def operator(model: Any, kind: str, output: str) -> Any:
    """The one operator of that kind whose output has that name."""
    (found,) = [
        op
        for op in model.subgraphs[0].operators
        if operator_name(model, op) == kind
        and text(model.subgraphs[0].tensors[op.outputs[0]].name) == output
    ]
    return found


def values(model: Any, name: str) -> NDArray[np.uint8]:
    """The bytes of a constant, to be changed in place."""
    buffer = model.buffers[tensor(model, name).buffer]
    buffer.data = np.array(buffer.data, np.uint8)
    return buffer.data


def refused(built: Built, tmp_path: Path, edit: Edit) -> str:
    """The one line with which the edited file is refused, without the file's name."""
    path = edited(built.tflite, tmp_path / "broken.tflite", edit)
    with pytest.raises(UserError) as error:
        check_contract(path)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(str(path)).lstrip(": ")
