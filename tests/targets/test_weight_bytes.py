"""The counter of weight bytes, held against what the kernels really load."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from quantize.macs import executed_work
from targets.compiler.emit import SOURCE
from targets.host_library import compile_flags
from targets.sources import runtime_sources
from targets.toolchain import run_tool
from tests.targets.built import Built

PROGRAM = Path(__file__).parent / "count_loads.c"


def instrumented(built: Built, folder: Path) -> Path:
    """The library with a call before each access to memory; the calls are in the program."""
    flags, program = compile_flags(built.c_folder), folder / "count_loads"
    library = folder / "library.o"
    sources = [*runtime_sources(), built.c_folder / SOURCE]
    joined = ["-r", "-nostdlib", "-o", library]
    run_tool("gcc", [*flags, "-fsanitize=thread", *sources, *joined])
    run_tool("gcc", [*flags, PROGRAM, library, "-o", program])
    return program


def test_weight_bytes_are_those_that_are_loaded(any_built: Built, tmp_path: Path) -> None:
    """Of every layer in every frame, each byte once: a figure that is computed from the
    gates alone would not show a kernel that reads what it then throws away."""
    if any_built.preset.speaker:
        pytest.skip("constants that an embedding was folded into are read from RAM")
    frames = tmp_path / "frames"
    frames.write_bytes(any_built.frames.tobytes())
    program = instrumented(any_built, tmp_path)
    done = subprocess.run([program, frames], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    rows = np.frombuffer(done.stdout, "<u4").reshape(len(any_built.frames), -1, 3)
    for index, frame in enumerate(rows):
        gates = list(any_built.gates[index]) if any_built.preset.gate else []
        work = executed_work(any_built.preset, gates)
        assert len(frame) == len(work)
        for (name, expected), (read, different, counter) in zip(work.items(), frame, strict=True):
            where = f"frame {index}, {name}"
            assert read == different == counter == expected.weight_bytes, where
