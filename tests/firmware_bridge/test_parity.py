"""The board must be the network that was trained and quantised, byte for byte, on real audio."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.ladder import climb
from convert.rungs import IntegerRung
from dyncp import audio
from quantize.arithmetic import quantise
from quantize.model import QuantizedModel, load_model
from tests.firmware_bridge.conftest import BOARD, Built, assert_refused, run

EXACT = {
    "integer model",
    "tflite-runtime, reference kernels",
    "ai-edge-litert, reference kernels",
    "tensorflow, reference kernels",
    "C on the host",
    f"C on {BOARD}",
}


def parity(built: Built, out: Path, frames: int) -> subprocess.CompletedProcess[str]:
    return run(
        "firmware_bridge", "parity", "--board", BOARD, "--firmware", built.firmware,
        "--model", built.model, "--checkpoint", built.checkpoint, "--quantized", built.quantized,
        "--onnx", built.onnx, "--library", built.library, "--wav", built.noisy,
        "--frames", frames, "--out", out,
    )  # fmt: skip


def test_every_rung_is_equal_over_500_frames(built: Built, tmp_path: Path) -> None:
    result = parity(built, tmp_path / "parity.json", 500)
    assert result.returncode == 0, result.stdout + result.stderr
    report = json.loads((tmp_path / "parity.json").read_text())
    exact = {rung["name"]: rung for rung in report["rungs"] if rung["exact"]}
    assert set(exact) == EXACT
    preset = built.preset
    values_a_frame = preset.audio.bins + preset.blocks * (
        preset.gates + preset.gated_channels + preset.network.hidden + preset.network.channels
    )
    for rung in exact.values():
        assert rung["mismatches"] == 0
        assert rung["frames"] == 500
        assert rung["values"] == 500 * values_a_frame
    assert report["audio"]["samples"] >= 500 * preset.audio.hop
    assert report["audio"]["mismatches"] == 0
    assert result.stderr == ""


def first_features(built: Built, model: QuantizedModel, frames: int) -> np.ndarray:
    samples = audio.load_wav(built.noisy, 16000)[: frames * built.preset.audio.hop]
    grid = model.activations["features"]
    return quantise(audio.features(built.preset.audio, samples).T, grid.scale, grid.zero_point)


def test_one_broken_weight_byte_is_found_on_the_board(built: Built, tmp_path: Path) -> None:
    """The report names the frame, the tensor and the channel that the byte first reaches."""
    frames, layer = 12, "block4.down"
    model = load_model(built.quantized)
    weight = model.layers[layer].weight
    specification = IntegerRung(model)
    gates = [specification.step(f)["gate4_open"] for f in first_features(built, model, frames)]
    channel = int(np.argmax(np.sum(gates, axis=0)))  # a row that runs
    found = None
    for column in range(weight.shape[1]):
        broken = weight.copy()
        broken[channel, column] ^= np.int8(-128)
        changed = dataclasses.replace(model.layers[layer], weight=broken)
        wrong = dataclasses.replace(model, layers={**model.layers, layer: changed})
        rungs = [IntegerRung(model), IntegerRung(wrong)]
        found = climb(rungs, first_features(built, model, frames)).rungs[1].first_difference
        if found is not None:
            break
    assert found is not None
    assert (found.tensor, found.channel) == ("pool5_out", channel)

    copy = Built(tmp_path / "copy")
    shutil.copytree(built.folder, copy.folder)
    data, row = bytearray(built.model.read_bytes()), weight.tobytes()
    assert data.count(row) == 1
    data[data.find(row) + channel * weight.shape[1] + column] ^= 0x80
    copy.model.write_bytes(data)
    firmware = ("firmware", "--model", copy.model, "--board", BOARD, "--out", copy.firmware.parent)
    assert run("targets", *firmware).returncode == 0

    result = parity(copy, tmp_path / "parity.json", frames)
    assert result.returncode == 1, result.stderr
    report = json.loads((tmp_path / "parity.json").read_text())
    rungs_by_name: dict[str, Any] = {rung["name"]: rung for rung in report["rungs"]}
    for name in (f"C on {BOARD}", "ai-edge-litert, reference kernels"):
        assert rungs_by_name[name]["first_difference"] == dataclasses.asdict(found)
    assert rungs_by_name["C on the host"]["mismatches"] == 0  # it was built before
    assert f"first at {found}" in result.stdout


def test_other_firmware_is_refused_before_anything_runs(built: Built, tmp_path: Path) -> None:
    copy = Built(tmp_path / "copy")
    shutil.copytree(built.folder, copy.folder)
    figures = copy.firmware.with_suffix(".json")
    values = json.loads(figures.read_text())
    figures.write_text(json.dumps({**values, "model_hash": "00" * 32}))
    result = parity(copy, tmp_path / "parity.json", 5)
    assert_refused(result, "another model", "build it again")
    assert not (tmp_path / "parity.json").exists()


@pytest.mark.parametrize("frames", [0, -3])
def test_a_number_of_frames_must_be_positive(built: Built, tmp_path: Path, frames: int) -> None:
    result = parity(built, tmp_path / "parity.json", frames)
    assert_refused(result, "--frames must be at least 1")
