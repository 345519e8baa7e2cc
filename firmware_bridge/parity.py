"""The whole ladder, from float torch to boards, and the boards' audio beside it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from convert.junit import Case
from convert.ladder import Progress
from convert.parity_command import open_ladder, with_audio
from convert.parity_report import LadderReport
from convert.rung_list import PlannedRung, desktop_rungs
from dyncp.audio import features, load_wav, to_pcm
from dyncp.errors import UserError
from firmware_bridge.board_rung import AudioParity, BoardRung, compare_audio
from firmware_bridge.connect import open_board, preset_and_firmware
from firmware_bridge.session import Board
from targets.board import load_board
from targets.host_library import HostLibrary
from targets.host_rung import HostRung
from targets.sanitised_rung import SanitisedRung

AUDIO_HOPS = 500
"""Of the audio, so many hops go through each board's whole audio path, too, at most."""


@dataclass(frozen=True)
class _Target:
    """A board on the ladder, and how to reach it."""

    name: str
    connect: Callable[[], Board]

    @property
    def rung(self) -> str:
        return f"C on {self.name}"


def run_parity(args: argparse.Namespace, progress: Progress | None = None) -> int:
    """Climb with what the command line names; gives the exit code (docs/parity.md)."""
    ladder = open_ladder(args, args.quantized, args.model)
    preset = ladder.model.preset
    boards = _boards(args)
    library = HostLibrary(args.library)
    if library.info.model_hash != ladder.model.model_hash:
        raise UserError(f"{args.library} was built from another model; run make again")
    samples = load_wav(args.wav, preset.audio.sample_rate)[: args.frames * preset.audio.hop]
    ladder = with_audio(ladder, args.wav.name, features(preset.audio, samples))
    group = preset.gate.group if preset.gate else 0
    planned = desktop_rungs(ladder.model, args.model, args.onnx)
    planned.append(PlannedRung(HostRung.name, "exact", partial(HostRung, args.library, group)))
    if args.sanitised:
        make = partial(SanitisedRung, args.sanitised, group)
        planned.append(PlannedRung(SanitisedRung.name, "exact", make))
    planned += [
        PlannedRung(board.rung, "exact", partial(BoardRung, board.rung, board.connect, group))
        for board in boards
    ]
    report = ladder.climb(planned, args.checkpoint, progress)
    pcm = to_pcm(samples[: AUDIO_HOPS * preset.audio.hop])
    enhance = partial(compare_audio, library, pcm=pcm, embedding=ladder.keep)
    return ladder.finish(report, args.wav, _audio_cases(report, boards, enhance, progress))


def _boards(args: argparse.Namespace) -> list[_Target]:
    if len(args.board) != len(args.firmware):
        raise UserError(
            f"give a --firmware for each --board: {len(args.firmware)} for {len(args.board)}"
        )
    if args.port and not args.board:
        raise UserError("--port needs the --board that is on it")
    boards = []
    for index, (name, elf) in enumerate(zip(args.board, args.firmware, strict=True)):
        _, firmware = preset_and_firmware(args.model, Path(elf), name)
        port = args.port if index == 0 else None
        board = load_board(name)
        if not port and board.emulator is None:
            raise UserError(f"board {board.name} has no emulator; give its --port, and it first")
        boards.append(_Target(board.name, partial(open_board, name, port, Path(elf), firmware)))
    return boards


def _audio_cases(
    report: LadderReport,
    boards: Sequence[_Target],
    enhance: Callable[..., AudioParity],
    progress: Progress | None,
) -> list[Case]:
    """Each board's enhanced audio against the host's, of the boards that were climbed."""
    climbed = {rung.name for rung in report.rungs}
    cases = []
    for board in boards:
        if board.rung not in climbed:
            continue
        name = f"audio of host and {board.name}"
        told = partial(progress, name) if progress else None
        try:
            with board.connect() as session:
                parity = enhance(session, progress=told)
        except UserError as error:
            cases.append(Case(name, "error", f"did not run to its end: {error}"))
            continue
        cases.append(Case(name, "passed" if parity.passed else "failure", parity.line()))
    return cases
