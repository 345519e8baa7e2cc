"""The command that measures a personalised network on a board."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from dyncp.errors import UserError
from firmware_bridge.board_commands import Add, add_where
from firmware_bridge.progress import Bar

_TITLE = """# Personalised enhancement on a board

Written by `make PRESET=personal personal-board`; [personal.md](personal.md) says what is what.

"""


def add_personal_command(add: Add) -> None:
    text = "scenes of several speakers through a board that is told whose voice to keep"
    command = add("personal", _personal, text)
    add_where(command)
    command.add_argument("--firmware", type=Path, required=True, help="firmware.elf")
    command.add_argument("--model", type=Path, required=True, help="its .tflite")
    command.add_argument("--checkpoint", type=Path, required=True, help="its float network")
    command.add_argument("--scenes", type=int, default=24, help="of 6 s each; default 24")
    command.add_argument("--out", type=Path, required=True, help="report to write (.json)")
    command.add_argument("--page", type=Path, help="the tables, in Markdown")


def _personal(args: argparse.Namespace) -> None:
    from convert.contract import read_metadata
    from dyncp.data.speech import CACHE_FOLDER
    from dyncp.files import write_text
    from dyncp.personal.checkpoints import load_encoder, load_pvad
    from dyncp.personal.enrolled import Enrolled
    from dyncp.personal.scenes import SceneSource
    from dyncp.personal.target_probe import scenes_of
    from firmware_bridge.campaign import joined
    from firmware_bridge.campaign_material import probes_of
    from firmware_bridge.connect import open_board, preset_and_firmware
    from firmware_bridge.figures import latency_figures, provenance, work_figures
    from firmware_bridge.personal import personal_figures, run_scenes
    from firmware_bridge.personal_report import format_personal
    from targets.board import load_board

    if args.scenes < 1:
        raise UserError("--scenes must be at least 1")
    board = load_board(args.board)
    preset, firmware = preset_and_firmware(args.model, args.firmware, args.board)
    if preset.speaker is None:
        raise UserError(
            f"preset '{preset.name}' keeps every voice; give a personalised one: "
            "make PRESET=personal personal-board"
        )
    encoder = load_encoder()
    if encoder.dimensions != preset.speaker.dimensions:
        raise UserError(
            f"the speaker encoder gives {encoder.dimensions} values, preset '{preset.name}' takes "
            f"{preset.speaker.dimensions}"
        )
    enrolled = Enrolled(SceneSource(preset.audio.sample_rate, "test", CACHE_FOLDER), encoder)
    scenes = scenes_of(enrolled, args.scenes)
    with (
        open_board(
            args.board, args.port, args.firmware, firmware, serial_number=args.serial_number
        ) as session,
        Bar("personal", "hop") as progress,
    ):
        greeting = session.greeting
        heard = run_scenes(session, enrolled, scenes, progress.of)
    together = joined([one.streamed for one in heard])
    figures = {
        **provenance(greeting, board, firmware, args.checkpoint),
        **work_figures(preset, firmware, together),
        "latency": latency_figures(preset, greeting.counter, together),
        **personal_figures(
            heard, probes_of(read_metadata(args.model)), enrolled, load_pvad(), preset
        ),
    }
    text = format_personal(figures)
    write_text(args.out, json.dumps(figures, indent=1) + "\n")
    if args.page:
        write_text(args.page, _TITLE + text)
    print(text)
    print(f"wrote {args.out}")
