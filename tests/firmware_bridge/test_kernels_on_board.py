"""Every emulated core against the integer model and the host, for every way of gating."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dyncp.preset import Preset
from firmware_bridge.emulator import EmulatorTransport
from firmware_bridge.session import Board
from quantize.macs import executed_work
from targets.board import Board as Target
from targets.board import load_board
from targets.firmware_build import build_firmware
from tests.conftest import tiny_preset
from tests.firmware_bridge.conftest import EMULATED_BOARDS
from tests.targets.built import Built, build, noisy_pcm

SETTINGS: list[Any] = [
    ("hidden", 8, 5),
    *(
        pytest.param(settings, marks=pytest.mark.slow)
        for settings in (
            ("output", 1, 5), ("output", 4, 1), ("output", 8, 5),
            ("hidden", 1, 1), ("hidden", 4, 5), (None, 1, 1),
        )
    ),
]  # fmt: skip
FRAMES = 60
HOPS = 40


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    preset: Preset = tiny_preset(*request.param)
    return build(preset, tmp_path_factory.mktemp("board") / preset.name)


@pytest.fixture(params=EMULATED_BOARDS)
def target(request: pytest.FixtureRequest) -> Target:
    return load_board(request.param)


def test_every_tensor_and_counter_is_that_of_the_integer_model(
    built: Built, target: Target, tmp_path: Path
) -> None:
    firmware = build_firmware(built.tflite, target, tmp_path)
    assert "quads" in firmware.layouts.values()
    with Board(EmulatorTransport(target, tmp_path / "firmware.elf")) as session:
        for index, frame in enumerate(built.frames[:FRAMES]):
            result = session.process_frame(frame)
            for name, values in session.tensors().items():
                np.testing.assert_array_equal(
                    values, built.expected[name][index], err_msg=f"frame {index}, {name}"
                )
            np.testing.assert_array_equal(result.gates, built.gates[index])
            work = executed_work(built.preset, list(built.gates[index]), firmware.layouts)
            for layer in session.layers():
                counted = layer.executed_macs, layer.weight_bytes
                assert counted == (work[layer.name].macs, work[layer.name].weight_bytes), layer


def test_audio_comes_back_as_from_the_host(built: Built, target: Target, tmp_path: Path) -> None:
    """The spectrum, the mask and the overlap-add of a core, too, byte for byte."""
    build_firmware(built.tflite, target, tmp_path)
    library = built.library()
    with Board(EmulatorTransport(target, tmp_path / "firmware.elf")) as session:
        for index, pcm in enumerate(noisy_pcm(built.preset, HOPS)):
            result = session.process_hop(pcm)
            expected = library.process_hop(pcm)
            np.testing.assert_array_equal(result.pcm, expected, err_msg=f"hop {index}")
            assert result.counters.executed_macs == library.counters().executed_macs
            assert list(result.probes) == list(library.probes().values())
