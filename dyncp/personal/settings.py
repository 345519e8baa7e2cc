"""What `settings.toml` says, as values: schedules, mixes, recipes, shapes."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

from dyncp.errors import UserError
from dyncp.personal.e3net import E3NetShape
from dyncp.personal.losses import Guidance
from dyncp.personal.run import Schedule
from dyncp.personal.scenes import SCENARIOS, Scenario
from dyncp.personal.voices import SPEEDS
from dyncp.preset import Preset, load_preset

_FILE = Path(__file__).with_name("settings.toml")
VOICE, STEM = "voice", "stem"
"""What the stem of a gated network goes on from, and what every recipe goes on from."""


@dataclass(frozen=True)
class Recipe:
    """``shares``: of the scenarios in training; ``guidance``: what the pVAD changes in the loss."""

    name: str
    shares: Mapping[Scenario, float]
    guidance: Guidance


@dataclass(frozen=True)
class NetworkSettings:
    """A personalised enhancer: ``shape`` is an E3Net's, or the preset of a gated network."""

    name: str
    shape: E3NetShape | Preset


@cache
def _settings() -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def _schedule(values: Mapping[str, Any]) -> Schedule:
    return Schedule(**{field.name: values[field.name] for field in dataclasses.fields(Schedule)})


def encoder_settings() -> tuple[Schedule, int]:
    """How the speaker encoder is trained, and its dimensions."""
    values = _settings()["encoder"]
    return _schedule(values), values["dimensions"]


def pvad_settings() -> tuple[Schedule, int]:
    """How the personalised VAD is trained, and its width."""
    values = _settings()["pvad"]
    return _schedule(values), values["width"]


def speeds(name: str) -> tuple[int, ...]:
    """At how many tenths of their speed a training plays its voices: the VAD's, or a network's."""
    values = _settings()["pvad"] if name == "pvad" else _settings()["training"][name]
    return tuple(values.get("speeds", SPEEDS))


def recipe_names() -> list[str]:
    return list(_settings()["recipe"])


def recipe(name: str) -> Recipe:
    """A recipe, or a stage before; raises :class:`UserError` for a name that is neither."""
    if name in (VOICE, STEM):
        return dataclasses.replace(recipe("B1"), name=name)
    if name not in recipe_names():
        raise UserError(
            f"unknown recipe '{name}'; choose one of {STEM}, {', '.join(recipe_names())}"
        )
    values = _settings()["recipe"][name]
    mix = _settings()["mix"][values["mix"]]
    assert values["guidance"] in get_args(Guidance) and set(mix) <= set(SCENARIOS)
    return Recipe(name, mix, values["guidance"])


def network_names() -> list[str]:
    return list(_settings()["network"])


def network(name: str) -> NetworkSettings:
    """A network of the room; raises :class:`UserError` for an unknown name."""
    if name not in network_names():
        raise UserError(f"unknown network '{name}'; choose one of {', '.join(network_names())}")
    values = dict(_settings()["network"][name])
    if values.pop("kind") == "e3net":
        return NetworkSettings(name, E3NetShape(**values))
    return NetworkSettings(name, load_preset(values["preset"]))


def schedule(name: str, recipe_name: str) -> Schedule:
    """How a network is trained by a recipe or in a stage; a preset's stem as the preset says."""
    found = network(name)
    values = _settings()["training"][name]
    if recipe_name == STEM and isinstance(found.shape, Preset):
        training = dataclasses.asdict(found.shape.training)
        return _schedule(training | {"warm_up_steps": values["recipe"]["warm_up_steps"]})
    return _schedule(values[recipe_name if recipe_name in (VOICE, STEM) else "recipe"])


def stages(name: str) -> list[str]:
    """What is trained of a network before its recipes, in this order."""
    return [VOICE, STEM] if isinstance(network(name).shape, Preset) else [STEM]


def goes_on_from(name: str, recipe_name: str) -> str | None:
    """The stage that a network's recipe or stage goes on from; None for the first.

    Raises :class:`UserError` for a stage that the network does not have.
    """
    before = stages(name)
    if recipe_name == VOICE and VOICE not in before:
        raise UserError(f"'{name}' has no gates and no stage '{VOICE}'; its first is '{STEM}'")
    number = before.index(recipe_name) if recipe_name in before else len(before)
    return before[number - 1] if number else None
