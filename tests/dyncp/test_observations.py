"""Labels and what the network had inside must be of the same frames, and of today's sources."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from dyncp import audio
from dyncp.checkpoint import Checkpoint
from dyncp.data.labels import FrameLabels, voice_activity
from dyncp.data.noise_clips import noise_classes
from dyncp.data.speeds import RECORDED
from dyncp.data.streams import label_sources, make_stream
from dyncp.enhance import enhance
from dyncp.errors import UserError
from dyncp.network import GatedConvFSENet
from dyncp.pictures.frames import pictured
from dyncp.preset import Audio
from dyncp.probes import observations
from dyncp.probes.observations import LabelledFrames, labelled_frames, observe
from tests.conftest import tiny_preset
from tests.dyncp.corpora import NOISES, folder, tone, voicebank, write
from tests.dyncp.quick_probes import coarse_preset, quick_probes

TWO_STREAMS = 2 * 10 / 60
SETTINGS = coarse_preset(None).audio


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    quick_probes(monkeypatch, tmp_path / "cache")
    return tmp_path / "cache"


def same(one: LabelledFrames, other: LabelledFrames) -> None:
    for field in dataclasses.fields(FrameLabels):
        np.testing.assert_array_equal(one.labels.of(field.name), other.labels.of(field.name))
    np.testing.assert_array_equal(one.segments, other.segments)
    np.testing.assert_array_equal(one.speakers, other.speakers)
    assert (one.lengths, one.classes, one.mixed) == (other.lengths, other.classes, other.mixed)


def test_labels_are_of_the_samples_that_the_network_hears(cache: Path) -> None:
    frames = labelled_frames(SETTINGS, "test", TWO_STREAMS, 4)
    assert frames.lengths == (625, 625)
    assert frames.classes == frames.mixed == noise_classes("train")
    np.testing.assert_array_equal(np.unique(frames.segments), np.arange(20))
    assert (np.diff(frames.segments) >= 0).all()
    start = 0
    for index, length in enumerate(frames.lengths):
        noisy = frames.noisy(index)
        assert audio.spectrum(SETTINGS, noisy).shape[1] == length
        segments = frames.segments[start : start + length]
        np.testing.assert_array_equal(np.unique(segments), np.arange(10) + 10 * index)
        kinds = frames.labels.noise[start : start + length]
        assert sorted(kinds[segments == n][0] for n in np.unique(segments)) == list(range(10))
        start += length
    assert 0.3 < frames.labels.vad.mean() < 1


def test_the_segments_of_a_speaker_are_known_across_streams(cache: Path) -> None:
    frames = labelled_frames(SETTINGS, "test", TWO_STREAMS, 4)
    said = [
        (segment.speaker.name, 10 * index + number)
        for index in range(2)
        for number, segment in enumerate(
            make_stream(frames.source, 4, index, frames.mixed).segments
        )
    ]
    numbers = {name: set(frames.speakers[frames.segments == n]) for name, n in said}
    assert len(numbers) < 20, "nobody is heard twice"
    for name, number in said:
        assert set(frames.speakers[frames.segments == number]) == numbers[name]
    assert len(set.union(*numbers.values())) == len(numbers) == frames.speakers.max() + 1


def moving_gates(network: GatedConvFSENet, noisy: np.ndarray) -> None:
    """Move every threshold to the middle of its logits."""
    features = torch.from_numpy(audio.features(network.preset.audio, noisy))[None]
    network.eval()
    with torch.no_grad():
        for number, block in enumerate(network.blocks):
            if block.gate is not None:
                middle = network(features).logits[number][0].median(dim=1).values
                block.gate.score.bias -= middle


@pytest.mark.parametrize("site", ["output", None])
def test_what_is_seen_of_a_frame_is_what_the_network_had_in_it(
    cache: Path, site: str | None
) -> None:
    torch.manual_seed(1)
    preset = coarse_preset(site)
    network = GatedConvFSENet(preset)
    frames = labelled_frames(preset.audio, "train", TWO_STREAMS, 4)
    moving_gates(network, frames.noisy(0))
    seen = observe(network, frames)
    start = 0
    for index, length in enumerate(frames.lengths):
        here = slice(start, start + length)
        noisy = frames.noisy(index)
        gates = enhance(network, noisy).gates.reshape(length, -1)
        np.testing.assert_array_equal(seen.gates[here], gates)
        features = audio.features(preset.audio, noisy)
        np.testing.assert_array_equal(seen.features[here], features.T.astype(np.float16))
        with torch.no_grad():
            output = network(torch.from_numpy(features)[None])
        np.testing.assert_array_equal(seen.mask[here], output.mask[0].numpy().T.astype(np.float16))
        start += length
    assert start == len(seen.logits) == len(frames.segments)
    assert seen.logits.shape == seen.gates.shape == (start, preset.blocks * preset.gates)
    clear = np.abs(seen.logits) > 1e-3
    np.testing.assert_array_equal((seen.logits > 0)[clear], seen.gates[clear])
    assert preset.gate is None or 0.1 < seen.gates.mean() < 0.9


def refuse(*_: object) -> None:
    raise AssertionError("labelled again")


def test_labels_are_kept_until_a_source_changes(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = labelled_frames(SETTINGS, "test", 0.1, 4)
    assert len(list(cache.iterdir())) == 1
    label = observations.label_stream
    monkeypatch.setattr(observations, "label_stream", refuse)
    same(labelled_frames(SETTINGS, "test", 0.1, 4), first)
    for source in label_sources():
        copies = tuple(
            Path(shutil.copy(path, tmp_path / path.name)) if path == source else path
            for path in label_sources()
        )
        monkeypatch.setattr(observations, "label_sources", lambda copies=copies: copies)
        same(labelled_frames(SETTINGS, "test", 0.1, 4), first)
        with (tmp_path / source.name).open("a") as file:
            file.write("# changed\n")
        with pytest.raises(AssertionError, match="labelled again"):
            labelled_frames(SETTINGS, "test", 0.1, 4)
    monkeypatch.setattr(observations, "label_stream", label)
    same(labelled_frames(SETTINGS, "test", 0.1, 4), first)
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize(
    "other",
    [
        (SETTINGS, "train", 0.1, 4), (SETTINGS, "test", TWO_STREAMS, 4), (SETTINGS, "test", 0.1, 5),
        (tiny_preset().audio, "test", 0.1, 4),
    ],
)  # fmt: skip
def test_other_streams_have_labels_of_their_own(
    cache: Path, monkeypatch: pytest.MonkeyPatch, other: tuple[Audio, str, float, int]
) -> None:
    labelled_frames(SETTINGS, "test", 0.1, 4)
    monkeypatch.setattr(observations, "label_stream", refuse)
    with pytest.raises(AssertionError, match="labelled again"):
        labelled_frames(*other)  # type: ignore[arg-type]


def test_voices_at_other_speeds_have_labels_of_their_own(cache: Path) -> None:
    recorded = labelled_frames(SETTINGS, "test", 0.1, 4)
    faster = labelled_frames(SETTINGS, "test", 0.1, 4, speeds=(12,))
    assert len(list(cache.iterdir())) == 2
    same(labelled_frames(SETTINGS, "test", 0.1, 4, speeds=(12,)), faster)
    assert faster.noisy(0).tobytes() != recorded.noisy(0).tobytes()
    assert np.isnan(faster.labels.gender).all()
    assert not np.isnan(recorded.labels.gender).all()


@pytest.fixture
def elsewhere(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run in: the decoded samples of a corpus go to build/data below it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_class_has_one_number_in_all_splits_of_a_corpus(elsewhere: Path) -> None:
    """The test split lacks the first class: its others must not move up."""
    root = folder(elsewhere / "data")
    for split in ("train", "validation", "test"):
        shutil.copytree(root / "clean", root / split / "clean")
        for kind, hertz in {**NOISES, "attic": 1000}.items():
            if (split, kind) != ("test", "attic"):
                write(root / split / "noise" / f"{kind}_1.wav", tone(hertz, 1.0))
    for name in ("clean", "noise"):
        shutil.rmtree(root / name)
    for split in ("train", "test"):  # a speaker is in one split
        for number, speaker in enumerate(sorted((root / split / "clean").iterdir())):
            if (number % 2 == 0) == (split == "test"):
                shutil.rmtree(speaker)
    shutil.rmtree(root / "validation" / "clean")
    write(root / "validation" / "clean" / "v_1.wav", tone(250))
    train, test = (labelled_frames(SETTINGS, split, 0.01, 1, root) for split in ("train", "test"))
    assert train.classes == test.classes == ("attic", "bus", "cafe")
    assert test.mixed == ("bus", "cafe")
    assert set(train.labels.noise) == {0, 1, 2} and set(test.labels.noise) == {1, 2}
    assert np.isnan(test.labels.gender).all()
    hop, rate = SETTINGS.hop, SETTINGS.sample_rate
    half = test.noisy(0)[: rate // hop * hop]
    spectrum = np.abs(np.fft.rfft(half))
    spectrum[: 1500 * len(half) // rate] = 0  # the noises' tones lie above the speakers'
    strongest = int(round(spectrum.argmax() * rate / len(half), -2))
    assert strongest == NOISES[test.classes[int(test.labels.noise[0])]]


def test_a_test_split_of_other_noises_has_all_labels_but_theirs(elsewhere: Path) -> None:
    """VoiceBank+DEMAND as published: no noise of the training set is in its test set."""
    root = voicebank(elsewhere / "vb")
    log = root / "log_testset.txt"
    log.write_text(log.read_text().replace("cafe", "office").replace("bus", "square"))
    frames = labelled_frames(SETTINGS, "test", 0.01, 1, root)
    assert frames.classes == ("bus", "cafe") and frames.mixed == ("office", "square")
    assert np.isnan(frames.labels.noise).all() and len(frames.labels.noise) > 0
    assert frames.labels.vad.any()
    assert np.isfinite(frames.labels.snr).any()


def test_labels_of_a_corpus_are_made_anew(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files may change below the same name; the labels that are kept are the synthetic data's."""
    labelled_frames(SETTINGS, "train", 0.01, 1)
    monkeypatch.chdir(tmp_path)
    root = voicebank(tmp_path / "vb")
    first = labelled_frames(SETTINGS, "train", 0.01, 1, root)
    for path in sorted((root / "clean_trainset_28spk_wav").iterdir()):
        noisy = root / "noisy_trainset_28spk_wav" / path.name
        write(path, tone(100, 0.3))
        write(noisy, tone(100, 0.3) + tone(2500, 0.3, 0.01))
    again = labelled_frames(SETTINGS, "train", 0.01, 1, root)
    assert again.classes == ("bus", "cafe") and set(first.labels.noise) == {0, 1}
    assert len(list(cache.iterdir())) == 1
    assert first.noisy(0).tobytes() != again.noisy(0).tobytes()
    assert not np.array_equal(first.labels.vad, again.labels.vad)


