"""A training of hours must survive being stopped, and must never go on as another one."""

from __future__ import annotations

import os
import signal
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dyncp.errors import UserError
from dyncp.personal import run as module
from dyncp.personal.run import Run, Schedule
from dyncp.training.interrupt import StoppedEarly
from tests.dyncp.test_training_runs import points

SCHEDULE = Schedule(
    seed=5, steps=11, batch=4, crop_seconds=0.5, learning_rate=0.05,
    final_learning_rate=0.001, validate_every=4, warm_up_steps=2,
)  # fmt: skip


class Line:
    """Fits three weights, one of which batch normalisation holds; all by seed and step."""

    name = "line"

    def __init__(self, schedule: Schedule = SCHEDULE, **identity: Any) -> None:
        torch.manual_seed(schedule.seed)
        self.schedule = schedule
        self.module: nn.Module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
        self.identity = {**asdict(schedule), "shape": {"inputs": 3}, **identity}
        self.stop_at: int | None = None
        self.validations: list[float] = []

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        if step == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        generator = torch.Generator().manual_seed(1000 * self.schedule.seed + step)
        x = torch.randn(self.schedule.batch, 3, generator=generator)
        loss = ((self.module(x)[:, 0] - x.sum(dim=1)) ** 2).mean()
        return loss, {"half": loss.item() / 2}

    def validate(self) -> dict[str, float]:
        assert not self.module.training
        x = torch.eye(3)
        loss = ((self.module(x)[:, 0] - 1) ** 2).mean().item()
        self.validations.append(loss)
        return {"loss": loss, "twice": 2 * loss}


def assert_same(one: nn.Module, other: nn.Module) -> None:
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name]), name


@pytest.mark.parametrize("step", [2, 3, 7])
def test_a_stopped_run_ends_as_if_it_had_never_stopped(tmp_path: Path, step: int) -> None:
    whole = Run(Line(), tmp_path / "whole")
    whole.run()

    stopped = Line()
    stopped.stop_at = step
    with pytest.raises(StoppedEarly, match=f"SIGTERM at step {step + 1} of 11; saved") as caught:
        Run(stopped, tmp_path / "stopped").run()
    assert caught.value.exit_code == 143
    resumed = Run(Line(), tmp_path / "stopped")
    assert resumed.step == step + 1
    resumed.run()

    assert_same(whole.task.module, resumed.task.module)
    assert whole.history == resumed.history
    assert [entry["step"] for entry in whole.history] == [4, 8, 11]
    for tag, steps in (("train/loss", range(1, 12)), ("validation/twice", (4, 8, 11))):
        curves = [points(tmp_path / name / "tensorboard", tag) for name in ("whole", "stopped")]
        assert list(curves[0]) == list(steps)
        assert curves[0] == curves[1]
    assert points(tmp_path / "whole" / "tensorboard", "train/half")[1] > 0


def test_a_killed_run_does_the_lost_steps_again(tmp_path: Path) -> None:
    whole = Run(Line(), tmp_path / "whole")
    whole.run()

    class Killed(BaseException):
        pass

    class Dies(Line):
        def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
            if step == 6:  # two steps are on the curve, and not in the state
                raise Killed
            return super().loss(step)

    with pytest.raises(Killed):
        Run(Dies(), tmp_path / "killed").run()
    resumed = Run(Line(), tmp_path / "killed")
    assert resumed.step == 4
    resumed.run()
    assert_same(whole.task.module, resumed.task.module)
    assert whole.history == resumed.history
    curves = [points(tmp_path / name / "tensorboard", "train/loss") for name in ("whole", "killed")]
    assert curves[0] == curves[1] and list(curves[0]) == list(range(1, 12))


def test_a_kill_loses_a_minute_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, saved = [0.0], []

    class Slow(Line):
        def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
            clock[0] += 25.0
            return super().loss(step)

    class Watched(Run):
        def _save(self) -> None:
            saved.append((self.step, self.seconds))

    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    Watched(Slow(replace(SCHEDULE, steps=9, validate_every=7)), tmp_path).run()
    assert saved == [(3, 75.0), (6, 150.0), (7, 175.0), (9, 225.0)]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (Line(replace(SCHEDULE, seed=6)), "seed"),
        (Line(shape={"inputs": 4}), "shape"),
        (Line(replace(SCHEDULE, batch=8, steps=12)), "batch, steps"),
        (Line(embeddings="other"), "embeddings"),
    ],
    ids=["seed", "shape", "two", "more"],
)
def test_another_run_is_refused_by_what_changed(tmp_path: Path, changed: Line, named: str) -> None:
    Run(Line(), tmp_path / "run").run()
    before = (tmp_path / "run" / "state.pt").read_bytes()
    with pytest.raises(UserError, match=rf"run holds another run of line: {named} changed"):
        Run(changed, tmp_path / "run")
    assert (tmp_path / "run" / "state.pt").read_bytes() == before


@pytest.mark.parametrize("losses", [(0.3, 0.1, 0.2), (0.1, 0.2, 0.3), (0.2, 0.1, 0.1)])
def test_the_best_weights_are_what_is_left(
    tmp_path: Path, losses: tuple[float, float, float]
) -> None:
    class Judged(Line):
        def validate(self) -> dict[str, float]:
            seen.append({k: v.clone() for k, v in self.module.state_dict().items()})
            return {"loss": losses[len(seen) - 1]}

    seen: list[dict[str, Tensor]] = []
    run = Run(Judged(), tmp_path)
    run.run()
    best = max(i for i, loss in enumerate(losses) if loss == min(losses))
    for name, weight in run.task.module.state_dict().items():
        assert torch.equal(weight, seen[best][name]), name
    assert not torch.equal(seen[best]["0.weight"], seen[best - 1]["0.weight"])
    assert not run.task.module.training
    assert run.record()["best"]["loss"] == min(losses)


def test_a_finished_run_is_not_trained_on(tmp_path: Path) -> None:
    first = Run(Line(), tmp_path)
    first.run()
    again = Line()
    again.stop_at = 0
    run = Run(again, tmp_path)
    run.run()
    assert not again.validations
    assert_same(first.task.module, again.module)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04half"])
def test_a_damaged_state_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(UserError, match=r"state\.pt is not the state of a training run") as caught:
        Run(Line(), tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_another_programs_file_is_no_state(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(2)}, tmp_path / "state.pt")
    with pytest.raises(UserError, match="not the state of a training run"):
        Run(Line(), tmp_path)


def test_the_rate_warms_up_and_ends_where_it_should() -> None:
    schedule = replace(SCHEDULE, steps=100, warm_up_steps=10)
    rates = [schedule.rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1 * 0.05)
    assert rates[:9] == sorted(rates[:9]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert max(rates) <= 0.05
    assert rates[50] == pytest.approx((0.05 + 0.001) / 2)
    assert rates[100] == pytest.approx(0.001)


def test_every_step_is_done_at_the_schedules_rate(tmp_path: Path) -> None:
    rates: list[float] = []

    class Watched(Line):
        def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
            rates.append(run.optimiser.param_groups[0]["lr"])
            return super().loss(step)

    run = Run(Watched(), tmp_path)
    run.run()
    assert rates == [SCHEDULE.rate(step) for step in range(11)]


def test_the_record_says_how_much_was_heard(tmp_path: Path) -> None:
    run = Run(Line(replace(SCHEDULE, crop_seconds=360.0)), tmp_path)
    run.run()
    record = run.record()
    assert record["audio_hours_seen"] == round(11 * 4 * 0.1, 2)
    assert record["identity"]["steps"] == 11
    assert record["history"] == run.history
