"""An interval that is too narrow makes noise look like progress."""

from __future__ import annotations

import numpy as np
import pytest

from quantize.evaluation.comparison import interval, relative_difference


def test_the_interval_covers_the_mean_of_the_population_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(60):
        found = interval(rng.normal(2.0, 0.5, 60).tolist())
        covered += found.low <= 2.0 <= found.high
        assert found.low < found.mean < found.high
    assert covered >= 51


def test_clips_without_a_value_are_left_out_in_pairs() -> None:
    ours = [1.0, None, 3.0, 2.2]
    theirs = [1.0, 50.0, 2.0, None]
    assert relative_difference(ours, theirs).mean == pytest.approx(4 / 3 - 1)
    assert interval(ours).mean == pytest.approx((1.0 + 3.0 + 2.2) / 3)


def test_a_difference_on_the_same_clips_is_surer_than_the_means() -> None:
    rng = np.random.default_rng(6)
    reference = rng.uniform(1.0, 4.0, 80)
    ours = reference * 0.99 + rng.normal(0, 0.003, 80)
    found = relative_difference(ours.tolist(), reference.tolist())
    assert found.low < -0.01 < found.high
    assert found.high - found.low < 0.002


def test_nothing_but_empty_values_is_refused() -> None:
    with pytest.raises(ValueError, match="no clip"):
        interval([None, None])
