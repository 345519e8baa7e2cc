"""Small networks that every folder's tests share."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from dyncp.preset import Preset, parse_preset

# A busy machine is slow: how long an example takes is not what the tests are about.
settings.register_profile("sluice", deadline=None)
settings.load_profile("sluice")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a folder's tests in one process: what they build is built once."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(item.path.parent.name))


TINY: dict[str, Any] = {
    "audio": {
        "sample_rate": 16000,
        "n_fft": 64,
        "hop": 32,
        "bins": 33,
        "compression": 0.3,
        "epsilon": 1e-5,
    },
    "network": {"channels": 16, "hidden": 32, "stacks": 1, "dilations": [1, 2]},
    "gate": {
        "site": "output",
        "group": 1,
        "hidden": 4,
        "pool_frames": 5,
        "utilisation": 0.25,
        "surrogate": "sigmoid",
    },
    "training": {
        "seed": 1,
        "steps": 6,
        "batch": 2,
        "crop_seconds": 0.5,
        "learning_rate": 1e-3,
        "final_learning_rate": 1e-5,
        "utilisation_weight": 1.0,
        "utilisation_ramp_steps": 2,
        "validate_every": 3,
    },
}


def tiny_values(**gate: Any) -> dict[str, Any]:
    """The tiny preset's values with some gate settings changed."""
    values = copy.deepcopy(TINY)
    values["gate"].update(gate)
    return values


def write_toml(path: Path, values: dict[str, Any]) -> Path:
    """A preset's values as the file that a command line reads."""
    lines = []
    for section, keys in values.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def tiny_preset(
    site: str | None = "output", group: int = 1, pool_frames: int = 5, speaker: int = 0
) -> Preset:
    """A two-block network of 16/32 channels; ``site`` None for one without gates.

    ``speaker``: the dimensions of the embedding that it takes, if any.
    """
    values = tiny_values(site=site, group=group, pool_frames=pool_frames)
    name = f"tiny-{site}-{group}-{pool_frames}"
    if site is None:
        del values["gate"]
        name = "tiny-static"
    if speaker:
        values["speaker"] = {"dimensions": speaker}
        name += "-personal"
    return parse_preset(name, values, source=name)


def id_of(site: str | None, group: int, pool_frames: int, speaker: int = 0) -> str:
    """What a tiny preset's tests are called."""
    name = f"{site}-x{group}-pool{pool_frames}" if site else "static"
    return f"{name}-personal" if speaker else name


COMMON: list[tuple[Any, ...]] = [
    ("output", 1, 5), ("output", 4, 1), ("output", 8, 5),
    ("hidden", 1, 1), ("hidden", 4, 5), ("hidden", 8, 5), (None, 1, 1),
]  # fmt: skip
PERSONAL: list[tuple[Any, ...]] = [("output", 1, 5, 8), ("hidden", 8, 1, 8)]


@pytest.fixture(params=[*COMMON, *PERSONAL], ids=lambda settings: id_of(*settings))
def any_tiny_preset(request: pytest.FixtureRequest) -> Preset:
    """Every gate site and group size, with and without a moving average, no gate; and two
    that take an embedding."""
    return tiny_preset(*request.param)


@pytest.fixture(params=COMMON, ids=lambda settings: id_of(*settings))
def any_common_preset(request: pytest.FixtureRequest) -> Preset:
    """The same, but for those that take an embedding."""
    return tiny_preset(*request.param)
