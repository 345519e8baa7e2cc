"""VoiceBank+DEMAND, in the folders that it is published in.

The "noisy speech database for training speech enhancement algorithms and TTS
models" (Valentini-Botinhao, University of Edinburgh, doi 10.7488/ds/2117), as its
archives unpack; what is relied on here:

- ``clean_trainset_28spk_wav``, ``noisy_trainset_28spk_wav``, the same with ``56spk``,
  and ``clean_testset_wav``, ``noisy_testset_wav``: flat folders of 48 kHz mono WAVs, a
  noisy file named as its clean one, as long, and equal to it plus noise.
- a name is the speaker, ``_``, a number: ``p226_001.wav``.
- ``log_trainset_28spk.txt``, ``log_trainset_56spk.txt``, ``log_testset.txt``, beside the folders
  or in ``logfiles``: a line a file, its name, its noise and its SNR in dB:
  ``p226_001 babble 5``.
- ``speaker-info.txt``, which is VCTK's and may be put beside them: ``225  23  F  English  ...``
  or ``p225 ...``; gender and accent of those speakers that it has.

There is no validation set in it. As is common in the field, p226 and p287 are held
out of the 28 speakers; where they are not there (the 56 speakers), the last two by
name are, which is a choice of this project.
"""

from __future__ import annotations

from pathlib import Path

from dyncp.data.listing import Listing, Person, Problems, SpeechFile, audio_files
from dyncp.data.speakers import Gender, Split

_SETS = ("trainset_28spk", "trainset_56spk", "testset")
_KINDS = ("clean", "noisy")
_VALIDATION = ("p226", "p287")


def is_voicebank(root: Path) -> bool:
    return any((root / f"{kind}_{name}_wav").is_dir() for kind in _KINDS for name in _SETS)


def read_voicebank(root: Path, problems: Problems) -> Listing:
    """All pairs of the sets that are there; what does not fit together goes to ``problems``."""
    pairs = {name: _pairs(root, name, problems) for name in _SETS}
    trained = {_speaker(clean) for name in _SETS[:2] for clean, *_ in pairs[name]}
    held_out = _held_out(sorted(trained))
    people = _people(root / "speaker-info.txt", problems)
    present = [name for name in _SETS if pairs[name]]
    listing = Listing(f"VoiceBank+DEMAND ({', '.join(present)})", root)
    for name, files in pairs.items():
        for clean, noisy, noise, snr in files:
            speaker = _speaker(clean)
            split: Split = "validation" if speaker in held_out else "train"
            if name == "testset":
                split = "test"
            person = people.get(speaker, Person(speaker))
            listing.speech.append(SpeechFile(split, clean, person, noisy, noise, snr))
    return listing


def _speaker(path: Path) -> str:
    return path.stem.split("_")[0]


def _held_out(speakers: list[str]) -> tuple[str, ...]:
    if set(_VALIDATION) <= set(speakers):
        return _VALIDATION
    return tuple(speakers[-2:]) if len(speakers) > 2 else ()


def _pairs(root: Path, name: str, problems: Problems) -> list[tuple[Path, Path, str, float]]:
    """Clean file, noisy file, noise and SNR of everything in one set, by name."""
    folders = [root / f"{kind}_{name}_wav" for kind in _KINDS]
    if not any(folder.is_dir() for folder in folders):
        return []
    files = []
    for folder in folders:
        if not folder.is_dir():
            problems.add(f"{folder} is missing")
        files.append({path.stem: path for path in audio_files(folder)})
    clean, noisy = files
    for path in (clean[stem] for stem in sorted(clean.keys() - noisy.keys())):
        problems.add(f"{path} has no noisy file in {folders[1].name}")
    for path in (noisy[stem] for stem in sorted(noisy.keys() - clean.keys())):
        problems.add(f"{path} has no clean file in {folders[0].name}")
    for path in clean.values():
        if "_" not in path.stem:
            problems.add(f"{path} does not name its speaker (as in p226_001.wav)")
    log = _log(root, name, problems)
    if log is None:  # then nothing can be used, but the files are still to be checked
        log = dict.fromkeys(noisy, ("", 0.0))
    for stem in sorted(log.keys() - (clean.keys() | noisy.keys())):
        problems.add(f"log_{name}.txt: there is no file for its line '{stem}'")
    for stem in sorted(noisy.keys() - log.keys()):
        problems.add(f"{noisy[stem]} has no line in log_{name}.txt")
    whole = sorted(clean.keys() & noisy.keys() & log.keys())
    return [(clean[stem], noisy[stem], *log[stem]) for stem in whole]


def _log(root: Path, name: str, problems: Problems) -> dict[str, tuple[str, float]] | None:
    """Noise and SNR by file; None if there is no log."""
    places = [root / f"log_{name}.txt", root / "logfiles" / f"log_{name}.txt"]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        problems.add(f"{places[0]} is missing: it says which noise is in which file")
        return None
    log: dict[str, tuple[str, float]] = {}
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        try:
            stem, noise, snr = fields
            value = float(snr)
        except ValueError:
            problems.add(f"{path} line {number} is not 'file noise SNR': {line.strip()!r}")
            continue
        if stem in log:
            problems.add(f"{path} line {number}: {stem} is there twice")
        log[stem] = (noise, value)
    return log


def _people(path: Path, problems: Problems) -> dict[str, Person]:
    """Gender and accent by speaker, ``pNNN``, from VCTK's table."""
    people: dict[str, Person] = {}
    if not path.is_file():
        return people
    genders: dict[str, Gender] = {"F": "f", "M": "m"}
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        fields = line.split()
        if not fields or fields[0] == "ID":
            continue
        if len(fields) < 3 or fields[2] not in genders:
            problems.add(f"{path} line {number} is not 'speaker age F/M accent': {line.strip()!r}")
            continue
        name = fields[0] if fields[0][0].isalpha() else f"p{fields[0]}"
        people[name] = Person(name, genders[fields[2]], fields[3] if len(fields) > 3 else None)
    return people
