"""The study's table must say what the test split says of probes that never saw it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dyncp.checkpoint import Checkpoint
from dyncp.network import GatedConvFSENet
from dyncp.preset import Preset
from dyncp.probes.features import FEATURES, TOP
from dyncp.probes.study import format_study, study
from dyncp.probes.tasks import TASKS
from tests.conftest import tiny_preset
from tests.dyncp.known_frames import FRAMES, Known, known, put_in_place

__all__ = ["known"]


def checkpoint(preset: Preset | None = None) -> Checkpoint:
    preset = preset or tiny_preset()
    return Checkpoint(preset, GatedConvFSENet(preset))


@pytest.fixture(scope="module")
def result() -> dict:
    with pytest.MonkeyPatch.context() as patch:
        put_in_place(Known(), patch)
        return study(checkpoint(), 3.0)


def scores_of(result: dict, features: str) -> dict[str, float]:
    """Accuracy or R2 by task."""
    return {
        row["task"]: row.get("accuracy", row.get("r2"))
        for row in result["results"]
        if row["features"] == features
    }


def test_gates_that_know_everything_score_everything_and_noise_nothing(result: dict) -> None:
    assert [(row["features"], row["task"]) for row in result["results"]] == [
        (features.name, task.name) for features in FEATURES for task in TASKS
    ]
    for features in ("binary", "first2", "top64"):
        assert min(scores_of(result, features).values()) > 0.99, features
    blind = scores_of(result, "stft")
    assert max(blind["snr"], blind["f0"], blind["pesq"]) < 0.1
    assert all(0.3 < blind[task] < 0.65 for task in ("vad", "gender"))


def test_probes_are_fitted_on_one_split_and_judged_on_the_other(known: Known) -> None:
    """In the test split every gate says the opposite."""
    told = known.labels["test"]
    for task in ("vad", "gender"):
        told[task] = 1 - told[task]
    result = study(checkpoint(), 3.0)
    assert [(split, seed) for split, _, seed in known.asked] == [("train", 1), ("test", 2)]
    scores = scores_of(result, "binary")
    assert scores["vad"] == scores["gender"] == 0.0
    assert scores["snr"] > 0.99


def test_the_gates_that_say_most_are_chosen_on_the_training_split(known: Known) -> None:
    known.__init__(gates=200)  # type: ignore[misc]
    result = study(checkpoint(), 3.0)
    top = {row["task"]: row for row in result["results"] if row["features"] == "top64"}
    assert all(row["used"] == TOP for row in top.values())
    assert top["vad"]["accuracy"] > 0.95 and top["f0"]["r2"] > 0.99


def test_the_interval_is_over_speakers(known: Known) -> None:
    """Right for five of six speakers and wrong for one, in all that each says."""
    told, groups = known.labels["test"], np.arange(FRAMES) // 50 % 6
    told["vad"] = np.where(groups == 5, 1 - told["vad"], told["vad"])
    row = next(row for row in study(checkpoint(), 3.0)["results"] if row["task"] == "vad")
    assert row["accuracy"] == pytest.approx(5 / 6, abs=1e-6)
    assert (row["low"], row["high"]) == (pytest.approx(0.5), 1.0)


def test_labels_that_are_missing_are_left_out_of_the_scores(known: Known) -> None:
    known.labels["test"]["f0"][:600] = np.nan
    known.labels["test"]["noise"][:] = np.nan
    rows = {r["task"]: r for r in study(checkpoint(), 3.0)["results"] if r["features"] == "binary"}
    assert rows["f0"]["frames"] == 300 and rows["vad"]["frames"] == FRAMES
    assert rows["noise"]["frames"] == 0


def test_the_minutes_are_those_that_were_heard(known: Known) -> None:
    preset = tiny_preset()
    result = study(checkpoint(preset), 0.001)
    assert known.asked[0][1] == 0.001
    assert result["minutes"] == pytest.approx(FRAMES * preset.audio.hop / 16000 / 60, abs=0.005)


def test_a_network_without_gates_is_what_gates_are_compared_with(known: Known) -> None:
    result = study(checkpoint(tiny_preset(site=None)), 3.0)
    assert {row["features"] for row in result["results"]} == {"stft", "mask"}
    assert result["gates"] == 0
    assert len(format_study(result).splitlines()) == 4


def test_the_table_has_a_row_for_each_set_and_one_for_no_knowledge(result: dict) -> None:
    head, *rows, last = format_study(result).splitlines()
    assert head.split() == ["features", *(task.name for task in TASKS), "operations"]
    assert [row[:34].strip() for row in rows] == [features.title for features in FEATURES]
    assert [float(x) for x in rows[0][34:].split()[:7]] == [1.0] * 7
    share = Known().labels["test"]["vad"].mean()
    assert float(last[34:].split()[0]) == pytest.approx(max(share, 1 - share), abs=1e-3)
    cost = sum(row["operations"] for row in result["results"] if row["features"] == "binary")
    assert float(rows[0].split()[-1]) == pytest.approx(cost, abs=0.5)


def test_what_does_not_apply_is_not_in_the_json(result: dict) -> None:
    """NaN is not JSON: many readers refuse the whole file."""
    read = json.loads(json.dumps(result), parse_constant=pytest.fail)
    for row, (features, task) in zip(
        read["results"], ((f, t) for f in FEATURES for t in TASKS), strict=True
    ):
        assert (row["task"], row["features"]) == (task.name, features.name)
        assert ("r2" in row) == ("mae" in row) == (task.kind == "value")
        assert ("accuracy" in row) == ("baseline" in row) == (task.kind != "value")
        assert row["low"] <= row["high"]


def test_a_task_that_nothing_is_known_of_has_no_score_in_the_table(known: Known) -> None:
    known.labels["test"]["gender"][:] = np.nan
    result = study(checkpoint(tiny_preset(site=None)), 3.0)
    _, *rows = format_study(result).splitlines()
    assert [row[34:].split()[1] for row in rows] == ["nan"] * 3
    assert json.loads(json.dumps(result), parse_constant=pytest.fail)
