"""Networks converted once for all tests of this folder; onnx2tf takes 10 s each."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.conftest import id_of, tiny_preset
from tests.convert.built import Built, build

FAST = [("output", 1, 5), ("hidden", 8, 5), (None, 1, 1), ("output", 1, 5, 8)]
SLOW = [
    ("output", 4, 1), ("output", 8, 5), ("hidden", 1, 1), ("hidden", 4, 5), ("hidden", 8, 1, 8),
]  # fmt: skip


def _build(settings: tuple[Any, ...], factory: pytest.TempPathFactory) -> Built:
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # shared by the workers
    preset = tiny_preset(*settings)
    return build(preset, root / "convert" / preset.name)


def _name(settings: tuple[Any, ...]) -> str:
    return id_of(*settings)


@pytest.fixture(
    scope="session",
    params=[*FAST, *(pytest.param(settings, marks=pytest.mark.slow) for settings in SLOW)],
    ids=_name,
)
def any_built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Every kind of network."""
    return _build(request.param, tmp_path_factory)


@pytest.fixture(scope="session")
def output(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Gates on single output channels, with a moving average and a probe."""
    return _build(("output", 1, 5), tmp_path_factory)


@pytest.fixture(scope="session")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Gates on groups of 8 hidden channels, with a moving average and a probe."""
    return _build(("hidden", 8, 5), tmp_path_factory)


@pytest.fixture(scope="session")
def static(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """No gates."""
    return _build((None, 1, 1), tmp_path_factory)


@pytest.fixture(scope="session")
def personal(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Takes an embedding of 8 values; else as `output`."""
    return _build(("output", 1, 5, 8), tmp_path_factory)
