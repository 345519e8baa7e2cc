"""A folder of clean speech and noise must be dealt out fairly, and read whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dyncp.data.corpus import CorpusSource
from dyncp.data.folder_corpus import read_folder
from dyncp.data.listing import Listing, Problems
from dyncp.data.open import open_source
from dyncp.data.speakers import SPLITS, Split
from dyncp.errors import UserError
from tests.dyncp.corpora import NOISES, RATE, folder, pitch, rms, tone, write


def opened(root: Path, split: Split = "train") -> CorpusSource:
    source = open_source(root, RATE, split, root.parent / "cache")
    assert isinstance(source, CorpusSource)
    return source


def listed(root: Path) -> Listing:
    problems = Problems(root)
    listing = read_folder(root, problems)
    problems.raise_if_any()
    return listing


def splits_of(listing: Listing) -> dict[str, set[str]]:
    """Where every speaker and every noise file is."""
    found: dict[str, set[str]] = {}
    for speech in listing.speech:
        found.setdefault(speech.speaker.name, set()).add(speech.split)
    for noise in listing.noise:
        found.setdefault(noise.path.name, set()).add(noise.split)
    return found


def test_nobody_and_no_noise_file_is_in_two_splits_and_none_is_left_out(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", speakers=20, noises=10)
    listing = listed(root)
    where = splits_of(listing)
    assert len(where) == 20 + 2 * 10
    assert all(len(splits) == 1 for splits in where.values())
    for split in SPLITS:
        speakers = {s.speaker.name for s in listing.speech if s.split == split}
        assert len(speakers) == (16 if split == "train" else 2)
        assert {n.noise_class for n in listing.noise if n.split == split} == set(NOISES)
    assert len(listing.speech) == 40


def test_the_split_is_the_same_wherever_the_folder_lies(tmp_path: Path) -> None:
    first = folder(tmp_path / "one" / "data")
    again = shutil.copytree(first, tmp_path / "another" / "name")
    assert splits_of(listed(first)) == splits_of(listed(again))
    # Nor does it change from run to run: a checkpoint's test speakers stay unheard.
    speakers = {s.speaker.name: s.split for s in listed(first).speech if s.split != "train"}
    assert speakers == {"s7": "test", "s8": "validation"}


def test_what_is_heard_is_who_and_what_the_mixture_names(tmp_path: Path) -> None:
    root = folder(tmp_path / "data")
    source = opened(root)
    assert source.noise_classes == source.trained_noise_classes == ("bus", "cafe")
    noises = {
        pitch(tone(hertz + 100 * n)): kind for kind, hertz in NOISES.items() for n in range(5)
    }
    heard = set()
    for seed in range(20):
        mixture = source.mix(np.random.default_rng(seed), 2.0, pause=0.1)
        assert pitch(mixture.clean) == 200 + 100 * int(mixture.speaker.name[1:])
        assert noises[pitch(mixture.noisy - mixture.clean)] == mixture.noise
        assert -5 <= mixture.snr <= 15
        assert not mixture.in_room
        heard.add(mixture.speaker.name)
    train = {s.speaker.name for s in listed(root).speech if s.split == "train"}
    assert heard <= train
    assert len(heard) > 4
    assert list(source.pairs()) == []


def test_speakers_and_classes_are_found_in_names_where_there_are_no_folders(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for index in range(5):
        write(root / "clean" / f"{index}-123-0001.flac", tone(200 + 100 * index))
        write(root / "noise" / f"street_{index}.wav", tone(2000))
    write(root / "noise" / "kitchen" / "ch01.wav", tone(3000))
    listing = listed(root)
    assert {s.speaker.name for s in listing.speech} == {"0", "1", "2", "3", "4"}
    assert {n.noise_class for n in listing.noise} == {"street", "kitchen"}
    # A class of one file is for training: no split shares a recording with another.
    assert [n.split for n in listing.noise if n.noise_class == "kitchen"] == ["train"]


def divided(root: Path) -> Path:
    for number, split in enumerate(SPLITS):
        for index in range(2):
            write(root / split / "clean" / f"s{number}{index}" / "0.wav", tone(300 + 100 * index))
            write(root / split / "noise" / split / f"{index}.wav", tone(2000 + 500 * number, 1.0))
    return root


def test_folders_named_as_splits_are_the_splits(tmp_path: Path) -> None:
    root = divided(tmp_path / "data")
    for number, split in enumerate(SPLITS):
        source = opened(root, split)
        assert source.noise_classes == (split,)
        assert source.trained_noise_classes == ("train",)
        mixture = source.mix(np.random.default_rng(1), 1.0)
        assert mixture.speaker.name in (f"s{number}0", f"s{number}1")
        assert pitch(mixture.noisy - mixture.clean) == 2000 + 500 * number


def test_texts_and_hidden_files_are_left_alone(tmp_path: Path) -> None:
    root = folder(tmp_path / "data")
    before = opened(root).name
    (root / "clean" / "s1" / "chapter" / "s1.trans.txt").write_text("words")
    (root / "clean" / ".DS_Store").write_bytes(b"x")
    (root / "noise" / "README.md").write_text("words")
    assert opened(root).name == before


def test_two_channels_are_mixed_down_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder(tmp_path / "data")
    path = root / "noise" / "cafe_0.wav"
    write(path, np.stack([tone(2000, 1.0), tone(2100, 1.0)], 1))
    opened(root)
    assert f"{root}: 2 channels mixed down to mono (1 files)" in capsys.readouterr().err


def test_a_gap_in_a_recording_of_noise_is_not_amplified_to_the_snr(tmp_path: Path) -> None:
    root = divided(tmp_path / "data")
    for index in range(2):
        gap = 1e-4 * np.random.default_rng(1).standard_normal(60 * RATE)
        gap[30 * RATE : 32 * RATE] += tone(2000, 2.0)
        write(root / "train" / "noise" / "train" / f"{index}.wav", gap)
    source = opened(root)
    for seed in range(10):
        mixture = source.mix(np.random.default_rng(seed), 1.0, snr=0.0)
        assert pitch(mixture.noisy - mixture.clean) == 2000


def test_the_level_of_speech_and_the_snr_are_drawn_or_as_asked(tmp_path: Path) -> None:
    source = opened(folder(tmp_path / "data"))
    mixture = source.mix(np.random.default_rng(3), 3.0, snr=4.0, level=-33.0, pause=0.0)
    added = mixture.noisy - mixture.clean
    assert 20 * np.log10(rms(mixture.clean)) == pytest.approx(-33.0, abs=0.1)
    assert 20 * np.log10(rms(mixture.clean) / rms(added)) == pytest.approx(4.0, abs=0.1)
    drawn = [source.mix(np.random.default_rng(seed), 0.5) for seed in range(30)]
    assert np.std([m.snr for m in drawn]) > 3
    assert np.std([20 * np.log10(rms(m.clean) + 1e-9) for m in drawn]) > 3


def move_speaker(root: Path) -> None:
    shutil.copytree(root / "train" / "clean" / "s00", root / "test" / "clean" / "s00")


def few(root: Path) -> None:
    for index in range(2, 10):
        shutil.rmtree(root / "clean" / f"s{index}")


def few_noises(root: Path) -> None:
    for path in (root / "noise").iterdir():
        if path.name[-5] != "0":
            path.unlink()


Case = tuple[Callable[[Path], Path], Callable[[Path], object], str]
BAD: dict[str, Case] = {
    "no noise folder": (folder, lambda r: shutil.rmtree(r / "noise"), "noise is missing"),
    "empty noise folder": (
        folder,
        lambda r: [p.unlink() for p in (r / "noise").iterdir()],
        "noise holds no audio files",
    ),
    "not audio": (
        folder,
        lambda r: (r / "clean" / "s3" / "notes.docx").write_bytes(b"PK"),
        "clean/s3/notes.docx is not an audio file",
    ),
    "link to nothing": (
        folder,
        lambda r: (r / "noise" / "bus_9.wav").symlink_to("gone.wav"),
        "no such audio file: {root}/noise/bus_9.wav",
    ),
    "silent": (
        folder,
        lambda r: write(r / "noise" / "bus_1.wav", np.zeros(1000)),
        "noise/bus_1.wav is silent",
    ),
    "NaN": (
        folder,
        lambda r: write(r / "clean" / "s3" / "x.wav", np.full(99, np.nan), subtype="FLOAT"),
        "clean/s3/x.wav holds samples that are not finite",
    ),
    "nameless": (
        folder,
        lambda r: write(r / "clean" / "_1.wav", tone(200)),
        "clean/_1.wav says neither by a folder nor by its name whose it is",
    ),
    "speaker in two splits": (divided, move_speaker, "speaker s00 is in two splits: test, train"),
    "neither in nor out of the splits": (
        divided,
        lambda r: write(r / "clean" / "s9" / "0.wav", tone(200)),
        "clean stands beside train/: in which split is it?",
    ),
    "too few speakers": (folder, few, "has no speech in its validation split"),
    "too few noises": (folder, few_noises, "has no noise in its validation split"),
    "no such split": (
        divided,
        lambda r: shutil.rmtree(r / "validation"),
        "has no speech in its validation split",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_is_said_with_its_place(what: str, tmp_path: Path) -> None:
    make, change, message = BAD[what]
    root = make(tmp_path / "data")
    change(root)
    with pytest.raises(UserError) as error:
        opened(root, "validation")
    assert message.format(root=root) in str(error.value)
