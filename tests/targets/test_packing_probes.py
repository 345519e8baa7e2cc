"""Which gates the firmware reads for the probes, and that it reads their weights."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dyncp.errors import UserError
from targets.compiler.emit import source_text, write_c
from targets.compiler.packing.probes import gate_bits, pack_probes
from targets.compiler.plan import Plan, ProbePlan
from targets.host_library import LIBRARY, HostLibrary, build_library
from tests.targets.built import Built


def rows_of(weights: np.ndarray) -> list[ProbePlan]:
    """Probes with ``weights [probes, gates]``."""
    return [ProbePlan(f"row{i}", row.astype(np.int16), i) for i, row in enumerate(weights)]


def test_gates_without_weights_take_no_row() -> None:
    """Of the published network's 1152 gates a few hundred carry the tasks."""
    weights = np.zeros((2, 3 * 33), np.int64)
    weights[0, [1, 32, 33 + 5]] = [7, -8, 9]
    weights[1, [32, 98]] = [10, 11]
    packed = pack_probes(rows_of(weights), 3, 33)
    assert packed.used.tolist() == [2, 1, 1 << 5, 0, 0, 1]
    assert packed.rows.tolist() == [0, 1, 2, 3, 3, 3]
    assert packed.weights.tolist() == [[7, 0], [-8, 10], [9, 0], [0, 11]]
    assert packed.biases.tolist() == [0, 1]
    assert (packed.weights.dtype, packed.biases.dtype) == (np.int16, np.int32)


def test_bits_are_those_of_the_arena(hidden: Built) -> None:
    """A block's gates begin a word, whatever their number."""
    gates = np.zeros((2, 33), np.bool_)
    gates[0, [0, 9, 32]] = gates[1, [7]] = True
    assert gate_bits(gates).tolist() == [1, 2, 0, 0, 1, 0, 0, 0, 128, *[0] * 7]
    assert hidden.plan.arena.offset("bits") % 16 == 0


def test_more_gates_than_the_firmware_can_number_are_refused() -> None:
    weights = np.ones((1, 65536))
    with pytest.raises(UserError, match=r"65536 gates, more than 65535"):
        pack_probes(rows_of(weights), 64, 1024)
    weights[0, 0] = 0
    assert len(pack_probes(rows_of(weights), 64, 1024).weights) == 65535


def test_a_model_without_probes_has_none_of_their_arrays(hidden: Built) -> None:
    """And one with them has only as much as is used."""
    with_probes = source_text(hidden.plan)
    used = np.stack([probe.weights for probe in hidden.plan.probes]).any(axis=0)
    assert 0 < used.sum() < used.size
    weights = int(used.sum()) * len(hidden.plan.probes)
    assert f"int16_t probe_weights[{weights}]" in with_probes
    without = source_text(replace(hidden.plan, probes=()))
    assert re.findall("probe_|NULL", without) == []


def library_of(plan: Plan, folder: Path) -> HostLibrary:
    write_c(plan, folder)
    return HostLibrary(build_library(folder, folder / LIBRARY))


@pytest.mark.parametrize("name", ["hidden", "static"])
def test_probes_that_are_all_bias_run(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A task that the gates know nothing of, and a network that has no gates."""
    built: Built = request.getfixturevalue(name)
    gates = built.preset.blocks * built.preset.gates
    plan = replace(built.plan, probes=tuple(rows_of(np.zeros((3, gates)))))
    library = library_of(plan, tmp_path)
    library.process_frame(built.frames[0])
    assert library.probes() == {"row0": 0, "row1": 1, "row2": 2}


def test_a_model_without_probes_says_nothing(hidden: Built, tmp_path: Path) -> None:
    library = library_of(replace(hidden.plan, probes=()), tmp_path)
    library.process_frame(hidden.frames[0])
    assert library.probes() == {}
