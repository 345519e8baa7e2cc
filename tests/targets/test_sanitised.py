"""The library under the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from quantize.model import QuantizedModel
from targets.host_library import SANITISERS, HostLibrary, build_program
from tests.targets.built import CLOSED_GATE, Built, noisy_pcm

HERE = Path(__file__).parent
HOPS = 60


@dataclass(frozen=True)
class Program:
    """``run_frames.c`` with a network, and what it is given."""

    path: Path
    frames: Path
    hops: Path

    def run(self, *gate: int) -> subprocess.CompletedProcess[bytes]:
        command = [self.path, self.frames, self.hops, *map(str, gate)]
        return subprocess.run(command, capture_output=True, check=False)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Program]:
    """Programs already built, by preset."""
    return {}


def program_of(
    built: Built, programs: dict[str, Program], factory: pytest.TempPathFactory
) -> Program:
    name = built.preset.name
    if name not in programs:
        folder = factory.mktemp(name)
        (folder / "frames").write_bytes(built.frames.tobytes())
        (folder / "hops").write_bytes(noisy_pcm(built.preset, HOPS).tobytes())
        path = build_program(
            built.c_folder, HERE / "run_frames.c", folder / "run_frames", SANITISERS
        )
        programs[name] = Program(path, folder / "frames", folder / "hops")
    return programs[name]


def state_of(library: HostLibrary, model: QuantizedModel) -> bytes:
    """What ``run_frames.c`` writes of a frame."""
    parts = [values.tobytes() for values in library.tensors().values()]
    if model.preset.gate:
        blocks = range(model.preset.blocks)
        parts += [np.packbits(library.gates(b), bitorder="little").tobytes() for b in blocks]
    parts.append(np.array(list(library.probes().values()), "<i4").tobytes())
    for counters in library.layer_counters().values():
        ticks = 0
        row = [counters.executed_macs, counters.weight_bytes, ticks]
        parts.append(np.array(row, "<u4").tobytes())
    return b"".join(parts)


def expected_output(built: Built) -> bytes:
    library, parts = built.library(), []
    for frame in built.frames:
        library.process_frame(frame)
        parts.append(state_of(library, built.model))
    library.reset()
    parts += [library.process_hop(hop).tobytes() for hop in noisy_pcm(built.preset, HOPS)]
    return b"".join(parts)


def test_the_library_runs_clean_and_gives_the_same_bytes(
    any_built: Built, programs: dict[str, Program], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A byte read too far on the host is a fault, or worse none, on the device."""
    done = program_of(any_built, programs, tmp_path_factory).run()
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == expected_output(any_built)


def test_weights_of_a_closed_gate_are_never_read(
    any_gated: Built, programs: dict[str, Program], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Skipping is real: memory that may not be touched stands where the weights were.

    On a device this is the fetch that a closed gate saves.
    """
    done = program_of(any_gated, programs, tmp_path_factory).run(CLOSED_GATE)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == expected_output(any_gated)


def test_weights_of_an_open_gate_are_read(
    any_gated: Built, programs: dict[str, Program], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Else the test above could not fail."""
    gate = int(np.flatnonzero(any_gated.gates.any(axis=(0, 1)))[0])
    done = program_of(any_gated, programs, tmp_path_factory).run(gate)
    assert done.returncode != 0
    assert b"use-after-poison" in done.stderr


@pytest.mark.parametrize("name", ["hidden", "static"])
def test_wrong_calls_give_the_errors_of_the_header(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A host must be able to tell its mistakes apart, and none of them may crash."""
    built: Built = request.getfixturevalue(name)
    path = build_program(
        built.c_folder, HERE / "interface_errors.c", tmp_path / "errors", SANITISERS
    )
    done = subprocess.run([path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    checks, _, failures, _ = done.stdout.split()
    assert int(checks) > 100 and failures == "0"
