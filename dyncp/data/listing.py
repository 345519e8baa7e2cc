"""What a corpus says it holds, before a sample of it is read; and what is wrong with it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dyncp.data.speakers import Gender, Split
from dyncp.errors import UserError

_SHOWN = 20
_BESIDE_AUDIO = frozenset(
    (".txt", ".md", ".csv", ".tsv", ".json", ".lab", ".textgrid", ".html", ".pdf")
)
"""What corpora have among their recordings: transcripts, licences, indices."""


@dataclass(frozen=True)
class Person:
    """A corpus's speaker, a :class:`dyncp.data.source.Talker`; None: the corpus does not say."""

    name: str
    gender: Gender | None = None
    accent: str | None = None


@dataclass(frozen=True)
class SpeechFile:
    """Clean speech, and where the corpus has mixed it: ``noisy``, as long, with its labels."""

    split: Split
    clean: Path
    speaker: Person
    noisy: Path | None = None
    noise_class: str = ""
    snr: float | None = None
    """dB, as the corpus says."""


@dataclass(frozen=True)
class NoiseFile:
    split: Split
    path: Path
    noise_class: str


@dataclass
class Listing:
    """The files of a corpus. ``name``: the layout, for records; ``root``: where it lies."""

    name: str
    root: Path
    speech: list[SpeechFile] = field(default_factory=list)
    noise: list[NoiseFile] = field(default_factory=list)

    def files(self) -> list[Path]:
        """Every audio file once; a noisy one follows its clean one."""
        paths: dict[Path, None] = {}
        for speech in self.speech:
            paths[speech.clean] = None
            if speech.noisy:
                paths[speech.noisy] = None
        for noise in self.noise:
            paths[noise.path] = None
        return list(paths)


class Problems:
    """Everything that is wrong with a corpus, told at once: nobody wants one a run."""

    def __init__(self, corpus: Path) -> None:
        self._corpus = corpus
        self._found: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, problem: str) -> None:
        """``problem`` names its file."""
        self._found[problem] = None

    def raise_if_any(self) -> None:
        """Raise :class:`UserError` with the first twenty, one a line, and how many there are."""
        if not self._found:
            return
        found = list(self._found)
        lines = [f"  {problem}" for problem in found[:_SHOWN]]
        if len(found) > _SHOWN:
            lines.append(f"  and {len(found) - _SHOWN} more")
        count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
        raise UserError(
            "\n".join([f"{self._corpus} cannot be used: {count}; mend or remove the files", *lines])
        )


def audio_files(folder: Path) -> Iterator[Path]:
    """Every file below ``folder``, sorted, but hidden ones and texts."""
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() not in _BESIDE_AUDIO:
                yield Path(place) / name


def prefix(path: Path) -> str:
    """A file's name up to the first ``_`` or ``-``: where many corpora put whose it is."""
    return path.stem.replace("-", "_").split("_")[0]


def check_labels(listing: Listing, problems: Problems) -> None:
    """A speaker or a noise file in two splits, a file with two owners, a pair that is there twice.

    Speakers in two splits would have a network tested on voices that it knows.
    """
    speech, noise = listing.speech, listing.noise
    rules: list[tuple[str, list[tuple[object, str]]]] = [
        ("speaker {} is in two splits", [(s.speaker.name, s.split) for s in speech]),
        ("speaker {} has two genders", [(s.speaker.name, s.speaker.gender or "?") for s in speech]),
        ("{} is of two speakers", [(s.clean, s.speaker.name) for s in speech]),
        ("{} is in two splits", [(n.path, n.split) for n in noise]),
        ("{} is of two noise classes", [(n.path, n.noise_class) for n in noise]),
    ]
    for rule, claims in rules:
        said: dict[object, set[str]] = {}
        for what, value in claims:
            said.setdefault(what, set()).add(value)
        for what, values in said.items():
            if len(values) > 1:
                problems.add(f"{rule.format(what)}: {', '.join(sorted(values))}")
    pairs = Counter((s.clean, s.noisy, s.speaker.name) for s in speech)
    for (clean, noisy, _), count in pairs.items():
        if count > 1:
            problems.add(f"{noisy or clean} is listed {count} times")
