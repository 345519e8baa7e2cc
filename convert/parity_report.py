"""What the ladder found: tables for people, ``parity.json`` and JUnit for machines.

docs/parity.md lays the JSON out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convert.comparison import Difference, SequenceResult, gate_agreement, mask_snr_db
from convert.junit import Case, write_junit
from dyncp.files import write_text

FORMAT = 2

EXIT_EQUAL, EXIT_DIFFERS, EXIT_BROKEN = 0, 1, 2

_SECTIONS = {
    "float": "float, reported",
    "exact": "the ladder, byte for byte",
    "optimised": "optimised kernels, apart",
}
_COLUMNS = ("frames", "values that differ", "gates as float", "mask SNR dB", "time s", "frames/s")


@dataclass(frozen=True)
class RungResult:
    """How one rung did. ``error``: why it did not run to its end."""

    name: str
    kind: str
    sequences: tuple[SequenceResult, ...]
    error: str | None = None

    @property
    def exact(self) -> bool:
        return self.kind == "exact"

    @property
    def frames(self) -> int:
        return sum(part.frames for part in self.sequences)

    @property
    def seconds(self) -> float:
        """Time in the rung alone, without the comparison."""
        return sum(part.seconds for part in self.sequences)

    @property
    def values(self) -> int | None:
        """Values compared; None where not all tensors can be."""
        counts = [part.values for part in self.sequences if part.values is not None]
        return sum(counts) if counts else None

    @property
    def mismatches(self) -> int | None:
        """Values that differ from the specification."""
        counts = [part.mismatches for part in self.sequences if part.mismatches is not None]
        return sum(counts) if counts else None

    @property
    def first_difference(self) -> Difference | None:
        found = (part.first_difference for part in self.sequences)
        return next((difference for difference in found if difference), None)

    @property
    def gate_agreement(self) -> float | None:
        """Of the sequences of real audio, or of all if there are none."""
        return gate_agreement(self._real)

    @property
    def mask_snr_db(self) -> float | None:
        """The same, dB."""
        return mask_snr_db(self._real)

    @property
    def _real(self) -> list[SequenceResult]:
        real = [part for part in self.sequences if not part.adversarial]
        return real or list(self.sequences)

    @property
    def passed(self) -> bool:
        """Whether it ran to its end, and an exact one without a difference."""
        return self.error is None and not (self.exact and self.mismatches)

    def to_json(self) -> dict[str, Any]:
        """Its part of ``parity.json``."""
        return {
            "name": self.name,
            "kind": self.kind,
            "exact": self.exact,
            "passed": self.passed,
            "error": self.error,
            **_numbers(self),
            "sequences": [{"name": part.name, **_numbers(part)} for part in self.sequences],
        }


def _numbers(result: RungResult | SequenceResult) -> dict[str, Any]:
    parts = [result] if isinstance(result, SequenceResult) else result._real
    first, seconds = result.first_difference, result.seconds
    return {
        "frames": result.frames,
        "values": result.values,
        "mismatches": result.mismatches,
        "first_difference": asdict(first) if first else None,
        "gate_agreement": gate_agreement(parts),
        "mask_snr_db": mask_snr_db(parts),
        "seconds": round(seconds, 6),
        "frames_per_second": round(result.frames / seconds, 1) if seconds > 0 else None,
    }


@dataclass(frozen=True)
class LadderReport:
    """All rungs, in the order in which they were climbed.

    ``beside``: what was judged besides them, such as a board's audio. ``left_out``: rungs
    that were not asked for. ``reference``: what agreement and SNR refer to.
    """

    rungs: tuple[RungResult, ...]
    reference: str | None = None
    beside: tuple[Case, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.exit_code == EXIT_EQUAL

    @property
    def exit_code(self) -> int:
        """1 if a value differs; else 2 if a rung did not run to its end; else 0."""
        outcomes = {case.outcome for case in self.beside}
        if "failure" in outcomes or any(rung.exact and rung.mismatches for rung in self.rungs):
            return EXIT_DIFFERS
        if "error" in outcomes or any(rung.error for rung in self.rungs):
            return EXIT_BROKEN
        return EXIT_EQUAL

    def to_json(self, about: dict[str, Any]) -> dict[str, Any]:
        """The content of ``parity.json``; ``about`` says of what (model, audio)."""
        return {
            "format": FORMAT,
            **about,
            "passed": self.passed,
            "reference": self.reference,
            "left_out": list(self.left_out),
            "beside": [
                {"name": case.name, "passed": case.outcome == "passed", "message": case.message}
                for case in self.beside
            ],
            "rungs": [rung.to_json() for rung in self.rungs],
        }

    def cases(self) -> list[Case]:
        """One case for each rung and sequence, for CI servers."""
        cases = [case for rung in self.rungs for case in _cases(rung)]
        cases += [Case(name, "skipped", "left out") for name in self.left_out]
        return [*cases, *self.beside]

    def write(self, path: str | Path, about: dict[str, Any]) -> None:
        """Write ``parity.json``, and JUnit beside it (``.xml``), each atomically."""
        path = Path(path)
        write_text(path, json.dumps(self.to_json(about), indent=1) + "\n")
        write_junit(path.with_suffix(".xml"), "parity", self.cases())


def _cases(rung: RungResult) -> list[Case]:
    cases = []
    for part in rung.sequences:
        name, first = f"{rung.name}: {part.name}", part.first_difference
        if not part.complete:
            cases.append(Case(name, "error", rung.error or "", seconds=part.seconds))
        elif rung.exact and first:
            message = f"{part.mismatches} of {part.values} values differ, the first at {first}"
            cases.append(Case(name, "failure", message, first.explanation(), part.seconds))
        else:
            text = f"{part.frames} frames"
            if part.mismatches is not None:
                text += f", {part.mismatches} of {part.values} values differ"
            cases.append(Case(name, details=text, seconds=part.seconds))
    return cases


def format_parity(parity: dict[str, Any]) -> str:
    """``parity.json`` for people: a line for each rung, then where those that differ do."""
    rows: list[list[str]] = []
    for kind, title in _SECTIONS.items():
        rungs = [rung for rung in parity["rungs"] if rung["kind"] == kind]
        if rungs:
            rows += [[], [title, *(_COLUMNS if not rows else [""] * len(_COLUMNS)), ""]]
            rows += [_row(rung, parity["reference"]) for rung in rungs]
    lines = [_title(parity), *_aligned(rows), ""]
    lines += [line for rung in parity["rungs"] for line in _trouble(rung)]
    for case in parity["beside"]:
        lines.append(f"  {case['name']}: {case['message']}")
    if parity["left_out"]:
        lines.append(f"  left out: {'; '.join(parity['left_out'])}")
    return "\n".join(lines).rstrip()


def _title(parity: dict[str, Any]) -> str:
    sequences = parity["sequences"]
    real = [sequence for sequence in sequences if not sequence["adversarial"]]
    made = [sequence for sequence in sequences if sequence["adversarial"]]
    parts = [f"{sequence['frames']:,} frames of {sequence['name']}" for sequence in real]
    if made:
        total = sum(sequence["frames"] for sequence in made)
        parts.append(f"{total:,} of {len(made)} adversarial sequences")
    return f"parity of {parity['preset']}: {', '.join(parts)}"


def _row(rung: dict[str, Any], reference: str | None) -> list[str]:
    gates, snr, speed = rung["gate_agreement"], rung["mask_snr_db"], rung["frames_per_second"]
    compared = rung["mismatches"] is not None
    verdict = "reported" if rung["kind"] != "exact" else "equal"
    if rung["name"] == reference:
        verdict = "reference"
    if rung["exact"] and rung["mismatches"]:
        verdict = "DIFFERS"
    elif rung["error"]:
        verdict = "NOT RUN" if rung["frames"] == 0 else "BROKE"
    return [
        rung["name"],
        f"{rung['frames']:,}",
        f"{rung['mismatches']:,} of {rung['values']:,}" if compared else "-",
        "-" if gates is None else f"{100 * gates:.2f} %",
        "-" if snr is None else f"{snr:.1f}",
        f"{rung['seconds']:.1f}",
        "-" if speed is None else f"{speed:,.0f}",
        verdict,
    ]


def _trouble(rung: dict[str, Any]) -> list[str]:
    lines = []
    first = rung["first_difference"]
    if rung["exact"] and first:
        difference = Difference(**first)
        lines.append(f"  {rung['name']} first differs at {difference}")
        lines.append(f"    {difference.explanation()}")
        apart = [part["name"] for part in rung["sequences"] if part["mismatches"]]
        lines.append(f"    sequences that differ: {', '.join(apart)}")
    if rung["error"]:
        lines.append(f"  {rung['name']} did not run to its end: {rung['error']}")
    return lines


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns aligned: the first to the left, the last too, the others to the right."""
    full = [row for row in rows if row]
    widths = [max(len(row[column]) for row in full) for column in range(len(full[0]))]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=bool(row))]
        if row:
            cells[0], cells[-1] = row[0].ljust(widths[0]), row[-1]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return lines