def test_labels_that_take_long_can_be_left_out_and_are_then_not_kept(cache: Path) -> None:
    cheap = labelled_frames(SETTINGS, "test", TWO_STREAMS, 4, costly=False)
    assert not cache.exists()
    whole = labelled_frames(SETTINGS, "test", TWO_STREAMS, 4)
    for field in dataclasses.fields(FrameLabels):
        if field.name in ("pesq", "f0"):
            assert np.isnan(cheap.labels.of(field.name)).all()
            assert np.isfinite(whole.labels.of(field.name)).any()
        else:
            np.testing.assert_array_equal(cheap.labels.of(field.name), whole.labels.of(field.name))
    np.testing.assert_array_equal(cheap.speakers, whole.speakers)


def test_pictures_of_data_whose_splits_share_no_noise_are_refused(elsewhere: Path) -> None:
    root = voicebank(elsewhere / "vb")
    log = root / "log_testset.txt"
    log.write_text(log.read_text().replace("cafe", "office").replace("bus", "square"))
    checkpoint = Checkpoint(coarse_preset("hidden"), GatedConvFSENet(coarse_preset("hidden")))
    with pytest.raises(UserError, match=r"no noise class of its test split \(office, square\)"):
        pictured(checkpoint, 0.01, 1, root)


@pytest.mark.parametrize("speeds", [RECORDED, (9, 12)])
def test_processes_label_as_one_does(
    speeds: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is monkeypatched here is not in a process that is spawned: this is the real thing."""
    monkeypatch.chdir(tmp_path)
    root = folder(tmp_path / "data")
    for path in (root / "noise").glob("bus_*"):
        path.unlink()
    frames = labelled_frames(SETTINGS, "train", TWO_STREAMS, 1, root, speeds=speeds)
    assert frames.mixed == ("cafe",) and frames.lengths == (625, 625)
    streams = observations._Streams(
        SETTINGS, "train", 1, ("cafe",), ("cafe",), root, costly=True, speeds=speeds
    )
    labels, segments, _ = streams.label(1, frames.source)
    for field in dataclasses.fields(FrameLabels):
        here = frames.labels.of(field.name)[625:]  # type: ignore[arg-type]
        np.testing.assert_array_equal(here, labels.of(field.name))  # type: ignore[arg-type]
    np.testing.assert_array_equal(frames.segments[625:], segments + 1)
    clean = make_stream(frames.source, 1, 1, frames.mixed).clean
    np.testing.assert_array_equal(frames.labels.vad[625:], voice_activity(SETTINGS, clean))
