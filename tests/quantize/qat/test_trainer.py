"""Hours of training must survive a kill, and what it ends with must be what ships."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dyncp.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dyncp.data.source import Mixture
from dyncp.errors import UserError
from dyncp.preset import Preset
from dyncp.training.interrupt import StoppedEarly
from quantize.calibrate import round_network, round_trained
from quantize.model import QuantizedModel
from quantize.qat import trainer as module
from quantize.qat.trainer import QatTrainer, Settings, Validation
from tests.conftest import tiny_preset
from tests.quantize.models import (
    audio_features,
    mixed_network,
    noisy_speech,
    probe_of,
    tiny_model,
)

SETTINGS = Settings(steps=4, batch=2, crop_seconds=0.4, rate=1e-3, validate_every=3)


class ShortSource:
    """Noisy speech that needs no corpus; it depends on the seed alone."""

    def __init__(self, name: str) -> None:
        self.name = name

    def batch(self, seed: Sequence[int], count: int, seconds: float) -> list[Mixture]:
        rng = np.random.default_rng(list(seed))
        samples = int(min(seconds, 0.4) * 16000)
        mixtures = []
        for _ in range(min(count, 3)):
            start = rng.integers(0, 16000)
            clean = noisy_speech(16000, 1.6, 7)[start : start + samples]
            noisy = clean + rng.normal(scale=0.02, size=samples).astype(np.float32)
            mixtures.append(Mixture(noisy, clean, "white", 5.0, SimpleNamespace(), False))  # type: ignore[arg-type]
        return mixtures


@pytest.fixture(autouse=True)
def short_source(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(
        module, "open_source", lambda data, *_: ShortSource(data.name if data else "synthetic")
    )


def checkpoint_of(preset: Preset) -> Checkpoint:
    return Checkpoint(preset, mixed_network(preset), [probe_of(preset)] if preset.gate else [])


def trainer_of(
    folder: Path, settings: Settings = SETTINGS, preset: Preset | None = None, data: Any = None
) -> QatTrainer:
    preset = preset or tiny_preset()
    return QatTrainer(
        checkpoint_of(preset),
        tiny_model(preset),
        clips_of(preset),
        folder,
        settings=settings,
        data=data,
    )


def clips_of(preset: Preset) -> list[NDArray[np.float32]]:
    return [audio_features(preset, 200, seed=7)]


def assert_same_run(one: QatTrainer, other: QatTrainer) -> None:
    for name, values in one.network.state_dict().items():
        assert torch.equal(values, other.network.state_dict()[name]), name
    assert one.history == other.history
    assert one.quantised().model_hash == other.quantised().model_hash


class Killed(BaseException):
    """The process is gone; nothing more is run."""


def killed_at(step: int, monkeypatch: pytest.MonkeyPatch, trainer: QatTrainer) -> None:
    train = trainer._train_step

    def fatal() -> dict[str, float]:
        values = train()
        if trainer.step == step:
            raise Killed
        return values

    monkeypatch.setattr(trainer, "_train_step", fatal)
    with pytest.raises(Killed):
        trainer.run()


@pytest.mark.parametrize("site", ["hidden", None])
def test_a_killed_run_is_gone_on_from_as_if_it_had_lived(
    site: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saved between two validations, and killed a step later."""
    monkeypatch.setattr(module, "_SAVE_SECONDS", 0.0)
    preset = tiny_preset(site)
    whole = trainer_of(tmp_path / "whole", preset=preset)
    assert not whole.resume()
    whole.run()
    killed_at(2, monkeypatch, trainer_of(tmp_path / "killed", preset=preset))
    resumed = trainer_of(tmp_path / "killed", preset=preset)
    assert resumed.resume()
    assert resumed.step == 2
    resumed.run()
    assert [found.step for found in whole.history] == [0, 3, 4]
    assert_same_run(whole, resumed)
    assert resumed.best and whole.best and resumed.best[0] == whole.best[0]
    assert resumed.finish()[1].model_hash == whole.finish()[1].model_hash


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    done = trainer_of(tmp_path)
    done.run()
    again = trainer_of(tmp_path)
    assert again.resume()
    again.run()
    assert_same_run(done, again)


def test_every_weight_is_trained(tmp_path: Path) -> None:
    """A validation makes integers of the network; it must leave it free to go on."""
    trainer = trainer_of(tmp_path)
    before = {name: p.detach().clone() for name, p in trainer.network.named_parameters()}
    trainer.run()
    for name, parameter in trainer.network.named_parameters():
        assert parameter.requires_grad, name
        assert not torch.equal(parameter, before[name]), name


def test_every_step_hears_other_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(tmp_path)
    heard = []
    batch = trainer.source.batch

    def listened(seed: Sequence[int], count: int, seconds: float) -> list[Mixture]:
        heard.append(batch(seed, count, seconds))
        return heard[-1]

    monkeypatch.setattr(trainer.source, "batch", listened)
    trainer.run()
    assert len({mixtures[0].noisy.tobytes() for mixtures in heard}) == len(heard) == 4


