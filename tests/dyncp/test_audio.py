"""Audio in and out: nothing lost in the transform, nothing wrong accepted from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from dyncp import audio
from dyncp.errors import UserError
from dyncp.training.loss import Transform
from tests.conftest import tiny_preset

SETTINGS = tiny_preset().audio


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(3).uniform(-0.5, 0.5, samples).astype(np.float32)


def test_a_mask_of_one_gives_the_input_one_hop_later() -> None:
    x = noise(320)
    spectra = audio.spectrum(SETTINGS, x)
    y = audio.resynthesise(SETTINGS, spectra, np.ones((SETTINGS.bins, spectra.shape[1])))
    np.testing.assert_allclose(y[SETTINGS.hop :], x[: -SETTINGS.hop], atol=1e-12)


def test_training_and_deployment_use_the_same_transform() -> None:
    x = noise(320)
    spectra = audio.spectrum(SETTINGS, x)
    transform = Transform(SETTINGS, torch.device("cpu"))
    theirs = transform.spectrum(torch.from_numpy(x)[None])
    np.testing.assert_allclose(theirs[0].numpy(), spectra, atol=1e-5)
    np.testing.assert_allclose(
        transform.features(theirs)[0].numpy(), audio.compress(SETTINGS, spectra), atol=1e-5
    )
    mask = np.random.default_rng(4).uniform(0, 1, (SETTINGS.bins, spectra.shape[1]))
    ours = audio.resynthesise(SETTINGS, spectra, mask)[SETTINGS.hop :]
    output = transform.resynthesise(theirs, torch.from_numpy(mask)[None].float())
    np.testing.assert_allclose(output[0].numpy(), ours, atol=1e-5)


def test_other_rates_and_channels_are_converted_and_said(tmp_path: Path) -> None:
    t = np.arange(8000) / 8000
    tone = 0.5 * np.sin(2 * np.pi * 440 * t)
    soundfile.write(tmp_path / "x.wav", np.stack([tone, tone], 1), 8000)
    notes: list[str] = []
    x = audio.load_wav(tmp_path / "x.wav", 16000, notes.append)
    assert len(x) == 16000
    assert x.dtype == np.float32
    assert ["mixed down" in notes[0], "8000 Hz to 16000 Hz" in notes[1]] == [True, True]
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert np.abs(x - expected)[200:-200].max() < 0.01


def test_round_trip_of_a_file_is_exact(tmp_path: Path) -> None:
    pcm = np.random.default_rng(5).integers(-32768, 32768, 1000).astype(np.int16)
    audio.save_wav(tmp_path / "x.wav", pcm, 16000)
    np.testing.assert_array_equal(audio.to_pcm(audio.load_wav(tmp_path / "x.wav", 16000)), pcm)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"this is not audio at all, not at all", "not an audio file"),
        (b"RIFF\x24\x00\x00\x00WAVE", "truncated"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        audio.load_wav(path, 16000)
    assert "\n" not in str(error.value)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    """libsndfile would read what is there and say nothing."""
    path = tmp_path / "x.wav"
    audio.save_wav(path, noise(4000), 16000)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(UserError, match="truncated: its header promises 8000 bytes"):
        audio.load_wav(path, 16000)


def test_a_missing_file_and_one_without_samples(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such audio file"):
        audio.load_wav(tmp_path / "x.wav", 16000)
    audio.save_wav(tmp_path / "x.wav", np.zeros(0, np.int16), 16000)
    with pytest.raises(UserError, match="no samples"):
        audio.load_wav(tmp_path / "x.wav", 16000)
