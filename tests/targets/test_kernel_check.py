"""The portable kernels on random and extreme cases, under the sanitizers; and the check itself."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dyncp.errors import UserError
from quantize.macs import STORAGE
from targets import kernel_cases
from targets.host_library import SANITISERS
from targets.kernel_cases import Case, Result, complaints, file_of, parse_results
from targets.kernel_image import build_kernel_program
from targets.sources import FIRMWARE_FOLDER
from tests.targets.kernel_samples import samples

SEED, OUTPUTS = 11, 400_000


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = Path(__file__).with_name("kernel_check.c")
    return build_kernel_program(source, tmp_path_factory.mktemp("check") / "check", SANITISERS)


def run(program: Path, cases: list[Case], folder: Path) -> list[Result]:
    (folder / "cases").write_bytes(file_of(cases))
    done = subprocess.run([program, folder / "cases"], capture_output=True, check=False)
    assert not done.stderr, done.stderr.decode()
    return parse_results(done.stdout, cases)


def test_every_byte_is_that_of_the_integer_arithmetic(program: Path, tmp_path: Path) -> None:
    cases = list(samples("portable", SEED, OUTPUTS))
    results = run(program, cases, tmp_path)
    assert complaints(cases, results) == []
    assert sum(result.bytes for result in results) >= OUTPUTS


def test_a_byte_that_differs_is_named(program: Path, tmp_path: Path) -> None:
    """By case, frame and place, with both values; else nobody finds it."""
    table, x = np.arange(-128, 128).astype(np.int8), np.full((3, 40), 5, np.int8)
    good = kernel_cases.sigmoid("the good one", table, x)
    data = bytearray(good.data)
    expected_of_frame_2 = len(data) - 48
    assert data[expected_of_frame_2 : expected_of_frame_2 + 40] == bytes([5] * 40)
    data[expected_of_frame_2 + 17] = 0xF9
    cases = [good, replace(good, name="the bad one", data=bytes(data)), good]
    (line,) = complaints(cases, run(program, cases, tmp_path))
    assert line == ("the bad one: 1 of 120 bytes differ, first byte 17 of frame 2: 5 instead of -7")


def test_a_case_that_cannot_run_is_named(program: Path, tmp_path: Path) -> None:
    good = kernel_cases.nothing()
    wide = np.zeros((1, kernel_cases.LARGEST + 1), np.int8)
    cases = [good, kernel_cases.sigmoid("too wide", np.zeros(256, np.int8), wide), good]
    with pytest.raises(UserError, match="too wide"):
        run(program, cases, tmp_path)


def test_what_is_written_beside_an_output_is_seen() -> None:
    """The program counts such bytes; its result must then be a complaint."""
    cases = [kernel_cases.nothing()]
    fine = Result(4, 0, 0, 0, 0, 0, 0, 0)
    assert complaints(cases, [fine]) == []
    (line,) = complaints(cases, [replace(fine, strayed=3)])
    assert line == "nothing: 3 bytes around its outputs written"


def test_layouts_have_the_numbers_and_storage_of_the_firmware() -> None:
    """Cases, counters and kernels must mean the same by a layout."""
    text = (FIRMWARE_FOLDER / "kernels" / "layout.h").read_text(encoding="utf-8")
    assert re.findall(r"^    SLUICE_LAYOUT_(\w+),", text, re.MULTILINE) == [
        layout.upper() for layout in STORAGE
    ]
    rows = re.findall(r"\[SLUICE_LAYOUT_(\w+)\] = \{(\d+), (\d+), (\d+), (\d+)\}", text)
    assert {name.lower(): tuple(map(int, numbers)) for name, *numbers in rows} == {
        name: (s.constant_bytes, s.outputs, s.inputs, s.dense_sixteenths)
        for name, s in STORAGE.items()
    }