def test_the_teacher_stays_and_so_do_the_statistics_of_the_norms(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    trainer.run()
    fresh = mixed_network(tiny_preset()).state_dict()
    for name, values in trainer.teacher.state_dict().items():
        assert torch.equal(values, fresh[name]), name
    for name, values in trainer.network.network.state_dict().items():
        if "running" in name:
            assert torch.equal(values, fresh[name]), name


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_its_last_step_saved(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(tmp_path)
    train = trainer._train_step

    def signalled() -> dict[str, float]:
        if trainer.step == 1:
            os.kill(os.getpid(), number)
        return train()

    monkeypatch.setattr(trainer, "_train_step", signalled)
    with pytest.raises(StoppedEarly, match="stopped at step 2 of 4; saved, the same") as stop:
        trainer.run()
    assert stop.value.exit_code == 128 + number
    resumed = trainer_of(tmp_path)
    assert resumed.resume()
    assert resumed.step == 2
    for name, values in trainer.network.state_dict().items():
        assert torch.equal(values, resumed.network.state_dict()[name]), name


def test_only_the_same_run_is_gone_on_with(tmp_path: Path) -> None:
    trainer_of(tmp_path)._save_state()
    remedy = "remove that folder to train anew"
    for settings in (replace(SETTINGS, steps=5), replace(SETTINGS, margin=0.3)):
        with pytest.raises(UserError, match=rf"the settings \(--steps\) have changed.*{remedy}"):
            trainer_of(tmp_path, settings).resume()
    with pytest.raises(UserError, match=f"another version of preset .*{remedy}"):
        trainer_of(tmp_path, preset=tiny_preset(group=4)).resume()
    with pytest.raises(UserError, match=f"other data .synthetic, not mine.*{remedy}"):
        trainer_of(tmp_path, data=Path("mine")).resume()
    other = checkpoint_of(tiny_preset())
    with torch.no_grad():
        other.network.back.bias += 0.1
    start = round_network(other.network, tiny_model(tiny_preset()).activations, other.probes)
    with pytest.raises(UserError, match=f"the checkpoint, its calibration or .*{remedy}"):
        QatTrainer(other, start, [], tmp_path, settings=SETTINGS).resume()
    assert trainer_of(tmp_path).resume()


def test_a_broken_state_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "qat.pt").write_bytes(b"garbage")
    with pytest.raises(UserError, match=r"qat\.pt is not the state of a training run"):
        trainer_of(tmp_path).resume()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(steps=0), "--steps must lie in 1..1000000, not 0"),
        (Settings(steps=-3), "not -3"),
        (Settings(steps=10**7), "not 10000000"),
        (Settings(validate_every=0), "validate_every must be at least 1"),
    ],
)
def test_settings_that_train_nothing_are_refused(
    tmp_path: Path, settings: Settings, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        trainer_of(tmp_path, settings)


def test_the_best_step_ships_not_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(tmp_path, replace(SETTINGS, validate_every=1))
    agreement = {0: 0.90, 1: 0.95, 2: 0.99, 3: 0.93, 4: 0.98}
    hashes = {}

    def measured(network: Any, model: QuantizedModel, features: Any) -> Any:
        hashes[trainer.step] = model.model_hash
        return SimpleNamespace(gates=agreement[trainer.step], mask_snr=20.0)

    monkeypatch.setattr(module, "compare_with_float", measured)
    trainer.run()
    assert len(set(hashes.values())) == 5
    resumed = trainer_of(tmp_path, replace(SETTINGS, validate_every=1))
    assert resumed.resume()
    for each in (trainer, resumed):
        checkpoint, model = each.finish()
        assert model.model_hash == hashes[2]
        assert round_trained(checkpoint, clips_of(tiny_preset())).model_hash == hashes[2]
        assert checkpoint.record["best"]["step"] == 2
        assert [found["step"] for found in checkpoint.record["history"]] == [0, 1, 2, 3, 4]


def test_right_gates_count_before_the_mask() -> None:
    gates = Validation(1, gates=0.990, own_gates=0.990, mask_snr=20.0)
    assert replace(gates, own_gates=0.995).score > replace(gates, mask_snr=40.0).score
    assert replace(gates, mask_snr=21.0).score > gates.score
    static = Validation(1, None, None, 30.0)
    assert replace(static, mask_snr=31.0).score > static.score


@pytest.mark.parametrize("site", ["output", "hidden", None])
def test_the_checkpoint_of_a_run_gives_its_integers_again(site: str | None, tmp_path: Path) -> None:
    """What `make QAT=1` builds from the file is what was validated."""
    preset = tiny_preset(site, 4)
    trainer = trainer_of(tmp_path / "run", preset=preset)
    trainer.run()
    trainer.best = trainer.history[-1], trainer.network.state_dict()
    checkpoint, model = trainer.finish()
    assert model.model_hash != tiny_model(preset).model_hash
    save_checkpoint(tmp_path / "model.pt", checkpoint)
    loaded = load_checkpoint(tmp_path / "model.pt", expect=preset)
    assert round_trained(loaded, clips_of(preset)).model_hash == model.model_hash
    assert len(model.probes) == (1 if preset.gate else 0)
    assert loaded.record == checkpoint.record
    # At half precision weights move a little, grids not at all.
    save_checkpoint(tmp_path / "half.pt", checkpoint, half=True)
    half = round_trained(load_checkpoint(tmp_path / "half.pt"), clips_of(preset))
    assert half.activations == model.activations


def test_a_grid_that_is_missing_is_named() -> None:
    preset = tiny_preset()
    grids = {n: (g.scale, g.zero_point) for n, g in tiny_model(preset).activations.items()}
    whole = replace(checkpoint_of(preset), grids=grids)
    assert round_trained(whole, clips_of(preset)).activations == tiny_model(preset).activations
    for name in grids:
        lacking = {other: grid for other, grid in grids.items() if other != name}
        with pytest.raises(UserError, match=f"grids lack {name}; train it anew"):
            round_trained(replace(whole, grids=lacking), [])
