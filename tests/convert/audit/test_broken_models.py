"""Every kind of broken model is caught, by the check whose business it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from convert.audit.registry import all_checks
from convert.audit.report import INTERNAL, Report, audit_bytes
from convert.flatbuffer import pack, parse
from tests.convert.audit.broken import BROKEN, BROKEN_HIDDEN
from tests.convert.built import Built, Edit


def audit_edited(built: Built, edit: Edit) -> Report:
    model: Any = parse(built.tflite.read_bytes(), "sound")
    edit(model)
    return audit_bytes(pack(model), "broken.tflite")


def check_caught(report: Report, id: str) -> None:
    severity = {check.id: check.severity for check in all_checks()}[id]
    assert id in report.failed(), list(report.lines())
    assert not [result for result in report.results if result.reason.startswith(INTERNAL)]
    if severity == "error":
        assert report.exit_code == 1
    assert all("\n" not in line for line in report.lines())


@pytest.mark.parametrize(("what", "id", "edit"), BROKEN, ids=[case[0] for case in BROKEN])
def test_a_broken_model_is_caught(output: Built, what: str, id: str, edit: Edit) -> None:
    check_caught(audit_edited(output, edit), id)


@pytest.mark.parametrize(
    ("what", "id", "edit"), BROKEN_HIDDEN, ids=[case[0] for case in BROKEN_HIDDEN]
)
def test_broken_hidden_gates_are_caught(hidden: Built, what: str, id: str, edit: Edit) -> None:
    check_caught(audit_edited(hidden, edit), id)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 100, 5000, -1])
def test_a_truncated_file_is_damaged(output: Built, size: int) -> None:
    report = audit_bytes(output.tflite.read_bytes()[:size], "cut.tflite")
    assert report.failed() == ["not-tflite" if 0 <= size < 8 else "damaged"]
    assert report.exit_code == 1
    unjudged = [r for r in report.results if r.verdict == "could-not-run"]
    assert len(unjudged) == len(report.results) - (2 if size >= 8 or size < 0 else 1)
    assert all("not-tflite" in r.reason or "damaged" in r.reason for r in unjudged)


def test_a_file_of_another_kind_is_no_tflite(output: Built) -> None:
    for content in (output.onnx.read_bytes(), b"", b"hello", b"\0" * 4096):
        assert audit_bytes(content, "x.tflite").failed() == ["not-tflite"]


def test_every_check_that_needs_no_interpreter_has_a_broken_model() -> None:
    """A check that nothing can fail would be no check."""
    caught = {case[1] for case in (*BROKEN, *BROKEN_HIDDEN)} | {"not-tflite", "damaged"}
    interpreter = {
        "interpreter-died",
        "interpreter-refuses",
        "run-not-finite",
        "run-not-repeatable",
    }
    assert {check.id for check in all_checks()} == caught | interpreter


def test_a_warning_fails_nothing(output: Built) -> None:
    edit = next(case[2] for case in BROKEN if case[1] == "buffer-unused")
    report = audit_edited(output, edit)
    assert (report.failed(), report.exit_code) == (["buffer-unused"], 0)
    assert any(line.startswith("warning  buffer-unused: ") for line in report.lines())


def test_names_from_a_file_cannot_command_a_terminal(output: Built) -> None:
    def edit(model: Any) -> None:
        model.subgraphs[0].tensors[3].name = b"\x1b[2J\n" + b"x" * 5000
        model.subgraphs[0].tensors[3].buffer = 9999

    text = "\n".join(audit_edited(output, edit).lines())
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) < 1000


def test_damage_reaches_the_exit_code_whatever_the_rest_says(output: Built, tmp_path: Path) -> None:
    """No part of the file that was not judged makes it pass."""
    data = bytearray(output.tflite.read_bytes())
    data[0:4] = (len(data) + 4).to_bytes(4, "little")
    report = audit_bytes(bytes(data), "x.tflite")
    assert report.exit_code == 1
    assert {r.verdict for r in report.results} == {"passed", "failed", "could-not-run"}
