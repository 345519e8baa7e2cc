"""What a probe is fitted on must be there at that frame, and cost what is said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from dyncp.probes.features import FEATURES, SMOOTHED_FRAMES, causal_mean, operations
from dyncp.probes.observations import Observations
from tests.conftest import tiny_preset

BY_NAME = {features.name: features for features in FEATURES}


def plain_mean(gates: np.ndarray, stream: np.ndarray, frames: int) -> np.ndarray:
    out = np.zeros(gates.shape)
    for now in range(len(gates)):
        past = [t for t in range(max(0, now - frames + 1), now + 1) if stream[t] == stream[now]]
        out[now] = np.mean([gates[t] for t in past], axis=0)
    return out


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=5),
    st.integers(1, 12),
    st.integers(0, 2**32 - 1),
)
@hypothesis(max_examples=50)
def test_the_mean_is_of_the_last_frames_of_the_same_stream(
    lengths: list[int], frames: int, seed: int
) -> None:
    stream = np.repeat(np.arange(len(lengths)), lengths)
    gates = np.random.default_rng(seed).random((len(stream), 3)) < 0.5
    found = causal_mean(gates, stream, frames)
    np.testing.assert_allclose(found, plain_mean(gates, stream, frames), atol=1e-6)
    assert found.dtype == np.float32


@given(st.integers(0, 59), st.integers(0, 2**32 - 1))
@hypothesis(max_examples=30)
def test_the_mean_knows_neither_the_future_nor_another_stream(now: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stream = np.repeat([0, 1, 2], 20)
    gates = rng.random((60, 4)) < 0.5
    other = gates.copy()
    visible = (stream == stream[now]) & (np.arange(60) <= now) & (np.arange(60) > now - 8)
    other[~visible] ^= True
    assert (
        causal_mean(gates, stream, 8)[now].tolist() == causal_mean(other, stream, 8)[now].tolist()
    )


def seen(frames: int, gates: int = 32) -> Observations:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1, (frames, gates)).astype(np.float16)
    bins = [rng.random((frames, 5)).astype(np.float16) for _ in "ab"]
    return Observations(logits > 0, logits, *bins)


def test_every_set_takes_what_its_name_says() -> None:
    preset, stream = tiny_preset(), np.repeat([0, 1], 20)
    inside = seen(40)
    taken = {name: f.take(inside, preset, stream) for name, f in BY_NAME.items()}
    assert preset.blocks * preset.gates == 32
    for name, values in (
        ("binary", inside.gates), ("top64", inside.gates), ("raw", inside.logits),
        ("stft", inside.features), ("mask", inside.mask),
        ("first2", inside.gates[:, : 2 * preset.gates]),
        ("smoothed", plain_mean(inside.gates, stream, SMOOTHED_FRAMES)),
    ):  # fmt: skip
        np.testing.assert_allclose(taken[name], values, atol=1e-6)


def test_the_first_two_blocks_are_the_first_columns() -> None:
    from dyncp.preset import load_preset

    inside = seen(3, 9 * 128)
    taken = BY_NAME["first2"].take(inside, load_preset("paper"), np.zeros(3, int))
    np.testing.assert_array_equal(taken, inside.gates[:, :256])


def test_a_prediction_adds_a_weight_for_each_open_gate_that_has_one() -> None:
    gates = np.array([[1, 1, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]], bool)
    weights = np.array([[0.5, 0.0, -1.0, 0.0], [0.5, 2.0, 0.0, 0.0]])  # none looks at the last
    for name in ("binary", "top64", "first2"):
        assert operations(BY_NAME[name], gates, weights) == pytest.approx(2 * (2 + 1 + 1) / 3)
    # A score in and a score out for each row, to keep the mean of the last frames.
    smoothed = operations(BY_NAME["smoothed"], gates, weights)
    assert smoothed == pytest.approx(2 * (2 + 1 + 1) / 3 + 2 * 2)


def test_a_prediction_from_numbers_multiplies_each() -> None:
    taken = np.zeros((3, 4), np.float16)
    weights = np.array([[0.5, 0.0, -1.0, 0.0], [0.5, 2.0, 0.0, 0.0]])
    for name in ("raw", "stft", "mask"):
        assert operations(BY_NAME[name], taken, weights) == 3 * 2
    assert operations(BY_NAME["binary"], np.ones((3, 4), bool), np.zeros((2, 4))) == 0
