"""Every emulated core against the integer model and the host, for every way of gating."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dyncp.preset import Preset
from firmware_bridge.emulator import EmulatorTransport
from firmware_bridge.session import Board
from quantize.integer_model import probe_score
from quantize.macs import executed_work, total
from targets.board import Board as Target
from targets.board import load_board
from targets.firmware_build import build_firmware
from tests.conftest import tiny_preset
from tests.firmware_bridge.conftest import EMULATED_BOARDS
from tests.targets.built import Built, build, noisy_pcm

NEEDED = {"dsp": "quads", "helium": "octets"}
"""For every form of the kernels a layout that no network does without."""

USUAL = 16, 32
SETTINGS: list[Any] = [
    (("hidden", 8, 5), USUAL),
    (("output", 1, 5), (19, 37)),
    *(
        pytest.param((gating, sizes), marks=pytest.mark.slow)
        for gating, sizes in (
            (("output", 1, 5), USUAL), (("output", 4, 1), USUAL), (("output", 8, 5), USUAL),
            (("hidden", 1, 1), USUAL), (("hidden", 4, 5), USUAL), ((None, 1, 1), USUAL),
            (("output", 4, 5), (28, 35)), (("output", 8, 1), (24, 33)),
            (("hidden", 1, 5), (11, 27)), (("hidden", 4, 5), (13, 52)),
            (("hidden", 8, 1), (21, 72)), ((None, 1, 1), (9, 14)),
        )
    ),
]  # fmt: skip
"""Gating, and channels and hidden channels: few kernels' blocks are filled by the odd ones."""

FRAMES = 60
HOPS = 40


def _preset(settings: tuple[Any, tuple[int, int]]) -> Preset:
    gating, (channels, hidden) = settings
    preset = tiny_preset(*gating)
    network = replace(preset.network, channels=channels, hidden=hidden)
    return replace(preset, name=f"{preset.name}-{channels}-{hidden}", network=network)


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    preset = _preset(request.param)
    return build(preset, tmp_path_factory.mktemp("board") / preset.name)


@pytest.fixture(params=EMULATED_BOARDS)
def target(request: pytest.FixtureRequest) -> Target:
    return load_board(request.param)


def test_every_tensor_score_and_counter_is_that_of_the_integer_model(
    built: Built, target: Target, tmp_path: Path
) -> None:
    firmware = build_firmware(built.tflite, target, tmp_path)
    assert NEEDED[target.core.kernels] in firmware.layouts.values()
    probes = built.model.probes
    with Board(EmulatorTransport(target, tmp_path / "firmware.elf")) as session:
        assert session.probe_names == [probe.name for probe in probes]
        for index, frame in enumerate(built.frames[:FRAMES]):
            result = session.process_frame(frame)
            for tensor, values in session.tensors().items():
                np.testing.assert_array_equal(
                    values, built.expected[tensor][index], err_msg=f"frame {index}, {tensor}"
                )
            np.testing.assert_array_equal(result.gates, built.gates[index])
            scores = [probe_score(probe, list(built.gates[index])) for probe in probes]
            assert result.probes.tolist() == scores, f"frame {index}"
            work = executed_work(built.preset, list(built.gates[index]), firmware.layouts)
            for layer in session.layers():
                counted = layer.executed_macs, layer.weight_bytes
                assert counted == (work[layer.name].macs, work[layer.name].weight_bytes), layer


def test_audio_comes_back_as_from_the_host(built: Built, target: Target, tmp_path: Path) -> None:
    """The spectrum, the mask and the overlap-add of a core, too, byte for byte."""
    firmware = build_firmware(built.tflite, target, tmp_path)
    library = built.library()
    with Board(EmulatorTransport(target, tmp_path / "firmware.elf")) as session:
        for index, pcm in enumerate(noisy_pcm(built.preset, HOPS)):
            result = session.process_hop(pcm)
            expected = library.process_hop(pcm)
            np.testing.assert_array_equal(result.pcm, expected, err_msg=f"hop {index}")
            # Not the library's counts: a core may run dense where few inputs are closed.
            work = total(executed_work(built.preset, list(result.gates), firmware.layouts))
            counted = result.counters.executed_macs, result.counters.weight_bytes
            assert counted == (work.macs, work.weight_bytes)
            assert list(result.probes) == list(library.probes().values())
