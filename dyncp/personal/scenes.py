"""Scenes of a target speaker, an interfering one and noise, from seeds.

The scenarios are those of arXiv 2211.02944: TS1 the target with an interferer and noise, TS2
the target with noise, TS3 the target silent, whose reference is silence (an inactive-target
sample). Levels and their ranges are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from dyncp.data.labels import active_level
from dyncp.data.mixtures import _ROOM_SHARE, MixtureSource
from dyncp.data.rooms import in_room
from dyncp.data.speakers import Split
from dyncp.data.speech import CACHE_FOLDER
from dyncp.personal.voices import SPEEDS, Voice, draw_voice, load_voices

Scenario = Literal["TS1", "TS2", "TS3"]
SCENARIOS: tuple[Scenario, ...] = ("TS1", "TS2", "TS3")

_PAUSE = 0.5
"""Mean seconds between sentences."""
_SNR = (0.0, 15.0)
_SIR = (-5.0, 10.0)
_LEVEL = (-38.0, -18.0)
_LOUDEST = 0.98


@dataclass(frozen=True)
class Scene:
    """``noisy`` is ``target + interferer + noise``, float32 ``[samples]`` in [-1, 1].

    ``voice`` is whose embedding is given, an index into the source's voices, or -1: nobody's,
    and then every voice is to be kept. ``level``: RMS of the active speech (of the interferer
    where the target is silent). ``sir`` is NaN without an interferer.
    """

    scenario: Scenario
    noisy: np.ndarray
    target: np.ndarray
    interferer: np.ndarray
    voice: int
    level: float
    noise: str
    snr: float
    sir: float

    @property
    def reference(self) -> np.ndarray:
        """What a perfect network would give."""
        return self.target + self.interferer if self.voice < 0 else self.target


class SceneSource(MixtureSource):
    """Scenes of one split; what is drawn depends on the seed alone."""

    def __init__(
        self,
        sample_rate: int,
        split: Split,
        cache: Path = CACHE_FOLDER,
        speeds: Sequence[int] = SPEEDS,
    ) -> None:
        super().__init__(sample_rate, split, cache)
        self.voices: list[Voice] = load_voices(split, self._speech, speeds)

    def enrolment(self, voice: int, rng: np.random.Generator | None = None) -> np.ndarray:
        """An enrolment recording, float32 ``[samples]``: three sentences, drawn or the first."""
        sentences = self.voices[voice].enrol
        chosen = rng.permutation(len(sentences))[:3] if rng else range(3)
        return np.concatenate([sentences[i] for i in chosen]).astype(np.float32) / 32768.0

    def scene(
        self,
        rng: np.random.Generator,
        seconds: float,
        scenario: Scenario,
        *,
        voice: int | None = None,
        noise: str | None = None,
        snr: float | None = None,
        sir: float | None = None,
        level: float | None = None,
    ) -> Scene:
        """One scene of ``seconds``; what is not given is drawn.

        ``snr``: speech to noise, ``sir``: target to interferer, both in dB over active speech;
        ``level`` in dB of full scale. In TS3 the interferer speaks at the target's level.
        """
        samples = int(seconds * self.sample_rate)
        voice = draw_voice(rng, self.voices) if voice is None else voice
        other = draw_voice(rng, self.voices, but=self.voices[voice].person)
        kinds = self.noise_classes
        kind = noise or str(kinds[rng.integers(len(kinds))])
        snr = float(rng.uniform(*_SNR)) if snr is None else snr
        sir = float(rng.uniform(*_SIR)) if sir is None else sir
        level = float(rng.uniform(*_LEVEL)) if level is None else level
        room = self._rooms[rng.integers(len(self._rooms))] if rng.random() < _ROOM_SHARE else None
        target = interferer = np.zeros(samples, np.float32)
        if scenario != "TS3":
            target = self._talk(rng, voice, samples, level, room)
        if scenario != "TS2":
            below = sir if scenario == "TS1" else 0.0
            other_room = None
            if room is not None:  # the same kind of place, another seat in it
                other_room = self._rooms[rng.integers(len(self._rooms))]
            interferer = self._talk(rng, other, samples, level - below, other_room)
        noisy = target + interferer + self._noise_at(rng, kind, samples, level - snr)
        peak = float(np.abs(noisy).max())
        scale = np.float32(_LOUDEST / peak) if peak > _LOUDEST else np.float32(1)
        return Scene(
            scenario,
            (noisy * scale).astype(np.float32),
            target * scale,
            interferer * scale,
            voice,
            float(10 ** (level / 20) * scale),
            kind,
            snr,
            sir if scenario == "TS1" else float("nan"),
        )

    def _talk(
        self,
        rng: np.random.Generator,
        voice: int,
        samples: int,
        level: float,
        room: np.ndarray | None,
    ) -> np.ndarray:
        said = self.voices[voice].talk
        out = np.zeros(samples, np.float32)
        position = -int(rng.uniform(0, 1.0) * self.sample_rate)
        while position < samples:
            utterance = said[rng.integers(len(said))]
            start, stop = max(position, 0), min(position + len(utterance), samples)
            if stop > start:
                out[start:stop] = utterance[start - position : stop - position] / 32768.0
            position += len(utterance) + int(rng.exponential(_PAUSE) * self.sample_rate)
        if room is not None:
            out = in_room(out, room)
        loudness = active_level(out)
        return out * np.float32(10 ** (level / 20) / loudness) if loudness > 0 else out

    def scenes(
        self,
        seed: Sequence[int],
        count: int,
        seconds: float,
        shares: Mapping[Scenario, float],
        unenrolled: float = 0.0,
    ) -> list[Scene]:
        """``count`` scenes that depend on ``seed`` alone, scenarios by their ``shares``.

        A share ``unenrolled`` of those where the target speaks are without an embedding.
        """
        rng = np.random.default_rng(list(seed))
        names = list(shares)
        weights = np.array([shares[name] for name in names])
        scenes = []
        for _ in range(count):
            scenario = names[rng.choice(len(names), p=weights / weights.sum())]
            scene = self.scene(rng, seconds, scenario)
            if rng.random() < unenrolled and scenario == "TS2":
                scene = Scene(**{**vars(scene), "voice": -1})
            scenes.append(scene)
        return scenes
