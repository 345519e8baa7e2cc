"""The keys that a preset may leave out: what they train, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dyncp.checkpoint import Checkpoint, save_checkpoint
from dyncp.errors import UserError
from dyncp.network import GatedConvFSENet
from dyncp.preset import Preset, parse_preset
from dyncp.training import transfer
from dyncp.training.loss import Transform, distillation_loss, utilisation_loss
from dyncp.training.trainer import Trainer
from tests.conftest import tiny_preset, tiny_values, write_toml


def tiny_with(**training: Any) -> Preset:
    values = tiny_values()
    values["training"].update(training)
    return parse_preset("tiny", values, "tiny")


def ship(
    folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int = 9, gated: bool = False, **audio: Any
) -> str:
    """A checkpoint as if it had been shipped for preset static; gives the preset's file."""
    values = tiny_values()
    if not gated:
        del values["gate"]
    values["audio"].update(audio)
    file = write_toml(folder / "static.toml", values)
    torch.manual_seed(seed)
    network = GatedConvFSENet(parse_preset("static", values, "static"))
    for norm in (m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.running_mean)
    save_checkpoint(folder / "static.pt", Checkpoint(network.preset, network))
    monkeypatch.setattr(transfer, "SHIPPED_FOLDER", folder)
    return str(file)


@pytest.mark.parametrize("gated", [False, True])
def test_a_run_starts_from_the_backbone_that_ships_and_gates_of_its_own(
    gated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = ship(tmp_path, monkeypatch, gated=gated)
    trainer = Trainer(tiny_with(start=file), tmp_path / "run", threads=1)
    shipped = torch.load(tmp_path / "static.pt", weights_only=True)["weights"]
    fresh = Trainer(tiny_preset(), tmp_path / "fresh", threads=1).network.state_dict()
    copied = 0
    for name, weight in trainer.network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        copied += ".gate." not in name
        assert torch.equal(weight, fresh[name] if ".gate." in name else shipped[name]), name
    assert copied == sum(".gate." not in name for name in shipped)


def test_a_start_that_does_not_fit_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = ship(tmp_path, monkeypatch)
    values = tiny_values()
    values["network"]["channels"] = 24
    values["training"]["start"] = file
    with pytest.raises(UserError, match=r"start: .*'static' has \[network\] channels = 16, .* 24"):
        Trainer(parse_preset("tiny", values, "tiny"), tmp_path / "run")
    (tmp_path / "static.pt").unlink()
    with pytest.raises(UserError, match=r"\[training\] start: .* no checkpoint; run `make train"):
        Trainer(tiny_with(start=file), tmp_path / "run")
    with pytest.raises(UserError, match=r"\[training\] start: unknown preset 'statik'"):
        Trainer(tiny_with(start="statik"), tmp_path / "run")


def test_the_distillation_loss_is_the_distance_of_what_is_heard() -> None:
    preset = tiny_preset()
    transform = Transform(preset.audio, torch.device("cpu"))
    rng = np.random.default_rng(1)
    samples = torch.from_numpy(rng.normal(0, 0.1, (2, 320)).astype(np.float32))
    spectrum = transform.spectrum(samples)
    shape = (2, preset.audio.bins, spectrum.shape[2])
    one, other = (torch.from_numpy(rng.uniform(0.1, 1, shape).astype(np.float32)) for _ in "ab")
    level = torch.tensor([0.1, 0.2])
    loud = spectrum.abs() / level[:, None, None]
    expected = torch.mean(((loud * one) ** 0.3 - (loud * other) ** 0.3) ** 2)
    loss = distillation_loss(transform, spectrum, one, other, level)
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=0)
    assert distillation_loss(transform, spectrum, one, one, level).item() == 0.0
    shut = torch.zeros(shape, requires_grad=True)
    distillation_loss(transform, spectrum, shut, other, level).backward()
    assert torch.isfinite(shut.grad).all()  # type: ignore[arg-type]


def test_a_teacher_draws_the_output_to_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = ship(tmp_path, monkeypatch)
    distances = {}
    for weight in (1e-6, 100.0):
        preset = tiny_with(teacher=file, distillation_weight=weight, learning_rate=0.1)
        trainer = Trainer(preset, tmp_path / str(weight), threads=1)
        trainer.run()
        trainer.step = 0  # the first batch again
        distances[weight] = trainer._train_step().extras["distillation_loss"]
    assert distances[100.0] < 0.9 * distances[1e-6]


def test_a_teacher_that_does_not_fit_or_has_changed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = ship(tmp_path, monkeypatch)
    preset = tiny_with(teacher=file, distillation_weight=1.0)
    Trainer(preset, tmp_path / "run", threads=1).save_state()
    ship(tmp_path, monkeypatch, seed=10)
    with pytest.raises(UserError, match="the checkpoint that teaches has changed"):
        Trainer(preset, tmp_path / "run", threads=1).resume()
    ship(tmp_path, monkeypatch, bins=32)
    with pytest.raises(UserError, match=r"teacher: .*'static' has \[audio\] bins = 32, .* 33"):
        Trainer(preset, tmp_path / "run", threads=1)


def test_every_block_has_its_own_target_where_the_preset_gives_them() -> None:
    shares = torch.tensor([0.25, 0.25], requires_grad=True)
    for targets, expected in ((None, 0.0), ([0.45, 0.05], 0.04)):
        preset = tiny_with(**({"block_utilisation": targets} if targets else {}))
        assert preset.gate
        loss = utilisation_loss(shares, preset.gate, preset.training)
        assert loss.item() == pytest.approx(expected)
    loss.backward()
    torch.testing.assert_close(shares.grad, torch.tensor([-0.2, 0.2]))


def test_the_blocks_targets_are_trained_for(tmp_path: Path) -> None:
    """With a gate's bias at its threshold, one step opens one block and closes the other."""
    preset = tiny_with(
        block_utilisation=[0.49, 0.01],
        utilisation_weight=1e6,
        utilisation_ramp_steps=1,
        learning_rate=1.0,
    )
    trainer = Trainer(preset, tmp_path, threads=1)
    biases = [block.gate.score.bias for block in trainer.network.blocks]
    for block, closed in zip(trainer.network.blocks, (12, 4), strict=True):
        torch.nn.init.zeros_(block.gate.score.weight)
        with torch.no_grad():
            block.gate.score.bias[:] = 0.5
            block.gate.score.bias[:closed] = -0.5
    before = [bias.detach().clone() for bias in biases]
    trainer.step = 1
    assert trainer._train_step().shares == [0.25, 0.75]
    assert (biases[0] > before[0]).all()
    assert (biases[1] < before[1]).all()


def test_a_run_with_probes_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    preset = tiny_with(probe_weight=1.0, steps=4, validate_every=2)
    whole = Trainer(preset, tmp_path / "whole", threads=1)
    whole.run()
    first = Trainer(preset, tmp_path / "parts", threads=1)
    for _ in range(2):
        first._train_step()
        first.step += 1
    first.save_state()
    second = Trainer(preset, tmp_path / "parts", threads=1)
    assert second.resume()
    second.run()
    for name, weight in whole.network.state_dict().items():
        assert torch.equal(weight, second.network.state_dict()[name]), name
    assert list(whole.network.state_dict()) == list(GatedConvFSENet(preset).state_dict())
    plain = Trainer(tiny_with(steps=4, validate_every=2), tmp_path / "plain", threads=1)
    plain.run()
    for ours, theirs in zip(whole.network.blocks, plain.network.blocks, strict=True):
        assert not torch.equal(ours.gate.score.weight, theirs.gate.score.weight)
