"""What is in order is called clear, ours or not, and what was not judged is never called so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from convert.audit.report import Report, audit_bytes, audit_file
from dyncp.errors import UserError
from tests.conftest import tiny_preset
from tests.convert.audit.foreign import float_adder, int8_adder
from tests.convert.built import Built, build, edited


def verdicts(report: Report) -> dict[str, str]:
    return {result.check.id: result.verdict for result in report.results}


@pytest.fixture(scope="session")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Groups of 8 output channels, without a moving average."""
    preset = tiny_preset("output", 8, 1)
    return build(preset, tmp_path_factory.getbasetemp().parent / "audit" / preset.name)


def test_what_is_built_is_clear(any_built: Built) -> None:
    report = audit_file(any_built.tflite)
    assert (report.failed(), report.exit_code) == ([], 0), list(report.lines())
    found = verdicts(report)
    gates = {id for id in found if id.startswith("gate-")}
    assert {found[id] for id in gates} == {"passed" if any_built.preset.gate else "not-applicable"}
    others = {id: verdict for id, verdict in found.items() if id not in gates}
    assert {id for id, verdict in others.items() if verdict != "passed"} <= {"rescaled"}


def test_groups_without_a_moving_average_are_clear(grouped: Built) -> None:
    assert set(verdicts(audit_file(grouped.tflite)).values()) == {"passed"}


def test_a_sound_foreign_int8_model_is_clear() -> None:
    report = audit_bytes(int8_adder(), "adder.tflite")
    assert (report.failed(), report.exit_code) == ([], 0), list(report.lines())
    found = verdicts(report)
    assert found["metadata-missing"] == found["gate-threshold"] == "not-applicable"
    assert found["add-scale"] == found["logistic-grid"] == found["scale-missing"] == "passed"


def test_a_sound_foreign_float_model_fails_for_its_type_alone(output: Built) -> None:
    """Nothing is wrong with it but that the firmware computes in int8."""
    assert audit_bytes(float_adder(), "x.tflite").failed() == ["type-not-in-firmware"]
    # onnx2tf's own file has the gates' tensors, but no metadata to hold them against.
    report = audit_bytes(output.structure.read_bytes(), "structure.tflite")
    assert "type-not-in-firmware" in report.failed()
    assert report.exit_code == 1


def test_gates_without_metadata_cannot_be_judged_to_the_end(output: Built, tmp_path: Path) -> None:
    """Nothing that can be judged is wrong; the rest is said, and is no pass."""

    def anonymous(model: Any) -> None:
        model.metadata[0].name = b"sluice"
        model.buffers[model.metadata[0].buffer].data = None
        model.metadata = None

    report = audit_file(edited(output.tflite, tmp_path / "x.tflite", anonymous), run=False)
    assert report.failed() == ["metadata-missing"]
    assert verdicts(report)["gate-layer"] == verdicts(report)["model-hash"] == "could-not-run"
    assert verdicts(report)["gate-threshold"] == "passed"


def test_what_could_not_be_judged_is_no_pass(
    output: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    from convert.audit import interpreter

    refused = interpreter.Outcome({"stage": "import", "error": "No module named ai_edge_litert"})
    monkeypatch.setattr(interpreter, "run_child", lambda path: refused)
    report = audit_file(output.tflite)
    assert (report.failed(), report.exit_code, report.verdict) == ([], 3, "could not run")
    lines = list(report.lines())
    assert (
        "could not run: there is no interpreter here: No module named ai_edge_litert: " in lines[0]
    )


def test_a_fault_of_the_audit_is_no_pass(output: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    from convert.audit.subject import Subject

    def broken(_subject: Subject, _tensor: int) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(Subject, "values", broken)
    report = audit_bytes(output.tflite.read_bytes(), "x.tflite")
    assert report.exit_code == 3
    assert any("internal error: ZeroDivisionError: oh" in r.reason for r in report.results)


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such model"):
        audit_file(tmp_path / "none.tflite")
    with pytest.raises(UserError, match="no such model"):
        audit_file(tmp_path)
