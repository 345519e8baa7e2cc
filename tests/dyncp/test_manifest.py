"""A manifest's lines must mean what they say, and a wrong one must be told by its number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dyncp.data import manifest
from dyncp.data.corpus import CorpusSource
from dyncp.data.open import open_source
from dyncp.data.speakers import SPLITS, Split
from dyncp.errors import UserError
from tests.dyncp.corpora import RATE, pitch, tone, write

HEADER = ",".join(manifest.COLUMNS)


def opened(path: Path, split: Split = "train") -> CorpusSource:
    source = open_source(path, RATE, split, path.parent / "cache")
    assert isinstance(source, CorpusSource)
    return source


def written(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "corpus.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """Speech a (300 Hz) and b (400 Hz), each with a noise of its own added, and noises alone."""
    for name, hertz, noise in (("a", 300, 2000), ("b", 400, 3000)):
        clean, added = tone(hertz), tone(noise, 0.5, 0.05)
        write(tmp_path / "wav" / f"{name}.wav", clean)
        write(tmp_path / "wav" / f"{name}-noisy.wav", clean + added)
        write(tmp_path / "wav" / f"{name}-noise.wav", tone(noise, 1.0))
    return tmp_path


def test_pairs_are_those_of_the_lines_with_their_labels(audio: Path) -> None:
    path = written(
        audio,
        "train,wav/a.wav,,wav/a-noisy.wav,ann,F,train station,6.0",
        "test,wav/b.wav,,wav/b-noisy.wav,bob,m,,",
    )
    (ann,) = opened(path).pairs()
    (bob,) = opened(path, "test").pairs()
    assert (ann.speaker.name, ann.speaker.gender, ann.noise) == ("ann", "f", "train station")
    assert (bob.speaker.name, bob.speaker.gender, bob.noise) == ("bob", "m", "unlabelled")
    assert ann.snr == 6.0
    # Where the line does not say, it is measured: tones of RMS 0.1 and 0.05.
    assert bob.snr == pytest.approx(20 * np.log10(0.1 / 0.05), abs=0.2)
    assert (pitch(ann.clean), pitch(bob.noisy - bob.clean)) == (300, 3000)
    mixture = opened(path, "test").mix(np.random.default_rng(1), 1.0)
    assert (mixture.speaker.name, pitch(mixture.noisy - mixture.clean)) == ("bob", 3000)


def test_noise_files_are_mixed_with_any_speech_of_their_split(audio: Path) -> None:
    path = written(
        audio,
        "train,wav/a.wav,wav/a-noise.wav,,ann,f,low,",
        "train,wav/b.wav,wav/b-noise.wav,,bob,m,high,",
        "train,wav/a.wav,wav/b-noise.wav,,ann,f,high,",
    )
    source = opened(path)
    assert source.noise_classes == ("high", "low")
    heard = set()
    for seed in range(20):
        mixture = source.mix(np.random.default_rng(seed), 1.0)
        assert pitch(mixture.clean) == {"ann": 300, "bob": 400}[mixture.speaker.name]
        added = mixture.noisy - mixture.clean
        assert pitch(added) == {"low": 2000, "high": 3000}[mixture.noise]
        heard.add((mixture.speaker.name, mixture.noise))
    assert len(heard) == 4


def test_columns_that_no_line_needs_may_be_left_out_and_paths_be_absolute(audio: Path) -> None:
    (audio / "lists").mkdir()
    noise = (audio / "wav" / "a-noise.wav").resolve()
    path = written(
        audio / "lists", f"s,train,../wav/a.wav,{noise}", header="speaker,split,clean,noise"
    )
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as spreadsheets write it
    mixture = opened(path).mix(np.random.default_rng(1), 1.0)
    assert pitch(mixture.clean) == 300
    assert mixture.speaker.gender is None


GOOD = "train,wav/a.wav,wav/a-noise.wav,,ann,f,low,"
BAD = {
    "unknown split": ("dev,wav/b.wav,wav/b-noise.wav,,bob,m,low,", "line 3: unknown split 'dev'"),
    "unknown gender": (
        "train,wav/b.wav,wav/b-noise.wav,,bob,x,low,",
        "line 3: unknown gender 'x'",
    ),
    "neither noise nor noisy": ("train,wav/b.wav,,,bob,m,low,", "line 3: it must have either"),
    "noise and noisy": (
        "train,wav/b.wav,wav/b-noise.wav,wav/b-noisy.wav,bob,m,low,",
        "line 3: it must have either noise or noisy",
    ),
    "no clean": ("train,,wav/b-noise.wav,,bob,m,low,", "line 3: no clean file"),
    "no speaker": ("train,wav/b.wav,wav/b-noise.wav,,,m,low,", "line 3: no speaker"),
    "snr in words": (
        "train,wav/b.wav,,wav/b-noisy.wav,bob,m,low,loud",
        "line 3: 'loud' is not an SNR in dB",
    ),
    "snr not finite": (
        "train,wav/b.wav,,wav/b-noisy.wav,bob,m,low,inf",
        "line 3: 'inf' is not an SNR in dB",
    ),
    "snr of a noise": (
        "train,wav/b.wav,wav/b-noise.wav,,bob,m,low,5",
        "line 3: snr is that of a noisy file",
    ),
    "too many fields": (
        "train,wav/b.wav,wav/b-noise.wav,,bob,m,low,,more",
        "line 3 has more fields than the header",
    ),
    "missing clean": ("train,wav/c.wav,wav/b-noise.wav,,bob,m,low,", "wav/c.wav"),
    "missing noise": ("train,wav/b.wav,wav/c.wav,,bob,m,low,", "no such audio file"),
    "missing noisy": ("train,wav/b.wav,,wav/c.wav,bob,m,low,", "no such audio file"),
    "another length": (
        "train,wav/b.wav,,wav/a-noise.wav,bob,m,low,",
        "wav/a-noise.wav has 16000 samples, its clean file",
    ),
    "speaker in two splits": (
        "test,wav/b.wav,wav/b-noise.wav,,ann,f,low,",
        "speaker ann is in two splits: test, train",
    ),
    "noise in two splits": (
        "test,wav/b.wav,wav/a-noise.wav,,bob,m,low,",
        "wav/a-noise.wav is in two splits: test, train",
    ),
    "speaker of two genders": (
        "train,wav/b.wav,wav/b-noise.wav,,ann,m,low,",
        "speaker ann has two genders: f, m",
    ),
    "file of two speakers": (
        "train,wav/a.wav,wav/b-noise.wav,,bob,m,low,",
        "wav/a.wav is of two speakers: ann, bob",
    ),
    "noise of two classes": (
        "train,wav/b.wav,wav/a-noise.wav,,bob,m,high,",
        "wav/a-noise.wav is of two noise classes: high, low",
    ),
    "pair twice": (
        "train,wav/b.wav,,wav/b-noisy.wav,bob,m,low,\ntrain,wav/b.wav,,wav/b-noisy.wav,bob,m,low,",
        "wav/b-noisy.wav is listed 2 times",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_with_a_line_is_said_with_its_number_or_file(what: str, audio: Path) -> None:
    line, message = BAD[what]
    with pytest.raises(UserError, match="cannot be used") as error:
        opened(written(audio, GOOD, line))
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 2


def test_all_wrong_lines_are_said_at_once_whichever_split_is_asked_for(audio: Path) -> None:
    path = written(audio, GOOD, *(line for line, _ in BAD.values()))
    for split in SPLITS:
        with pytest.raises(UserError) as error:
            opened(path, split)
        assert all(f"line {n}" in str(error.value) for n in (3, 4, 5, 6, 7, 8, 9, 10, 11, 12))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the column 'split' is missing"),
        (b"split,clean\ntrain,a.wav\n", "the column 'speaker' is missing"),
        (b"split,clean,speaker,colour\n", "unknown column 'colour'"),
        (HEADER.encode(), "has no line that can be used"),
        (b"split,clean,speaker,noise\n\xff\xfe,a,b,c\n", "is not a CSV file that can be read"),
        (b'split,clean,speaker,noise\n"train,a,b,c\n', "is not a CSV file that can be read"),
    ],
)
def test_what_is_no_manifest_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "corpus.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        opened(path)
