"""The kernels of every emulated core on random and extreme cases, byte for byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dyncp.errors import UserError
from firmware_bridge.bench import emulated_boards
from firmware_bridge.kernel_runs import run_cases
from targets import kernel_cases
from targets.board import Board, load_board
from targets.kernel_cases import complaints
from targets.kernel_image import build_kernel_image
from tests.targets.kernel_samples import samples

EMULATED = emulated_boards()
"""Those with memory to spare for cases: one of every core."""

FAST_OUTPUTS, SLOW_OUTPUTS = 300_000, 1_000_000
SLOW_SEEDS = (2, 3)


@pytest.fixture(scope="module", params=EMULATED)
def board(request: pytest.FixtureRequest) -> Board:
    return load_board(request.param)


@pytest.fixture(scope="module")
def image(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_kernel_image(board, tmp_path_factory.mktemp(board.name))


def check(board: Board, image: Path, seed: int, outputs: int) -> None:
    cases = list(samples(board.core.kernels, seed, outputs))
    results = run_cases(board, image, cases)
    assert complaints(cases, results) == []
    assert sum(result.bytes for result in results) >= outputs


def test_every_byte_is_that_of_the_integer_arithmetic(board: Board, image: Path) -> None:
    """A core's kernels are hand-written: one wrong constant is a wrong channel on a device."""
    check(board, image, seed=1, outputs=FAST_OUTPUTS)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW_SEEDS)
def test_every_byte_of_a_million(board: Board, image: Path, seed: int) -> None:
    check(board, image, seed, SLOW_OUTPUTS)


def test_a_case_that_the_board_cannot_run_is_named(board: Board, image: Path) -> None:
    wide = np.zeros((1, kernel_cases.LARGEST + 1), np.int8)
    cases = [
        kernel_cases.nothing(),
        kernel_cases.sigmoid("too wide", np.zeros(256, np.int8), wide),
    ]
    with pytest.raises(UserError, match=f"{board.name}: .* 'too wide': it was refused, error -3"):
        run_cases(board, image, cases)
