"""A scene that is not what it says trains a network for something else, unnoticed."""

from __future__ import annotations

import numpy as np
import pytest

from dyncp.data.labels import active_level
from dyncp.personal.scenes import SCENARIOS, Scenario, Scene, SceneSource

SECONDS = 3.0


def decibels(ratio: float) -> float:
    return float(20 * np.log10(ratio))


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def drawn(source: SceneSource, scenario: Scenario, seed: int = 3, **given: float | int) -> Scene:
    return source.scene(np.random.default_rng(seed), SECONDS, scenario, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("snr", [-5.0, 12.0])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_noise_is_as_far_below_the_speech_as_asked_for(
    unseen: SceneSource, scenario: Scenario, snr: float
) -> None:
    scene = drawn(unseen, scenario, snr=snr, sir=3.0, level=-40.0)
    speech = scene.interferer if scenario == "TS3" else scene.target
    noise = scene.noisy - scene.target - scene.interferer
    assert decibels(active_level(speech) / rms(noise)) == pytest.approx(snr, abs=0.05)
    assert scene.snr == snr


@pytest.mark.parametrize("sir", [-5.0, 0.0, 10.0])
def test_the_interferer_is_as_loud_as_asked_for(unseen: SceneSource, sir: float) -> None:
    scene = drawn(unseen, "TS1", sir=sir)
    found = decibels(active_level(scene.target) / active_level(scene.interferer))
    assert found == pytest.approx(sir, abs=0.05)
    assert scene.sir == sir


def test_a_silent_target_is_silent_and_a_lone_one_is_alone(unseen: SceneSource) -> None:
    away, alone, both = (drawn(unseen, scenario) for scenario in ("TS3", "TS2", "TS1"))
    assert not away.target.any() and away.interferer.any() and np.isnan(away.sir)
    assert alone.target.any() and not alone.interferer.any() and np.isnan(alone.sir)
    assert both.target.any() and both.interferer.any() and not np.isnan(both.sir)
    np.testing.assert_array_equal(away.reference, away.target)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("level", [-45.0, 0.0])
def test_the_level_is_that_of_the_speech_that_is_heard(
    unseen: SceneSource, scenario: Scenario, level: float
) -> None:
    """Losses are taken at unit level: also where the peak was brought down."""
    scene = drawn(unseen, scenario, level=level, sir=6.0)
    speech = scene.interferer if scenario == "TS3" else scene.target
    assert scene.level == pytest.approx(active_level(speech), rel=1e-3)
    assert (scene.level < 10 ** (level / 20) * 0.999) == (level == 0.0)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_loudest_scene_does_not_clip(unseen: SceneSource, scenario: Scenario) -> None:
    for seed in range(3):
        scene = drawn(unseen, scenario, seed, level=0.0, snr=-10.0)
        assert 0.97 < np.abs(scene.noisy).max() <= 0.98 + 1e-6
        assert scene.noisy.dtype == np.float32


def test_one_person_never_plays_both_parts(
    examined: SceneSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two synthesisers speak with the voice of slt: neither may disturb the other."""
    talkers: list[int] = []

    def silent(rng: np.random.Generator, voice: int, samples: int, *_: object) -> np.ndarray:
        talkers.append(voice)
        return np.zeros(samples, np.float32)

    monkeypatch.setattr(examined, "_talk", silent)
    monkeypatch.setattr(examined, "_noise_at", lambda rng, kind, samples, level: np.zeros(samples))
    voices = examined.voices
    slt = [index for index, voice in enumerate(voices) if voice.person == "slt"]
    assert len(slt) == 2
    rng = np.random.default_rng(5)
    for number in range(60):
        examined.scene(rng, 0.1, "TS1", voice=(*slt, None)[number % 3])
    pairs = list(zip(talkers[::2], talkers[1::2], strict=True))
    assert len(pairs) == 60 and {target for target, _ in pairs} > set(slt)
    assert all(voices[one].person != voices[other].person for one, other in pairs)


def test_a_seed_gives_the_same_bytes_and_another_one_others(unseen: SceneSource) -> None:
    shares: dict[Scenario, float] = {"TS1": 0.5, "TS2": 0.25, "TS3": 0.25}
    once, again, other = (unseen.scenes(seed, 6, 1.0, shares) for seed in ((7, 1), (7, 1), (7, 2)))
    for one, same in zip(once, again, strict=True):
        assert one.scenario == same.scenario and one.voice == same.voice
        for part in ("noisy", "target", "interferer"):
            assert getattr(one, part).tobytes() == getattr(same, part).tobytes()
    assert any(
        one.noisy.tobytes() != changed.noisy.tobytes()
        for one, changed in zip(once, other, strict=True)
    )


def test_scenarios_come_by_their_shares(unseen: SceneSource) -> None:
    scenes = unseen.scenes((11,), 60, 0.1, {"TS1": 0.25, "TS3": 0.75})
    found = [scene.scenario for scene in scenes]
    assert set(found) == {"TS1", "TS3"}
    assert 8 <= found.count("TS1") <= 24


def test_where_nobody_is_enrolled_every_voice_is_to_be_kept(unseen: SceneSource) -> None:
    scenes = unseen.scenes((13,), 24, 1.0, {"TS1": 0.3, "TS2": 0.4, "TS3": 0.3}, unenrolled=1.0)
    assert {scene.scenario for scene in scenes} == set(SCENARIOS)
    for scene in scenes:
        assert (scene.voice == -1) == (scene.scenario == "TS2")
        speech = scene.target + scene.interferer
        wanted = speech if scene.scenario == "TS2" else scene.target
        np.testing.assert_array_equal(scene.reference, wanted)
    nobody = Scene(**{**vars(drawn(unseen, "TS1")), "voice": -1})
    np.testing.assert_array_equal(nobody.reference, nobody.target + nobody.interferer)


def test_without_a_share_every_target_is_enrolled(unseen: SceneSource) -> None:
    assert all(scene.voice >= 0 for scene in unseen.scenes((17,), 8, 0.1, {"TS2": 1.0}))


def test_an_enrolment_is_by_three_sentences_of_the_voice(unseen: SceneSource) -> None:
    for voice in (0, 3):
        said = unseen.voices[voice].enrol
        fixed = unseen.enrolment(voice)
        first = np.concatenate(said[:3]).astype(np.float32) / 32768
        np.testing.assert_array_equal(fixed, first)
    sentences = {sentence.tobytes() for sentence in unseen.voices[0].enrol}
    other = unseen.enrolment(0, np.random.default_rng(1))
    assert other.tobytes() != unseen.enrolment(0).tobytes()
    pcm = np.rint(other * 32768).astype(np.int16).tobytes()
    assert sum(sentence in pcm for sentence in sentences) == 3
