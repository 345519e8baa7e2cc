"""What training, probes and evaluation ask of their audio, wherever it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dyncp.data.speakers import Gender, Split


class Talker(Protocol):
    """Who talks: what is known of a synthetic voice and of a corpus's speaker alike."""

    @property
    def name(self) -> str: ...

    @property
    def gender(self) -> Gender | None: ...

    @property
    def accent(self) -> str | None: ...


@dataclass(frozen=True)
class Mixture:
    """One noisy stream of one speaker; ``noisy`` is ``clean`` plus noise, float32 in [-1, 1]."""

    noisy: np.ndarray
    clean: np.ndarray
    noise: str
    snr: float
    """dB, over the active speech."""
    speaker: Talker
    """Who talks in ``clean``, where anybody does."""
    in_room: bool
    """``clean`` was put into a room, and is reverberant."""


class AudioSource(Protocol):
    """Speech and noise of one split, ready to be mixed."""

    @property
    def name(self) -> str:
        """Which data these are, for the record of a training."""

    @property
    def sample_rate(self) -> int:
        """Hz."""

    @property
    def split(self) -> Split: ...

    @property
    def noise_classes(self) -> tuple[str, ...]:
        """What this split mixes in."""

    @property
    def trained_noise_classes(self) -> tuple[str, ...]:
        """What the training split of the same data mixes in."""

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
        """One mixture of ``seconds``; what is not given is the source's choice.

        ``noise`` is one of :attr:`noise_classes`, ``snr`` in dB over active speech, ``level``
        the RMS of active speech in dB of full scale, ``pause`` the mean silence between
        sentences in seconds, ``room`` whether the speech is put into a room.
        """

    def batch(self, seed: Sequence[int], count: int, seconds: float) -> list[Mixture]:
        """``count`` mixtures that depend on ``seed`` alone."""
