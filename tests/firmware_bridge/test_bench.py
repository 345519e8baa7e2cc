"""What the bench counts, against what was committed; and that it notices when that grows."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dyncp.preset import load_preset
from firmware_bridge import bench
from firmware_bridge.bench_compare import compare
from firmware_bridge.bench_kernels import SHARES
from firmware_bridge.bench_models import bench_plan, pinned_gates
from firmware_bridge.bench_report import page
from targets.compiler.packing import layout_of
from targets.firmware_build import read_firmware
from targets.image import compiler_version
from tests.firmware_bridge.conftest import BOARD, Built, assert_refused, run

DOCS = Path(__file__).parents[2] / "docs"
COMMITTED = DOCS / "bench.json"
A_FRAME_EACH = {
    "mps2-an386": ("paper", 25),
    "mps2-an500": ("static", 100),
    "mps2-an505": ("paper-grouped", 50),
    "mps3-an547": ("hidden", 25),
}
"""One preset and share of open gates for each board; `make bench` counts them all."""

KERNEL = "pointwise 128->128 dense"


@pytest.fixture
def committed() -> dict[str, Any]:
    return bench.read_figures(COMMITTED)


@pytest.mark.parametrize("board", bench.emulated_boards())
def test_nothing_costs_over_a_hundredth_more_than_committed(
    board: str, committed: dict[str, Any]
) -> None:
    """Speed is lost a percent at a time, and nobody sees it without this."""
    if compiler_version() != committed["compiler"]:
        pytest.skip(
            f"docs/bench.json is of {committed['compiler']}, this compiler is {compiler_version()}"
        )
    preset, share = A_FRAME_EACH[board]
    selection = bench.Selection([board], presets=[preset], shares=[share])
    figures = bench.run_bench(selection, print)
    assert set(figures["boards"][board]["kernels"]) == set(committed["boards"][board]["kernels"])
    assert len(figures["boards"][board]["frames"]) == 1
    comparison = compare(figures, committed, partial=True)
    assert [str(change) for change in comparison.regressions] == []
    assert comparison.added == []


def test_the_page_is_made_of_the_figures(committed: dict[str, Any]) -> None:
    """Else one of them was edited, or not committed."""
    assert (DOCS / "bench.md").read_text(encoding="utf-8") == page(committed)


def test_every_emulated_board_and_preset_is_committed(committed: dict[str, Any]) -> None:
    assert list(committed["boards"]) == bench.emulated_boards()
    gated = [preset for preset in bench.PRESETS if preset != "static"]
    frames = ["static", *(f"{preset}, {share} % open" for preset in gated for share in SHARES)]
    for found in committed["boards"].values():
        assert list(found["frames"]) == frames


def grown(figures: dict[str, Any], by: float) -> tuple[dict[str, Any], int, int]:
    """A copy in which one kernel costs ``by`` as much; with the figure before and after."""
    changed = copy.deepcopy(figures)
    kernel = changed["boards"][BOARD]["kernels"][KERNEL]
    before = kernel["instructions"]
    kernel["instructions"] = int(before * by)
    return changed, before, kernel["instructions"]


def test_a_regression_is_named_with_both_figures(committed: dict[str, Any]) -> None:
    figures, before, now = grown(committed, 1.02)
    comparison = compare(figures, committed)
    assert not comparison.passed
    (line,) = comparison.lines()
    for word in (BOARD, KERNEL, f"{before:,}", f"{now:,}", "+2.0 %"):
        assert word in line


def test_a_hundredth_is_let_pass_and_less_is_welcome(committed: dict[str, Any]) -> None:
    figures, before, now = grown(committed, 1.01)
    assert before < now and compare(figures, committed).passed
    figures, *_ = grown(committed, 0.9)
    comparison = compare(figures, committed)
    assert comparison.passed
    assert comparison.lines()[0].startswith("improved: ")


def test_a_figure_that_is_not_counted_any_more_is_a_failure(committed: dict[str, Any]) -> None:
    """A kernel that is left out cannot get slower."""
    figures = copy.deepcopy(committed)
    del figures["boards"][BOARD]["kernels"][KERNEL]
    assert not compare(figures, committed).passed
    assert compare(figures, committed, partial=True).passed


def test_another_compiler_is_not_compared_and_that_is_said(committed: dict[str, Any]) -> None:
    figures, *_ = grown({**committed, "compiler": "another gcc"}, 2.0)
    comparison = compare(figures, committed)
    assert comparison.passed
    assert "another gcc" in comparison.lines()[0]


def test_the_command_fails_if_a_kernel_costs_more(
    committed: dict[str, Any], tmp_path: Path
) -> None:
    """The committed figures are lowered: what is counted is then too much."""
    cheaper, *_ = grown({**committed, "compiler": compiler_version()}, 0.5)
    (tmp_path / "committed.json").write_text(json.dumps(cheaper))
    result = run(
        *("firmware_bridge", "bench", "--board", BOARD, "--only-kernels"),
        *("--out", tmp_path / "out.json", "--committed", tmp_path / "committed.json"),
    )
    assert result.returncode == 1, result.stderr
    assert f"regression: {BOARD}: {KERNEL}: " in result.stdout
    counted = bench.read_figures(tmp_path / "out.json")["boards"][BOARD]["kernels"]
    assert counted[KERNEL]["instructions"] > 0


def test_a_part_does_not_replace_the_committed_figures(tmp_path: Path) -> None:
    result = run(
        *("firmware_bridge", "bench", "--board", BOARD, "--update"),
        *("--out", tmp_path / "out.json"),
    )
    assert_refused(result, "--update", "--board")


@pytest.mark.parametrize("preset", bench.PRESETS[1:])
@pytest.mark.parametrize("share", SHARES)
def test_exactly_the_share_of_the_gates_is_open(preset: str, share: int) -> None:
    gates = pinned_gates(load_preset(preset), share)
    assert (100 * gates.sum(axis=1) == share * gates.shape[1]).all()
    assert share == 100 or len(np.unique(gates, axis=0)) > 1


def test_the_random_network_has_the_layouts_of_the_trained_one(built: Built) -> None:
    """Layouts depend on the weights; with others the bench would count other kernels."""
    plan = bench_plan(load_preset("paper"), "dsp")
    layouts = {layer.name: layout_of(plan.network, layer, "dsp") for layer in plan.network.layers}
    assert layouts == read_firmware(built.firmware).layouts
