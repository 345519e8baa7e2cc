"""The README's figures must be the counted ones, or it promises what the code does not do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

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
