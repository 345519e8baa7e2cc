"""A corpus written down in a CSV file, one line for every file of speech.

======== ======================================================================
column   what it holds
======== ======================================================================
split    ``train``, ``validation`` or ``test``; a speaker is in one of them
clean    the clean speech; paths are relative to the CSV's folder
noise    a file of noise to mix speech of this split with, or
noisy    the clean file with noise added, sample by sample as long
speaker  who talks: any name, the same on all lines of that person
gender   ``f``, ``m`` or empty
noise_class  a name for the kind of noise; empty: ``unlabelled``
snr      dB, of the noisy file; empty: it is measured
======== ======================================================================

A line has either ``noise`` or ``noisy``. The columns ``noise``, ``noisy``, ``gender``,
``noise_class`` and ``snr`` may be left out where no line needs them. Noise is not
bound to its line's speech: any of a split's noises is mixed with any of its speech.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

from dyncp.data.listing import Listing, NoiseFile, Person, Problems, SpeechFile
from dyncp.data.speakers import SPLITS, Gender, Split
from dyncp.errors import UserError

_NEEDED = ("split", "clean", "speaker")
COLUMNS = ("split", "clean", "noise", "noisy", "speaker", "gender", "noise_class", "snr")
_UNLABELLED = "unlabelled"
_GENDERS: dict[str, Gender | None] = {"f": "f", "m": "m", "": None}


def read_manifest(path: Path, problems: Problems) -> Listing:
    """The files that the lines name; what is wrong with a line goes to ``problems``.

    Raises :class:`UserError` if it is not such a table at all.
    """
    listing = Listing("manifest", path)
    noises: set[NoiseFile] = set()
    unpaired: set[tuple[Split, Path, Person]] = set()
    for number, row in _rows(path):
        where = f"{path} line {number}"
        if None in row:
            problems.add(f"{where} has more fields than the header")
            continue
        speech = _speech(path.parent, row, where, problems)
        if speech is None:
            continue
        if speech.noisy is not None:
            listing.speech.append(speech)
            continue
        noises.add(NoiseFile(speech.split, path.parent / row["noise"], speech.noise_class))
        # One recording may stand on many lines, each with another noise.
        if (spoken := (speech.split, speech.clean, speech.speaker)) not in unpaired:
            listing.speech.append(speech)
        unpaired.add(spoken)
    listing.noise.extend(sorted(noises, key=lambda noise: (noise.path, noise.split)))
    if not listing.speech:
        problems.add(f"{path} has no line that can be used")
    return listing


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Line number and fields by column, all columns of :data:`COLUMNS`."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            columns = reader.fieldnames or ()
            for column in columns:
                if column not in COLUMNS:
                    raise UserError(
                        f"{path}: unknown column '{column}'; it may have {', '.join(COLUMNS)}"
                    )
            for column in _NEEDED:
                if column not in columns:
                    raise UserError(f"{path}: the column '{column}' is missing")
            empty = dict.fromkeys(COLUMNS, "")
            return [
                (
                    reader.line_num,
                    empty | {k: v.strip() if isinstance(v, str) else v for k, v in row.items()},
                )
                for row in reader
            ]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise UserError(f"{path} is not a CSV file that can be read: {error}") from error


def _speech(folder: Path, row: dict[str, str], where: str, problems: Problems) -> SpeechFile | None:
    """What a line says; None and its problems if it cannot be meant."""
    wrong = []
    split: Split | None = next((name for name in SPLITS if name == row["split"]), None)
    if split is None:
        wrong.append(f"unknown split '{row['split']}'; it is one of {', '.join(SPLITS)}")
    if not row["clean"]:
        wrong.append("no clean file")
    if not row["speaker"]:
        wrong.append("no speaker")
    if bool(row["noise"]) == bool(row["noisy"]):
        wrong.append("it must have either noise or noisy")
    if row["gender"].lower() not in _GENDERS:
        wrong.append(f"unknown gender '{row['gender']}'; it is f, m or empty")
    snr: float | None = None
    if row["snr"]:
        try:
            snr = float(row["snr"])
        except ValueError:
            snr = math.nan
        if not math.isfinite(snr):
            wrong.append(f"'{row['snr']}' is not an SNR in dB")
        if not row["noisy"]:
            wrong.append("snr is that of a noisy file; with noise it is drawn")
    for problem in wrong:
        problems.add(f"{where}: {problem}")
    if wrong or split is None:
        return None
    person = Person(row["speaker"], _GENDERS[row["gender"].lower()])
    noisy = folder / row["noisy"] if row["noisy"] else None
    kind = row["noise_class"] or _UNLABELLED
    return SpeechFile(split, folder / row["clean"], person, noisy, kind, snr)
