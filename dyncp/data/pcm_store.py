"""The samples of a corpus: decoded once, then read where they are needed.

All files lie in one memory-mapped file of int16 at the network's rate, so that a
training step reads its crops alone. It is known by the names, sizes and dates of
the corpus's files: one that changes has it built again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from dyncp import audio
from dyncp.data.labels import active_level
from dyncp.data.listing import Listing, Problems
from dyncp.data.speech import source_key
from dyncp.errors import UserError
from dyncp.files import replacing, write_text

_AT_ONCE = 32
"""Files that are decoded before they are written: bounds the memory."""
_SILENT = 10 / 32768
_FULL_SCALE = 0.999
_CLIPPED_SHARE = 0.25
_LARGEST_RATIO = 1000
"""Of a resampling: the filter is some twenty times as long."""


@dataclass(frozen=True)
class Entry:
    """Where a file lies in the store, and what mixing asks of it (levels of full scale)."""

    offset: int
    length: int
    level: float
    """RMS where it is loud: of speech, the active level."""
    rms: float
    loudest: int
    """Index of the sample of largest magnitude."""


class PcmStore:
    """int16 samples by path. ``key`` is of all files' names, sizes and dates."""

    def __init__(self, samples: np.ndarray, entries: dict[str, Entry], key: str) -> None:
        self._samples, self._entries, self.key = samples, entries, key

    def entry(self, path: Path) -> Entry:
        return self._entries[_name(path)]

    def samples(self, path: Path, start: int = 0, stop: int | None = None) -> np.ndarray:
        """int16 ``[samples]``, a view of the file on disk."""
        entry = self.entry(path)
        stop = entry.length if stop is None else stop
        return self._samples[entry.offset + start : entry.offset + stop]


def open_store(listing: Listing, sample_rate: int, problems: Problems, cache: Path) -> PcmStore:
    """The samples of every file of the corpus; built in ``cache`` where they are not yet.

    Files that cannot be used go to ``problems``, which are raised at the end: with
    any of them there is no store.
    """
    files = listing.files()
    key = _key(files, sample_rate)
    pcm, index = cache / f"corpus-{key}.pcm", cache / f"corpus-{key}.json"
    # The index is written last: where it is, the samples are whole.
    if problems or not index.is_file() or not pcm.is_file():
        entries: dict[str, Entry] = {}
        try:
            with replacing(pcm) as temporary:
                entries = _decode_all(listing, files, sample_rate, temporary, problems)
                problems.raise_if_any()
            write_text(index, json.dumps({name: astuple(e) for name, e in entries.items()}))
        except OSError as error:
            raise UserError(f"cannot write {pcm}: {error.strerror or error}") from error
    entries = {name: Entry(*values) for name, values in json.loads(index.read_text()).items()}
    return PcmStore(np.memmap(pcm, np.int16, "r"), entries, key)


def _name(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100  - resolve() asks the disk about every folder


def _key(files: list[Path], sample_rate: int) -> str:
    digest = hashlib.sha256(f"{sample_rate} {source_key(Path(__file__))}".encode())
    for path in files:
        try:
            status = path.stat()
            stamp = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:
            stamp = "missing"
        digest.update(f"{_name(path)} {stamp}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:12]


def _decode_all(
    listing: Listing, files: list[Path], sample_rate: int, out: Path, problems: Problems
) -> dict[str, Entry]:
    """Write all samples to ``out``; goes on after a problem, to find the others."""
    entries: dict[str, Entry] = {}
    contents: dict[str, bytes] = {}
    converted: dict[str, int] = {}
    offset = 0
    with (
        out.open("wb") as file,
        ThreadPoolExecutor() as pool,
        tqdm(
            total=len(files), desc=f"reading {listing.root.name}", disable=not sys.stderr.isatty()
        ) as bar,
    ):
        for start in range(0, len(files), _AT_ONCE):
            some = files[start : start + _AT_ONCE]
            for path, read in zip(
                some, pool.map(lambda path: _decode(path, sample_rate), some), strict=True
            ):
                bar.update()
                if isinstance(read, str):
                    problems.add(read)
                    continue
                pcm, notes = read
                for note in notes:
                    converted[note] = converted.get(note, 0) + 1
                scaled = pcm.astype(np.float32) / 32768
                entries[_name(path)] = Entry(
                    offset,
                    len(pcm),
                    active_level(scaled),
                    float(np.sqrt(np.mean(np.square(scaled, dtype=np.float64)))),
                    int(np.abs(scaled).argmax()),
                )
                contents[_name(path)] = hashlib.blake2b(pcm.tobytes(), digest_size=16).digest()
                offset += len(pcm)
                # With a problem there will be no store: then it is read only to be checked.
                if not problems:
                    file.write(pcm.tobytes())
    for note, count in converted.items():
        print(f"{listing.root}: {note} ({count} files)", file=sys.stderr)
    _check_pairs(listing, entries, contents, problems)
    return entries


def _decode(path: Path, sample_rate: int) -> tuple[np.ndarray, list[str]] | str:
    """int16 samples and what was done to the file, or what is wrong with it."""
    notes: list[str] = []
    try:
        if (wrong := _wrong_rate(path, sample_rate)) is not None:
            return wrong
        samples = audio.load_wav(path, sample_rate, notes.append)
    except UserError as error:
        return str(error)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}"
    if float(np.abs(samples - samples.mean()).max()) < _SILENT:
        return f"{path} is silent"
    if float(np.mean(np.abs(samples) >= _FULL_SCALE)) > _CLIPPED_SHARE:
        return f"{path} is clipped throughout"
    return audio.to_pcm(samples), [note.removeprefix(f"{path}: ") for note in notes]


def _wrong_rate(path: Path, sample_rate: int) -> str | None:
    """Why a file cannot be brought to ``sample_rate``; None if it can, or cannot be read."""
    try:
        rate = soundfile.info(path).samplerate
    except (soundfile.LibsndfileError, RuntimeError):
        return None
    if rate < sample_rate:
        return f"{path} has {rate} Hz: it lacks the upper band of the network's {sample_rate} Hz"
    if sample_rate // gcd(rate, sample_rate) > _LARGEST_RATIO:
        return f"{path} has {rate} Hz, which cannot be resampled to {sample_rate} Hz"
    return None


def _check_pairs(
    listing: Listing,
    entries: dict[str, Entry],
    contents: dict[str, bytes],
    problems: Problems,
) -> None:
    for speech in listing.speech:
        if speech.noisy is None:
            continue
        clean, noisy = _name(speech.clean), _name(speech.noisy)
        if clean not in entries or noisy not in entries:
            continue
        lengths = entries[clean].length, entries[noisy].length
        if lengths[0] != lengths[1]:
            problems.add(
                f"{speech.noisy} has {lengths[1]} samples, its clean file "
                f"{speech.clean} has {lengths[0]}"
            )
        elif contents[clean] == contents[noisy]:
            problems.add(f"{speech.noisy} has no noise: it is the same as {speech.clean}")
