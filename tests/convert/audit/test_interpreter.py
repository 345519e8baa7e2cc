"""Whatever a file does to TFLite's interpreter, the audit lives, says it and leaves nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from convert.audit import interpreter
from convert.audit.report import Report, audit_file
from tests.convert.audit.foreign import dice, float_of_nan
from tests.convert.built import Built, edited
from tests.convert.edits import both, quantization


def findings(report: Report, id: str) -> list[str]:
    (result,) = [result for result in report.results if result.check.id == id]
    return [finding.message for finding in result.findings]


def no_children() -> bool:
    """No process is left that nobody has waited for."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def test_a_model_that_kills_the_interpreter_is_caught(output: Built, tmp_path: Path) -> None:
    """The int8 GREATER aborts the process on a scale of 1."""
    names = ("gate0_logits", "gate0_logits/threshold")
    edit = both(*(quantization(name, scale=1.0) for name in names))
    report = audit_file(edited(output.tflite, tmp_path / "x.tflite", edit))
    (message,) = findings(report, "interpreter-died")
    assert message.startswith("the interpreter was killed by SIGABRT")
    (refused,) = [r for r in report.results if r.check.id == "interpreter-refuses"]
    assert refused.verdict == "could-not-run"
    assert report.exit_code == 1
    assert no_children()


def test_a_model_that_the_interpreter_refuses_is_caught(output: Built, tmp_path: Path) -> None:
    edit = quantization("mask", scale=0.01)
    report = audit_file(edited(output.tflite, tmp_path / "x.tflite", edit))
    (message,) = findings(report, "interpreter-refuses")
    assert message.startswith("the interpreter cannot allocate it: ")


def test_an_interpreter_that_does_not_end_is_ended(
    output: Built, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With all that it has started."""
    script = tmp_path / "child.py"
    script.write_text(
        "import os, subprocess, sys, time\n"
        "grandchild = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(grandchild.pid))\n"
        "time.sleep(600)\n"
    )
    monkeypatch.setattr(interpreter.child, "__file__", str(script))
    monkeypatch.setattr(interpreter, "TIMEOUT_SECONDS", 3.0)
    report = audit_file(output.tflite)
    assert findings(report, "interpreter-died") == ["the interpreter did not end in 3 s"]
    assert no_children()
    grandchild = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    assert not grandchild.exists() or grandchild.read_text().split()[2] == "Z"


def test_a_model_that_takes_the_memory_is_caught(
    output: Built, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The child has a limit of its own; this machine keeps its memory."""
    source = Path(interpreter.child.__file__).read_text()
    script = tmp_path / "child.py"
    script.write_text(source.replace('    stage = "load"\n', "    bytearray(5 << 30)\n", 1))
    assert script.read_text() != source
    monkeypatch.setattr(interpreter.child, "__file__", str(script))
    (message,) = findings(audit_file(output.tflite), "interpreter-died")
    assert message.startswith("the interpreter ended with code 1 and no answer")
    assert message.endswith("it said: MemoryError")


def test_an_output_that_is_no_number_is_caught(tmp_path: Path) -> None:
    path = tmp_path / "nan.tflite"
    path.write_bytes(float_of_nan())
    assert findings(audit_file(path), "run-not-finite") == ["output 0, 'out', is not finite"]


def test_a_run_that_changes_from_call_to_call_is_caught(tmp_path: Path) -> None:
    path = tmp_path / "dice.tflite"
    path.write_bytes(dice())
    assert findings(audit_file(path), "run-not-repeatable") == ["output 0, 'out', differs"]
