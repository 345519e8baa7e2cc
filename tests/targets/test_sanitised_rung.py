"""The sanitised C on the ladder: equal where it is right, and a finding is never swallowed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from convert.adversarial import adversarial_sequences
from convert.ladder import FrameSequence, LadderReport, climb
from convert.rungs import IntegerRung
from dyncp.errors import UserError
from targets.host_library import LIBRARY
from targets.host_rung import HostRung
from targets.sanitised_rung import PROGRAM, SanitisedRung, build_sanitised
from tests.targets.built import Built


def group_of(built: Built) -> int:
    return built.preset.gate.group if built.preset.gate else 0


def ladder(built: Built, program: Path) -> LadderReport:
    speech = FrameSequence("speech", built.frames)
    rungs = [
        IntegerRung(built.model),
        HostRung(built.c_folder / LIBRARY, group_of(built)),
        SanitisedRung(program, group_of(built)),
    ]
    return climb(rungs, [speech, *adversarial_sequences(built.model)])


def test_the_c_equals_the_integer_model_with_and_without_sanitizers(
    any_built: Built, tmp_path: Path
) -> None:
    """In every tensor, gate and probe, over speech and frames that no recording holds."""
    report = ladder(any_built, build_sanitised(any_built.c_folder, tmp_path / PROGRAM))
    first = report.rungs[0]
    assert any_built.preset.gate is None or len(any_built.model.probes) > 1
    for result in report.rungs:
        assert (result.error, result.mismatches) == (None, 0), result
        assert result.values == first.values
    assert report.exit_code == 0


@pytest.fixture
def c_folder(hidden: Built, tmp_path: Path) -> Path:
    """A copy of a model's C that can be changed."""
    shutil.copytree(hidden.c_folder, tmp_path / "c")
    return tmp_path / "c"


def lie(folder: Path, size: str, value: int) -> None:
    """Make the header tell ``value`` of a size, to the program but not to the model."""
    source, header = folder / "sluice_model.c", folder / "sluice_model.h"
    text = header.read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith(f"#define {size} ")]
    header.write_text(text.replace(line, f"#define {size} {value}"), encoding="utf-8")
    text = source.read_text(encoding="utf-8")
    assert size in text
    source.write_text(text.replace(size, line.split()[2].rstrip("u")), encoding="utf-8")


def test_what_a_sanitizer_finds_is_in_the_report(hidden: Built, c_folder: Path) -> None:
    """The program has room for a byte less than a frame; what it computes is not the point."""
    lie(c_folder, "SLUICE_BINS", hidden.preset.audio.bins - 1)
    report = ladder(hidden, build_sanitised(c_folder, c_folder / PROGRAM))
    result = report.rungs[2]
    assert result.error is not None
    assert "speech, frame 0" in result.error
    assert "ERROR: AddressSanitizer: heap-buffer-overflow" in result.error
    assert (result.passed, report.exit_code) == (False, 2)


def test_a_program_that_refuses_says_what(hidden: Built, c_folder: Path) -> None:
    lie(c_folder, "SLUICE_ARENA_BYTES", 16)
    report = ladder(hidden, build_sanitised(c_folder, c_folder / PROGRAM))
    assert "failed: sluice_init" in str(report.rungs[2].error)


def test_a_program_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="python -m targets host --sanitised"):
        SanitisedRung(tmp_path / PROGRAM, 1)


def test_a_file_that_is_no_program_is_an_error_of_the_rung(hidden: Built, tmp_path: Path) -> None:
    (tmp_path / PROGRAM).write_bytes(b"\x7fELF nothing")
    (tmp_path / PROGRAM).chmod(0o755)
    report = ladder(hidden, tmp_path / PROGRAM)
    assert "cannot start" in str(report.rungs[2].error)
    assert report.exit_code == 2


def test_the_program_ends_with_the_rung(hidden: Built, tmp_path: Path) -> None:
    """A nightly run must not leave processes behind."""
    rung = SanitisedRung(build_sanitised(hidden.c_folder, tmp_path / PROGRAM), group_of(hidden))
    rung.reset()
    first = rung.step(hidden.frames[0])
    process = rung._process
    assert process is not None and process.poll() is None
    rung.close()
    assert process.returncode == 0
    rung.close()
    rung.reset()  # and may be opened again
    np.testing.assert_array_equal(rung.step(hidden.frames[0])["mask"], first["mask"])
    rung.close()
