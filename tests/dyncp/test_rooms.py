"""Rooms must sound like rooms, be seeded, and leave the mixture's labels true."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dyncp.data.labels import active_level
from dyncp.data.mixtures import MixtureSource
from dyncp.data.rooms import in_room, load_rooms
from dyncp.data.speakers import SPLITS, speakers

RATE = 16000


@pytest.fixture(scope="module")
def source() -> Iterator[MixtureSource]:
    yield MixtureSource(RATE, "validation")


def reverberation_time(response: np.ndarray) -> float:
    """Seconds to -60 dB, from the decay between -5 and -25 dB (Schroeder)."""
    left = np.cumsum(response[::-1].astype(np.float64) ** 2)[::-1]
    decay = 10 * np.log10(left / left[0])
    start, stop = (int(np.flatnonzero(decay < level)[0]) for level in (-5, -25))
    return 3 * (stop - start) / RATE


@pytest.mark.parametrize("split", SPLITS)
def test_rooms_ring_as_long_as_rooms_do_and_no_two_are_alike(split: str) -> None:
    rooms = load_rooms(split, RATE)  # type: ignore[arg-type]
    times = [reverberation_time(room) for room in rooms]
    assert all(0.03 < time < 0.9 for time in times)
    assert max(times) > 0.4
    assert min(times) < 0.25
    for room in rooms:
        assert room.dtype == np.float32
        assert np.sum(room.astype(np.float64) ** 2) == pytest.approx(1.0, rel=1e-4)
        # The direct sound is at the start: the speech keeps its place in time.
        assert np.flatnonzero(np.abs(room) > 0.3 * np.abs(room).max())[0] < 0.005 * RATE
    assert len({room.tobytes() for room in rooms}) == len(rooms)


def test_no_room_is_in_two_splits() -> None:
    rooms = [room.tobytes() for split in SPLITS for room in load_rooms(split, RATE)]
    assert len(rooms) == len(set(rooms))


def test_rooms_are_the_same_when_made_again(tmp_path: Path) -> None:
    for cached, made in zip(
        load_rooms("validation", RATE), load_rooms("validation", RATE, tmp_path), strict=True
    ):
        np.testing.assert_array_equal(cached, made)


def test_speech_in_a_room_is_delayed_copies_and_not_longer() -> None:
    dry = np.zeros(100, np.float32)
    dry[10] = 1.0
    dry[90] = 0.5
    heard = in_room(dry, np.array([0.6, 0.0, 0.3] + [0.0] * 20 + [0.1], np.float32))
    expected = np.zeros(100)
    expected[[10, 12, 33, 90, 92]] = [0.6, 0.3, 0.1, 0.3, 0.15]
    np.testing.assert_allclose(heard, expected, atol=1e-6)
    assert heard.dtype == np.float32


def test_half_of_the_mixtures_are_in_a_room_and_say_so(source: MixtureSource) -> None:
    drawn = source.batch((6, 1), 300, 0.2)
    assert np.mean([mixture.in_room for mixture in drawn]) == pytest.approx(0.5, abs=0.1)


def after_speech(source: MixtureSource, room: bool) -> float:
    """The share of the reference's energy that lies where nobody has spoken for a while."""
    silent_tail = [[np.full(int(0.3 * RATE), 8000, np.int16)]] * len(speakers("validation"))
    shares = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        source._speech, kept = silent_tail, source._speech
        try:
            mixture = source.mix(rng, 4.0, noise="white", snr=10.0, pause=1.0, room=room)
        finally:
            source._speech = kept
        assert mixture.in_room == room
        clean = mixture.clean.astype(np.float64)
        loud = np.abs(clean) > 0.9 * np.median(np.abs(clean[np.abs(clean) > 1e-3]))
        shares.append(float(np.sum(clean[~loud] ** 2) / np.sum(clean**2)))
    return float(np.mean(shares))


def test_the_reference_rings_only_where_a_room_is_asked_for(source: MixtureSource) -> None:
    assert after_speech(source, room=False) < 1e-6
    assert after_speech(source, room=True) > 1e-3


def test_the_snr_and_the_level_hold_in_a_room(source: MixtureSource) -> None:
    mixture = source.mix(
        np.random.default_rng(1), 4.0, noise="white", snr=3.0, level=-30.0, room=True
    )
    level = active_level(mixture.clean)
    residue = mixture.noisy - mixture.clean
    assert 20 * np.log10(level) == pytest.approx(-30.0, abs=0.05)
    assert 20 * np.log10(level / np.sqrt(np.mean(residue**2))) == pytest.approx(3.0, abs=0.05)


def test_a_mixture_names_the_speaker_that_is_heard(source: MixtureSource) -> None:
    """Every speaker is made a tone of their own; the tone must be the named one's."""
    voices = speakers("validation")
    t = np.arange(RATE) / RATE
    tones = [
        [np.rint(8000 * np.sin(2 * np.pi * 200 * (n + 1) * t)).astype(np.int16)]
        for n in range(len(voices))
    ]
    source._speech, kept = tones, source._speech
    try:
        mixtures = [
            source.mix(np.random.default_rng(seed), 2.0, noise="white", room=bool(seed % 2))
            for seed in range(20)
        ]
    finally:
        source._speech = kept
    heard = [int(np.abs(np.fft.rfft(m.clean)).argmax()) / 2 for m in mixtures]
    said = [200 * (voices.index(m.speaker) + 1) for m in mixtures]
    assert heard == pytest.approx(said, abs=1)
    assert len(set(said)) > 3
