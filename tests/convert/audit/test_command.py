"""`python -m convert audit`: its exit codes, its reports, its page, and what it loads."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from convert import __main__ as command
from convert.audit.registry import all_checks
from tests.convert.built import Built, edited
from tests.convert.edits import poke, quantization

ROOT = Path(__file__).parents[3]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["convert", "audit", *map(str, arguments)])
    return command.main()


def test_a_clear_file_gives_0(
    output: Built, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, output.tflite) == 0
    count = len(all_checks())
    out = capsys.readouterr().out
    assert out == f"{output.tflite}: clear ({count} checks: {count} passed)\n"


def test_a_run_that_was_left_out_is_said(
    output: Built, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, output.tflite, "--no-run") == 0
    out = capsys.readouterr().out
    assert out.startswith("left out: the interpreter was not run (--no-run)\n")
    assert "4 not-applicable" in out


def test_a_failed_file_gives_1_and_says_why(
    output: Built,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = edited(output.tflite, tmp_path / "x.tflite", poke("gate1_logits/threshold", 77))
    written, junit = tmp_path / "x.json", tmp_path / "x.xml"
    assert run(monkeypatch, path, "--no-run", "--json", written, "--junit", junit) == 1
    out = capsys.readouterr().out
    assert "error    gate-threshold: 'gate1_logits/threshold' (tensor " in out
    assert "is the threshold of 'gate1_logits' and is 77, not the zero point" in out

    report: dict[str, Any] = json.loads(written.read_text())
    assert (report["verdict"], report["exit_code"], report["format"]) == ("failed", 1, 1)
    checks = {check["id"]: check for check in report["checks"]}
    assert list(checks) == [check.id for check in all_checks()]
    failed = checks["gate-threshold"]
    assert (failed["verdict"], failed["severity"]) == ("failed", "error")
    assert failed["findings"][0]["name"] == "gate1_logits/threshold"
    assert failed["findings"][0]["kind"] == "tensor"
    assert checks["interpreter-died"]["reason"] == "left out (--no-run)"

    suite = ElementTree.parse(junit).getroot()[0]
    cases = {case.get("name"): case for case in suite}
    assert list(cases) == list(checks)
    assert cases["gate-threshold"].find("failure") is not None
    assert cases["interpreter-died"].find("skipped") is not None
    assert suite.get("failures") == str(
        sum(check["verdict"] == "failed" for check in report["checks"])
    )


def test_numbers_that_are_none_are_written_as_json(
    output: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = edited(
        output.tflite, tmp_path / "x.tflite", quantization("pool0_out", scale=float("nan"))
    )
    assert run(monkeypatch, path, "--no-run", "--json", tmp_path / "x.json") == 1

    def refuse(word: str) -> None:
        raise AssertionError(word)

    report = json.loads((tmp_path / "x.json").read_text(), parse_constant=refuse)
    (check,) = [check for check in report["checks"] if check["id"] == "scale-not-finite"]
    assert check["findings"][0]["value"] == "nan"


def test_a_warning_is_told_but_fails_no_build(
    output: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def old(model: Any) -> None:
        for code in model.operatorCodes:
            code.version = 1

    path = edited(output.tflite, tmp_path / "x.tflite", old)
    assert run(monkeypatch, path, "--no-run", "--junit", tmp_path / "x.xml") == 0
    suite = ElementTree.parse(tmp_path / "x.xml").getroot()[0]
    (case,) = [case for case in suite if case.get("name") == "operator-version"]
    assert case.find("failure") is None
    assert (case.findtext("system-out") or "").startswith("warning:\noperator 0, ")
    assert suite.get("failures") == "0"


def test_what_could_not_be_judged_gives_3(
    output: Built,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from convert.audit import interpreter

    refused = interpreter.Outcome({"stage": "import", "error": "no such package"})
    monkeypatch.setattr(interpreter, "run_child", lambda path: refused)
    assert run(monkeypatch, output.tflite, "--junit", tmp_path / "x.xml") == 3
    assert "could not run (" in capsys.readouterr().out
    suite = ElementTree.parse(tmp_path / "x.xml").getroot()[0]
    assert (suite.get("failures"), suite.get("errors")) == ("0", "4")


def test_bad_usage_gives_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path / "none.tflite") == 2
    assert "error: no such model" in capsys.readouterr().err
    assert run(monkeypatch) == 2
    assert "error: say which file" in capsys.readouterr().err


def test_the_list_names_every_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{c.severity:8} {c.id}: {c.title}" for c in all_checks()]


def test_the_page_holds_every_check() -> None:
    """docs/audit.md says of each what it judges and what to do."""
    page = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (\w+) \| (.+?) \| (.+?) \|$", page, re.MULTILINE)
    assert rows == [(c.id, c.severity, c.title, c.remedy) for c in all_checks()]


def test_ids_are_kebab_case_and_titles_short() -> None:
    for check in all_checks():
        assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", check.id), check.id
        assert "|" not in check.title + check.remedy
        assert "\n" not in check.title + check.remedy


def test_the_audit_loads_no_training_framework(output: Built) -> None:
    """It must be done in about a second: torch and TensorFlow alone take longer to load."""
    script = (
        "import sys\n"
        "from convert.__main__ import main\n"
        f"sys.argv = ['convert', 'audit', {str(output.tflite)!r}]\n"
        "assert main() == 0\n"
        "heavy = {'torch', 'tensorflow', 'onnx', 'onnxruntime', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
