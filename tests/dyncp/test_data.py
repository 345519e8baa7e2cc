"""Mixtures must be what they are labelled as, and test noises must be new."""

from __future__ import annotations

import numpy as np
import pytest

from dyncp.data import labels, mixtures, noise, noise_clips
from dyncp.data.speakers import speakers
from dyncp.metrics import si_sdr
from tests.conftest import tiny_preset

RATE = 16000


@pytest.fixture(scope="module")
def source() -> mixtures.MixtureSource:
    return mixtures.MixtureSource(RATE, "validation")


def test_held_out_noise_is_only_in_the_test_split() -> None:
    for split in ("train", "validation"):
        assert not set(noise_clips.noise_classes(split)) & set(noise.HELD_OUT)
    assert set(noise.HELD_OUT) < set(noise_clips.noise_classes("test"))


@pytest.mark.parametrize("kind", sorted(noise.NOISES))
def test_noise_is_seeded_finite_and_of_unit_power(kind: str) -> None:
    first, again, other = (
        noise.make_noise(kind, np.random.default_rng(seed), 16000, RATE) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.isfinite(first).all()
    assert np.mean(first**2) == pytest.approx(1.0, rel=1e-3)


def test_a_mixture_has_the_snr_it_says(source: mixtures.MixtureSource) -> None:
    mixture = source.mix(np.random.default_rng(1), 4.0, noise="white", snr=3.0, level=-30.0)
    residue = mixture.noisy - mixture.clean
    level = labels.active_level(mixture.clean)
    assert 20 * np.log10(level) == pytest.approx(-30.0, abs=0.05)
    assert 20 * np.log10(level / np.sqrt(np.mean(residue**2))) == pytest.approx(3.0, abs=0.05)


def test_a_batch_depends_on_its_seed_alone(source: mixtures.MixtureSource) -> None:
    first, again = (source.batch((4, 2), 3, 1.0) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.noisy, b.noisy)
        np.testing.assert_array_equal(a.clean, b.clean)
        assert (a.speaker, a.in_room, a.noise, a.snr) == (b.speaker, b.in_room, b.noise, b.snr)
    assert np.abs(source.batch((4, 3), 1, 1.0)[0].noisy - first[0].noisy).max() > 0


def test_a_seed_goes_on_drawing_what_the_shipped_checkpoints_were_trained_on(
    source: mixtures.MixtureSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was drawn when they were trained, with speech that is the same on every machine.

    A draw more or less, or in another order, changes every line that follows it.
    """
    speech = [
        [np.full(4000 * (n % 3 + 1), 8000, np.int16) for n in range(5)]
        for _ in speakers("validation")
    ]
    monkeypatch.setattr(source, "_speech", speech)
    drawn = source.batch((1, 0, 7), 4, 2.0) + source.batch((9,), 2, 3.0)
    assert [(m.speaker.name, m.noise, m.in_room, m.snr) for m in drawn] == [
        ("festival/ked_diphone", "white", False, -2.2486283547132158),
        ("espeak-ng/f3", "car", False, 13.806997956029715),
        ("espeak-ng/m3", "pink", True, 7.230862678335608),
        ("festival/ked_diphone", "babble", False, 4.5129627539551755),
        ("espeak-ng/max", "keyboard", True, 11.612428739425141),
        ("festival/ked_diphone", "white", False, -3.205384402913749),
    ]


def test_voice_activity_finds_the_speech() -> None:
    settings = tiny_preset().audio
    clean = np.zeros(320, np.float32)
    clean[128:224] = 0.1
    active = labels.voice_activity(settings, clean)
    # Frame t covers the samples of hops t - 1 and t, here 32 each.
    assert active.tolist() == [False] * 4 + [True] * 4 + [False] * 2
    assert not labels.voice_activity(settings, np.zeros(320)).any()


def test_si_sdr_of_known_noise() -> None:
    rng = np.random.default_rng(1)
    clean, error = rng.standard_normal((2, 100000))
    assert si_sdr(2 * (clean + 0.1 * error), clean) == pytest.approx(20.0, abs=0.1)
    assert np.isnan(si_sdr(clean, np.zeros(100000)))
