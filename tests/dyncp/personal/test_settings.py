"""Every recipe and network of settings.toml must be one that can be trained."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from dyncp.errors import UserError
from dyncp.personal import settings
from dyncp.personal.e3net import E3NetShape
from dyncp.personal.losses import Guidance
from dyncp.personal.run import Schedule
from dyncp.preset import Preset

RECIPES = ["stem", *settings.recipe_names()]


def sound(schedule: Schedule) -> bool:
    return (
        all(value > 0 for value in dataclasses.astuple(schedule))
        and schedule.final_learning_rate < schedule.learning_rate
        and schedule.warm_up_steps < schedule.steps
        and schedule.validate_every <= schedule.steps
    )


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_whole(name: str) -> None:
    recipe = settings.recipe(name)
    assert recipe.name == name
    assert sum(recipe.shares.values()) == pytest.approx(1)
    assert recipe.guidance in get_args(Guidance)


def test_the_recipes_are_those_that_are_compared() -> None:
    assert {"B1", "B2", "B3", "S1", "S2", "S3"} <= set(RECIPES)
    shares = {name: dict(settings.recipe(name).shares) for name in RECIPES}
    for name in ("S1", "S2", "S3"):
        assert shares[name] == shares["B3"]
    assert shares["stem"] == shares["B1"] and "TS3" not in shares["B1"]
    assert 0 < shares["B2"]["TS3"] < shares["B3"]["TS3"]
    guidance = {name: settings.recipe(name).guidance for name in RECIPES}
    assert {guidance[name] for name in ("stem", "B1", "B2", "B3")} == {"none"}
    assert (guidance["S1"], guidance["S2"], guidance["S3"]) == ("exclude", "noisy", "weight")


@pytest.mark.parametrize("name", ["pvad", *settings.network_names()])
def test_every_training_hears_voices_at_their_own_speed_too(name: str) -> None:
    speeds = settings.speeds(name)
    assert 10 in speeds and len(set(speeds)) == len(speeds) >= 3
    assert all(7 <= speed <= 13 for speed in speeds)


@pytest.mark.parametrize("name", settings.network_names())
def test_every_network_goes_on_from_what_was_trained_before(name: str) -> None:
    first, *later = settings.stages(name)
    assert settings.goes_on_from(name, first) is None
    for stage, before in zip(later, [first, *later], strict=False):
        assert settings.goes_on_from(name, stage) == before
    assert {settings.goes_on_from(name, r) for r in settings.recipe_names()} == {"stem"}
    for stage in (first, *later):
        assert sound(settings.schedule(name, stage))
        assert settings.recipe(stage).shares == settings.recipe("B1").shares


def test_only_gated_networks_learn_voices_first() -> None:
    assert settings.stages("personal") == ["voice", "stem"]
    with pytest.raises(UserError, match="'e3net-small' has no gates and no stage 'voice'"):
        settings.goes_on_from("e3net-small", "voice")


@pytest.mark.parametrize("name", settings.network_names())
def test_every_network_has_its_schedules(name: str) -> None:
    found = settings.network(name)
    assert found.name == name
    assert isinstance(found.shape, E3NetShape | Preset)
    stem, *recipes = (settings.schedule(name, recipe) for recipe in RECIPES)
    assert sound(stem) and all(sound(schedule) for schedule in recipes)
    # Recipes differ in their mix and guidance, and in nothing else.
    assert len(set(recipes)) == 1
    assert recipes[0].seed != stem.seed


def test_a_gated_network_takes_the_embedding_that_the_encoder_gives() -> None:
    shape = settings.network("personal").shape
    assert isinstance(shape, Preset) and shape.speaker
    assert shape.speaker.dimensions == settings.encoder_settings()[1]
    stem = settings.schedule("personal", "stem")
    assert (stem.steps, stem.seed) == (shape.training.steps, shape.training.seed)


def test_the_encoder_and_the_pvad_have_their_schedules() -> None:
    for schedule, width in (settings.encoder_settings(), settings.pvad_settings()):
        assert sound(schedule) and width > 0


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="unknown recipe 'S4'; choose one of stem, B1, B2, B3"):
        settings.recipe("S4")
    for ask in (settings.network, lambda name: settings.schedule(name, "B1")):
        with pytest.raises(UserError, match="unknown network 'e2net'; choose one of e3net"):
            ask("e2net")
