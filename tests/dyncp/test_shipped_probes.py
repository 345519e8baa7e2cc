"""The probes that ship must be what was fitted, on few gates, and no test speaker in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dyncp.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dyncp.network import GatedConvFSENet
from dyncp.probes import shipped
from dyncp.probes.shipped import SHIPPED_GATES, fit_probes, scores
from dyncp.probes.study import STUDY_MINUTES
from tests.conftest import tiny_preset
from tests.dyncp.known_frames import CLASSES, TRUTH, Known, known
from tests.dyncp.quick_probes import MINUTES, coarse_preset, quick_probes

__all__ = ["known"]

NAMES = ["vad", "gender", *(f"noise/{kind}" for kind in CLASSES), "snr", "si_sdr", "pesq", "f0"]


@pytest.fixture
def checkpoint() -> Checkpoint:
    torch.manual_seed(1)
    return Checkpoint(tiny_preset(), GatedConvFSENet(tiny_preset()))


def test_there_is_a_row_for_each_task_and_each_class(known: Known, checkpoint: Checkpoint) -> None:
    rows = fit_probes(checkpoint)
    assert [row["name"] for row in rows] == NAMES
    assert all(row["weights"].shape == (32,) for row in rows)
    assert all(row["weights"].dtype == np.float32 for row in rows)
    assert all(type(row["bias"]) is float and np.isfinite(row["bias"]) for row in rows)


def test_the_rows_say_what_the_gates_know(known: Known, checkpoint: Checkpoint) -> None:
    said = {row["name"]: scores(row, known.seen["test"].gates) for row in fit_probes(checkpoint)}
    truth = known.labels["test"]
    for task in ("vad", "gender"):
        np.testing.assert_array_equal(said[task] > 0, truth[task] == 1)
    kinds = np.stack([said[f"noise/{kind}"] for kind in CLASSES])
    np.testing.assert_array_equal(kinds.argmax(axis=0), truth["noise"])
    for task in ("snr", "si_sdr", "pesq", "f0"):
        np.testing.assert_allclose(said[task], truth[task], atol=1e-2)


def test_the_test_split_is_not_heard(known: Known, checkpoint: Checkpoint) -> None:
    fit_probes(checkpoint)
    assert known.asked == [("train", STUDY_MINUTES, 1)]
    assert known.speeds == {"train": (10,)}


def test_they_are_fitted_on_the_voices_that_the_network_was_trained_on(
    known: Known, checkpoint: Checkpoint
) -> None:
    training = replace(checkpoint.preset.training, speeds=(9, 11))
    checkpoint.preset = replace(checkpoint.preset, training=training)
    fit_probes(checkpoint)
    assert known.speeds == {"train": (9, 11)}


def test_all_rows_look_at_the_same_few_gates(
    known: Known, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SHIPPED_GATES == 256
    for gates in (400, 32):
        known.__init__(gates=gates)  # type: ignore[misc]
        rows = fit_probes(checkpoint)
        used = np.any([row["weights"] != 0 for row in rows], axis=0)
        assert 8 <= used.sum() <= SHIPPED_GATES
        assert used[list(TRUTH.values())].all()
    monkeypatch.setattr(shipped, "SHIPPED_GATES", 10)
    few = np.any([row["weights"] != 0 for row in fit_probes(checkpoint)], axis=0)
    assert few.sum() == 10 and few[list(TRUTH.values())].all()


def test_gates_that_never_move_ship_the_commoner_answer(
    known: Known, checkpoint: Checkpoint
) -> None:
    known.seen["train"].gates[:] = True
    known.labels["train"]["vad"] = (np.arange(900) % 10 != 0).astype(np.float32)
    rows = {row["name"]: row for row in fit_probes(checkpoint)}
    assert list(rows) == NAMES
    assert not any(row["weights"].any() for row in rows.values())
    assert rows["vad"]["bias"] > 0
    assert rows["snr"]["bias"] == pytest.approx(known.labels["train"]["snr"][::3].mean())


def test_a_task_without_labels_ships_no_row(known: Known, checkpoint: Checkpoint) -> None:
    """A corpus that does not say who is a woman: a score of 0 would say nobody is."""
    known.labels["train"]["gender"][:] = np.nan
    assert [row["name"] for row in fit_probes(checkpoint)] == [n for n in NAMES if n != "gender"]


def test_fitted_on_sound_they_go_into_a_checkpoint_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_probes(monkeypatch, tmp_path)
    preset = coarse_preset("hidden")
    checkpoint = Checkpoint(preset, GatedConvFSENet(preset))
    checkpoint.probes = fit_probes(checkpoint, MINUTES)
    save_checkpoint(tmp_path / "model.pt", checkpoint)
    for ours, theirs in zip(
        checkpoint.probes, load_checkpoint(tmp_path / "model.pt").probes, strict=True
    ):
        assert (ours["name"], ours["bias"]) == (theirs["name"], theirs["bias"])
        np.testing.assert_array_equal(ours["weights"], theirs["weights"])
    assert len({row["name"] for row in checkpoint.probes}) == 6 + 10
