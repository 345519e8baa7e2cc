"""A fitted probe must be scikit-learn's, in weights that a device can add."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dyncp.probes.linear import MINIMUM_STD, fit
from dyncp.probes.tasks import Task, predicted

YES, WHICH, VALUE = Task("vad", "yes"), Task("noise", "class"), Task("f0", "value", "Hz")


def gates(seed: int, frames: int = 600, count: int = 12) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random((frames, count)) < rng.uniform(0.2, 0.8, count)


@given(st.integers(0, 2**32 - 1))
@hypothesis(max_examples=20)
def test_it_finds_the_weights_that_made_the_values(seed: int) -> None:
    x, rng = gates(seed), np.random.default_rng(seed)
    weights, bias = rng.normal(0, 30, 12), rng.normal(150, 50)
    model = fit(VALUE, x, (x @ weights + bias).astype(np.float32), 0)
    np.testing.assert_allclose(model.weights, weights[None], atol=0.05)
    assert model.bias == pytest.approx([bias], abs=0.2)
    np.testing.assert_allclose(model.scores(x)[:, 0], x @ weights + bias, atol=0.2)


def test_a_classifier_is_scikit_learns_on_standardised_gates() -> None:
    x = gates(1)
    kinds = (x[:, 0] * 2 + (x[:, 1] & x[:, 2])).astype(np.float32)
    for task, labels in ((YES, (kinds > 1).astype(np.float32)), (WHICH, kinds)):
        model = fit(task, x, labels, 4)
        theirs = make_pipeline(
            StandardScaler(), LogisticRegression(C=1 / (0.01 * len(x)), max_iter=1000)
        ).fit(x, labels.astype(int))
        expected = theirs.decision_function(x).reshape(len(x), -1)
        np.testing.assert_allclose(model.scores(x), expected, atol=5e-3)
        if task is WHICH:
            assert (predicted(task, model.scores(x)) == theirs.predict(x)).mean() > 0.999


@pytest.mark.parametrize("task", [YES, WHICH, VALUE])
def test_frames_without_a_label_teach_nothing(task: Task) -> None:
    x = gates(2)
    labels = (x[:, 0] * 1.0 + (x[:, 1] if task is not YES else 0)).astype(np.float32)
    unknown = np.random.default_rng(1).random(len(x)) < 0.3
    alone = fit(task, x[~unknown], labels[~unknown], 3)
    x[unknown, 0] ^= True
    both = fit(task, x, np.where(unknown, np.nan, labels).astype(np.float32), 3)
    np.testing.assert_array_equal(alone.weights, both.weights)
    np.testing.assert_array_equal(alone.bias, both.bias)


@pytest.mark.parametrize("task", [YES, WHICH, VALUE])
def test_a_gate_that_hardly_moves_has_no_weight(task: Task) -> None:
    """Exactly none, so that a device never looks at it."""
    x = gates(3, frames=100_000 if task is VALUE else 50_000)
    x[:, 4], x[:, 5], x[:, 6] = True, False, False
    x[0, 6] = True
    assert 0 < x[:, 6].std() < MINIMUM_STD
    labels = (x[:, 0] + x[:, 1]).astype(np.float32)
    model = fit(task, x, labels.clip(max=1) if task is YES else labels, 3)
    assert (model.weights[:, 4:7] == 0).all() and (model.importance[4:7] == 0).all()
    assert (model.weights[:, :2] != 0).any(axis=0).all()


@pytest.mark.parametrize("seen", [(0, 1, 3), (1, 3), (3, 1)])
def test_a_class_that_was_never_seen_has_a_row_that_never_wins(seen: tuple[int, ...]) -> None:
    x = gates(4)
    labels = np.array(seen, np.float32)[(x[:, 0] * 1 + x[:, 1]) % len(seen)]
    model = fit(WHICH, x, labels, 5)
    assert model.weights.shape == (5, 12) and model.bias.shape == (5,)
    guess = predicted(WHICH, model.scores(x))
    assert set(guess) == set(seen)
    if len(seen) == 2:
        assert (guess == labels).mean() > 0.6
    # Nor on masks that it never saw, of all gates open or shut.
    for mask in (np.ones((1, 12), bool), np.zeros((1, 12), bool), gates(99)):
        assert set(predicted(WHICH, model.scores(mask))) <= set(seen)
    assert model.scores(x)[:, [2, 4]].max() < model.scores(x)[:, list(seen)].min() - 100


def test_two_of_the_classes_are_told_apart() -> None:
    x = gates(5)
    labels = np.where(x[:, 3], 3, 1).astype(np.float32)
    assert (predicted(WHICH, fit(WHICH, x, labels, 5).scores(x)) == labels).all()


def test_gates_that_never_move_give_the_commoner_answer_or_the_mean() -> None:
    """As after a very short training, which must not end in a traceback."""
    still = np.ones((100, 8), bool)
    for active in (np.arange(100) < 70, np.ones(100, bool), np.zeros(100, bool)):
        model = fit(YES, still, active.astype(np.float32), 0)
        assert (predicted(YES, model.scores(still)) == (active.mean() > 0.5)).all()
        assert np.isfinite(model.bias).all() and not model.weights.any()
    kinds = np.repeat([2.0, 0.0, 2.0, 2.0], 25).astype(np.float32)
    assert (predicted(WHICH, fit(WHICH, still, kinds, 4).scores(still)) == 2).all()
    assert fit(VALUE, still, kinds, 0).scores(still) == pytest.approx(np.full((100, 1), 1.5))
    moving = gates(6, 100, 8)
    for task, truth in ((YES, 0.0), (YES, 1.0), (WHICH, 1.0), (VALUE, 7.0)):
        model = fit(task, moving, np.full(100, truth, np.float32), 2)
        assert (predicted(task, model.scores(moving)) == truth).all()


@pytest.mark.parametrize(("task", "rows"), [(YES, 1), (WHICH, 3), (VALUE, 1)])
def test_without_gates_or_labels_there_is_a_model_still(task: Task, rows: int) -> None:
    nothing = fit(task, gates(7), np.full(600, np.nan, np.float32), 3)
    assert nothing.weights.shape == (rows, 12) and not nothing.weights.any()
    assert nothing.bias.tolist() == [0.0] * rows
    labels = np.arange(600, dtype=np.float32) % 2
    blind = fit(task, np.zeros((600, 0), bool), labels, 3)
    assert blind.scores(np.zeros((5, 0), bool)).shape == (5, rows)


def test_the_gate_that_decides_is_the_most_important() -> None:
    x = gates(8, 3000)
    wide = x.astype(np.float32)
    wide[:, 7] *= 100  # its raw weight is small for that
    for task, labels in ((YES, x[:, 7] * 1.0), (VALUE, x[:, 7] * 5.0 + x[:, 1])):
        assert fit(task, wide, labels.astype(np.float32), 0).importance.argmax() == 7
