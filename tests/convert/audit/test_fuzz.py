"""No change of a file's bytes makes the audit crash or hang."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from convert.audit import fuzz as fuzzer
from tests.convert.built import Built

ROOT = Path(__file__).parents[3]


def check_no_trouble(tally: fuzzer.Tally) -> None:
    assert not tally.troubles, tally.troubles[:5]
    assert tally.parsed > tally.mutations // 5, "nearly all die at the first check"


def test_no_mutation_crashes_or_hangs_the_audit(output: Built, hidden: Built) -> None:
    for seed, built in ((1, output), (2, hidden)):
        check_no_trouble(fuzzer.fuzz(built.tflite.read_bytes(), seed, 1000, runs=5))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_no_mutation_of_very_many_crashes_or_hangs_the_audit(
    output: Built, hidden: Built, seed: int
) -> None:
    """100,000 in all, and some hundreds also loaded in TFLite."""
    built = output if seed % 2 else hidden
    check_no_trouble(fuzzer.fuzz(built.tflite.read_bytes(), seed, 25_000, runs=100))


def test_a_mutation_is_told_by_its_seed_and_number(output: Built) -> None:
    data = output.tflite.read_bytes()
    assert fuzzer.mutated(data, 1, 7) == fuzzer.mutated(data, 1, 7)
    different = {fuzzer.mutated(data, seed, number) for seed in (1, 2) for number in range(50)}
    assert len(different) > 90
    assert data not in different


def test_a_crash_and_a_hang_are_found(output: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    data = output.tflite.read_bytes()
    assert fuzzer.audited(data)[0] == ""

    def crash(*_: object) -> None:
        raise KeyError("oh")

    with monkeypatch.context() as patched:
        patched.setattr("convert.audit.subject.Subject.grid", crash)
        assert "internal error: KeyError: 'oh'" in fuzzer.audited(data)[0]
    with monkeypatch.context() as patched:
        patched.setattr("convert.audit.subject.read_model", crash)
        assert fuzzer.audited(data)[0] == "raises KeyError: 'oh'"
    with monkeypatch.context() as patched:
        patched.setattr("convert.audit.subject.Subject.grid", lambda *_: time.sleep(60))
        assert fuzzer.audited(data, seconds=0.5)[0] == "does not end in 0.5 s"


def test_the_command_tells_what_it_did(output: Built, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "convert.audit.fuzz", str(output.tflite)]
    ended = subprocess.run(
        [*command, "--mutations", "20", "--seed", "9", "--runs", "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("20 mutations, ")
    assert ended.stdout.endswith(" 2 loaded in TFLite: 0 crashes or hangs\n")
    ended = subprocess.run(
        [*command[:3], str(tmp_path / "none")], cwd=ROOT, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stderr[:21]) == (2, b"error: no such model:")
