"""The command that measures a board on minutes of labelled audio."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from dyncp.errors import UserError
from firmware_bridge.board_commands import Add, add_where
from firmware_bridge.energy_arguments import add_ppk2_arguments, monitored
from firmware_bridge.progress import Bar

_MOST_MINUTES = 600


def add_campaign_command(add: Add) -> None:
    text = "minutes of labelled audio through a board: work, latency, probes, quality; resumable"
    command = add("campaign", _campaign, text)
    add_where(command)
    add_ppk2_arguments(command)
    command.add_argument("--firmware", type=Path, required=True, help="firmware.elf")
    command.add_argument("--model", type=Path, required=True, help="its .tflite")
    command.add_argument("--checkpoint", type=Path, required=True, help="its float network")
    command.add_argument("--minutes", type=float, default=10.0, help="of labelled streams (10)")
    command.add_argument("--data", type=Path, help="a corpus, as for `dyncp evaluate`")
    command.add_argument("--folder", type=Path, required=True, help="keeps the streams that ended")
    command.add_argument("--out", type=Path, required=True, help="report to write (.json)")


def _campaign(args: argparse.Namespace) -> None:
    from convert.contract import read_metadata
    from dyncp.files import write_text
    from firmware_bridge.campaign import campaign_figures, run_campaign
    from firmware_bridge.campaign_material import labelled_material, probes_of
    from firmware_bridge.campaign_report import format_campaign
    from firmware_bridge.connect import open_board, preset_and_firmware
    from targets.board import load_board

    if not 0 < args.minutes <= _MOST_MINUTES:
        raise UserError(f"--minutes must be above 0 and at most {_MOST_MINUTES}")
    board = load_board(args.board)
    preset, firmware = preset_and_firmware(args.model, args.firmware, args.board)
    if not args.checkpoint.is_file():
        raise UserError(f"there is no checkpoint {args.checkpoint}; make it with: make measure")
    probes = probes_of(read_metadata(args.model))
    material = labelled_material(preset.audio, args.minutes, args.data)
    with (
        monitored(args) as monitor,
        open_board(
            args.board, args.port, args.firmware, firmware, serial_number=args.serial_number
        ) as session,
        Bar("campaign", "hop") as progress,
    ):
        greeting = session.greeting
        names = [probe.name for probe in probes]
        if session.probe_names != names:
            raise UserError(
                f"the board has the probes {', '.join(session.probe_names)}, the model "
                f"{', '.join(names)}; flash the firmware that was built of it"
            )
        parts = run_campaign(
            session, preset, material, args.folder, monitor=monitor, progress=progress.of
        )
    figures = campaign_figures(
        parts,
        greeting=greeting,
        board=board,
        firmware=firmware,
        preset=preset,
        material=material,
        probes=probes,
        checkpoint=args.checkpoint,
    )
    write_text(args.out, json.dumps(figures, indent=1) + "\n")
    print(format_campaign(figures))
    print(f"\nwrote {args.out}")
