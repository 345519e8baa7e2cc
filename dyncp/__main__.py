"""Command line of the network: train it, get its checkpoint, make audio, evaluate."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from dyncp.errors import UserError, run_command
from dyncp.files import write_text
from dyncp.preset import load_preset, preset_names

_LONGEST_EXAMPLE = 3600
_LONGEST_STUDY = 600


def _train(args: argparse.Namespace) -> int | None:
    from dyncp.checkpoint import load_checkpoint, save_checkpoint
    from dyncp.probes.shipped import fit_probes
    from dyncp.probes.study import STUDY_MINUTES
    from dyncp.training.distributed import joined_world
    from dyncp.training.interrupt import StoppedEarly
    from dyncp.training.trainer import Trainer

    preset = load_preset(args.preset)
    with joined_world() as world:
        trainer = Trainer(preset, args.folder, args.threads, args.data, world)
        resumed = trainer.resume()
        if world.is_main:
            if resumed:
                print(f"going on at step {trainer.step} of {preset.total_steps}")
            viewer = Path(sys.executable).with_name("tensorboard")
            print(f"curves: {viewer} --logdir {trainer.curves_path}", flush=True)
        try:
            trainer.run()
        except StoppedEarly as stop:
            if world.is_main:
                print(stop, file=sys.stderr)
            return stop.exit_code
    if not world.is_main:
        return None
    checkpoint = load_checkpoint(trainer.best_path, expect=preset)
    checkpoint.record = trainer.record() | {"data": trainer.source.name}
    if preset.gate:
        print("fitting the probes", flush=True)
        checkpoint.probes = fit_probes(checkpoint, STUDY_MINUTES, args.data)
        checkpoint.record["probe_minutes"] = STUDY_MINUTES
    save_checkpoint(args.out, checkpoint, half=True)
    write_text(args.out.with_suffix(".json"), json.dumps(checkpoint.record, indent=1) + "\n")
    print(f"wrote {args.out} and its record")
    return None


def _ablate(args: argparse.Namespace) -> int | None:
    from dyncp.training.ablation import format_rows, train_variant, variants
    from dyncp.training.interrupt import StoppedEarly

    if args.steps < 1:
        raise UserError(f"--steps must be at least 1, not {args.steps}")
    preset = load_preset(args.preset)
    chosen = variants(preset, args.settings, args.steps, args.grid)
    rows: list[dict[str, Any]] = []
    for number, variant in enumerate(chosen, 1):
        print(f"variant {number} of {len(chosen)}: {variant.name}", flush=True)
        try:
            rows.append(train_variant(variant, args.folder, args.threads))
        except StoppedEarly as stop:
            print(stop, file=sys.stderr)
            return stop.exit_code
    print(format_rows(rows))
    write_text(args.out, json.dumps({"preset": preset.name, "rows": rows}, indent=1) + "\n")
    return None


def _checkpoint(args: argparse.Namespace) -> None:
    from dyncp.checkpoint import SHIPPED_FOLDER, load_checkpoint, save_checkpoint

    preset = load_preset(args.preset)
    path = args.source or SHIPPED_FOLDER / f"{preset.name}.pt"
    if not path.is_file():
        raise UserError(
            f"preset '{preset.name}' has no checkpoint at {path}; "
            f"run `make train PRESET={args.preset}`"
        )
    save_checkpoint(args.out, load_checkpoint(path, expect=preset))


def _example(args: argparse.Namespace) -> None:
    from dyncp.audio import save_wav
    from dyncp.data.mixtures import MixtureSource
    from dyncp.data.noise_clips import noise_classes
    from dyncp.data.streams import PAUSE

    classes = noise_classes("test")
    if args.noise not in classes:
        raise UserError(f"unknown noise '{args.noise}'; choose one of {', '.join(classes)}")
    if not 1 <= args.seconds <= _LONGEST_EXAMPLE:
        raise UserError(f"--seconds must be 1 to {_LONGEST_EXAMPLE}, not {args.seconds:g}")
    rate = load_preset(args.preset).audio.sample_rate
    source = MixtureSource(rate, "test")
    rng = np.random.default_rng(args.seed)
    # With pauses as the probes' streams have, so that voice activity is worth scoring.
    mixture = source.mix(
        rng,
        args.seconds,
        noise=args.noise,
        snr=args.snr,
        level=-26.0,
        pause=PAUSE,
        room=False,
    )
    save_wav(args.clean, mixture.clean, rate)
    save_wav(args.noisy, mixture.noisy, rate)


def _stream(args: argparse.Namespace) -> None:
    from dyncp.audio import save_wav
    from dyncp.data.mixtures import MixtureSource
    from dyncp.data.streams import SEGMENT_SECONDS, make_stream

    if not 1 <= args.seconds <= _LONGEST_EXAMPLE:
        raise UserError(f"--seconds must be 1 to {_LONGEST_EXAMPLE}, not {args.seconds:g}")
    rate = load_preset(args.preset).audio.sample_rate
    source = MixtureSource(rate, "test")
    classes = source.noise_classes
    count = -(-args.seconds // (SEGMENT_SECONDS * len(classes)))
    streams = [make_stream(source, args.seed, index, classes).noisy for index in range(int(count))]
    save_wav(args.out, np.concatenate(streams)[: int(args.seconds * rate)], rate)


def _enhance(args: argparse.Namespace) -> None:
    from dyncp.audio import load_wav, save_wav
    from dyncp.checkpoint import load_checkpoint
    from dyncp.enhance import enhance

    checkpoint = load_checkpoint(args.checkpoint)
    rate = checkpoint.preset.audio.sample_rate
    save_wav(args.out, enhance(checkpoint.network, load_wav(args.wav, rate)).samples, rate)


def _evaluate(args: argparse.Namespace) -> None:
    from dyncp.checkpoint import load_checkpoint
    from dyncp.quality import format_clips, score_test_split, to_json

    checkpoint = load_checkpoint(args.checkpoint)
    clips = score_test_split(args.checkpoint, args.data)
    print(format_clips(clips))
    if args.out:
        write_text(args.out, json.dumps(to_json(checkpoint, clips), indent=1) + "\n")


def _study(args: argparse.Namespace) -> None:
    from dyncp.checkpoint import load_checkpoint
    from dyncp.probes.study import format_study, study

    checkpoint = load_checkpoint(args.checkpoint)
    result = study(checkpoint, args.minutes, args.data)
    print(format_study(result))
    if args.out:
        content = {"preset": checkpoint.preset.name, **result}
        write_text(args.out, json.dumps(content, indent=1) + "\n")


def _pictures(args: argparse.Namespace) -> None:
    from dyncp.checkpoint import load_checkpoint
    from dyncp.pictures.write import draw_pictures

    checkpoint = load_checkpoint(args.checkpoint)
    for path in draw_pictures(checkpoint, args.out, args.minutes, args.data):
        print(f"wrote {path}")


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes <= _LONGEST_STUDY:
        message = f"must be a number above 0 and at most {_LONGEST_STUDY}, not {text}"
        raise argparse.ArgumentTypeError(message)
    return minutes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dyncp", description=__doc__)
    commands = parser.add_subparsers(required=True)
    where = "VoiceBank+DEMAND's folder, one with clean/ and noise/, or a CSV (default: synthetic)"
    known = f"a preset's name ({', '.join(preset_names())}) or a .toml file"

    train = commands.add_parser("train", help="train a preset; goes on where it was stopped")
    train.add_argument("--preset", required=True, help=known)
    train.add_argument("--folder", type=Path, required=True, help="where the run keeps its state")
    train.add_argument("--out", type=Path, required=True, help="the checkpoint to write (.pt)")
    train.add_argument("--data", type=Path, help=where)
    train.add_argument("--threads", type=int, help="CPU threads (default: all)")
    train.set_defaults(run=_train)

    ablate = commands.add_parser(
        "ablate", help="train variants of a preset and compare; goes on where it was stopped"
    )
    ablate.add_argument("--preset", required=True, help=known)
    ablate.add_argument(
        "--settings", nargs="+", required=True, metavar="SECTION.KEY=VALUE,VALUE",
        help="what to change, one at a time, e.g. gate.surrogate=sigmoid,triangle",
    )  # fmt: skip
    ablate.add_argument("--grid", action="store_true", help="all combinations of the settings")
    ablate.add_argument(
        "--steps", type=int, required=True,
        help="of each variant; learning rate and utilisation ramp are shortened in proportion",
    )  # fmt: skip
    ablate.add_argument("--folder", type=Path, required=True, help="where the runs keep states")
    ablate.add_argument("--out", type=Path, required=True, help="JSON to write")
    ablate.add_argument("--threads", type=int, help="CPU threads (default: all)")
    ablate.set_defaults(run=_ablate)

    checkpoint = commands.add_parser("checkpoint", help="get a preset's shipped checkpoint")
    checkpoint.add_argument("--preset", required=True, help=known)
    checkpoint.add_argument("--source", type=Path, help="another checkpoint of that preset")
    checkpoint.add_argument("--out", type=Path, required=True)
    checkpoint.set_defaults(run=_checkpoint)

    example = commands.add_parser("example", help="make a noisy mixture of unseen speakers")
    example.add_argument("--preset", default="paper", help=known)
    example.add_argument("--noisy", type=Path, required=True, help="WAV to write")
    example.add_argument("--clean", type=Path, required=True, help="WAV to write, its reference")
    example.add_argument("--seconds", type=float, default=12.0)
    example.add_argument("--noise", default="fan", help="a noise class, of the test split")
    example.add_argument("--snr", type=float, default=5.0, help="dB")
    example.add_argument("--seed", type=int, default=3)
    example.set_defaults(run=_example)

    stream = commands.add_parser(
        "stream", help="make a long noisy recording: all noises, unseen speakers, SNRs of -5..15 dB"
    )
    stream.add_argument("--preset", default="paper", help=known)
    stream.add_argument("--out", type=Path, required=True, help="WAV to write")
    stream.add_argument("--seconds", type=float, default=170.0)
    stream.add_argument("--seed", type=int, default=3)
    stream.set_defaults(run=_stream)

    enhance = commands.add_parser("enhance", help="run the float network on a WAV")
    enhance.add_argument("--checkpoint", type=Path, required=True)
    enhance.add_argument("--wav", type=Path, required=True)
    enhance.add_argument("--out", type=Path, required=True)
    enhance.set_defaults(run=_enhance)

    _add_judges(commands, where)
    return parser


def _add_judges(commands: Any, where: str) -> None:
    """The commands that show what a checkpoint is worth."""
    evaluate = commands.add_parser("evaluate", help="score a checkpoint on the test split")
    evaluate.add_argument("--checkpoint", type=Path, required=True)
    evaluate.add_argument("--data", type=Path, help=where)
    evaluate.add_argument("--out", type=Path, help="JSON to write")
    evaluate.set_defaults(run=_evaluate)

    study = commands.add_parser("probe", help="what the masks know, task by task")
    study.add_argument("--checkpoint", type=Path, required=True)
    study.add_argument("--data", type=Path, help=where)
    study.add_argument(
        "--minutes",
        type=_minutes,
        default=30.0,
        help="of each split (30), in streams of a segment for each noise",
    )
    study.add_argument("--out", type=Path, help="JSON to write")
    study.set_defaults(run=_study)

    pictures = commands.add_parser("pictures", help="draw what the gates do and know, as PNG")
    pictures.add_argument("--checkpoint", type=Path, required=True)
    pictures.add_argument("--out", type=Path, required=True, help="folder to write to")
    pictures.add_argument("--data", type=Path, help=where)
    pictures.add_argument("--minutes", type=_minutes, default=20.0, help="of the test split (20)")
    pictures.set_defaults(run=_pictures)


def main() -> int:
    args = _parser().parse_args()
    return run_command(lambda: args.run(args))


if __name__ == "__main__":
    sys.exit(main())
