"""A refinement must be what the preset says, reproducible, and no way to lose a trained run."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from dyncp.errors import UserError
from dyncp.preset import Preset, parse_preset
from dyncp.training import trainer as module
from dyncp.training import transfer
from dyncp.training.trainer import Trainer, Validation
from tests.conftest import tiny_values
from tests.dyncp.test_training_keys import ship
from tests.dyncp.test_training_runs import assert_same_weights, points

REFINEMENT = {"steps": 4, "learning_rate": 5e-4, "utilisation": 0.4, "speeds": [9, 12]}


def refined(**changes: Any) -> Preset:
    values = tiny_values()
    values["refinement"] = REFINEMENT | changes
    return parse_preset("tiny", values, "tiny")


def test_what_a_refinement_says_replaces_the_trainings_and_the_rest_stays() -> None:
    preset = refined()
    assert preset.total_steps == 10
    assert preset.speeds == (9, 12)
    then = preset.refined()
    assert then.gate and preset.gate
    assert (then.gate.utilisation, preset.gate.utilisation) == (0.4, 0.25)
    assert (then.training.steps, then.training.learning_rate) == (4, 5e-4)
    assert then.training.final_learning_rate == preset.training.final_learning_rate
    assert then.training.utilisation_weight == preset.training.utilisation_weight
    assert then.refined() is then
    assert then.architecture() == preset.architecture()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A run that was never stopped."""
    trainer = Trainer(refined(), tmp_path_factory.mktemp("whole"), threads=1)
    trainer.run()
    return trainer


def test_the_refinement_has_rate_and_steps_of_its_own(whole: Trainer) -> None:
    assert whole.step == 10
    assert [v.step for v in whole.history] == [3, 6, 9, 10]
    rates = points(whole.curves_path, "train/learning_rate")
    # Both begin with a warm-up of 200 steps.
    assert rates[1] == pytest.approx(1e-3 / 200, rel=1e-3)
    assert rates[7] == pytest.approx(5e-4 / 200, rel=1e-3)


def test_a_trained_run_goes_on_where_its_preset_is_given_a_refinement(
    whole: Trainer, tmp_path: Path
) -> None:
    Trainer(parse_preset("tiny", tiny_values(), "tiny"), tmp_path, threads=1).run()
    later = Trainer(refined(), tmp_path, threads=1)
    assert later.resume()
    assert later.step == 6
    later.run()
    assert_same_weights(whole, later)
    assert later.history == whole.history


def test_a_refinement_that_has_begun_cannot_become_another(whole: Trainer, tmp_path: Path) -> None:
    shutil.copy(whole.state_path, tmp_path / "state.pt")
    for other in (
        refined(utilisation=0.3),
        refined(steps=5),
        parse_preset("tiny", tiny_values(), ""),
    ):
        with pytest.raises(UserError, match="another version of preset"):
            Trainer(other, tmp_path, threads=1).resume()


def test_the_refinements_best_is_kept_though_losses_were_lower_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under another target, or on more voices, they do not compare."""
    losses = {3: 0.1, 6: 0.2, 9: 0.4, 10: 0.5}
    kept: dict[int, dict[str, torch.Tensor]] = {}

    def validate(self: Trainer) -> Validation:
        kept[self.step] = {k: v.clone() for k, v in self.network.state_dict().items()}
        return Validation(self.step, losses[self.step], 0.0, 0.25)

    monkeypatch.setattr(Trainer, "validate", validate)
    trainer = Trainer(refined(), tmp_path, threads=1)
    trainer.run()
    best = torch.load(trainer.best_path, weights_only=True)["weights"]
    assert all(torch.equal(best[name], kept[9][name]) for name in best)
    assert trainer.record()["best"]["step"] == 9


def test_the_refinement_has_a_teacher_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = tiny_values()
    first = ship(tmp_path, monkeypatch)
    values["training"] |= {"teacher": first, "distillation_weight": 1.0}
    alone = Trainer(parse_preset("tiny", values, "tiny"), tmp_path / "run", threads=1)
    alone.run()
    values["refinement"] = REFINEMENT | {"teacher": "other"}
    with pytest.raises(UserError, match=r"\[refinement\] teacher: unknown preset 'other'"):
        Trainer(parse_preset("tiny", values, "tiny"), tmp_path / "run", threads=1)

    (tmp_path / "better").mkdir()
    better = ship(tmp_path / "better", monkeypatch, seed=5)
    shutil.copy(tmp_path / "better" / "static.pt", tmp_path / "better.pt")
    shutil.copy(better, tmp_path / "better.toml")
    monkeypatch.setattr(transfer, "SHIPPED_FOLDER", tmp_path)
    ends = {}
    for name, teacher in (("same", first), ("better", str(tmp_path / "better.toml"))):
        shutil.copytree(tmp_path / "run", tmp_path / f"run-{name}")
        values["refinement"]["teacher"] = teacher
        preset = parse_preset("tiny", values, "tiny")
        ends[name] = Trainer(preset, tmp_path / f"run-{name}", threads=1)
        assert ends[name].resume()
        ends[name].run()
    with pytest.raises(AssertionError):
        assert_same_weights(ends["same"], ends["better"])
    made = ends["better"].record()["checkpoints_sha256"]
    assert made["refinement_teacher"] == digest(tmp_path / "better.pt")
    assert made["teacher"] == digest(tmp_path / "static.pt")

    ship(tmp_path / "better", monkeypatch, seed=6)
    shutil.copy(tmp_path / "better" / "static.pt", tmp_path / "better.pt")
    monkeypatch.setattr(transfer, "SHIPPED_FOLDER", tmp_path)
    with pytest.raises(UserError, match="the checkpoint that teaches has changed"):
        Trainer(preset, tmp_path / "run-better", threads=1).resume()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_voices_are_played_at_other_speeds_in_the_refinement_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: dict[int, set[str]] = {}
    trainer = Trainer(refined(), tmp_path, threads=1)
    stack = module.stacked

    def stacked(mixtures: Any, *rest: Any) -> Any:
        if len(mixtures) == trainer.preset.training.batch:  # not the validation's clips
            heard[trainer.step] = {mixture.speaker.name for mixture in mixtures}
        return stack(mixtures, *rest)

    monkeypatch.setattr(module, "stacked", stacked)
    trainer.run()
    for step, names in heard.items():
        assert all(name.endswith(" tenths") == (step >= 6) for name in names), step
