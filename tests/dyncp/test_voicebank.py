"""VoiceBank+DEMAND must be read as it is published, and nothing in it that is broken used."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

import dyncp.__main__ as command
from dyncp import quality
from dyncp.checkpoint import load_checkpoint
from dyncp.data import corpus as data_corpus
from dyncp.data import pcm_store
from dyncp.data.corpus import CorpusSource
from dyncp.data.labels import active_level
from dyncp.data.open import open_source
from dyncp.data.speakers import SPLITS, Split
from dyncp.errors import UserError
from dyncp.quality import score_test_split
from tests.conftest import tiny_preset
from tests.dyncp.corpora import (
    NOISES,
    RATE,
    SPEAKERS,
    SPEECH_RMS,
    pitch,
    rms,
    tone,
    voicebank,
    write,
)
from tests.dyncp.quick_probes import quick_probes


def opened(root: Path, split: Split = "train", cache: Path | None = None) -> CorpusSource:
    source = open_source(root, RATE, split, cache or root.parent / "cache")
    assert isinstance(source, CorpusSource)
    return source


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return voicebank(tmp_path_factory.mktemp("corpus") / "vb")


@pytest.fixture(scope="module")
def source(corpus: Path) -> CorpusSource:
    return opened(corpus)


def test_every_pair_is_in_its_split_with_the_labels_of_the_log(corpus: Path) -> None:
    who = {"train": ["p225", "p228"], "validation": ["p226", "p287"], "test": ["p232"]}
    for split in SPLITS:
        name = "testset" if split == "test" else "trainset_28spk"
        log = [line.split() for line in (corpus / f"log_{name}.txt").read_text().splitlines()]
        expected = [line for line in log if line[0][:4] in who[split]]
        pairs = list(opened(corpus, split).pairs())
        assert len(pairs) == len(expected) == 8 * len(who[split])
        for pair, (stem, noise, snr) in zip(pairs, expected, strict=True):
            assert (pair.speaker.name, pair.noise, pair.snr) == (stem[:4], noise, float(snr))
            for kind, samples in (("clean", pair.clean), ("noisy", pair.noisy)):
                pcm, _ = soundfile.read(
                    corpus / f"{kind}_{name}_wav" / f"{stem}.wav", dtype="int16"
                )
                np.testing.assert_array_equal(samples * 32768, pcm)


def test_where_p226_and_p287_are_not_the_last_two_speakers_are_held_out(tmp_path: Path) -> None:
    root = voicebank(tmp_path / "vb", train="56spk", files=1)
    for kind in ("clean", "noisy"):
        for path in (root / f"{kind}_trainset_56spk_wav").glob("p226_*"):
            path.rename(path.with_name(path.name.replace("p226", "p361")))
    log = root / "log_trainset_56spk.txt"
    log.write_text(log.read_text().replace("p226", "p361"))
    assert {m.speaker.name for m in opened(root, "validation").pairs()} == {"p287", "p361"}
    assert {m.speaker.name for m in opened(root, "train").pairs()} == {"p225", "p228"}


def test_gender_and_accent_are_those_of_vctks_table(tmp_path: Path) -> None:
    root = voicebank(tmp_path / "vb", files=1)
    (root / "speaker-info.txt").write_text(
        "ID  AGE  GENDER  ACCENTS  REGION\n225  23  F    English    Southern England\n"
        "p226  22  M    Scottish    Fife\n"
    )
    train = {m.speaker.name: m.speaker for m in opened(root).pairs()}
    (other,) = {m.speaker for m in opened(root, "validation").pairs() if m.speaker.name == "p226"}
    assert (train["p225"].gender, train["p225"].accent) == ("f", "English")
    assert (other.gender, other.accent) == ("m", "Scottish")
    assert (train["p228"].gender, train["p228"].accent) == (None, None)


def test_logs_may_lie_in_their_own_folder_and_the_test_set_alone(tmp_path: Path) -> None:
    root = voicebank(tmp_path / "vb")
    for kind in ("clean", "noisy"):
        (root / f"{kind}_trainset_28spk_wav").rename(tmp_path / kind)
    (root / "logfiles").mkdir()
    (root / "log_testset.txt").rename(root / "logfiles" / "log_testset.txt")
    test = opened(root, "test")
    assert len(list(test.pairs())) == 8
    assert test.trained_noise_classes == ()
    with pytest.raises(UserError, match="has no speech in its train split"):
        opened(root, "train")


def test_48_khz_is_brought_to_the_networks_rate_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = next(opened(voicebank(tmp_path / "vb", rate=48000, files=1)).pairs())
    assert len(first.clean) == int(0.4 * RATE)
    assert pitch(first.clean) == SPEAKERS["p225"]
    assert pitch(first.noisy - first.clean) == NOISES["cafe"]
    assert "resampled from 48000 Hz to 16000 Hz (10 files)" in capsys.readouterr().err


def test_a_stream_is_one_speaker_in_one_noise_at_the_snr_it_says(source: CorpusSource) -> None:
    seen = set()
    for seed in range(12):
        mixture = source.mix(np.random.default_rng(seed), 6.0)
        assert pitch(mixture.clean) == SPEAKERS[mixture.speaker.name]
        assert pitch(mixture.noisy - mixture.clean) == NOISES[mixture.noise]
        noise = rms(mixture.noisy - mixture.clean)
        snr = 20 * np.log10(active_level(mixture.clean) / noise)
        assert mixture.snr == pytest.approx(snr, abs=0.01)
        # Frames in which a file begins or ends lower the level of the speech a little.
        assert min(abs(mixture.snr - snr) for snr in (5, 15)) < 1
        assert not mixture.in_room
        seen.add((mixture.speaker.name, mixture.noise, round(mixture.snr / 10)))
    assert len(seen) > 4


def test_the_noise_of_a_pair_goes_on_in_the_pauses(source: CorpusSource) -> None:
    mixture = source.mix(np.random.default_rng(2), 8.0, pause=1.0)
    silent = mixture.clean == 0
    assert silent.mean() > 0.3
    noise = mixture.noisy - mixture.clean
    assert rms(noise[silent]) == pytest.approx(rms(noise[~silent]), rel=0.05)


@pytest.mark.parametrize("kind", NOISES)
def test_speech_is_mixed_anew_with_the_noise_and_snr_that_are_asked_for(
    source: CorpusSource, kind: str
) -> None:
    mixture = source.mix(
        np.random.default_rng(1), 6.0, noise=kind, snr=-2.0, level=-30.0, pause=0.0
    )
    added = mixture.noisy - mixture.clean
    assert (mixture.noise, mixture.snr) == (kind, -2.0)
    assert pitch(added) == NOISES[kind]
    assert 20 * np.log10(rms(mixture.clean)) == pytest.approx(-30.0, abs=0.1)
    assert 20 * np.log10(rms(mixture.clean) / rms(added)) == pytest.approx(-2.0, abs=0.1)


def test_an_unknown_noise_class_is_refused_by_name(source: CorpusSource) -> None:
    with pytest.raises(
        UserError, match="no noise class 'fan' in the train split; it has bus, cafe"
    ):
        source.mix(np.random.default_rng(1), 1.0, noise="fan")


def test_a_room_is_put_around_the_speech_only_where_asked(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    echo = np.zeros(801, np.float32)
    echo[[0, 800]] = 1.0, 0.5
    monkeypatch.setattr(data_corpus, "load_rooms", lambda *_: [echo])
    source = opened(corpus)
    dry, wet = (
        source.mix(np.random.default_rng(1), 2.0, noise="bus", snr=10.0, room=room)
        for room in (None, True)
    )
    assert (dry.in_room, wet.in_room) == (False, True)
    heard = np.convolve(dry.clean, echo)[: len(dry.clean)]
    scale = np.dot(wet.clean, heard) / np.dot(heard, heard)
    assert rms(wet.clean - scale * heard) < 1e-4 * rms(wet.clean)
    assert rms(wet.clean[dry.clean == 0]) > 0.1 * rms(wet.clean)


def test_a_batch_depends_on_its_seed_alone(source: CorpusSource) -> None:
    first, again = (source.batch((4, 2), 3, 1.0) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.noisy, b.noisy)
        np.testing.assert_array_equal(a.clean, b.clean)
        assert a.noisy.dtype == a.clean.dtype == np.float32
        assert len(a.noisy) == RATE
        assert (a.speaker, a.noise, a.snr) == (b.speaker, b.noise, b.snr)
    assert np.abs(source.batch((4, 3), 1, 1.0)[0].noisy - first[0].noisy).max() > 0


def test_files_are_decoded_once_and_again_when_one_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = voicebank(tmp_path / "vb", files=2)
    before = opened(root)
    assert isinstance(before._store._samples, np.memmap)
    assert before._store._samples.dtype == np.int16
    read: list[Path] = []
    decode = pcm_store._decode
    monkeypatch.setattr(
        pcm_store, "_decode", lambda path, rate: read.append(path) or decode(path, rate)
    )
    for split in SPLITS:
        assert opened(root, split).name == before.name
    assert not read
    changed = root / "noisy_trainset_28spk_wav" / "p225_000.wav"
    longer = tone(200, 0.4) + tone(900, 0.4, 0.01)
    write(changed, longer)
    after = opened(root)
    assert changed in read
    assert after.name != before.name
    assert pitch(next(m.noisy - m.clean for m in after.pairs())) == 900


CLEAN, NOISY = "clean_trainset_28spk_wav", "noisy_trainset_28spk_wav"
LOG = "log_trainset_28spk.txt"


def without(text: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        lines = (root / LOG).read_text().splitlines(keepends=True)
        (root / LOG).write_text("".join(line for line in lines if text not in line))

    return change


def with_line(text: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        with (root / LOG).open("a") as file:
            file.write(text + "\n")

    return change


def replaced(samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> Callable[..., None]:
    def change(root: Path) -> None:
        write(root / NOISY / "p225_000.wav", samples, rate, subtype)

    return change


def speaker_in_both(root: Path) -> None:
    for kind in ("clean", "noisy"):
        name = root / f"{kind}_testset_wav"
        (name / "p232_000.wav").rename(name / "p225_900.wav")
    log = root / "log_testset.txt"
    log.write_text(log.read_text().replace("p232_000", "p225_900"))


def no_underscore(root: Path) -> None:
    for kind in (CLEAN, NOISY):
        (root / kind / "p225_000.wav").rename(root / kind / "p225.wav")
    (root / LOG).write_text((root / LOG).read_text().replace("p225_000", "p225"))


def cut(root: Path) -> None:
    path = root / NOISY / "p225_000.wav"
    path.write_bytes(path.read_bytes()[:-1000])


STEM = "p225_000.wav"
NAN = np.where(np.arange(6400) == 99, np.nan, tone(200, 0.4))
BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "noisy file gone": (lambda r: (r / NOISY / STEM).unlink(), f"{CLEAN}/{STEM} has no noisy file"),
    "clean file gone": (lambda r: (r / CLEAN / STEM).unlink(), f"{NOISY}/{STEM} has no clean file"),
    "noisy folder gone": (lambda r: (r / NOISY).rename(r / "x"), f"{NOISY} is missing"),
    "no log": (lambda r: (r / LOG).unlink(), f"{LOG} is missing"),
    "log without the file": (without("p225_000"), f"{NOISY}/{STEM} has no line in {LOG}"),
    "file without the log": (with_line("p999_001 bus 5"), "no file for its line 'p999_001'"),
    "log line of two words": (with_line("p999_001 bus"), f"{LOG} line 5 is not 'file noise SNR'"),
    "SNR in words": (with_line("p999_001 bus loud"), f"{LOG} line 5 is not 'file noise SNR'"),
    "log line twice": (with_line("p225_000 bus 5"), "line 5: p225_000 is there twice"),
    "empty": (lambda r: (r / NOISY / STEM).write_bytes(b""), f"{NOISY}/{STEM} is empty"),
    "not audio": (lambda r: (r / NOISY / STEM).write_bytes(b"x" * 99), f"{STEM} is not an audio"),
    "truncated": (cut, f"{NOISY}/{STEM} is truncated"),
    "no samples": (replaced(np.zeros(0)), f"{NOISY}/{STEM} holds no samples"),
    "NaN": (replaced(NAN, subtype="FLOAT"), f"{NOISY}/{STEM} holds samples that are not finite"),
    "silent": (replaced(np.zeros(6400)), f"{NOISY}/{STEM} is silent"),
    "constant": (replaced(np.full(6400, 0.5)), f"{NOISY}/{STEM} is silent"),
    "clipped": (replaced(np.sign(tone(200, 0.4))), f"{NOISY}/{STEM} is clipped throughout"),
    "other length": (replaced(tone(200, 0.3)), f"{NOISY}/{STEM} has 4800 samples, its clean file"),
    "no noise": (replaced(tone(200, 0.4)), f"{NOISY}/{STEM} has no noise"),
    "8 kHz": (replaced(tone(200, 0.4, rate=8000), 8000), f"{STEM} has 8000 Hz: it lacks"),
    "odd rate": (replaced(tone(200, 0.4, rate=16001), 16001), "16001 Hz, which cannot be"),
    "speaker in two splits": (speaker_in_both, "speaker p225 is in two splits: test, train"),
    "no speaker": (no_underscore, f"{CLEAN}/p225.wav does not name its speaker"),
    "speaker table": (
        lambda r: (r / "speaker-info.txt").write_text("225 23 X English\n"),
        "speaker-info.txt line 1 is not 'speaker age F/M accent'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_with_a_file_is_said_with_its_name(what: str, tmp_path: Path) -> None:
    root = voicebank(tmp_path / "vb", files=1)
    change, message = BAD[what]
    change(root)
    with pytest.raises(UserError) as error:
        opened(root)
    assert message in str(error.value)
    # Nothing is used, and nothing half-built is left.
    assert not list((tmp_path / "cache").glob("*"))


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    root = voicebank(tmp_path / "vb")
    write(root / CLEAN / "p225_000.wav", np.zeros(6400))
    (root / NOISY / "p226_001.wav").unlink()
    (root / "noisy_testset_wav" / "p232_003.wav").write_bytes(b"")
    without("p287_004")(root)
    with pytest.raises(UserError) as error:
        opened(root)
    lines = str(error.value).splitlines()
    assert lines[0].startswith(f"{root} cannot be used: 4 problems")
    assert len(lines) == 5
    for name in ("p225_000", "p226_001", "p232_003", "p287_004"):
        assert sum(name in line for line in lines) == 1


def test_what_is_wrong_with_the_labels_is_said_though_the_samples_are_there(tmp_path: Path) -> None:
    root = voicebank(tmp_path / "vb", files=1)
    opened(root)
    with_line("p999_001 bus 5")(root)
    with pytest.raises(UserError, match="there is no file for its line 'p999_001'"):
        opened(root)


def test_of_very_many_problems_twenty_are_shown_and_all_counted(tmp_path: Path) -> None:
    root = voicebank(tmp_path / "vb")
    for path in (root / NOISY).iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError) as error:
        opened(root)
    lines = str(error.value).splitlines()
    assert "32 problems" in lines[0]
    assert len(lines) == 22
    assert lines[-1].strip() == "and 12 more"


def test_a_crop_of_the_recordings_own_hiss_is_not_raised_to_the_level_of_speech(
    tmp_path: Path,
) -> None:
    """Recordings are not silent between words; the noise must not be raised with them."""
    root = voicebank(tmp_path / "vb", files=1)
    hiss = 1e-4 * np.random.default_rng(1).standard_normal(10 * RATE)
    for path in (root / CLEAN).iterdir():
        word = tone(SPEAKERS[path.stem[:4]], 0.2)
        clean = hiss.copy()
        clean[: len(word)] += word
        write(path, clean)
        noisy = root / NOISY / path.name
        write(noisy, clean + tone(2000, 10, 0.01))
    source = opened(root)
    faint = 0
    for seed in range(10):
        mixture = source.mix(np.random.default_rng(seed), 1.0, level=-26.0)
        loudest = 20 * np.log10(np.abs(mixture.clean).max())
        if loudest < -30:
            faint += 1
            assert loudest < -50
            assert rms(mixture.noisy) < 10 ** (-20 / 20)
    assert faint > 3


def arguments(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["dyncp", *map(str, words)])
    return command.main()


def test_the_commands_train_and_evaluate_on_it_and_the_record_names_it(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = tiny_preset()
    monkeypatch.setattr(command, "load_preset", lambda name: preset)
    quick_probes(monkeypatch, tmp_path / "cache")
    monkeypatch.chdir(tmp_path)  # the decoded samples go to build/data below
    monkeypatch.setattr(
        quality, "score_test_split", partial(score_test_split, repeats=1, seconds=2)
    )
    out = tmp_path / "tiny.pt"
    assert not arguments(
        monkeypatch, "train", "--threads", 1, "--preset", "tiny", "--data", corpus,
        "--folder", tmp_path / "run", "--out", out,
    )  # fmt: skip
    record = json.loads(out.with_suffix(".json").read_text())
    assert record == load_checkpoint(out).record
    assert record["data"] == opened(corpus).name
    assert record["data"].startswith("VoiceBank+DEMAND (trainset_28spk, testset) vb, 80 files")
    scores = tmp_path / "scores.json"
    assert not arguments(
        monkeypatch, "evaluate", "--checkpoint", out, "--data", corpus, "--out", scores
    )
    content = json.loads(scores.read_text())
    assert content["preset"] == preset.name
    assert [(clip["noise"], clip["seen"], clip["snr"]) for clip in content["clips"]] == [
        (kind, True, snr) for kind in ("bus", "cafe") for snr in (0.0, 5.0, 10.0)
    ]
    assert all(np.isfinite(clip["si_sdr"]) for clip in content["clips"])
    study = tmp_path / "study.json"
    assert not arguments(
        monkeypatch,
        "probe",
        "--checkpoint",
        out,
        "--data",
        corpus,
        "--minutes",
        0.01,
        "--out",
        study,
    )
    content = json.loads(study.read_text())
    assert content["classes"] == ["bus", "cafe"]
    frames = {row["task"]: row["frames"] for row in content["results"]}
    assert frames["vad"] == frames["noise"] > 0 and frames["gender"] == 0
    # Nobody says who of these speakers is a woman.
    assert "gender" not in {probe["name"] for probe in load_checkpoint(out).probes}


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_the_commands_list_bad_files_and_end_with_code_2(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = voicebank(tmp_path / "vb", files=1)
    (root / NOISY / STEM).unlink()
    preset = tiny_preset()
    monkeypatch.setattr(command, "load_preset", lambda name: preset)
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out.pt"
    words: tuple[object, ...] = ("--preset", "tiny", "--folder", tmp_path / "run", "--threads", 1)
    if name == "evaluate":
        from dyncp.checkpoint import Checkpoint, save_checkpoint
        from dyncp.network import GatedConvFSENet

        save_checkpoint(tmp_path / "model.pt", Checkpoint(preset, GatedConvFSENet(preset)))
        words = ("--checkpoint", tmp_path / "model.pt")
    assert arguments(monkeypatch, name, "--data", root, "--out", out, *words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {root} cannot be used: 1 problem")
    assert f"{CLEAN}/{STEM} has no noisy file" in error
    assert not out.exists()


def test_what_is_no_corpus_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("")
    for path, message in (
        (tmp_path / "nowhere", "no such folder or manifest"),
        (tmp_path, "has neither clean/ and noise/ nor the folders of VoiceBank"),
        (tmp_path / "x.txt", "is not a manifest"),
    ):
        with pytest.raises(UserError, match=message) as error:
            opened(path)
        assert "\n" not in str(error.value)


def test_speech_keeps_its_own_level_in_the_published_pairs(source: CorpusSource) -> None:
    assert rms(next(source.pairs()).clean) == pytest.approx(SPEECH_RMS, rel=1e-3)
