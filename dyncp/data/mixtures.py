"""Noisy speech with its clean reference, mixed on the fly from seeds.

Where a room is drawn, the reference is the speech as heard in that room: the
network takes noise away, not reverberation.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dyncp import audio
from dyncp.data.labels import active_level
from dyncp.data.noise import HELD_OUT, NOISES, make_noise
from dyncp.data.rooms import in_room, load_rooms
from dyncp.data.speakers import SPLITS, Speaker, Split, draw_speaker, speakers
from dyncp.data.speech import CACHE_FOLDER, load_speech, source_key, speech_sources
from dyncp.files import replacing
from dyncp.preset import Preset

_SENTENCES: dict[Split, int] = {"train": 36, "validation": 8, "test": 10}
_CLIPS: dict[Split, int] = {"train": 24, "validation": 4, "test": 6}
_CLIP_SECONDS = 12
_ROOM_SHARE = 0.5
BABBLE = "babble"


@dataclass(frozen=True)
class Mixture:
    """One noisy stream of one speaker; ``noisy`` is ``clean`` plus noise, float32 in [-1, 1]."""

    noisy: np.ndarray
    clean: np.ndarray
    noise: str
    snr: float
    """dB, over the active speech."""
    speaker: Speaker
    """Who talks in ``clean``, where anybody does."""
    in_room: bool
    """``clean`` is reverberant."""


def noise_classes(split: Split) -> tuple[str, ...]:
    """What a split mixes in; only the test split has the held-out classes."""
    seen = tuple(kind for kind in NOISES if kind not in HELD_OUT)
    return (*seen, BABBLE) + (HELD_OUT if split == "test" else ())


class MixtureSource:
    """Speech and noise of one split, ready to be mixed."""

    def __init__(self, sample_rate: int, split: Split, cache: Path = CACHE_FOLDER) -> None:
        self.sample_rate = sample_rate
        self.split: Split = split
        self._cache = cache
        self._speech = load_speech(split, sample_rate, _SENTENCES[split], cache)
        self._noise = self._load_noise(cache)

    @cached_property
    def _rooms(self) -> list[np.ndarray]:
        return load_rooms(self.split, self.sample_rate, self._cache)

    def _load_noise(self, cache: Path) -> dict[str, np.ndarray]:
        """int16 clips ``[clips, samples]`` by class, 12 dB below full scale RMS."""
        samples = _CLIP_SECONDS * self.sample_rate
        clips, kinds = _CLIPS[self.split], noise_classes(self.split)
        here = Path(__file__)
        key = source_key(here, here.with_name("noise.py"), *speech_sources())
        settings = f"{self.sample_rate}-{clips}x{_CLIP_SECONDS}"
        path = cache / f"noise-{self.split}-{settings}-{key}.npz"
        if not path.is_file():
            stored = {}
            for kind in tqdm(kinds, desc=f"noise ({self.split})", disable=not sys.stderr.isatty()):
                rows = np.empty((clips, samples), np.int16)
                for clip in range(clips):
                    seed = [11, SPLITS.index(self.split), sum(map(ord, kind)), clip]
                    rng = np.random.default_rng(seed)
                    if kind == BABBLE:
                        x = self._babble(rng, samples)
                    else:
                        x = make_noise(kind, rng, samples, self.sample_rate)
                    scale = min(0.1, 0.99 / float(np.abs(x).max()))
                    rows[clip] = np.rint(x * scale * 32767)
                stored[kind] = rows
            with replacing(path) as temporary:
                np.savez(temporary, **stored)
        with np.load(path) as loaded:
            return {kind: loaded[kind] for kind in kinds}

    def _babble(self, rng: np.random.Generator, samples: int) -> np.ndarray:
        """Several talkers of the split at once, unit RMS."""
        x = np.zeros(samples, np.float64)
        for _ in range(int(rng.integers(5, 10))):
            x += rng.uniform(0.5, 1.0) * self._talk(rng, samples, pause=0.15)[0]
        return x / np.sqrt(np.mean(x**2))

    def _talk(
        self, rng: np.random.Generator, samples: int, pause: float
    ) -> tuple[np.ndarray, Speaker]:
        """One speaker's sentences, one after another with pauses of mean ``pause`` s."""
        index = draw_speaker(rng, self.split)
        voice = self._speech[index]
        out = np.zeros(samples, np.float32)
        position = -int(rng.uniform(0, 1.0) * self.sample_rate)
        while position < samples:
            utterance = voice[rng.integers(len(voice))]
            start, stop = max(position, 0), min(position + len(utterance), samples)
            if stop > start:
                out[start:stop] = utterance[start - position : stop - position] / 32768.0
            position += len(utterance) + int(rng.exponential(pause) * self.sample_rate)
        return out, speakers(self.split)[index]

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
        clean, speaker = self._talk(rng, samples, pause)
        room = bool(rng.random() < _ROOM_SHARE) if room is None else room
        if room:
            clean = in_room(clean, self._rooms[rng.integers(len(self._rooms))])
        kinds = noise_classes(self.split)
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


def calibration_features(preset: Preset, seconds: float, seed: int) -> list[np.ndarray]:
    """Features of training mixtures, about ``seconds`` in all: float32 ``[bins, frames]``."""
    source = MixtureSource(preset.audio.sample_rate, "train")
    rng = np.random.default_rng([13, seed])
    clips = max(1, round(seconds / 6.0))
    mixtures = (source.mix(rng, seconds / clips) for _ in range(clips))
    return [audio.features(preset.audio, mixture.noisy) for mixture in mixtures]
