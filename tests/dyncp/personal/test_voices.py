"""A speaker must not be enrolled by what they say in the scene, nor disturb themselves."""

from __future__ import annotations

import numpy as np
import pytest

from dyncp.data import speech
from dyncp.data.speakers import speakers
from dyncp.personal.scenes import SceneSource
from dyncp.personal.voices import _played_at, draw_voice, load_voices

RATE = 16000


@pytest.mark.parametrize("split", ["unseen", "examined"])
def test_what_enrols_a_voice_is_in_no_scene(split: str, request: pytest.FixtureRequest) -> None:
    source: SceneSource = request.getfixturevalue(split)
    for voice in source.voices:
        talk, enrol = ({s.tobytes() for s in part} for part in (voice.talk, voice.enrol))
        assert len(voice.enrol) >= 3 and len(voice.talk) >= 3
        assert not talk & enrol, voice.name


def test_every_speaker_of_a_split_is_a_voice_with_all_that_they_say(examined: SceneSource) -> None:
    assert [voice.person for voice in examined.voices] == [s.human for s in speakers("test")]
    for voice, said in zip(examined.voices, examined._speech, strict=True):
        held = {sentence.tobytes() for sentence in (*voice.talk, *voice.enrol)}
        assert held == {sentence.tobytes() for sentence in said}


def test_the_two_voices_of_a_person_never_meet(examined: SceneSource) -> None:
    voices = examined.voices
    rng = np.random.default_rng(1)
    drawn = {draw_voice(rng, voices) for _ in range(300)}
    assert drawn == set(range(len(voices)))
    others = {draw_voice(rng, voices, but="slt") for _ in range(300)}
    assert others == {i for i, voice in enumerate(voices) if voice.person != "slt"}


def test_a_third_of_the_voices_are_recorded_and_half_are_women(examined: SceneSource) -> None:
    rng = np.random.default_rng(2)
    drawn = [examined.voices[draw_voice(rng, examined.voices)] for _ in range(900)]
    assert 0.28 < np.mean([voice.recorded for voice in drawn]) < 0.39
    assert 0.45 < np.mean([voice.gender == "f" for voice in drawn]) < 0.55


def test_the_only_recorded_voice_of_a_split_finds_somebody_to_disturb_it(
    unseen: SceneSource,
) -> None:
    (ked,) = [voice.person for voice in unseen.voices if voice.recorded]
    rng = np.random.default_rng(3)
    assert all(unseen.voices[draw_voice(rng, unseen.voices, ked)].person != ked for _ in range(50))


@pytest.fixture
def noise_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sentence is a second of noise, whatever its words."""

    def speak(speaker: object, texts: list[str]) -> list[tuple[np.ndarray, int]]:
        rng = np.random.default_rng(0)
        return [(rng.uniform(-1, 1, RATE).astype(np.float32), RATE) for _ in texts]

    monkeypatch.setattr(speech, "speak", speak)


@pytest.mark.parametrize("index", [0, 3, 6])
@pytest.mark.usefixtures("noise_speaks")
def test_the_speed_of_a_sentence_is_known_as_it_was_played(index: int) -> None:
    """If not, one voice of the training would hold the sentences of three."""
    said = speech._render("train", index, 36, RATE)
    lengths = {9: 17778, 10: 16000, 11: 14545}
    played = [min(lengths, key=lambda speed: abs(lengths[speed] - len(x))) for x in said]
    assert max(abs(lengths[s] - len(x)) for s, x in zip(played, said, strict=True)) < 50
    assert set(played) == set(lengths)
    assert _played_at("train", index, len(said)) == played


def test_a_training_speaker_is_three_voices_of_one_person() -> None:
    """The first sample of a made-up sentence says who speaks it, and which one it is."""
    everybody = speakers("train")
    said = [
        [
            np.full(200, 200 * who + number, np.int16)
            for number in range(108 if speaker.recorded else 36)
        ]
        for who, speaker in enumerate(everybody)
    ]
    voices = load_voices("train", said)
    assert len(voices) == 3 * len(everybody)
    assert len({voice.name for voice in voices}) == len(voices)
    for who, speaker in enumerate(everybody):
        slow, plain, fast = voices[3 * who : 3 * who + 3]
        assert {voice.person for voice in (slow, plain, fast)} == {speaker.human}
        assert (slow.name, plain.name, fast.name) == (
            f"{speaker.name}@0.9", speaker.name, f"{speaker.name}@1.1",
        )  # fmt: skip
        if speaker.recorded:  # its sentences were played as they were rendered: shared out
            held = [int(x[0]) for v in (slow, plain, fast) for x in (*v.talk, *v.enrol)]
            assert sorted(held) == [200 * who + number for number in range(108)]
            speeds = _played_at("train", who, 108)
            for voice, speed in ((slow, 9), (plain, 10), (fast, 11)):
                for x in (*voice.talk, *voice.enrol):
                    assert speeds[int(x[0]) - 200 * who] == speed
        else:  # each is played at every speed
            assert all(len(v.talk) == 27 and len(v.enrol) == 9 for v in (slow, plain, fast))
            assert (len(slow.talk[0]), len(plain.talk[0]), len(fast.talk[0])) == (223, 200, 182)
            middle = [int(v.enrol[8][90]) for v in (slow, plain, fast)]
            assert middle == pytest.approx([200 * who + 35] * 3, rel=0.02, abs=2)


def test_more_speeds_are_more_voices_of_the_synthesised_speakers() -> None:
    """Fewer voices than the settings say would be heard, and learned by heart."""
    everybody = speakers("train")
    said = [[np.full(200, 1, np.int16)] * (108 if s.recorded else 36) for s in everybody]
    voices = load_voices("train", said, (8, 9, 10, 11, 12))
    recorded = sum(speaker.recorded for speaker in everybody)
    assert len(voices) == 3 * recorded + 5 * (len(everybody) - recorded)
    assert len({voice.name for voice in voices}) == len(voices)
    assert {len(voice.talk[0]) for voice in voices if "@0.8" in voice.name} == {250}
    assert {len(voice.talk[0]) for voice in voices if "@1.2" in voice.name} == {167}


def test_a_fast_voice_is_higher_and_not_louder() -> None:
    tone = np.rint(8000 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.int16)
    said = [[tone] * (108 if s.recorded else 36) for s in speakers("train")]
    computed = next(i for i, speaker in enumerate(speakers("train")) if not speaker.recorded)
    slow, _, fast = load_voices("train", said)[3 * computed : 3 * computed + 3]
    for voice, pitch in ((slow, 396.0), (fast, 484.0)):
        x = voice.talk[0][2000:10000].astype(np.float64)
        assert np.abs(x).max() == pytest.approx(8000, rel=0.02)
        peak = np.abs(np.fft.rfft(x * np.hanning(len(x)))).argmax()
        assert peak * RATE / len(x) == pytest.approx(pitch, abs=2.5)
