"""Breaks a file in many ways and audits each: ``python -m convert.audit.fuzz FILE``.

Mutation ``number`` of ``seed`` is always the same bytes, so a finding is told by
the two. What is looked for: an audit that raises, fails inside, does not end, or
calls a file clear that is not even a .tflite.
"""

from __future__ import annotations

import argparse
import resource
import signal
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np
from tqdm import tqdm

from convert.audit.interpreter import TIMEOUT_SECONDS
from convert.audit.report import EXIT_CLEAR, INTERNAL, Report, audit_bytes
from dyncp.errors import UserError, run_command

HANG_SECONDS = 20
"""An audit of a small file takes some ms; a busy machine may take longer, a loop never ends."""

_EXIT_FOUND = 1
_MEMORY_BYTES = 4 << 30
_FILES = 32
_HOSTILE = (
    *(0, 1, 2, 4, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 1 << 20),
    *((1 << 31) - 1, 1 << 31, (1 << 32) - 4, (1 << 32) - 1),
    *(0x7FC00000, 0x7F800000, 0xFF800000),
)
"""Words that are offsets, lengths, NaN and infinities where none are expected."""


@dataclass(frozen=True)
class Trouble:
    """One mutation that the audit did not bear."""

    seed: int
    number: int
    what: str


@dataclass
class Tally:
    """``parsed``: mutations that got past the parser; ``ran``: loaded in TFLite as well."""

    mutations: int = 0
    parsed: int = 0
    clear: int = 0
    ran: int = 0
    troubles: list[Trouble] = field(default_factory=list)


class _Hung(BaseException):
    """Not an Exception, so that nothing in the audit takes it for a fault of the file."""


def mutated(data: bytes, seed: int, number: int) -> bytes:
    """Mutation ``number`` of ``seed``: one to four changes of ``data``."""
    random = np.random.default_rng([seed, number])
    found = bytearray(data)
    # One change leaves most files parsable, several reach what one does not.
    for _ in range(1 if random.random() < 0.6 else int(random.integers(2, 5))):
        change = _CHANGES[int(random.integers(len(_CHANGES)))]
        if found:
            change(found, random)
    return bytes(found)


def _place(found: bytearray, random: np.random.Generator) -> int:
    """A byte; one of two lies in what is not weights, at the ends of the file."""
    near = min(len(found), 1 << 14)
    if random.random() < 0.5:
        return int(random.integers(len(found)))
    return (
        int(random.integers(near))
        if random.random() < 0.7
        else len(found) - 1 - int(random.integers(near))
    )


def _flip(found: bytearray, random: np.random.Generator) -> None:
    for _ in range(1 if random.random() < 0.6 else int(random.integers(2, 9))):
        found[_place(found, random)] ^= 1 << int(random.integers(8))


def _word(found: bytearray, random: np.random.Generator) -> None:
    place = _place(found, random) & ~3
    word = struct.pack("<I", _HOSTILE[int(random.integers(len(_HOSTILE)))])
    found[place : place + 4] = word[: len(found) - place]


def _near(found: bytearray, random: np.random.Generator) -> None:
    """An offset that leads to a neighbour, or backwards."""
    place = _place(found, random) & ~3
    if place + 4 <= len(found):
        (word,) = struct.unpack_from("<I", found, place)
        struct.pack_into("<I", found, place, (word + int(random.integers(-64, 65))) % (1 << 32))


def _truncate(found: bytearray, random: np.random.Generator) -> None:
    del found[_place(found, random) :]


def _splice(found: bytearray, random: np.random.Generator) -> None:
    """Bytes of one place written over another."""
    size = int(random.integers(1, 257))
    source, target = _place(found, random), _place(found, random)
    piece = found[source : source + size]
    found[target : target + len(piece)] = piece


def _duplicate(found: bytearray, random: np.random.Generator) -> None:
    """A block put in once more, so that all behind it moves."""
    size, place = 4 * int(random.integers(1, 65)), _place(found, random) & ~3
    found[place:place] = found[place : place + size]


