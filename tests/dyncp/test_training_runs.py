"""A run must survive what happens to processes: kills, Ctrl-C, being several of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import dyncp.__main__ as command
from dyncp.checkpoint import load_checkpoint
from dyncp.errors import UserError
from dyncp.network import GateNet
from dyncp.preset import load_preset, parse_preset
from dyncp.training import trainer as module
from dyncp.training.distributed import World
from dyncp.training.trainer import Trainer
from tests.conftest import tiny_preset, tiny_values, write_toml

ROOT = Path(__file__).parents[2]


def points(folder: Path, tag: str) -> dict[int, float]:
    """A curve as TensorBoard shows it; fails if a step has two points."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload().Scalars(tag)
    steps = [event.step for event in events]
    assert sorted(set(steps)) == steps
    return {event.step: event.value for event in events}


def assert_same_weights(one: Trainer, other: Trainer) -> None:
    for name, weight in one.network.state_dict().items():
        assert torch.equal(weight, other.network.state_dict()[name]), name


DIES = """
import os, signal, sys
from pathlib import Path
import torch
from dyncp.preset import load_preset
from dyncp.training import trainer as module

module._SAVE_SECONDS = 0.0
trainer = module.Trainer(load_preset(sys.argv[1]), Path(sys.argv[2]), threads=1)
save = torch.save

def fatal(state, path):
    if trainer.step == 5:  # it is on the curve already, and half of its state on the disk
        path.write_bytes(b"PK")
        os.kill(os.getpid(), signal.SIGKILL)
    save(state, path)

torch.save = fatal
trainer.run()
"""


