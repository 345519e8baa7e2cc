"""A failed run must say where, to people, to scripts and to CI servers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from convert.junit import Case
from convert.ladder import FrameSequence, climb
from convert.parity_report import LadderReport, format_parity
from dyncp.errors import UserError
from tests.convert.test_ladder import FRAMES, VALUES, Recorded, outputs

SEQUENCES = [*FRAMES, FrameSequence("extremes", FRAMES[0].frames, adversarial=True)]
ABOUT = {
    "preset": "tiny",
    "sequences": [
        {"name": s.name, "adversarial": s.adversarial, "frames": len(s.frames)} for s in SEQUENCES
    ],
}
WHERE = "speech, frame 2, layer block0.down, pool1_out, channel 3: expected -7, got 5"


class Absent(Recorded):
    def reset(self) -> None:
        raise UserError("qemu is not installed")


@pytest.fixture
def report() -> LadderReport:
    """One rung that differs, one that is not there, optimised kernels and float."""
    right, wrong = outputs(), outputs()
    right[2]["pool1_out"][3], wrong[2]["pool1_out"][3] = -7, 5
    rungs = [
        Recorded("a", right), Recorded("b", wrong), Absent("board", outputs()),
        Recorded("fast", outputs(1), kind="optimised"),
    ]  # fmt: skip
    return climb(rungs, SEQUENCES, Recorded("float", right, kind="float"))


def written(report: LadderReport, folder: Path) -> dict[str, Any]:
    report.write(folder / "parity.json", ABOUT)
    return json.loads((folder / "parity.json").read_text(encoding="utf-8"))


def test_the_report_says_where_to_scripts(report: LadderReport, tmp_path: Path) -> None:
    content = written(report, tmp_path)
    assert {k: content[k] for k in ("format", "preset", "passed", "reference", "left_out")} == {
        "format": 2, "preset": "tiny", "passed": False, "reference": "float", "left_out": [],
    }  # fmt: skip
    rungs = {rung["name"]: rung for rung in content["rungs"]}
    assert list(rungs) == ["float", "a", "b", "board", "fast"]
    assert [rung["passed"] for rung in rungs.values()] == [True, True, False, False, True]
    assert (rungs["b"]["values"], rungs["b"]["mismatches"]) == (2 * VALUES, 2)
    assert [part["mismatches"] for part in rungs["b"]["sequences"]] == [1, 1]
    assert rungs["b"]["first_difference"] == {
        "sequence": "speech", "frame": 2, "layer": "block0.down", "tensor": "pool1_out",
        "channel": 3, "label": None, "expected": -7, "got": 5,
        "between": "block 0's depthwise, 1x1 down, gate and residual",
        "equal": ["pool0_out", "gate0_open", "taps0_out"],
        "values_before": 2 * VALUES // 6 + 4 + 3 + 6 + 8 + 3,
    }  # fmt: skip
    assert rungs["board"]["error"] == "speech, frame 0: qemu is not installed"
    assert rungs["board"]["frames"] == 0


def test_the_report_says_where_to_people(report: LadderReport, tmp_path: Path) -> None:
    text = format_parity(written(report, tmp_path))
    assert "parity of tiny: 6 frames of speech, 6 of 1 adversarial sequences" in text
    assert f"b first differs at {WHERE}" in text
    assert "equal before it: pool0_out and gate0_open and taps0_out of this frame" in text
    assert "sequences that differ: speech, extremes" in text
    assert "board did not run to its end: speech, frame 0: qemu is not installed" in text
    lines = text.splitlines()

    def row(name: str) -> int:
        return next(n for n, line in enumerate(lines) if line.startswith(f"  {name} "))

    verdicts = {"float": "reference", "a": "equal", "b": "DIFFERS", "board": "NOT RUN"}
    for name, verdict in {**verdicts, "fast": "reported"}.items():
        # The section "float, reported" begins like the rung, but for its comma.
        assert lines[row(name)].endswith(f"  {verdict}"), lines[row(name)]
    assert row("fast") > lines.index("  optimised kernels, apart") > row("board")


def test_ci_servers_get_a_case_for_every_rung_and_sequence(
    report: LadderReport, tmp_path: Path
) -> None:
    report = dataclasses.replace(report, left_out=("tensorflow",), beside=(Case("audio"),))
    report.write(tmp_path / "parity.json", ABOUT)
    suite = ElementTree.parse(tmp_path / "parity.xml").getroot()[0]
    cases = {case.get("name"): case for case in suite}
    names = [f"{rung}: {s.name}" for rung in ("float", "a", "b", "fast") for s in SEQUENCES]
    assert set(cases) == {*names, "board: speech", "tensorflow", "audio"}
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "11", "failures": "2", "errors": "1", "skipped": "1"}
    failure = cases["b: speech"].find("failure")
    assert failure is not None
    assert failure.get("message") == f"1 of {VALUES} values differ, the first at {WHERE}"
    assert "equal before it: pool0_out" in (failure.text or "")
    error = cases["board: speech"].find("error")
    assert error is not None and "qemu is not installed" in (error.get("message") or "")
    assert cases["fast: speech"].find("failure") is None


@pytest.mark.parametrize(
    ("case", "code"), [(Case("x"), 0), (Case("x", "failure"), 1), (Case("x", "error"), 2)]
)
def test_what_is_judged_beside_the_rungs_decides_too(case: Case, code: int, tmp_path: Path) -> None:
    """A board whose enhanced audio is wrong must not pass because its network is right."""
    report = climb([Recorded("a", outputs())], FRAMES)
    report = dataclasses.replace(report, beside=(case,))
    assert (report.exit_code, report.passed) == (code, code == 0)
    assert written(report, tmp_path)["passed"] is (code == 0)


def test_a_rung_that_broke_half_way_says_so() -> None:
    class Breaking(Recorded):
        def step(self, features: np.ndarray) -> dict[str, np.ndarray]:
            if self.resets == 2:
                raise UserError("gone")
            return super().step(features)

    report = climb([Recorded("a", outputs()), Breaking("b", outputs())], SEQUENCES)
    text = format_parity(report.to_json(ABOUT))
    assert any(line.startswith("  b ") and line.endswith("BROKE") for line in text.splitlines())
    assert "b did not run to its end: extremes, frame 0: gone" in text
    assert [case.outcome for case in report.cases()] == ["passed", "passed", "passed", "error"]
