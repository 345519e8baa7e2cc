"""Voices played slower and faster: pitches and formants that the data's own voices lack.

Speed perturbation as in Ko et al., "Audio augmentation for speech recognition"
(Interspeech 2015), of the speech alone: the noise stays as it was recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.signal import resample_poly

from dyncp.data.source import AudioSource, Mixture
from dyncp.data.speakers import Gender, Split

RECORDED = (10,)
"""The speeds of the data as they are."""
_SAME_GENDER = 1
"""Tenths around the recorded speed within which a voice passes for its speaker's gender."""


@dataclass(frozen=True)
class Played:
    """A talker at another speed, who is none of the data's speakers."""

    name: str
    gender: Gender | None
    accent: str | None


class AtSpeeds:
    """Another :class:`dyncp.data.source.AudioSource`'s mixtures, each voice at one of ``speeds``.

    ``speeds`` are tenths of the recorded speed, drawn evenly. What is far from it has no
    gender: a man's voice at 12 tenths is neither.
    """

    def __init__(self, source: AudioSource, speeds: Sequence[int]) -> None:
        self._source, self._speeds = source, tuple(speeds)

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def sample_rate(self) -> int:
        return self._source.sample_rate

    @property
    def split(self) -> Split:
        return self._source.split

    @property
    def noise_classes(self) -> tuple[str, ...]:
        return self._source.noise_classes

    @property
    def trained_noise_classes(self) -> tuple[str, ...]:
        return self._source.trained_noise_classes

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
        """As the source's; ``pause`` is in the recorded speed's seconds."""
        speed = self._speeds[rng.integers(len(self._speeds))]
        samples = int(seconds * self.sample_rate)
        recorded = max(seconds, -(-samples * speed // 10) / self.sample_rate + 1e-3)
        mixture = self._source.mix(
            rng, recorded, noise=noise, snr=snr, level=level, pause=pause, room=room
        )
        return played(mixture, speed, samples)

    def batch(self, seed: Sequence[int], count: int, seconds: float) -> list[Mixture]:
        rng = np.random.default_rng(list(seed))
        return [self.mix(rng, seconds) for _ in range(count)]


def at_speeds(source: AudioSource, speeds: Sequence[int]) -> AudioSource:
    """The source's voices at ``speeds``; the source itself where these are :data:`RECORDED`."""
    return source if tuple(speeds) == RECORDED else AtSpeeds(source, speeds)


def played(mixture: Mixture, speed: int, samples: int) -> Mixture:
    """The first ``samples`` of a mixture whose speech is played at ``speed`` tenths.

    The mixture must have that many, and ``speed`` tenths of that many.
    """
    noise = (mixture.noisy - mixture.clean)[:samples]
    clean = mixture.clean
    if speed != 10:
        clean = resample_poly(clean, 10, speed).astype(np.float32)
    clean = clean[:samples]
    noisy = clean + noise
    peak = max(float(np.abs(noisy).max()) / 0.98, 1.0)
    talker = mixture.speaker
    if speed != 10:
        gender = talker.gender if abs(speed - 10) <= _SAME_GENDER else None
        talker = Played(f"{talker.name} at {speed} tenths", gender, talker.accent)
    return replace(
        mixture, noisy=noisy / np.float32(peak), clean=clean / np.float32(peak), speaker=talker
    )
