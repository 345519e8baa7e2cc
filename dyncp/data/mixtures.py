"""Synthetic noisy speech with its clean reference, mixed on the fly from seeds.

Where a room is drawn, the reference is the speech as heard in that room: the
network takes noise away, not reverberation.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from dyncp import audio
from dyncp.data.labels import active_level
from dyncp.data.noise_clips import load_noise, noise_classes
from dyncp.data.rooms import in_room, load_rooms
from dyncp.data.source import AudioSource, Mixture
from dyncp.data.speakers import Split
from dyncp.data.speech import CACHE_FOLDER, load_speech
from dyncp.data.talk import talk
from dyncp.preset import Preset

_SENTENCES: dict[Split, int] = {"train": 36, "validation": 8, "test": 10}
_ROOM_SHARE = 0.5


class MixtureSource:
    """The synthetic :class:`dyncp.data.source.AudioSource`: new at every draw, known by seeds."""

    name = "synthetic"

    def __init__(self, sample_rate: int, split: Split, cache: Path = CACHE_FOLDER) -> None:
        self.sample_rate = sample_rate
        self.split: Split = split
        self._cache = cache
        self._speech = load_speech(split, sample_rate, _SENTENCES[split], cache)
        self._noise = load_noise(split, sample_rate, self._speech, cache)

    @cached_property
    def _rooms(self) -> list[np.ndarray]:
        return load_rooms(self.split, self.sample_rate, self._cache)

    @property
    def noise_classes(self) -> tuple[str, ...]:
        return noise_classes(self.split)

    @property
    def trained_noise_classes(self) -> tuple[str, ...]:
        return noise_classes("train")

    def mix(
        self,
        rng: np.random.Generator,
        seconds: float,
        *,
        noise: str | None = None,
        snr: float | None = None,
        level: float | None = None,
        pause: float = 0.6,
        room: bool | None = None,
    ) -> Mixture:
        """One mixture; what is not given is drawn.

        ``snr`` in dB over active speech (drawn from -5..15), ``level`` the RMS of
        active speech in dB of full scale (drawn from -38..-18), ``pause`` the mean
        silence between sentences in seconds, ``room`` whether the speech is reverberant
        (drawn: half of the mixtures).
        """
        samples = int(seconds * self.sample_rate)
        clean, speaker = talk(rng, self.split, self._speech, self.sample_rate, samples, pause=pause)
        room = bool(rng.random() < _ROOM_SHARE) if room is None else room
        if room:
            clean = in_room(clean, self._rooms[rng.integers(len(self._rooms))])
        kinds = self.noise_classes
        kind = noise or str(kinds[rng.integers(len(kinds))])
        snr = float(rng.uniform(-5, 15)) if snr is None else snr
        level = float(rng.uniform(-38, -18)) if level is None else level
        speech_level = active_level(clean)
        if speech_level > 0:
            clean = clean * np.float32(10 ** (level / 20) / speech_level)
        noisy = clean + self._noise_at(rng, kind, samples, level - snr)
        peak = float(np.abs(noisy).max())
        if peak > 0.98:
            clean, noisy = clean * (0.98 / peak), noisy * (0.98 / peak)
        return Mixture(noisy.astype(np.float32), clean.astype(np.float32), kind, snr, speaker, room)

    def _noise_at(
        self, rng: np.random.Generator, kind: str, samples: int, level: float
    ) -> np.ndarray:
        clips = self._noise[kind]
        parts, have = [], 0
        while have < samples:
            clip = clips[rng.integers(len(clips))]
            start = int(rng.integers(0, max(1, len(clip) - min(samples, len(clip)) + 1)))
            parts.append(clip[start : start + samples - have])
            have += len(parts[-1])
        x = np.concatenate(parts).astype(np.float32)
        return x * np.float32(10 ** (level / 20) / max(float(np.sqrt(np.mean(x**2))), 1e-9))

    def batch(self, seed: Sequence[int], count: int, seconds: float) -> list[Mixture]:
        """``count`` mixtures that depend on ``seed`` alone."""
        rng = np.random.default_rng(list(seed))
        return [self.mix(rng, seconds) for _ in range(count)]


def calibration_features(
    preset: Preset, seconds: float, seed: int, source: AudioSource | None = None
) -> list[np.ndarray]:
    """Features of training mixtures, about ``seconds`` in all: float32 ``[bins, frames]``.

    Of the synthetic training data where no ``source`` is given.
    """
    if source is None:
        source = MixtureSource(preset.audio.sample_rate, "train")
    rng = np.random.default_rng([13, seed])
    clips = max(1, round(seconds / 6.0))
    mixtures = (source.mix(rng, seconds / clips) for _ in range(clips))
    return [audio.features(preset.audio, mixture.noisy) for mixture in mixtures]
