"""Runs every check on a file, and tells the result in text, JSON and JUnit."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from convert.audit.registry import CannotJudge, Check, Finding, NotApplicable, all_checks
from convert.audit.subject import Subject, plain, printable
from convert.junit import Case, Outcome, write_junit
from dyncp.errors import UserError
from dyncp.files import write_text

Verdict = Literal["passed", "failed", "could-not-run", "not-applicable"]

EXIT_CLEAR, EXIT_FAILED, EXIT_COULD_NOT_RUN = 0, 1, 3
FORMAT = 1
_MOST_FINDINGS = 50
_LARGEST_FILE = (1 << 31) - 1
_OUTCOMES: dict[Verdict, Outcome] = {
    "passed": "passed",
    "failed": "failure",
    "could-not-run": "error",
    "not-applicable": "skipped",
}
INTERNAL = "internal error: "


@dataclass(frozen=True)
class Result:
    """One check on one file. ``reason``: why it could not be run, or is not applicable."""

    check: Check
    verdict: Verdict
    reason: str
    findings: tuple[Finding, ...]
    seconds: float


@dataclass(frozen=True)
class Report:
    """Everything that was judged of one file; ``name`` as it was given."""

    name: str
    size: int
    sha256: str
    results: tuple[Result, ...]

    @property
    def exit_code(self) -> int:
        if any(r.verdict == "failed" and r.check.severity == "error" for r in self.results):
            return EXIT_FAILED
        if any(r.verdict == "could-not-run" for r in self.results):
            return EXIT_COULD_NOT_RUN
        return EXIT_CLEAR

    @property
    def verdict(self) -> str:
        words = {EXIT_CLEAR: "clear", EXIT_FAILED: "failed", EXIT_COULD_NOT_RUN: "could not run"}
        return words[self.exit_code]

    def failed(self) -> list[str]:
        """The ids of the checks with findings, whatever their severity."""
        return [r.check.id for r in self.results if r.verdict == "failed"]

    def lines(self) -> Iterator[str]:
        """What a person reads: all that is not in order, then the sum."""
        for result in self.results:
            if result.verdict == "failed":
                for finding in result.findings:
                    yield f"{result.check.severity:8} {result.check.id}: {finding.message}"
                yield f"{'':8} -> {result.check.remedy}"
        for reason, ids in self._not_run().items():
            yield f"could not run: {reason}: {', '.join(ids)}"
        if any(result.reason.endswith("(--no-run)") for result in self.results):
            yield "left out: the interpreter was not run (--no-run)"
        counts = Counter(result.verdict for result in self.results)
        told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        yield f"{self.name}: {self.verdict} ({len(self.results)} checks: {told})"

    def _not_run(self) -> dict[str, list[str]]:
        reasons: dict[str, list[str]] = {}
        for result in self.results:
            if result.verdict == "could-not-run":
                reasons.setdefault(result.reason, []).append(result.check.id)
        return reasons

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "file": self.name,
            "bytes": self.size,
            "sha256": self.sha256,
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "checks": [
                {
                    "id": result.check.id,
                    "severity": result.check.severity,
                    "title": result.check.title,
                    "verdict": result.verdict,
                    "reason": result.reason,
                    "findings": [_evidence(finding) for finding in result.findings],
                }
                for result in self.results
            ],
        }

    def write_json(self, path: Path) -> None:
        write_text(path, json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n")

    def write_junit(self, path: Path) -> None:
        write_junit(path, f"audit {self.name}", [_case(result) for result in self.results])


def _evidence(finding: Finding) -> dict[str, Any]:
    return {
        "message": finding.message,
        "kind": finding.kind,
        "index": finding.index,
        "name": finding.name,
        "value": plain(finding.value),
    }


def _case(result: Result) -> Case:
    """A warning's findings are told, but fail no build."""
    found = [finding.message for finding in result.findings]
    outcome = _OUTCOMES[result.verdict]
    if result.verdict == "failed" and result.check.severity != "error":
        outcome = "passed"
        found.insert(0, f"{result.check.severity}:")
    message = found[0] if found else result.reason
    return Case(result.check.id, outcome, message, "\n".join(found), result.seconds)


def audit_file(path: str | Path, run: bool = True) -> Report:
    """Judge a file; ``run``: also in the interpreter.

    Raises :class:`UserError` if there is no such file. Whatever is in it becomes
    a finding.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such model: {path}")
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise UserError(f"{path} has {size} bytes, more than any .tflite can have")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    return audit_bytes(data, printable(os.fsencode(path)), path if run else None)


def audit_bytes(data: bytes, name: str, path: Path | None = None) -> Report:
    """Judge a file's bytes; ``path`` is where the interpreter finds them, None to leave it out."""
    subject = Subject(data, path)
    results = tuple(_judge(check, subject) for check in all_checks())
    return Report(name, len(data), hashlib.sha256(data).hexdigest(), results)


def _judge(check: Check, subject: Subject) -> Result:
    begun = time.monotonic()
    findings: list[Finding] = []
    verdict: Verdict = "passed"
    reason = ""
    try:
        for finding in islice(check.judge(subject), _MOST_FINDINGS):
            findings.append(finding)  # what was found counts, whatever stops the rest
    except NotApplicable as stopped:
        verdict, reason = "not-applicable", str(stopped)
    except CannotJudge as stopped:
        verdict, reason = "could-not-run", str(stopped)
    except Exception as error:
        # A fault of the audit's own is never a pass; the fuzzer holds that there is none.
        verdict, reason = "could-not-run", f"{INTERNAL}{type(error).__name__}: {error}"
    if findings:
        verdict = "failed"
    return Result(check, verdict, reason, tuple(findings), time.monotonic() - begun)
