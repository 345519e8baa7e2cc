"""Recorded speech and noise, mixed on the fly or as their corpus mixed them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from dyncp.data.labels import active_level
from dyncp.data.listing import Listing, SpeechFile
from dyncp.data.pcm_store import PcmStore
from dyncp.data.rooms import in_room, load_rooms
from dyncp.data.source import Mixture
from dyncp.data.speakers import Split
from dyncp.errors import UserError

_SNR = (-5.0, 15.0)
_LEVEL = (-38.0, -18.0)
_QUIET = 0.1
"""Of a file's active level. Where less is heard of it, nobody speaks: what is recorded
there is the room, and must not be amplified as if it were speech."""
_TRIES = 8
_FAINT = 0.05
"""Of a recording's RMS: a crop of noise fainter than that is a gap in it."""


@dataclass(frozen=True)
class _NoiseClip:
    """A noise file or, with ``clean``, what was added to it to make a noisy one."""

    path: Path
    clean: Path | None = None


class CorpusSource:
    """One split of a corpus on disk, a :class:`dyncp.data.source.AudioSource`.

    ``listing`` and ``store`` are of the whole corpus. Raises :class:`UserError`
    where the split has no speech or no noise.
    """

    def __init__(
        self, listing: Listing, store: PcmStore, sample_rate: int, split: Split, cache: Path
    ) -> None:
        self.sample_rate = sample_rate
        self.split: Split = split
        self._cache, self._store = cache, store
        self._speech = [speech for speech in listing.speech if speech.split == split]
        self._noise = _noise_clips(listing, split)
        for what, have in (("speech", self._speech), ("noise", self._noise)):
            if not have:
                raise UserError(
                    f"{listing.root} has no {what} in its {split} split; see docs/data.md for "
                    "how it must be laid out"
                )
        self.name = f"{listing.name} {listing.root.name}, {len(listing.files())} files, {store.key}"
        self.noise_classes = tuple(sorted(self._noise))
        self.trained_noise_classes = tuple(sorted(_noise_clips(listing, "train")))
        self._of_speaker: dict[str, list[SpeechFile]] = {}
        self._alike: dict[tuple[str, str, float | None], list[SpeechFile]] = {}
        for speech in self._speech:
            self._of_speaker.setdefault(speech.speaker.name, []).append(speech)
            if speech.noisy:
                self._alike.setdefault(_condition(speech), []).append(speech)

    @cached_property
    def _rooms(self) -> list[np.ndarray]:
        return load_rooms(self.split, self.sample_rate, self._cache)

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
        """One mixture: files of one speaker joined with pauses, from anywhere in the first.

        Where neither ``noise`` nor ``snr`` is given, a corpus's own pairs stay as it
        mixed them: all of one noise class and SNR, the noise going on in the pauses.
        Else, and where it has none, the speech is mixed with noise of the class (drawn)
        at the SNR (drawn from -5..15 dB). ``level`` as in
        :class:`dyncp.data.source.AudioSource` (drawn from -38..-18). No room unless one is
        asked for: recordings have their own. :attr:`Mixture.snr` is that of the mixture.
        """
        if noise is not None and noise not in self.noise_classes:
            raise UserError(
                f"no noise class '{noise}' in the {self.split} split; it has "
                f"{', '.join(self.noise_classes)}"
            )
        samples = int(seconds * self.sample_rate)
        first = self._speech[rng.integers(len(self._speech))]
        paired = first.noisy is not None and noise is None and snr is None
        following = self._alike[_condition(first)] if paired else self._of_speaker[
            first.speaker.name
        ]  # fmt: skip
        heard = self._sequence(rng, first, following, samples, pause)
        clean = np.zeros(samples, np.float32)
        for speech, start in heard:
            begin, end = max(start, 0), min(start + self._length(speech), samples)
            clean[begin:end] = (
                self._store.samples(speech.clean, begin - start, end - start) / 32768.0
            )
        if room:
            clean = in_room(clean, self._rooms[rng.integers(len(self._rooms))])
        level = float(rng.uniform(*_LEVEL)) if level is None else level
        loudest = max(self._store.entry(speech.clean).level for speech, _ in heard)
        speech_level = max(active_level(clean), _QUIET * loudest)
        gain = 10 ** (level / 20) / speech_level
        clean = clean * np.float32(gain)
        if paired:
            kind = first.noise_class
            added = self._own_noise(heard, samples) * np.float32(gain)
            snr = level - 20 * np.log10(max(_rms(added), 1e-9))
        else:
            kind = noise or self.noise_classes[rng.integers(len(self.noise_classes))]
            snr = float(rng.uniform(*_SNR)) if snr is None else snr
            added = self._noise_of(rng, kind, samples)
            added *= np.float32(10 ** ((level - snr) / 20) / max(_rms(added), 1e-9))
        noisy = clean + added
        peak = float(np.abs(noisy).max(initial=0.0))
        if peak > 0.98:
            clean, noisy = clean * np.float32(0.98 / peak), noisy * np.float32(0.98 / peak)
        return Mixture(noisy, clean, kind, float(snr), first.speaker, bool(room))

    def batch(self, seed: Sequence[int], count: int, seconds: float) -> list[Mixture]:
        """``count`` mixtures that depend on ``seed`` alone."""
        rng = np.random.default_rng(list(seed))
        return [self.mix(rng, seconds) for _ in range(count)]

    def pairs(self) -> Iterator[Mixture]:
        """The pairs that the corpus itself has in this split, whole and at their own level.

        What published results are measured on. ``snr`` is the corpus's own, or measured.
        """
        for speech in self._speech:
            if speech.noisy is None:
                continue
            clean, noisy = (
                self._store.samples(path) / np.float32(32768)
                for path in (speech.clean, speech.noisy)
            )
            snr = speech.snr
            if snr is None:
                snr = 20 * float(np.log10(active_level(clean) / _rms(noisy - clean)))
            yield Mixture(noisy, clean, speech.noise_class, snr, speech.speaker, False)

    def _length(self, speech: SpeechFile) -> int:
        return self._store.entry(speech.clean).length

    def _sequence(
        self,
        rng: np.random.Generator,
        first: SpeechFile,
        following: list[SpeechFile],
        samples: int,
        pause: float,
    ) -> list[tuple[SpeechFile, int]]:
        """What is heard and where it starts, in samples; ``first`` may start before 0."""
        heard, speech = [], first
        position = -int(rng.uniform(0, 1.0) * self._length(first))
        while position < samples:
            heard.append((speech, position))
            position += self._length(speech) + int(rng.exponential(pause) * self.sample_rate)
            speech = following[rng.integers(len(following))]
        return heard

    def _own_noise(self, heard: list[tuple[SpeechFile, int]], samples: int) -> np.ndarray:
        """The noise of the corpus's pairs, each repeated until the next begins."""
        out = np.zeros(samples, np.float32)
        ends = [start for _, start in heard[1:]] + [samples]
        for (speech, start), end in zip(heard, ends, strict=True):
            assert speech.noisy
            noise = self._crop(_NoiseClip(speech.noisy, speech.clean), 0, self._length(speech))
            begin = max(start, 0)
            out[begin:end] = noise[np.arange(begin - start, end - start) % len(noise)]
        return out

    def _noise_of(self, rng: np.random.Generator, kind: str, samples: int) -> np.ndarray:
        """float32 ``[samples]``: crops of one class's clips."""
        clips = self._noise[kind]
        parts, have = [], 0
        while have < samples:
            parts.append(self._draw_crop(rng, clips[rng.integers(len(clips))], samples - have))
            have += len(parts[-1])
        return np.concatenate(parts)

    def _draw_crop(self, rng: np.random.Generator, clip: _NoiseClip, samples: int) -> np.ndarray:
        """At most ``samples`` from a random place where the noise is."""
        entry = self._store.entry(clip.path)
        take = min(samples, entry.length)
        if clip.clean:
            whole = self._crop(clip, 0, entry.length)
            rms, loudest = _rms(whole), int(np.abs(whole).argmax())
        else:
            rms, loudest = entry.rms, entry.loudest
        for _ in range(_TRIES):
            start = int(rng.integers(0, entry.length - take + 1))
            crop = self._crop(clip, start, start + take)
            if _rms(crop) >= _FAINT * rms:
                return crop
        start = min(max(loudest - take // 2, 0), entry.length - take)
        return self._crop(clip, start, start + take)

    def _crop(self, clip: _NoiseClip, start: int, stop: int) -> np.ndarray:
        samples = self._store.samples(clip.path, start, stop).astype(np.float32)
        if clip.clean:
            samples -= self._store.samples(clip.clean, start, stop)
        return samples / np.float32(32768)


def _noise_clips(listing: Listing, split: Split) -> dict[str, list[_NoiseClip]]:
    clips: dict[str, list[_NoiseClip]] = {}
    for noise in listing.noise:
        if noise.split == split:
            clips.setdefault(noise.noise_class, []).append(_NoiseClip(noise.path))
    for speech in listing.speech:
        if speech.split == split and speech.noisy:
            clip = _NoiseClip(speech.noisy, speech.clean)
            clips.setdefault(speech.noise_class, []).append(clip)
    return clips


def _condition(speech: SpeechFile) -> tuple[str, str, float | None]:
    return speech.speaker.name, speech.noise_class, speech.snr


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) if len(x) else 0.0
