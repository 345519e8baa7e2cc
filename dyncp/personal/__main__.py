"""Command line of personalisation: train its networks, enrol a speaker, score the recipes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dyncp.errors import UserError, run_command

_FOLDER = Path("build/personal")


def _train(args: argparse.Namespace) -> int | None:
    from dyncp.personal.train import train
    from dyncp.training.interrupt import StoppedEarly

    try:
        train(args.name, args.recipe, args.folder, args.shipped, args.threads)
    except StoppedEarly as stop:
        print(stop, file=sys.stderr)
        return stop.exit_code
    return None


def _enrol(args: argparse.Namespace) -> None:
    from dyncp.audio import load_wav
    from dyncp.embedding import save_embedding
    from dyncp.personal.checkpoints import load_encoder
    from dyncp.personal.speaker_encoder import SETTINGS, embed

    recording = load_wav(args.wav, SETTINGS.sample_rate)
    seconds = len(recording) / SETTINGS.sample_rate
    if seconds < args.at_least:
        raise UserError(
            f"{args.wav} is {seconds:.1f} s long; an enrolment takes {args.at_least:g} s of the "
            "speaker alone"
        )
    if not recording.any():
        raise UserError(f"{args.wav} is silent; an enrolment takes the speaker's voice")
    save_embedding(args.out, embed(load_encoder(args.shipped), recording), args.speaker)
    print(f"wrote {args.out}: {args.speaker}, by {seconds:.1f} s")


def _parser() -> argparse.ArgumentParser:
    from dyncp.personal.checkpoints import SHIPPED
    from dyncp.personal.settings import network_names, recipe_names
    from dyncp.personal.train import ENCODER, PVAD

    parser = argparse.ArgumentParser(prog="python -m dyncp.personal", description=__doc__)
    parser.add_argument(
        "--shipped", type=Path, default=SHIPPED, metavar="FOLDER", help="the checkpoints' folder"
    )
    commands = parser.add_subparsers(required=True)
    train = commands.add_parser("train", help="train a network; goes on where it was stopped")
    train.add_argument("name", choices=[ENCODER, PVAD, *network_names()])
    train.add_argument(
        "--recipe",
        help=f"of an enhancer: stem, {', '.join(recipe_names())}; default: stem, then all",
    )
    train.add_argument("--folder", type=Path, default=_FOLDER, help="of the run's state")
    train.add_argument("--threads", type=int, help="that torch computes with")
    train.set_defaults(run=_train)
    enrol = commands.add_parser("enrol", help="a speaker's embedding from a recording")
    enrol.add_argument("--wav", type=Path, required=True, help="the speaker alone")
    enrol.add_argument("--speaker", default="speaker", help="a name to go with it")
    enrol.add_argument("--at-least", type=float, default=2.0, help="seconds; default 2")
    enrol.add_argument("--out", type=Path, required=True, help="JSON")
    enrol.set_defaults(run=_enrol)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a command; gives its exit code."""
    args = _parser().parse_args(arguments)
    return run_command(lambda: args.run(args))


if __name__ == "__main__":
    sys.exit(main())
