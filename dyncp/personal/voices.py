"""The voices that can be told apart, each with sentences to talk and sentences to enrol by.

A voice is a speaker at one speed of playing: pitch and formants move with the speed, which
makes several voices of one in the training split (Kaldi's speed perturbation, with new
speakers). Two voices of one person never meet in a scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import overload

import numpy as np
from scipy.signal import resample_poly

from dyncp.data.sentences import sentence
from dyncp.data.speakers import _RECORDED_SHARE, SPLITS, Gender, Split, speakers
from dyncp.data.speech import _SPEEDS

SPEEDS: tuple[int, ...] = _SPEEDS
"""Tenths of the speed that a training voice was spoken at."""
_ENROL_SHARE = 0.25
_FEWEST_ENROL = 3


@dataclass(frozen=True, eq=False)
class Voice:
    """``talk`` and ``enrol``: int16 ``[samples]`` each, peak 0.5; they share no sentence.

    (In the training split, where nothing is judged, one that was drawn twice may be in both.)
    ``person`` is equal for voices made of one human or one synthesiser's variant.
    """

    name: str
    person: str
    gender: Gender
    recorded: bool
    talk: Sequence[np.ndarray]
    enrol: Sequence[np.ndarray]


class _AtSpeed(Sequence[np.ndarray]):
    """Sentences played faster or slower, each when it is first asked for."""

    def __init__(self, sentences: Sequence[np.ndarray], speed: int) -> None:
        self._sentences, self._speed = sentences, speed
        self._played: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._sentences)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> _AtSpeed: ...
    def __getitem__(self, index: int | slice) -> np.ndarray | _AtSpeed:
        if isinstance(index, slice):
            return _AtSpeed(self._sentences[index], self._speed)
        if index not in self._played:
            self._played[index] = _played(self._sentences[index], self._speed)
        return self._played[index]


def load_voices(
    split: Split, speech: list[list[np.ndarray]], speeds: Sequence[int] = SPEEDS
) -> list[Voice]:
    """Every voice of a split; a quarter of its sentences, and three at least, are for enrolment.

    ``speech``: what :func:`dyncp.data.speech.load_speech` gives for the split; ``speeds``: of
    the synthesised voices of the training split, in tenths (recorded ones have those of the data).
    """
    voices = []
    at_speed: dict[int, Sequence[np.ndarray]]
    for index, (speaker, sentences) in enumerate(zip(speakers(split), speech, strict=True)):
        if split != "train":
            at_speed = {10: sentences}
        elif speaker.recorded:
            played = _played_at(split, index, len(sentences))
            at_speed = {
                speed: [x for x, s in zip(sentences, played, strict=True) if s == speed]
                for speed in _SPEEDS
            }
        else:
            at_speed = {
                speed: _AtSpeed(sentences, speed) if speed != 10 else sentences for speed in speeds
            }
        for speed, said in at_speed.items():
            kept = max(_FEWEST_ENROL, int(len(said) * _ENROL_SHARE))
            talk, enrol = said[:-kept], said[-kept:]
            if split != "train":  # "of course" may have been drawn twice
                known = {sentence.tobytes() for sentence in enrol}
                talk = [sentence for sentence in talk if sentence.tobytes() not in known]
            voices.append(
                Voice(
                    name=speaker.name if speed == 10 else f"{speaker.name}@{speed / 10}",
                    person=speaker.human,
                    gender=speaker.gender,
                    recorded=speaker.recorded,
                    talk=talk,
                    enrol=enrol,
                )
            )
    return voices


def _played_at(split: Split, index: int, count: int) -> list[int]:
    """The speed of every sentence, as :mod:`dyncp.data.speech` drew it."""
    rng = np.random.default_rng([7, SPLITS.index(split), index])
    for _ in range(count):
        sentence(rng, speakers(split)[index].language)
    return [int(rng.choice(_SPEEDS)) for _ in range(count)]


def _played(samples: np.ndarray, speed: int) -> np.ndarray:
    common = gcd(10, speed)
    slow = resample_poly(samples.astype(np.float32), 10 // common, speed // common)
    return np.clip(np.rint(slow), -32768, 32767).astype(np.int16)


def draw_voice(rng: np.random.Generator, voices: list[Voice], but: str | None = None) -> int:
    """Draw an index: the kind (a third are recorded), the gender, then who; not person ``but``."""
    recorded, gender = bool(rng.random() < _RECORDED_SHARE), str(rng.choice(["f", "m"]))
    others = [i for i, voice in enumerate(voices) if voice.person != but]
    alike = [i for i in others if voices[i].recorded == recorded] or others
    chosen = [i for i in alike if voices[i].gender == gender] or alike
    return int(chosen[rng.integers(len(chosen))])
