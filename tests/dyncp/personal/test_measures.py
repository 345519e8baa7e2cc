"""The two figures that the recipes are compared by."""

from __future__ import annotations

import numpy as np
import pytest

from dyncp.personal.measures import QUIETEST, leakage_reduction, over_suppression
from dyncp.personal.scenes import SceneSource
from dyncp.personal.speaker_encoder import SETTINGS

HOP = SETTINGS.hop


@pytest.fixture(scope="module")
def clean(unseen: SceneSource) -> np.ndarray:
    return unseen.enrolment(2)[: 100 * HOP]


def test_clean_speech_is_not_over_suppressed_and_silence_is(clean: np.ndarray) -> None:
    assert over_suppression(clean, clean) == 0.0
    assert over_suppression(clean, np.zeros_like(clean)) == 1.0


def test_what_is_added_is_no_suppression(clean: np.ndarray) -> None:
    assert over_suppression(clean, 10 * clean) == 0.0


def test_the_border_lies_where_a_tenth_of_a_frame_is_missing(clean: np.ndarray) -> None:
    """(1 - g^0.3)^2 > 0.1 for a gain of g: below 0.2525."""
    border = (1 - np.sqrt(0.1)) ** (1 / 0.3)
    assert over_suppression(clean, clean * border * 1.01) == 0.0
    assert over_suppression(clean, clean * border * 0.99) == 1.0


def test_the_share_is_of_the_frames_with_speech() -> None:
    """Half of the noise is taken away; the silence behind it counts for nothing."""
    loud = np.random.default_rng(1).normal(0, 0.1, 40 * HOP)
    reference = np.concatenate([loud, np.zeros(60 * HOP)])
    estimate = reference.copy()
    estimate[: 20 * HOP] = 0
    # 41 frames touch the noise, of which the first 20 lie in what is gone.
    assert over_suppression(reference, estimate) == pytest.approx(20 / 41)


@pytest.mark.parametrize("gain", [1e-3, 0.25, 7.0])
def test_over_suppression_does_not_depend_on_the_level(clean: np.ndarray, gain: float) -> None:
    rng = np.random.default_rng(2)
    gains = np.repeat(rng.uniform(0, 0.6, len(clean) // HOP), HOP)
    estimate = clean * gains
    share = over_suppression(clean, estimate)
    assert 0.05 < share < 0.95
    assert over_suppression(clean * gain, estimate * gain) == share


def test_without_speech_there_is_nothing_to_suppress() -> None:
    assert np.isnan(over_suppression(np.zeros(8 * HOP), np.ones(8 * HOP)))


def test_half_the_amplitude_is_six_decibels_less_leakage(clean: np.ndarray) -> None:
    assert leakage_reduction(clean, clean) == 0.0
    assert leakage_reduction(clean, clean / 2) == pytest.approx(20 * np.log10(2))
    assert leakage_reduction(clean, 2 * clean) == pytest.approx(-20 * np.log10(2))


def test_a_silent_output_is_clamped_and_not_infinite() -> None:
    loud = np.full(1000, 0.1)
    assert leakage_reduction(loud, np.zeros(1000)) == pytest.approx(100.0)
    assert leakage_reduction(loud, np.full(1000, np.sqrt(QUIETEST) / 9)) == pytest.approx(100.0)
    assert leakage_reduction(np.zeros(1000), np.zeros(1000)) == 0.0
