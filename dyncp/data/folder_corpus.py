"""Any folder with clean speech in ``clean`` and noise in ``noise``.

Both may have folders in them. The speaker is the first folder below ``clean``, or
else the file's name up to its first ``_`` or ``-``; the noise class is found below
``noise`` in the same way. ``clean`` and ``noise`` lie in ``train``, ``validation`` and
``test``, or there are no such folders, and speakers and noise files are dealt out.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from dyncp.data.listing import (
    Listing,
    NoiseFile,
    Person,
    Problems,
    SpeechFile,
    audio_files,
    prefix,
)
from dyncp.data.speakers import SPLITS, Split

_HELD_OUT_SHARE = 0.1
"""Of the speakers, and of a class's noise files; for validation, and again for the test."""


def is_folder_corpus(root: Path) -> bool:
    return any((root / place / "clean").is_dir() for place in ("", *SPLITS))


def read_folder(root: Path, problems: Problems) -> Listing:
    """The folder's files by split; what does not fit together goes to ``problems``."""
    listing = Listing("folder", root)
    divided = [split for split in SPLITS if (root / split).is_dir()]
    if divided:
        for split in divided:
            for path, speaker in _named(root / split / "clean", problems):
                listing.speech.append(SpeechFile(split, path, Person(speaker)))
            for path, kind in _named(root / split / "noise", problems):
                listing.noise.append(NoiseFile(split, path, kind))
        for name in ("clean", "noise"):
            if (root / name).is_dir():
                problems.add(f"{root / name} stands beside {divided[0]}/: in which split is it?")
        return listing
    speech = _named(root / "clean", problems)
    where = _dealt(sorted({speaker for _, speaker in speech}))
    for path, speaker in speech:
        listing.speech.append(SpeechFile(where[speaker], path, Person(speaker)))
    noise = _named(root / "noise", problems)
    for kind in sorted({kind for _, kind in noise}):
        paths = {path.relative_to(root).as_posix(): path for path, of in noise if of == kind}
        for name, split in _dealt(sorted(paths)).items():
            listing.noise.append(NoiseFile(split, paths[name], kind))
    return listing


def _named(folder: Path, problems: Problems) -> list[tuple[Path, str]]:
    """The audio files below ``folder``, and whose or what each is."""
    if not folder.is_dir():
        problems.add(f"{folder} is missing")
        return []
    found = []
    for path in audio_files(folder):
        parts = path.relative_to(folder).parts
        name = parts[0] if len(parts) > 1 else prefix(path)
        if not name:
            problems.add(f"{path} says neither by a folder nor by its name whose it is")
        found.append((path, name))
    if not found:
        problems.add(f"{folder} holds no audio files")
    return found


def _dealt(names: list[str]) -> dict[str, Split]:
    """A split for every name, by its hash: the same on every machine.

    One in ten goes to validation and one in ten to the test, at least one each; of
    two names one is for the test, and a single one is for training.
    """
    order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    held_out = max(1, round(_HELD_OUT_SHARE * len(order)))
    test = held_out if len(order) > 1 else 0
    validation = held_out if len(order) > 2 else 0
    splits: dict[str, Split] = {}
    for position, name in enumerate(order):
        splits[name] = (
            "test" if position < test
            else "validation" if position < test + validation
            else "train"
        )  # fmt: skip
    return splits
