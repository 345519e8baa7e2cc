"""A recipe must be trained from its stem with its own loss, and leave files that load."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dyncp.checkpoint import load_checkpoint
from dyncp.errors import UserError
from dyncp.personal import encoder_training, enhancer_training, settings, train, vad_training
from dyncp.personal.checkpoints import (
    SHIPPED,
    load_encoder,
    load_enhancer,
    load_guide,
    load_pvad,
    save_enhancer,
)
from dyncp.personal.e3net import E3NetShape
from dyncp.personal.enhancer_training import EnhancerTask
from dyncp.personal.enhancers import Enhancer
from dyncp.personal.guide import TARGET_WEIGHT
from dyncp.personal.pvad import PersonalVad
from dyncp.personal.run import Run, Schedule
from dyncp.personal.scenes import SceneSource
from dyncp.personal.settings import NetworkSettings
from dyncp.preset import parse_preset
from tests.conftest import tiny_values

QUICK = Schedule(
    seed=3, steps=2, batch=2, crop_seconds=0.5, learning_rate=1e-3,
    final_learning_rate=1e-4, validate_every=2, warm_up_steps=1,
)  # fmt: skip
TINY = NetworkSettings("e3net-small", E3NetShape(64, 12, 8, 2))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, unseen: SceneSource) -> None:
    """Two steps on little, with the validation's voices in place of the training's many."""
    for module in (encoder_training, vad_training, enhancer_training):
        monkeypatch.setattr(module, "SceneSource", lambda rate, split, cache, speeds=(): unseen)
    monkeypatch.setattr(settings, "encoder_settings", lambda: (QUICK, 32))
    monkeypatch.setattr(settings, "pvad_settings", lambda: (QUICK, 64))
    monkeypatch.setattr(settings, "schedule", lambda name, recipe: QUICK)
    monkeypatch.setattr(settings, "network", lambda name: TINY)
    monkeypatch.setattr("dyncp.personal.checkpoints.network", lambda name: TINY)
    monkeypatch.setattr(vad_training, "_VALIDATION_SCENES", 3)
    monkeypatch.setattr(vad_training, "_VALIDATION_SECONDS", 1.0)
    monkeypatch.setattr(enhancer_training, "_VALIDATION", {"TS1": 2, "TS2": 1, "TS3": 1})
    monkeypatch.setattr(enhancer_training, "_VALIDATION_SECONDS", 1.0)
    monkeypatch.setattr(encoder_training, "_TRIALS_A_VOICE", 2)


def weights(folder: Path, recipe: str) -> dict[str, torch.Tensor]:
    return load_enhancer("e3net-small", recipe, folder).state_dict()


def test_everything_is_trained_from_what_was_trained_before_it(tmp_path: Path) -> None:
    state, shipped = tmp_path / "state", tmp_path / "shipped"
    with pytest.raises(UserError, match=r"no such checkpoint: \S*encoder\.pt"):
        train.train("pvad", None, state, shipped)
    train.train("encoder", None, state, shipped)
    with pytest.raises(UserError, match=r"no such checkpoint: \S*pvad\.pt"):
        train.train("e3net-small", "stem", state, shipped)
    train.train("pvad", None, state, shipped)
    with pytest.raises(UserError, match=r"no such checkpoint: \S*e3net-small-stem\.pt"):
        train.train("e3net-small", "B1", state, shipped)
    for recipe in ("stem", "B1", "S1"):
        train.train("e3net-small", recipe, state, shipped)

    stem, b1, s1 = (weights(shipped, name) for name in ("stem", "B1", "S1"))
    for name in ("network.encoder.weight", "network.decoder.weight"):
        assert torch.equal(stem[name], b1[name])
    name = "network.mask.weight"
    moved = [(other[name] - stem[name]).abs().max() for other in (b1, s1)]
    assert all(0 < far < 0.01 for far in moved)  # two steps from the stem, and no further
    assert not torch.equal(b1[name], s1[name])
    assert load_encoder(shipped).dimensions == 32 and load_pvad(shipped).width == 64
    record = json.loads((shipped / "e3net-small-S1.json").read_text())
    assert record["identity"]["recipe"] == "S1" and record["identity"]["guidance"] == "exclude"
    assert record["identity"]["vad"] and record["identity"]["start"]
    assert {"loss", "TS1_si_sdr_gain", "TS3_decibels_down"} <= set(record["best"])

    # A recipe that was begun from another stem is not gone on with.
    reseeded = replace(QUICK, seed=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "schedule", lambda name, recipe: reseeded)
        train.train("e3net-small", "stem", tmp_path / "other", shipped)
    with pytest.raises(UserError, match=r"e3net-small-S1 holds another run .*: start changed"):
        train.train("e3net-small", "S1", state, shipped)


def gated() -> NetworkSettings:
    values = tiny_values()
    values["audio"].update(n_fft=512, hop=256, bins=257)
    values["speaker"] = {"dimensions": 32}
    # Four hidden channels for each dimension and some more, in a second stack.
    values["network"] |= {"hidden": 144, "stacks": 2}
    return NetworkSettings("tiny", parse_preset("tiny-personal", values, "tiny-personal"))


def task(recipe: str, network: NetworkSettings = TINY) -> EnhancerTask:
    torch.manual_seed(1)
    vad, enhancer, start = PersonalVad(32, 8), Enhancer(network, 32), Enhancer(network, 32)
    how = settings.recipe(recipe)
    return EnhancerTask(
        enhancer, how, QUICK, encoder=load_encoder(), vad=vad, cache=Path("unused"), start=start
    )


def test_a_step_depends_on_its_number_alone() -> None:
    one, other = task("S3"), task("S3")
    first = one.loss(0)[0]
    assert torch.equal(other.loss(1)[0], one.loss(1)[0])
    assert torch.equal(other.loss(0)[0], first)
    assert not torch.equal(one.loss(1)[0], first)


def test_the_recipes_guidance_reaches_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch without the target and a VAD that is fooled: each recipe learns otherwise."""
    away = replace(settings.recipe("B3"), shares={"TS3": 1.0})
    losses = {}
    for name in ("B3", "S1", "S2", "S3", "S2-soft"):
        made = task(name)
        made.recipe = replace(away, guidance=settings.recipe(name).guidance)
        monkeypatch.setattr(
            made._vad,
            "target_probability",
            lambda features, embedding: torch.full(features.shape[::2], 0.75),
        )
        losses[name] = made.loss(0)[0].item()
    assert losses["S1"] == 0.0  # every frame is left out
    assert losses["S3"] == pytest.approx(losses["B3"], rel=1e-5)  # the same weight everywhere
    assert len({round(losses[name], 6) for name in ("S2", "S2-soft", "B3")}) == 3


