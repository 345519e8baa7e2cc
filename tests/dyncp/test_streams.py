"""A stream's labels must change where its segments do, and be drawn from seeds alone."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

import dyncp
from dyncp.data import streams
from dyncp.data.labels import FrameLabels, active_level
from dyncp.data.listing import Person
from dyncp.data.mixtures import MixtureSource
from dyncp.data.source import Mixture
from dyncp.data.streams import (
    Stream,
    label_sources,
    label_stream,
    make_stream,
    stream_count,
)
from dyncp.preset import load_preset

PAPER = load_preset("paper").audio
CLASSES = ("white", "pink", "hum", "babble")
NONE = Person("nobody")


@pytest.fixture(scope="module")
def source() -> MixtureSource:
    return MixtureSource(PAPER.sample_rate, "validation")


@pytest.fixture(autouse=True)
def short_segments_without_pesq(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SEGMENT_SECONDS", 2.0)
    monkeypatch.setattr(streams, "window_pesq", lambda settings, noisy, clean: 1.5 * np.ones(
        -(-len(clean) // settings.hop), np.float32))  # fmt: skip


def test_a_stream_depends_on_its_seed_and_number_alone(source: MixtureSource) -> None:
    first, again = (make_stream(source, 3, 1, CLASSES) for _ in range(2))
    assert first.noisy.tobytes() == again.noisy.tobytes()
    assert first.clean.tobytes() == again.clean.tobytes()
    for seed, index in ((3, 2), (4, 1)):
        assert make_stream(source, seed, index, CLASSES).noisy.tobytes() != first.noisy.tobytes()


def test_every_class_has_one_segment_in_an_order_that_is_drawn(source: MixtureSource) -> None:
    orders = set()
    for index in range(6):
        stream = make_stream(source, 1, index, CLASSES)
        assert sorted(segment.noise for segment in stream.segments) == sorted(CLASSES)
        assert all(len(segment.clean) == 2 * 16000 for segment in stream.segments)
        assert all(-5 <= segment.snr <= 15 for segment in stream.segments)
        orders.add(tuple(segment.noise for segment in stream.segments))
    assert len(orders) > 3


def test_a_segment_has_the_snr_that_it_names(source: MixtureSource) -> None:
    for segment in make_stream(source, 2, 0, CLASSES).segments:
        noise = segment.noisy - segment.clean
        if level := active_level(segment.clean):
            measured = 20 * np.log10(level / np.sqrt(np.mean(noise**2)))
            assert measured == pytest.approx(segment.snr, abs=0.1)


def segment(noise: str, clean: np.ndarray, speaker: Any = NONE) -> Mixture:
    clean = clean.astype(np.float32)
    rng = np.random.default_rng(len(clean))
    noisy = clean + rng.normal(0, 1e-3, len(clean)).astype(np.float32)
    return Mixture(noisy, clean, noise, 0.0, speaker, False)


def joined(*segments: Mixture) -> Stream:
    return Stream(
        segments,
        np.concatenate([s.noisy for s in segments]),
        np.concatenate([s.clean for s in segments]),
    )


@given(st.lists(st.integers(1, 500), min_size=1, max_size=6), st.integers(1, 64))
@hypothesis(max_examples=50)
def test_a_frame_belongs_to_the_segment_of_its_middle(lengths: list[int], hop: int) -> None:
    stream = joined(*(segment("white", np.zeros(length)) for length in lengths))
    of_samples = np.repeat(np.arange(len(lengths)), lengths)
    np.testing.assert_array_equal(stream.segment_of_frames(hop), of_samples[::hop])


def labelled(stream: Stream, classes: tuple[str, ...] = CLASSES) -> FrameLabels:
    return label_stream(PAPER, stream, classes)


def buzz(samples: int, gain: float = 0.1) -> np.ndarray:
    t = np.arange(samples) / PAPER.sample_rate
    return gain * sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 10))


def test_the_noise_label_changes_at_the_joint_and_is_an_index_into_the_classes() -> None:
    hop = PAPER.hop
    stream = joined(
        segment("hum", buzz(10 * hop)), segment("white", buzz(20 * hop)),
        segment("siren", buzz(5 * hop)),
    )  # fmt: skip
    noise = labelled(stream).noise
    np.testing.assert_array_equal(noise[:30], [2.0] * 10 + [0.0] * 20)
    assert np.isnan(noise[30:]).all(), "siren is none of the classes"
    assert len(noise) == 35


def test_a_speaker_has_a_gender_where_it_is_known_and_where_they_speak() -> None:
    silence = np.zeros(20 * PAPER.hop)
    stream = joined(
        segment("hum", np.concatenate([buzz(10 * PAPER.hop), silence]), Person("a", "f")),
        segment("hum", buzz(10 * PAPER.hop), Person("b", "m")),
        segment("hum", buzz(10 * PAPER.hop), Person("c")),
    )
    labels = labelled(stream)
    np.testing.assert_array_equal(labels.gender[:11], 1.0)
    assert np.isnan(labels.gender[11:30]).all()
    np.testing.assert_array_equal(labels.gender[30:40], 0.0)
    assert np.isnan(labels.gender[40:]).all()


def test_only_voice_and_noise_have_labels_in_a_pause(
    source: MixtureSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "SEGMENT_SECONDS", 4.0)
    monkeypatch.setattr(streams, "PAUSE", 4.0)
    labels = labelled(make_stream(source, 5, 0, CLASSES))
    silent = labels.vad == 0
    assert 0.05 < silent.mean() < 0.95
    for task in ("gender", "snr", "si_sdr", "pesq"):
        np.testing.assert_array_equal(np.isnan(labels.of(task)), silent)
    assert np.isnan(labels.f0[silent]).all()
    assert not np.isnan(labels.f0).all()
    assert not np.isnan(labels.noise).any() and not np.isnan(labels.vad).any()
    for field in dataclasses.fields(labels):
        values = getattr(labels, field.name)
        assert values.dtype == np.float32 and values.shape == labels.vad.shape


def test_a_quiet_speaker_after_a_loud_one_is_heard() -> None:
    """A level for the whole stream would call them silent."""
    samples = 40 * PAPER.hop
    loud, quiet = buzz(samples, 0.5), buzz(samples, 0.5e-2)
    labels = labelled(joined(segment("hum", loud), segment("hum", quiet)))
    assert labels.vad.all()


def test_minutes_make_whole_streams_and_at_least_one() -> None:
    assert stream_count(4.0, CLASSES) == 30  # of four segments of 2 s
    assert stream_count(0.01, CLASSES) == 1


def test_the_cache_of_labels_knows_every_file_that_decides_them() -> None:
    """Streams, the source that is mixed from, and all that they import but what decides no
    sample."""
    package = Path(dyncp.__file__).parent
    here = Path(streams.__file__)
    reached, waiting = set(), [here, *(here.with_name(f"{n}.py") for n in ("mixtures", "speeds"))]
    while waiting:
        path = waiting.pop()
        if path in reached:
            continue
        reached.add(path)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dyncp"):
                inside = package.joinpath(*str(node.module).split(".")[1:])
                names = [inside / f"{alias.name}.py" for alias in node.names]
                waiting += [p for p in (*names, inside.with_suffix(".py")) if p.is_file()]
    neutral = {"audio.py", "errors.py", "files.py", "preset.py", "preset_checks.py", "source.py"}
    assert {path.name for path in reached} - neutral <= {path.name for path in label_sources()}
    assert all(path.is_file() for path in label_sources())
