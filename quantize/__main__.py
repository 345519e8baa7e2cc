"""Command line: a float checkpoint to the integers of ``quantized.npz``.

Both ways also write the float network that was rounded: of the checkpoint's function (ptq),
or trained on from it (qat).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dyncp.errors import UserError, run_command
from quantize.methods import DEFAULT_METHOD, METHODS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dyncp.checkpoint import Checkpoint
    from quantize.clips import Clip
    from quantize.model import QuantizedModel

_CALIBRATION_SEED = 1
_HELD_OUT_SEED = 2
_HELD_OUT_SECONDS = 10.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m quantize", description=__doc__)
    commands = parser.add_subparsers(required=True)

    ptq = commands.add_parser("ptq", help="calibrate and round (post-training quantisation)")
    ptq.set_defaults(run=_ptq)
    qat = commands.add_parser("qat", help="train on through the rounding; goes on if stopped")
    qat.set_defaults(run=_qat)
    for command in (ptq, qat):
        command.add_argument("--checkpoint", type=Path, required=True, help="float network (.pt)")
        command.add_argument("--out", type=Path, required=True, help="integers to write (.npz)")
        command.add_argument(
            "--deployed", type=Path, required=True, help="the float network of these integers (.pt)"
        )
        command.add_argument(
            "--seconds", type=float, default=60.0, help="of calibration audio (default 60)"
        )
        command.add_argument("--wav", type=Path, nargs="+", help="calibrate on these recordings")
        command.add_argument(
            "--method", choices=METHODS, default=DEFAULT_METHOD, help="of finding ranges"
        )
        command.add_argument(
            "--no-balance", action="store_true", help="leave the channels of a tensor as they are"
        )
    ptq.add_argument(
        "--embedding", type=Path, nargs="+", default=[], metavar="FILE.json",
        help="of people to calibrate a personalised network on (default: training voices)",
    )  # fmt: skip
    ptq.add_argument(
        "--no-compensation", action="store_true", help="round each weight to the nearest"
    )
    qat.add_argument("--folder", type=Path, required=True, help="keeps the run's state")
    qat.add_argument("--steps", type=int, help="of training (default 600)")
    qat.add_argument("--data", type=Path, help="a corpus to train on (default: synthetic)")
    qat.add_argument(
        "--ship", type=Path, help="also write the checkpoint as float16, and its record"
    )
    qat.add_argument("--threads", type=int, help="for torch")
    qat.set_defaults(embedding=[])
    return parser


def _clips(args: argparse.Namespace, checkpoint: Checkpoint) -> list[NDArray[np.float32]]:
    from dyncp.audio import features, load_wav
    from dyncp.data.mixtures import calibration_features

    audio = checkpoint.preset.audio
    if args.wav:
        return [features(audio, load_wav(path, audio.sample_rate)) for path in args.wav]
    return calibration_features(checkpoint.preset, args.seconds, _CALIBRATION_SEED)


def _listeners(args: argparse.Namespace, checkpoint: Checkpoint) -> list[Clip]:
    """The clips, for a personalised network with people to keep."""
    from dyncp.embedding import load_embedding
    from dyncp.personal.calibration import calibration_scenes, scenes_fit
    from quantize.clips import personalised

    speaker = checkpoint.preset.speaker
    if args.embedding and speaker is None:
        raise UserError(f"preset '{checkpoint.preset.name}' takes no embedding; omit --embedding")
    if speaker and not args.embedding and not args.wav and scenes_fit(checkpoint.preset):
        return list(calibration_scenes(checkpoint.preset, args.seconds, _CALIBRATION_SEED))
    people = [load_embedding(path, speaker.dimensions) for path in args.embedding if speaker]
    return personalised(checkpoint.preset, _clips(args, checkpoint), people)


def _rounded(args: argparse.Namespace, compensated: bool) -> tuple[Checkpoint, QuantizedModel, str]:
    """The checkpoint, balanced unless that is not wanted, its integers, and what was done."""
    from dyncp.checkpoint import load_checkpoint
    from quantize.balance import balance
    from quantize.calibrate import quantise_network, round_trained
    from quantize.clips import features_of

    if not 1.0 <= args.seconds <= 3600.0:
        raise UserError(f"--seconds must lie in 1..3600, not {args.seconds:g}")
    checkpoint = load_checkpoint(args.checkpoint)
    clips = _listeners(args, checkpoint)
    if checkpoint.grids:
        return checkpoint, round_trained(checkpoint, clips), "on the grids of its training"
    if not args.no_balance:
        checkpoint.network = balance(checkpoint.network, clips)
    model = quantise_network(checkpoint.network, clips, checkpoint.probes, args.method, compensated)
    frames = sum(features_of(clip).shape[1] for clip in clips)
    return checkpoint, model, f"calibrated on {frames} frames, by {args.method}"


def _write(
    args: argparse.Namespace, checkpoint: Checkpoint, model: QuantizedModel, done: str
) -> None:
    import numpy as np

    from dyncp.checkpoint import save_checkpoint
    from dyncp.data.mixtures import calibration_features
    from dyncp.files import replacing
    from quantize.agreement import compare_with_float
    from quantize.model import save_model

    held_out = calibration_features(checkpoint.preset, _HELD_OUT_SECONDS, _HELD_OUT_SEED)
    found = compare_with_float(checkpoint.network, model, np.concatenate(held_out, axis=1))
    with replacing(args.deployed) as deployed, replacing(args.out) as out:  # both or neither
        save_checkpoint(deployed, checkpoint)
        save_model(out, model)
    print(f"wrote {args.out} and {args.deployed}: {done}, model {model.model_hash[:12]}")
    print("\n".join(found.lines()))


def _ptq(args: argparse.Namespace) -> None:
    _write(args, *_rounded(args, compensated=not args.no_compensation))


def _qat(args: argparse.Namespace) -> int | None:
    import torch

    from dyncp.checkpoint import save_checkpoint
    from dyncp.files import replacing, write_text
    from dyncp.training.interrupt import StoppedEarly
    from quantize.qat.trainer import QatTrainer, Settings

    if args.threads:
        torch.set_num_threads(args.threads)
    settings = Settings(steps=args.steps) if args.steps is not None else Settings()
    settings.check()
    checkpoint, model, _ = _rounded(args, compensated=False)
    clips = _clips(args, checkpoint)
    trainer = QatTrainer(checkpoint, model, clips, args.folder, settings=settings, data=args.data)
    if trainer.resume():
        print(f"going on at step {trainer.step} of {settings.steps}")
    try:
        trainer.run()
    except StoppedEarly as stop:
        print(stop, file=sys.stderr)
        return stop.exit_code
    trained, model = trainer.finish()
    _write(args, trained, model, f"trained for {settings.steps} steps")
    if args.ship:
        text = json.dumps(trained.record, indent=1) + "\n"
        with replacing(args.ship) as ship, replacing(args.ship.with_suffix(".json")) as record:
            save_checkpoint(ship, trained, half=True)
            write_text(record, text)
        print(f"wrote {args.ship} and its record")
    return None


def main() -> int:
    args = _parser().parse_args()
    return run_command(lambda: args.run(args))


if __name__ == "__main__":
    sys.exit(main())