def test_the_validation_weighs_scenarios_as_the_recipe_mixes_them() -> None:
    made = task("B3")
    made.enhancer.eval()
    with torch.no_grad():
        found = {}
        for name in ("TS1", "TS2", "TS3"):
            made.recipe = replace(made.recipe, shares={name: 1.0})
            found[name] = made.validate()["loss"]
        made.recipe = settings.recipe("B3")
        mixed = made.validate()["loss"]
    shares = settings.recipe("B3").shares
    assert mixed == pytest.approx(sum(found[name] * share for name, share in shares.items()))
    assert len(set(found.values())) == 3


@pytest.mark.parametrize("network", [TINY, gated()], ids=["e3net", "gated"])
def test_a_training_moves_the_network_and_not_what_guides_it(
    network: NetworkSettings, tmp_path: Path
) -> None:
    made = task("S2", network)
    start = {name: weight.clone() for name, weight in made.enhancer.state_dict().items()}
    vad = {name: weight.clone() for name, weight in made._vad.state_dict().items()}
    made.loss(0)[0].backward()
    assert all(weight.grad is None for weight in made._vad.parameters())
    trained = {name for name, w in made.enhancer.named_parameters() if w.requires_grad}
    still = {
        name for name, w in made.enhancer.named_parameters() if name in trained and w.grad is None
    }
    assert not still
    Run(made, tmp_path).run()
    assert all(torch.equal(vad[name], weight) for name, weight in made._vad.state_dict().items())
    moved = {
        name for name, w in made.enhancer.named_parameters() if not torch.equal(start[name], w)
    }
    assert moved <= trained and len(moved) > 0.9 * len(trained)


def test_the_heads_that_teach_a_gated_network_are_not_shipped(tmp_path: Path) -> None:
    made = task("B1", gated())
    loss, curves = made.loss(0)
    assert {"enhancement_loss", "utilisation", "voice_unlike", "target_entropy"} <= set(curves)
    assert loss.item() > curves["enhancement_loss"]
    assert any(name.startswith("guide.") for name, _ in made.module.named_parameters())
    save_enhancer(tmp_path / "tiny.pt", made.enhancer, {})
    shipped = load_checkpoint(tmp_path / "tiny.pt", expect=made.enhancer.preset).network
    assert shipped.state_dict().keys() == made.enhancer.network.state_dict().keys()


