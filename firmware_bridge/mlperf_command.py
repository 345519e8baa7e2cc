"""The command that drives an MLPerf Tiny image as the public runner does, and checks it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from dyncp.errors import UserError
from firmware_bridge.board_commands import Add, add_where

_EXIT_MISMATCH = 1
NOTICE = (
    "This is not an official MLPerf Tiny result: its models and data are others, and nothing was "
    "submitted or reviewed."
)


def add_mlperf_command(add: Add) -> None:
    text = "drive an image of --app mlperf as MLPerf Tiny's runner does; 1 if its results differ"
    command = add("mlperf", _mlperf, text)
    add_where(command)
    command.add_argument("--firmware", type=Path, required=True, help="firmware.elf, --app mlperf")
    command.add_argument("--quantized", type=Path, required=True, help="the integers (.npz)")
    command.add_argument("--wav", type=Path, required=True, help="audio; its beginning is loaded")
    command.add_argument("--frames", type=int, help="so many (default: what the image holds)")
    command.add_argument("--task", help="that it was built with, if that is not the first")
    command.add_argument("--inferences", type=int, default=3, help="timed (3)")
    command.add_argument("--warmups", type=int, default=1, help="before them (1)")
    command.add_argument("--out", type=Path, help="JSON to write")


def _mlperf(args: argparse.Namespace) -> int:
    from dyncp import audio
    from dyncp.files import write_text
    from firmware_bridge.connect import open_transport, require_app
    from firmware_bridge.mlperf_client import MlperfClient, expected_results, input_frames
    from quantize.model import load_model
    from targets.board import load_board
    from targets.firmware_build import read_firmware
    from targets.mlperf import FRAMES, results_of

    if args.inferences < 1 or args.warmups < 0:
        raise UserError("--inferences must be at least 1 and --warmups at least 0")
    wanted = FRAMES if args.frames is None else args.frames
    if not 1 <= wanted <= FRAMES:
        raise UserError(f"--frames must be 1 to {FRAMES}, not {wanted}")
    board, firmware = load_board(args.board), read_firmware(args.firmware)
    require_app(firmware, args.firmware, "mlperf")
    if firmware.board != board.name:
        raise UserError(f"{args.firmware} was built for {firmware.board}, not for {board.name}")
    model = load_model(args.quantized)
    if model.model_hash != firmware.model_hash:
        raise UserError(f"{args.firmware} was not built of {args.quantized}; build it again")
    names, scales = [p.name for p in model.probes], [p.scale for p in model.probes]
    results = results_of(names, scales, args.task)
    settings = model.preset.audio
    samples = audio.load_wav(args.wav, settings.sample_rate)
    features = audio.features(settings, samples[: wanted * settings.hop])
    frames = input_frames(model, features, wanted)
    expected = expected_results(model, results, frames)

    transport = open_transport(board, args.port, args.firmware, args.serial_number)
    with transport:
        client = MlperfClient(transport)
        profile = client.profile()
        _require_image(profile, firmware.build_id, f"{model.preset.name}-{results.task}")
        client.load(frames.tobytes())
        inference = client.infer(args.inferences, args.warmups)
        again = client.results()
    same = inference.results == again == expected
    each = inference.microseconds / inference.inferences
    clock = "virtual time of the emulator" if args.port is None else "by the board's clock"
    print(f"{client.name}, model {profile['model']}, build {firmware.build_id}")
    print(f"{len(frames)} frames, {', '.join(results.classes)}: {inference.results}")
    print(f"{each:.0f} us an inference ({clock}), {each / len(frames):.1f} us a frame")
    print("as the host computes it" if same else f"THE HOST COMPUTES {expected}")
    print(NOTICE)
    if args.out:
        content: dict[str, Any] = {
            "notice": NOTICE,
            "board": board.name,
            "emulated": args.port is None,
            "build_id": firmware.build_id,
            "model_hash": firmware.model_hash,
            "model": profile["model"],
            "frames": len(frames),
            "classes": list(results.classes),
            "results": inference.results,
            "host_agrees": same,
            "inferences": inference.inferences,
            "microseconds": inference.microseconds,
        }
        write_text(args.out, json.dumps(content, indent=1) + "\n")
    return 0 if same else _EXIT_MISMATCH


def _require_image(profile: dict[str, str], build_id: str, model: str) -> None:
    from firmware_bridge.errors import WrongFirmware

    if profile.get("build") != build_id or profile.get("model") != model:
        raise WrongFirmware(
            f"the board runs build {profile.get('build')} ({profile.get('model')}), not {build_id} "
            f"({model}); flash that image, or name the --task that it was built with"
        )