def _remove(found: bytearray, random: np.random.Generator) -> None:
    place = _place(found, random) & ~3
    del found[place : place + 4 * int(random.integers(1, 17))]


_CHANGES = (
    *(_flip, _flip, _flip, _word, _word, _word, _near, _near, _splice),
    *(_truncate, _duplicate, _remove),
)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _Hung

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def audited(
    data: bytes, path: Path | None = None, seconds: float = HANG_SECONDS
) -> tuple[str, Report | None]:
    """What the audit of ``data`` does that it must not, "" if nothing; and its report.

    ``path``: where the interpreter's child process finds the same bytes, None to
    leave it out. Only from the main thread: a hang is ended by an alarm.
    """
    try:
        with _alarm(seconds):
            report = audit_bytes(data, "mutation", path)
            lines = list(report.lines())
            text = report.to_dict()
    except _Hung:
        return f"does not end in {seconds:g} s", None
    except Exception as error:
        return f"raises {type(error).__name__}: {error}", None
    for result in report.results:
        if result.reason.startswith(INTERNAL):
            return f"{result.check.id}: {result.reason}", report
    if report.exit_code == EXIT_CLEAR and data[4:8] != b"TFL3":
        return "a file without the identifier is called clear", report
    if any("\n" in line for line in lines) or not text:
        return "a finding takes more than one line", report
    return "", report


def fuzz(data: bytes, seed: int, mutations: int, first: int = 0, runs: int = 0) -> Tally:
    """Audit mutations ``first`` and on; some, ``runs`` in all, also in the interpreter."""
    tally = Tally()
    every = max(1, mutations // runs) if runs else 0
    with tempfile.TemporaryDirectory(prefix="sluice-fuzz-") as folder:
        path = Path(folder) / "mutation.tflite"
        for number in tqdm(range(first, first + mutations), unit="files", disable=None):
            changed = mutated(data, seed, number)
            run = every > 0 and number % every == 0
            if run:
                path.write_bytes(changed)
            seconds = HANG_SECONDS + (TIMEOUT_SECONDS if run else 0)
            what, report = audited(changed, path if run else None, seconds)
            tally.mutations += 1
            tally.ran += run
            if report is not None:
                tally.parsed += not {"not-tflite", "damaged"} & {*report.failed()}
                tally.clear += report.exit_code == EXIT_CLEAR
            if what:
                tally.troubles.append(Trouble(seed, number, what))
    return tally


def _main(args: argparse.Namespace) -> int:
    if not args.model.is_file():
        raise UserError(f"no such model: {args.model}")
    if args.mutations < 1:
        raise UserError(f"--mutations must be at least 1, not {args.mutations}")
    data = args.model.read_bytes()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    tally = fuzz(data, args.seed, args.mutations, args.first, args.runs)
    for trouble in tally.troubles[:_FILES]:
        print(f"seed {trouble.seed}, mutation {trouble.number}: {trouble.what}")
        if args.keep:
            args.keep.mkdir(parents=True, exist_ok=True)
            kept = args.keep / f"seed{trouble.seed}-{trouble.number}.tflite"
            kept.write_bytes(mutated(data, trouble.seed, trouble.number))
    print(
        f"{tally.mutations} mutations, {tally.parsed} parsed, {tally.clear} clear, {tally.ran} "
        f"loaded in TFLite: {len(tally.troubles)} crashes or hangs"
    )
    return _EXIT_FOUND if tally.troubles else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m convert.audit.fuzz", description=__doc__)
    parser.add_argument("model", type=Path, metavar="FILE.tflite", help="a sound file to break")
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation")
    parser.add_argument("--runs", type=int, default=0, help="how many to load in TFLite as well")
    parser.add_argument("--keep", type=Path, help="folder for the files that made trouble")
    return parser


if __name__ == "__main__":
    arguments = _parser().parse_args()
    sys.exit(run_command(lambda: _main(arguments)))