def test_the_guide_hears_silent_targets_of_which_the_recipes_loss_knows_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """B1 is the baseline without inactive targets: its enhancement loss must not see one."""
    made = task("B1", gated())
    made.schedule = replace(QUICK, batch=8)
    assert made.guide
    judged, told = [], []

    def guided(samples: torch.Tensor, material: enhancer_training.Material) -> torch.Tensor:
        assert len(samples) == len(material.noisy) == len(material.voice)
        judged.append(material.reference.abs().amax(dim=1) > 0)
        return samples.sum() * 0

    def loss(
        vad: object, features: object, logits: object, active: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        told.append(active)
        return torch.zeros(()), {}

    monkeypatch.setattr(made, "_guided", guided)
    monkeypatch.setattr(made.guide, "loss", loss)
    made.loss(0)
    assert judged[0].tolist() == [True] * 6
    assert len(told[0]) == 8 and not told[0][6:].any()


def test_the_best_step_of_a_guided_network_is_also_sure_of_the_target(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = task("B1", gated())
    assert made.guide
    made.module.eval()
    losses = []
    for entropy in (0.0, 1.0):
        monkeypatch.setattr(made.guide, "judge", lambda logits, active, e=entropy: (0.5, e))
        with torch.no_grad():
            losses.append(made.validate()["loss"])
    assert losses[1] - losses[0] == pytest.approx(TARGET_WEIGHT, rel=1e-5)


def test_a_recipe_goes_on_with_the_heads_of_its_stem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """New heads would first have to learn what the stem's gates say."""
    network = gated()
    for place in ("dyncp.personal.settings.network", "dyncp.personal.checkpoints.network"):
        monkeypatch.setattr(place, lambda name: network)
    for name in ("encoder", "pvad"):
        train.train(name, None, tmp_path, tmp_path)
    for stage in ("voice", "stem"):
        train.train("personal", stage, tmp_path, tmp_path)
    begun = []
    monkeypatch.setattr(Run, "run", lambda run: begun.append(run.task))
    monkeypatch.setattr(Run, "record", lambda run: {})
    train.train("personal", "S1", tmp_path, tmp_path)
    stem = load_enhancer("personal", "stem", tmp_path)
    assert "last" in json.loads((tmp_path / "personal-stem.json").read_text())
    heads = load_guide("personal", "stem", stem, tmp_path)
    assert heads
    for name, weight in heads.state_dict().items():
        assert torch.equal(begun[0].guide.state_dict()[name], weight), name
    (tmp_path / "personal-stem-guide.pt").unlink()
    with pytest.raises(UserError, match=r"no such checkpoint: \S*personal-stem-guide\.pt"):
        train.train("personal", "S2", tmp_path, tmp_path)


def test_the_stem_alone_begins_with_likenesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe that built them anew would undo what the stem has learnt."""
    asked: list[bool] = []
    kept: list[str] = []

    def made(*given: object, likeness: bool, **rest: object) -> SimpleNamespace:
        asked.append(likeness)
        return SimpleNamespace(guide=True)

    def begun(task: object, folder: Path, keep: str) -> Run:
        kept.append(keep)
        raise UserError("asked")

    monkeypatch.setattr(train, "EnhancerTask", made)
    monkeypatch.setattr(train, "Run", begun)
    monkeypatch.setattr(train, "load_enhancer", lambda *a: Enhancer(gated(), 32))
    monkeypatch.setattr(train, "load_guide", lambda *a: None)
    monkeypatch.setattr(settings, "network", lambda name: gated())
    for recipe in ("voice", "stem", "B1"):
        with pytest.raises(UserError, match="asked"):
            train.train("personal", recipe, Path("unused"), SHIPPED)
    assert asked == [False, True, False]
    assert kept == ["last", "last", "best"]


def test_heads_are_taught_by_the_gates_and_the_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tells the target must reach the gates and the embedding's weights."""
    made = task("B1", gated())
    monkeypatch.setattr(made, "_guided", lambda samples, material: samples.sum() * 0)
    preset = made.enhancer.preset
    assert preset and preset.gate
    monkeypatch.setattr(enhancer_training, "utilisation_loss", lambda shares, *_: 0 * shares.sum())
    made.recipe = replace(made.recipe, shares={"TS1": 1.0})  # TS2 may be without an embedding
    made.loss(0)[0].backward()
    network = made.enhancer.network
    for name in ("blocks.0.gate.squeeze_speaker.weight", "blocks.1.up_speaker.weight"):
        gradient = dict(network.named_parameters())[name].grad
        assert gradient is not None and gradient.abs().max() > 0, name


def test_the_encoder_is_judged_by_pairs_of_unseen_voices(unseen: SceneSource) -> None:
    made = encoder_training.EncoderTask(QUICK, 32, Path("unused"))
    assert len(made._trials) == 2 * len(unseen.voices)
    made.module.eval()
    with torch.no_grad():
        found = made.validate()
    assert 0 <= found["equal_error_rate"] <= 1
    shipped = load_encoder().state_dict()
    made.encoder.load_state_dict(shipped)
    with torch.no_grad():
        better = made.validate()
    assert better["equal_error_rate"] < found["equal_error_rate"]
    assert better["loss"] < found["loss"] and np.isfinite(better["apart"])
