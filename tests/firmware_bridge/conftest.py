"""The shipped network, taken to the emulated board by the commands that users run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dyncp.audio import load_wav, to_pcm
from dyncp.preset import Preset, load_preset
from firmware_bridge.emulator import EmulatorTransport
from firmware_bridge.session import Board
from targets.board import board_names, load_board
from targets.sanitised_rung import PROGRAM
from tests.firmware_bridge.fake_board import FakeBoard, build_library

BOARD = "mps2-an386"
EMULATED_BOARDS = [name for name in board_names() if load_board(name).emulator]
COMMAND_SECONDS = 900
"""Generous: a busy machine converts the network in minutes."""


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m`` with arguments; never raises for its exit code."""
    return subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
        env={**os.environ, **environment},
    )


def assert_refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2 and one line that holds ``words``."""
    assert result.returncode == 2, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]


@dataclass(frozen=True)
class Built:
    """A folder with everything that `make` builds, and the audio to run."""

    folder: Path

    @property
    def preset(self) -> Preset:
        return load_preset("paper")

    @property
    def trained(self) -> Path:
        return self.folder / "model.pt"

    @property
    def checkpoint(self) -> Path:
        """The float network of the integers."""
        return self.folder / "deployed.pt"

    @property
    def quantized(self) -> Path:
        return self.folder / "quantized.npz"

    @property
    def onnx(self) -> Path:
        return self.folder / "model.onnx"

    @property
    def model(self) -> Path:
        return self.folder / "model.tflite"

    @property
    def library(self) -> Path:
        return self.folder / "host" / "libsluice.so"

    @property
    def sanitised(self) -> Path:
        return self.library.parent / PROGRAM

    @property
    def firmware(self) -> Path:
        return self.folder / "board" / "firmware.elf"

    @property
    def noisy(self) -> Path:
        return self.folder / "noisy.wav"

    @property
    def stream(self) -> Path:
        """A thousand frames and more in two kinds of noise."""
        return self.folder / "stream.wav"

    @property
    def clean(self) -> Path:
        return self.folder / "clean.wav"

    def pcm(self, seconds: float) -> NDArray[np.int16]:
        """The beginning of the noisy audio: int16 ``[samples]``."""
        rate = self.preset.audio.sample_rate
        pcm: NDArray[np.int16] = to_pcm(load_wav(self.noisy, rate))[: int(seconds * rate)]
        return pcm

    def session(self) -> Board:
        """An emulator of its own, greeted."""
        return Board(EmulatorTransport(load_board(BOARD), self.firmware))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    built = Built(tmp_path_factory.mktemp("paper"))
    steps: tuple[tuple[object, ...], ...] = (
        ("dyncp", "example", "--noisy", built.noisy, "--clean", built.clean),
        ("dyncp", "stream", "--out", built.stream, "--seconds", 17),
        ("dyncp", "checkpoint", "--preset", "paper", "--out", built.trained),
        ("quantize", "ptq", "--checkpoint", built.trained, "--deployed", built.checkpoint,
         "--out", built.quantized),
        ("convert", "onnx", "--checkpoint", built.checkpoint, "--out", built.onnx),
        ("convert", "tflite", "--onnx", built.onnx, "--quantized", built.quantized,
         "--out", built.model),
        ("targets", "host", "--model", built.model, "--out", built.library.parent, "--sanitised"),
        ("targets", "firmware", "--model", built.model, "--board", BOARD,
         "--out", built.firmware.parent),
    )  # fmt: skip
    for step in steps:
        result = run(*step)
        assert result.returncode == 0, f"{step}: {result.stderr}"
    return built


@pytest.fixture
def session(built: Built) -> Iterator[Board]:
    """An open session on an emulator of its own."""
    with built.session() as session:
        yield session


@pytest.fixture(scope="session")
def link_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The firmware's link for the host, around a fake enhancer."""
    return build_library(tmp_path_factory.mktemp("link") / "libboard.so")


@pytest.fixture
def fake_board(link_library: Path) -> FakeBoard:
    """That link, just powered on."""
    return FakeBoard(link_library)
