"""The README's figures must be the counted ones, or it promises what the code does not do."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from convert.fake_quant_rung import FakeQuantRung
from convert.rungs import RUNTIMES, IntegerRung, OnnxRung, TorchRung, tflite_name
from targets.host_rung import HostRung
from targets.sanitised_rung import SanitisedRung

ROOT = Path(__file__).parents[1]
FRAMES = {
    "static": "static",
    "paper": "paper, 25 % open",
    "paper-grouped": "paper-grouped, 25 % open",
    "hidden": "hidden, 25 % open",
}


def network(board: str, frame: str) -> int:
    boards = json.loads((ROOT / "docs" / "bench.json").read_text(encoding="utf-8"))["boards"]
    return int(boards[board]["frames"][frame]["network"])


@pytest.mark.parametrize("preset", FRAMES)
def test_the_costs_are_those_of_the_bench(preset: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{preset}`, [^|]+\| ([\d,]+) \| ([\d,]+) \|$", readme, re.MULTILINE)
    assert row, preset
    stated = [int(figure.replace(",", "")) for figure in row.groups()]
    counted = [network(board, FRAMES[preset]) for board in ("mps2-an386", "mps3-an547")]
    assert stated == [round(figure, -3) for figure in counted]


@pytest.mark.parametrize("board", ["mps2-an500", "mps2-an505"])
def test_the_m7_and_the_m33_cost_what_the_m4_does(board: str) -> None:
    for frame in FRAMES.values():
        assert network(board, frame) == pytest.approx(network("mps2-an386", frame), rel=0.005)


def test_what_the_readme_says_of_quality_is_what_was_evaluated() -> None:
    results = json.loads((ROOT / "docs" / "results.json").read_text(encoding="utf-8"))
    presets = results["presets"]
    paper = presets["paper"]
    binary = {
        row["task"]: row.get("accuracy")
        for row in results["studies"]["paper"]["results"]
        if row["features"] == "binary"
    }
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    noisy, pesq = paper["pesq_noisy"]["mean"], paper["pesq"]["mean"]
    static, narrow = (
        presets[f"{name}-longer"]["pesq"]["mean"] for name in ("static", "static-narrow")
    )
    for said in (
        f"`paper` raises PESQ from {noisy:.2f} to {pesq:.2f}",
        f"SI-SDR by {paper['si_sdr_gain']['mean']:.1f} dB",
        f"for {100 * paper['macs_saved']:.1f} % fewer MACs than a static network",
        f"which reaches {static:.2f}, refined alike",
        f"of as many MACs reaches {narrow:.2f}",
        f"`hidden`, which reaches {presets['hidden']['pesq']['mean']:.2f}",
        f"right in {100 * binary['noise']:.1f} % of the frames",
        f"voice activity in {100 * binary['vad']:.1f} %",
    ):
        assert said in readme


def rungs_of_the_code() -> set[str]:
    names = {IntegerRung.name, OnnxRung.NAME, TorchRung.NAME, HostRung.name, SanitisedRung.name}
    return names | {tflite_name("ai-edge-litert", "optimised"), FakeQuantRung.NAME}


@pytest.mark.parametrize("page", ["README.md", "docs/parity.md"])
def test_the_pages_know_every_rung_by_its_name(page: str) -> None:
    """`--without` takes these names, and CI jobs are written from these pages."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for name in rungs_of_the_code() | set(RUNTIMES):
        assert name in text, name


def test_the_ladder_in_the_readme_is_one_that_passed() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    ladder = text.partition("the ladder, byte for byte\n")[2].partition("\n\n")[0].splitlines()
    assert len(ladder) == 3 + len(RUNTIMES) + 1
    for row in ladder:
        assert re.search(r" 0 of [\d,]+ .* equal$", row), row


def test_the_job_in_the_readme_keeps_what_make_writes() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (kept,) = re.findall(r"^ +path: (build/\S+)$", readme, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "--out $(OUT)/parity.json" in makefile and "OUT   := $(MODEL)/$(BOARD)" in makefile
    for suffix in ("json", "xml"):
        assert fnmatch(f"build/paper/mps2-an386/parity.{suffix}", kept)
