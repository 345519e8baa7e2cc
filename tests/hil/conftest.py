"""The board under test. Without ``--board`` and ``--firmware``: an emulated one, a tiny network.

The network's other forms lie beside the firmware's folder, as ``make`` leaves them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from quantize.model import QuantizedModel, load_model
from targets.board import Board as Target
from targets.firmware_build import build_firmware, read_firmware
from targets.host_library import HostLibrary, make_host_library
from tests.conftest import tiny_preset
from tests.targets.built import build

DEFAULT_BOARD = "mps2-an386"


@pytest.fixture(scope="session")
def board_name(request: pytest.FixtureRequest) -> str:
    return request.config.getoption("--board") or DEFAULT_BOARD


@pytest.fixture(scope="session")
def firmware_folder(
    board_target: Target,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    given: Path | None = request.config.getoption("--firmware")
    if given:
        return given
    if board_target.emulator is None:
        pytest.skip("say what the board was flashed with: --firmware FOLDER")
    preset = tiny_preset("hidden", 8, 5)
    built = build(preset, tmp_path_factory.getbasetemp() / "targets" / preset.name)
    folder = built.folder / board_target.name
    build_firmware(built.tflite, board_target, folder)
    return folder


@pytest.fixture(scope="session")
def model(firmware_folder: Path) -> QuantizedModel:
    """The specification of what the board runs."""
    path = firmware_folder.parent / "quantized.npz"
    model = load_model(path)
    if model.model_hash != read_firmware(firmware_folder / "firmware.elf").model_hash:
        pytest.fail(f"{path} is not what {firmware_folder} was built of; run make again", False)
    return model


@pytest.fixture(scope="session")
def host(firmware_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> HostLibrary:
    """The same network in C, on this machine."""
    folder = tmp_path_factory.mktemp("host")
    return HostLibrary(make_host_library(firmware_folder.parent / "model.tflite", folder))
