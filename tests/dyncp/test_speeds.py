"""Voices at other speeds must be other voices, over the same noise, labelled as what they are."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dyncp.data.labels import fundamental_frequency
from dyncp.data.source import AudioSource, Mixture
from dyncp.data.speeds import RECORDED, AtSpeeds, at_speeds, played
from dyncp.preset import load_preset

RATE = 16000
PITCH = 150.0
SETTINGS = load_preset("paper").audio


def hummed(seconds: float, rng: np.random.Generator, gender: str | None = "m") -> Mixture:
    """A voice of 150 Hz with overtones, in noise."""
    time = np.arange(int(seconds * RATE)) / RATE
    clean = sum(np.sin(2 * np.pi * PITCH * k * time) / k for k in range(1, 12)) * 0.1
    noise = rng.normal(0, 0.01, len(time))
    clean, noisy = clean.astype(np.float32), (clean + noise).astype(np.float32)
    speaker: Any = SimpleNamespace(name="hum", gender=gender, accent="en")
    return Mixture(noisy, clean, "white", 12.0, speaker, False)


class Hum:
    """A source of such mixtures that remembers what it was asked."""

    name, sample_rate, split = "hum", RATE, "train"
    noise_classes = trained_noise_classes = ("white",)

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def mix(self, rng: np.random.Generator, seconds: float, **how: Any) -> Mixture:
        self.asked.append(how)
        return hummed(seconds, rng)

    def batch(self, seed: Sequence[int], count: int, seconds: float) -> list[Mixture]:
        raise AssertionError("not by way of mix")


def hum() -> AudioSource:
    return Hum()  # type: ignore[return-value]


@pytest.mark.parametrize("speed", [8, 9, 11, 12, 15])
def test_the_pitch_moves_with_the_speed(speed: int) -> None:
    source = AtSpeeds(hum(), (speed,))
    clean = source.mix(np.random.default_rng(1), 1.0).clean
    f0 = fundamental_frequency(SETTINGS, clean)
    assert np.nanmedian(f0) == pytest.approx(PITCH * speed / 10, rel=0.01)


@given(speed=st.integers(5, 20), samples=st.integers(1, 4000), seed=st.integers(0, 9))
def test_the_noise_stays_and_every_mixture_is_as_long_as_asked(
    speed: int, samples: int, seed: int
) -> None:
    source = AtSpeeds(hum(), (speed,))
    mixture = source.mix(np.random.default_rng(seed), samples / RATE)
    asked = int(samples / RATE * RATE)
    assert len(mixture.clean) == len(mixture.noisy) == asked
    assert mixture.clean.dtype == mixture.noisy.dtype == np.float32
    rng = np.random.default_rng(seed)
    rng.integers(1)  # which speed
    before = hummed(max(asked, -(-asked * speed // 10)) / RATE + 1e-3, rng)
    noise = (before.noisy - before.clean)[:asked]
    np.testing.assert_allclose(mixture.noisy - mixture.clean, noise, atol=1e-6)


def test_what_is_loud_is_not_clipped() -> None:
    mixture = hummed(0.5, np.random.default_rng(1))
    loud = Mixture(
        mixture.noisy * 5, mixture.clean * 5, "white", 12.0, mixture.speaker, in_room=False
    )
    for speed in (9, 12):
        result = played(loud, speed, 6000)
        assert np.abs(result.noisy).max() <= 0.981
        # Speech and noise by the same factor.
        share = np.std(result.noisy - result.clean) / np.std(result.clean)
        assert share == pytest.approx(
            np.std(loud.noisy - loud.clean) / np.std(loud.clean), rel=0.05
        )


def test_far_from_its_own_speed_a_voice_has_no_gender() -> None:
    mixture = hummed(0.5, np.random.default_rng(1))
    genders = {speed: played(mixture, speed, 4000).speaker.gender for speed in (8, 9, 10, 11, 12)}
    assert genders == {8: None, 9: "m", 10: "m", 11: "m", 12: None}


def test_a_voice_at_another_speed_is_another_speaker() -> None:
    """Else intervals over speakers would take several voices for one."""
    mixture = hummed(0.5, np.random.default_rng(1))
    names = {played(mixture, speed, 4000).speaker.name for speed in (9, 10, 11)}
    assert names == {"hum", "hum at 9 tenths", "hum at 11 tenths"}


def test_at_the_recorded_speed_the_source_is_itself() -> None:
    source = hum()
    assert at_speeds(source, RECORDED) is source
    mixture = hummed(0.5, np.random.default_rng(1))
    same = played(mixture, 10, len(mixture.clean))
    np.testing.assert_array_equal(same.clean, mixture.clean)
    assert same.speaker is mixture.speaker


def test_all_speeds_are_drawn_and_the_seed_decides() -> None:
    source = at_speeds(hum(), (9, 10, 12))
    first, again = (source.batch((3, 4), 30, 0.1) for _ in range(2))
    assert {m.speaker.name for m in first} == {"hum", "hum at 9 tenths", "hum at 12 tenths"}
    for one, other in zip(first, again, strict=True):
        assert one.noisy.tobytes() == other.noisy.tobytes()
        assert one.speaker == other.speaker


def test_what_is_asked_of_a_mixture_is_passed_on() -> None:
    inner = Hum()
    how = {"noise": "white", "snr": 3.0, "level": -20.0, "pause": 1.5, "room": True}
    AtSpeeds(inner, (9,)).mix(np.random.default_rng(1), 0.2, **how)  # type: ignore[arg-type]
    assert inner.asked == [how]
    outer = AtSpeeds(inner, (9,))  # type: ignore[arg-type]
    assert (outer.name, outer.sample_rate, outer.split) == ("hum", RATE, "train")
    assert outer.noise_classes == outer.trained_noise_classes == ("white",)
