"""Speakers must be who they are labelled as, and never in two splits."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dyncp.data.sentences import Language, sentence
from dyncp.data.speakers import SPLITS, Speaker, Split, draw_speaker, speakers
from dyncp.data.speech import load_speech, speak
from dyncp.errors import UserError

EVERYBODY = [speaker for split in SPLITS for speaker in speakers(split)]


def named(name: str) -> Speaker:
    return next(speaker for speaker in EVERYBODY if speaker.name == name)


def test_nobody_is_heard_in_two_splits() -> None:
    """Nor is a person whose voice two synthesisers have."""
    humans = [{speaker.human for speaker in speakers(split)} for split in SPLITS]
    assert sum(map(len, humans)) == len(set.union(*humans))
    assert len({speaker.name for speaker in EVERYBODY}) == len(EVERYBODY)
    for first, second in (
        ("flite/slt", "festival/cmu_us_slt_arctic_hts"),
        ("flite/kal16", "festival/kal_diphone"),
    ):
        assert named(first).human == named(second).human


def test_every_split_has_women_and_men_and_a_recorded_voice() -> None:
    for split in SPLITS:
        assert {speaker.gender for speaker in speakers(split)} == {"f", "m"}
        assert any(speaker.recorded for speaker in speakers(split))
    assert len(speakers("train")) >= 40
    assert {s.gender for s in speakers("test") if s.recorded} == {"f", "m"}


@pytest.mark.parametrize("split", SPLITS)
def test_a_third_of_the_talk_is_of_recorded_voices_and_everybody_talks(split: Split) -> None:
    rng = np.random.default_rng(5)
    drawn = Counter(draw_speaker(rng, split) for _ in range(6000))
    assert sorted(drawn) == list(range(len(speakers(split))))
    recorded = sum(n for index, n in drawn.items() if speakers(split)[index].recorded)
    assert recorded / 6000 == pytest.approx(1 / 3, abs=0.03)
    computed = [(speakers(split)[i], n) for i, n in drawn.items()]
    computed = [(speaker, n) for speaker, n in computed if not speaker.recorded]
    women = sum(n for speaker, n in computed if speaker.gender == "f")
    assert women / (6000 - recorded) == pytest.approx(1 / 2, abs=0.03)


def median_pitch(samples: np.ndarray, sample_rate: int) -> float:
    """Hz, by autocorrelation of the frames that are loud and periodic."""
    length = sample_rate // 25
    frames = samples[: len(samples) // length * length].reshape(-1, length).astype(np.float64)
    shortest, longest = sample_rate // 400, sample_rate // 60
    found = []
    for frame in frames:
        x = frame - frame.mean()
        similarity = np.correlate(x, x, "full")[length - 1 :]
        lag = shortest + int(similarity[shortest:longest].argmax())
        if x.std() > 600 and similarity[lag] > 0.5 * similarity[0]:
            found.append(sample_rate / lag)
    return float(np.median(found))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_women_speak_higher_than_men(split: Split) -> None:
    """A label on the wrong voice would teach a probe nonsense."""
    voices = load_speech(split, 16000, {"validation": 8, "test": 10}[split])
    pitch: dict[str, list[float]] = {"f": [], "m": []}
    for speaker, utterances in zip(speakers(split), voices, strict=True):
        pitch[speaker.gender].append(median_pitch(np.concatenate(utterances[:4]), 16000))
    assert min(pitch["f"]) > max(pitch["m"])


def test_rendering_again_gives_the_same_speech_and_the_cache_gives_it_back(tmp_path: Path) -> None:
    first = load_speech("validation", 8000, 1, tmp_path / "a")
    again = load_speech("validation", 8000, 1, tmp_path / "b")
    cached = load_speech("validation", 8000, 1, tmp_path / "a")
    voices = speakers("validation")
    assert [len(voice) for voice in first] == [3 if s.recorded else 1 for s in voices]
    for voice, other, stored in zip(first, again, cached, strict=True):
        for a, b, c in zip(voice, other, stored, strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(a, c)
            assert a.dtype == np.int16
            assert np.abs(a).max() in (16383, 16384)  # half of full scale


@pytest.mark.parametrize("name", ["espeak-ng/f3", "flite/awb", "festival/ked_diphone"])
def test_each_text_is_spoken_in_its_place(name: str) -> None:
    """Festival speaks all texts in one process: they must not be mixed up."""
    texts = ["Yes.", "The old captain was waiting for seven wooden boxes.", "No."]
    (one, rate), (long, _), (other, _) = speak(named(name), texts)
    assert len(long) / rate > 1.5
    assert len(long) > 2 * max(len(one), len(other))
    assert one.shape != other.shape or not np.array_equal(one, other)
    ((alone, _),) = speak(named(name), texts[2:])
    np.testing.assert_array_equal(alone, other)


@pytest.mark.parametrize("name", ["espeak-ng/f3", "flite/awb", "festival/ked_diphone"])
def test_a_missing_synthesiser_names_its_package(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    speaker = named(name)
    message = rf"^{speaker.synthesiser} is missing; .*apt-get install -y .*{speaker.package}"
    with pytest.raises(UserError, match=message):
        speak(speaker, ["Hello."])


@pytest.mark.parametrize("name", ["espeak-ng/f3", "flite/awb", "festival/ked_diphone"])
def test_a_missing_voice_is_not_spoken_by_another(name: str) -> None:
    """flite and espeak-ng would take their usual voice, and a test speaker be a trained one."""
    speaker = replace(named(name), voice="nobody")
    with pytest.raises(UserError, match=f"nobody.*apt-get install -y .*{speaker.package}"):
        speak(speaker, ["Hello."])


def test_a_synthesiser_without_output_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mute = tmp_path / "festival"
    mute.symlink_to(shutil.which("true") or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="ked_diphone wrote no audio; install it") as error:
        speak(named("festival/ked_diphone"), ["Hello."])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("language", ["en", "it", "fi"])
def test_sentences_are_many_and_safe_to_put_in_a_script(language: Language) -> None:
    rng = np.random.default_rng(3)
    texts = [sentence(rng, language) for _ in range(400)]
    assert len(set(texts)) > 300
    for text in texts:
        assert not set(text) & set('"\\{}\n')
        assert text[0].isupper()
        assert text[-1] in ".?!"
        text.encode("latin-1")
    again = np.random.default_rng(3)
    assert [sentence(again, language) for _ in range(400)] == texts


def test_english_has_questions_numbers_short_and_long_sentences() -> None:
    rng = np.random.default_rng(4)
    texts = [sentence(rng) for _ in range(300)]
    kinds = {
        "questions": [t for t in texts if t.endswith("?")],
        "numbers": [t for t in texts if any(c.isdigit() for c in t)],
        "short": [t for t in texts if len(t) < 20],
        "long": [t for t in texts if len(t) > 90],
    }
    assert all(len(found) > 15 for found in kinds.values()), {k: len(v) for k, v in kinds.items()}
