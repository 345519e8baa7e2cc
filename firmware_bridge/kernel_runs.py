"""Cases of kernels on an emulated board: sent to its memory, its results read back."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from dyncp.errors import UserError
from firmware_bridge.counting import TickCounter
from firmware_bridge.emulator import EmulatorTransport
from targets.board import Board
from targets.kernel_cases import RESULT, Case, Result, file_of, parse_results

_SILENCE_SECONDS = 120.0
"""The longest that one case may take on a busy machine."""


def run_cases(board: Board, image: Path, cases: Sequence[Case]) -> list[Result]:
    """Run ``cases`` with the ``image`` of :func:`targets.kernel_image.build_kernel_image`.

    Raises :class:`UserError` naming the case at which the board stopped.
    """
    assert board.emulator and board.emulator.spare
    spare, data = board.emulator.spare, file_of(cases)
    if len(data) > spare.bytes:
        raise UserError(f"{len(data)} bytes of cases do not fit 'emulator.spare' of {board.name}")
    received = bytearray()
    with tempfile.NamedTemporaryFile(suffix=".cases") as file:
        file.write(data)
        file.flush()
        with EmulatorTransport(board, image, {spare.origin: Path(file.name)}) as port:
            while not _ended(received, len(cases)):
                more = port.read(_SILENCE_SECONDS)
                if not more:
                    break
                received += more
    try:
        return parse_results(bytes(received), cases)
    except UserError as error:
        raise UserError(f"{board.name}: {error}") from error


def _ended(received: bytearray, cases: int) -> bool:
    """All results are there, or the last one says that there will be no more."""
    whole = len(received) // RESULT.size
    if whole == 0 or len(received) % RESULT.size:
        return False
    last = Result(*RESULT.unpack_from(received, (whole - 1) * RESULT.size))
    return whole == cases or last.stopped


def counter_of(board: Board) -> TickCounter:
    """What the ticks of an emulated board stand for."""
    assert board.emulator
    return TickCounter("instructions", board.clock.tick_hz, board.emulator.icount_shift)