def test_a_killed_process_is_gone_on_from_as_if_it_had_lived(tmp_path: Path) -> None:
    values = tiny_values()
    values["training"].update(steps=7)
    file = write_toml(tmp_path / "tiny.toml", values)
    preset = load_preset(str(file))
    done = subprocess.run(
        [sys.executable, "-c", DIES, str(file), str(tmp_path / "killed")], cwd=ROOT, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert 5 in points(tmp_path / "killed" / "tensorboard", "train/loss")
    resumed = Trainer(preset, tmp_path / "killed", threads=1)
    assert resumed.resume()
    assert resumed.step == 4  # between the validations at 3 and 6
    resumed.run()
    whole = Trainer(preset, tmp_path / "whole", threads=1)
    whole.run()
    assert_same_weights(whole, resumed)
    assert whole.history == resumed.history
    for folder in (whole.curves_path, resumed.curves_path):
        assert list(points(folder, "train/loss")) == list(range(1, 8))
        assert list(points(folder, "validation/loss")) == [3, 6, 7]
    for tag in (
        "train/loss",
        "utilisation/block1",
        "train/gradient_norm",
        "validation/si_sdr_gain",
    ):
        assert points(whole.curves_path, tag) == points(resumed.curves_path, tag)


def test_a_kill_loses_a_minute_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    class SlowTrainer(Trainer):
        def _train_step(self) -> module.Step:
            clock[0] += 25.0
            return super()._train_step()

        def save_state(self) -> None:
            saved.append((self.step, self.seconds))

    saved: list[tuple[int, float]] = []
    values = tiny_values()
    values["training"].update(steps=9, validate_every=7)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    SlowTrainer(parse_preset("tiny", values, "tiny"), tmp_path, threads=1).run()
    assert saved == [(3, 75.0), (6, 150.0), (7, 175.0), (9, 225.0)]


@contextmanager
def training_process(folder: Path) -> Iterator[subprocess.Popen]:
    """``python -m dyncp train`` that would never end, past its first validation."""
    values = tiny_values()
    values["training"].update(steps=10**6, validate_every=2)
    file = write_toml(folder / "tiny.toml", values)
    run = folder / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "dyncp", "train", "--threads", "1", "--preset", str(file),
         "--folder", str(run), "--out", str(folder / "out.pt")],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        while not (run / "state.pt").is_file():
            assert process.poll() is None, process.stderr.read()  # type: ignore[union-attr]
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_so_in_a_line_and_keeps_the_last_step(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    with training_process(tmp_path) as process:
        process.send_signal(number)
        out, errors = process.communicate()
    assert process.returncode == code
    *validations, last = errors.splitlines()
    assert all(line.startswith("step ") for line in validations)
    trainer = Trainer(load_preset(str(tmp_path / "tiny.toml")), tmp_path / "run", threads=1)
    assert trainer.resume()
    assert last.startswith(f"stopped by {number.name} at step {trainer.step} of 1000000; saved")
    assert list(points(trainer.curves_path, "train/loss")) == list(range(1, trainer.step + 1))
    assert f"tensorboard --logdir {trainer.curves_path}" in out
    assert not (tmp_path / "out.pt").exists()


def half_open(self: GateNet, *args: Any) -> None:
    """Gates that are open here and there from the start, so that their share matters."""
    made(self, *args)
    torch.nn.init.zeros_(self.score.bias)  # type: ignore[arg-type]


made = GateNet.__init__

SHARED = """
import sys
from pathlib import Path
import pytest
import torch
import dyncp.__main__ as command
from dyncp.network import GateNet
from dyncp.training.trainer import Trainer
from tests.dyncp import quick_probes, test_training_runs as tests

GateNet.__init__ = tests.half_open
quick_probes.quick_probes(pytest.MonkeyPatch(), Path(__file__).parent / "cache")
run = Trainer.run

def run_and_show(self):
    run(self)
    torch.save(self.network.state_dict(), self.folder.parent / f"rank{self.world.rank}.pt")

Trainer.run = run_and_show
sys.exit(command.main())
"""


def test_two_processes_train_as_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = tiny_values()
    values["training"].update(steps=3, batch=4, utilisation_ramp_steps=1, utilisation_weight=10.0)
    file = write_toml(tmp_path / "tiny.toml", values)
    script = tmp_path / "shared.py"
    script.write_text(SHARED)
    shared, out = tmp_path / "shared", tmp_path / "out.pt"
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         str(script), "train", "--threads", "1", "--preset", str(file),
         "--folder", str(shared), "--out", str(out)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote") == 1
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    for name, weight in ranks[0].items():
        assert torch.equal(weight, ranks[1][name]), name

    monkeypatch.setattr(GateNet, "__init__", half_open)
    preset = load_preset(str(file))
    alone = Trainer(preset, tmp_path / "alone", threads=1)
    alone.run()
    for tag in ("train/loss", "train/utilisation", "utilisation/block0", "train/gradient_norm"):
        expected = points(alone.curves_path, tag)
        assert len(expected) == 3
        # The order of float32 sums differs, nothing else does.
        assert points(shared / "tensorboard", tag) == pytest.approx(expected, rel=1e-5), tag
    assert 0.1 < points(alone.curves_path, "train/utilisation")[1] < 0.9
    for name, weight in alone.network.state_dict().items():
        torch.testing.assert_close(ranks[0][name], weight, rtol=1e-4, atol=2e-5, msg=name)

    checkpoint = load_checkpoint(out, expect=preset)
    assert checkpoint.record["processes"] == 2
    resumed = Trainer(preset, shared, threads=1)
    assert resumed.resume()
    assert resumed.step == 3
    for name, weight in ranks[0].items():
        assert torch.equal(weight, resumed.network.state_dict()[name]), name


def test_a_batch_that_processes_cannot_share_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"batch = 2 cannot be shared equally by 3 .*nproc"):
        Trainer(tiny_preset(), tmp_path, world=World(rank=1, size=3))


def test_a_signal_while_nothing_is_trained_is_not_swallowed(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    Trainer(tiny_preset(), tmp_path, threads=1).run()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_broken_state_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"garbage")
    with pytest.raises(UserError, match=r"state\.pt is not the state of a training run"):
        Trainer(tiny_preset(), tmp_path, threads=1).resume()


def test_make_train_says_where_the_curves_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "load_preset", lambda name: tiny_preset(site=None))
    run = ["--preset", "tiny", "--folder", str(tmp_path / "run"), "--out", str(tmp_path / "o.pt")]
    monkeypatch.setattr(sys, "argv", ["dyncp", "train", "--threads", "1", *run])
    assert command.main() == 0
    folder = tmp_path / "run" / "tensorboard"
    assert f"tensorboard --logdir {folder}" in capsys.readouterr().out
    assert points(folder, "train/utilisation") == dict.fromkeys(range(1, 7), 1.0)
