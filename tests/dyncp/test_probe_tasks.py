"""Scores that are reported must be the field's own, on the frames that have a label."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score

from dyncp.probes import tasks
from dyncp.probes.tasks import TASKS, Task, judge, predicted

YES, WHICH, VALUE = Task("vad", "yes"), Task("noise", "class"), Task("f0", "value", "Hz")

seeds = st.integers(0, 2**32 - 1)


def draw(seed: int, task: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, labels of which some are NaN, and 2 to 12 groups, of 200 frames."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1, (200, 4 if task.kind == "class" else 1))
    if task.kind == "value":
        scores = 160 + 65 * scores
        labels = scores[:, 0] + rng.normal(0, rng.uniform(1, 200), 200)
    else:
        right = predicted(task, scores)
        labels = np.where(rng.random(200) < 0.7, right, rng.integers(0, scores.shape[1] + 1, 200))
    labels = np.where(rng.random(200) < 0.2, np.nan, labels).astype(np.float32)
    return scores, labels, np.sort(rng.integers(0, rng.integers(2, 13), 200)) * 7


@given(seeds, st.sampled_from([YES, WHICH]))
@hypothesis(max_examples=40)
def test_accuracy_is_scikit_learns_and_lies_in_its_interval(seed: int, task: Task) -> None:
    scores, labels, groups = draw(seed, task)
    found, known = judge(task, scores, labels, groups), ~np.isnan(labels)
    guess = scores.argmax(axis=1) if task.kind == "class" else scores[:, 0] > 0
    assert found.accuracy == pytest.approx(accuracy_score(labels[known], guess[known].astype(int)))
    _, often = np.unique(labels[known], return_counts=True)
    assert found.baseline == pytest.approx(often.max() / known.sum())
    assert found.low <= found.accuracy + 1e-12 and found.accuracy <= found.high + 1e-12
    assert found.frames == known.sum()
    assert np.isnan(found.r2) and np.isnan(found.mae)


@given(seeds)
@hypothesis(max_examples=40)
def test_r2_and_mae_are_scikit_learns_and_r2_lies_in_its_interval(seed: int) -> None:
    scores, labels, groups = draw(seed, VALUE)
    found, known = judge(VALUE, scores, labels, groups), ~np.isnan(labels)
    truth, guess = labels[known].astype(np.float64), scores[known, 0]
    assert found.r2 == pytest.approx(r2_score(truth, guess), rel=1e-9)
    assert found.mae == pytest.approx(mean_absolute_error(truth, guess))
    assert found.low <= found.r2 + 1e-9 and found.r2 <= found.high + 1e-9
    assert np.isnan(found.accuracy) and np.isnan(found.baseline)


def test_the_mean_has_an_r2_of_zero() -> None:
    labels = np.random.default_rng(1).normal(1e4, 1.0, 500)
    scores = np.full((500, 1), labels.mean())
    assert judge(VALUE, scores, labels, np.arange(500)).r2 == pytest.approx(0.0, abs=1e-9)


@given(seeds, st.sampled_from([YES, WHICH, VALUE]))
@hypothesis(max_examples=20)
def test_frames_without_a_label_do_not_count(seed: int, task: Task) -> None:
    scores, labels, groups = draw(seed, task)
    known = ~np.isnan(labels)
    assume(known.any())
    scores[~known] = 1e9
    alone = judge(task, scores[known], labels[known], groups[known])
    np.testing.assert_array_equal(
        list(vars(judge(task, scores, labels, groups)).values()), list(vars(alone).values())
    )


def test_the_interval_is_over_groups_not_frames() -> None:
    """Right in whole groups and wrong in others: as sure as four answers, not as four hundred."""
    groups = np.repeat(np.arange(4), 100)
    labels = (groups < 2).astype(np.float32)
    scores = np.ones((400, 1))
    together = judge(YES, scores, labels, groups)
    apart = judge(YES, scores, labels, np.arange(400))
    assert together.accuracy == apart.accuracy == 0.5
    assert (together.low, together.high) == (0.0, 1.0)
    assert 0.4 < apart.low < 0.5 < apart.high < 0.6


def test_the_interval_is_that_of_whole_groups_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted again with scikit-learn, on frames that are really repeated."""
    rng = np.random.default_rng(1)
    draws = rng.multinomial(5, np.full(5, 0.2), 40).astype(float)
    monkeypatch.setattr(tasks, "_draws", lambda groups: draws)
    groups = np.repeat(np.arange(5), 10)
    labels = 30.0 * groups + rng.normal(0, 5, 50)
    scores = (labels + rng.normal(0, 10, 50))[:, None]
    found = judge(VALUE, scores, labels, groups)
    again = [
        r2_score(labels[frames], scores[frames, 0])
        for frames in (np.repeat(np.arange(50), draw[groups].astype(int)) for draw in draws)
    ]
    assert [found.low, found.high] == pytest.approx(np.percentile(again, [2.5, 97.5]))


def test_one_group_says_nothing_of_how_sure_it_is() -> None:
    found = judge(YES, np.ones((4, 1)), np.array([1, 1, 0, 1.0]), np.zeros(4, int))
    assert found.accuracy == 0.75 and np.isnan([found.low, found.high]).all()
    found = judge(VALUE, np.ones((4, 1)), np.array([1, 1, 0, 1.0]), np.zeros(4, int))
    assert np.isfinite(found.r2) and np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize("task", [YES, WHICH, VALUE])
def test_without_labels_there_is_no_score(task: Task) -> None:
    found = judge(task, np.zeros((5, 3)), np.full(5, np.nan), np.arange(5))
    assert found.frames == 0
    assert all(np.isnan(value) for name, value in vars(found).items() if name != "frames")


def test_labels_that_are_all_equal_have_no_r2_but_an_error() -> None:
    found = judge(VALUE, np.full((9, 1), 3.5), np.full(9, 1.1, np.float32), np.arange(9))
    assert np.isnan([found.r2, found.low, found.high]).all()
    assert found.mae == pytest.approx(2.4)


def test_an_interval_leaves_out_resamples_that_have_no_r2() -> None:
    """Groups of one value each: a resample of one group alone says nothing."""
    groups = np.repeat(np.arange(3), 5)
    labels = groups.astype(np.float32)
    scores = labels[:, None] + np.tile([0.1, -0.1, 0, 0.1, -0.1], 3)[:, None]
    found = judge(VALUE, scores, labels, groups)
    assert 0.9 < found.low < found.r2 < found.high < 1.0


def test_a_score_at_the_threshold_is_no() -> None:
    scores = np.array([[0.0], [1e-9], [-1.0]])
    np.testing.assert_array_equal(predicted(YES, scores), [0, 1, 0])


def test_there_is_a_label_for_every_task() -> None:
    from dyncp.data.labels import FrameLabels

    assert {task.name for task in TASKS} == set(FrameLabels.__dataclass_fields__)
