"""Command line of personalisation: train its networks, enrol a speaker, score the recipes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dyncp.errors import UserError, run_command

_FOLDER = Path("build/personal")
_LONGEST_SCENE = 60


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


def _probe(args: argparse.Namespace) -> None:
    from dyncp.personal.checkpoints import enhancer_path
    from dyncp.personal.results_page import probe_table
    from dyncp.personal.target_probe import probe_checkpoint

    if args.scenes < 1 or args.test_scenes < 1:
        raise UserError("--scenes and --test-scenes must be at least 1")
    path = enhancer_path(args.shipped, args.network, args.recipe)
    judged = probe_checkpoint(path, args.shipped, args.scenes, args.test_scenes)
    print("\n".join(probe_table(judged)))
    print(f"wrote the probes into {path}")


def _score(args: argparse.Namespace) -> None:
    import json

    from dyncp.files import write_text
    from dyncp.personal.checkpoints import load_enhancer
    from dyncp.personal.dnsmos import open_dnsmos
    from dyncp.personal.recogniser import open_recogniser
    from dyncp.personal.results_page import page
    from dyncp.personal.scores import Exam, Judges, run_exam
    from dyncp.personal.settings import recipe_names
    from dyncp.personal.speaker_encoder import SETTINGS
    from dyncp.personal.table import aims, markdown, rows

    if args.scenes < 1 or not 1 <= args.seconds <= _LONGEST_SCENE:
        raise UserError(f"--scenes must be at least 1, --seconds 1 to {_LONGEST_SCENE}")
    judges = Judges(
        open_recogniser(args.recogniser, SETTINGS.sample_rate) if args.recogniser else None,
        open_dnsmos(args.dnsmos) if args.dnsmos else None,
    )
    # S2-soft is S2's other form: scored where it is asked for.
    recipes = args.recipes or [name for name in recipe_names() if "-" not in name]
    chosen = [(network, recipe) for network in args.networks for recipe in recipes]
    for network, recipe in chosen:  # what is missing is said now, not after an hour
        load_enhancer(network, recipe, args.shipped)
    exam = Exam(args.scenes, args.seconds, args.shipped, judges)
    scores = list(run_exam(exam, chosen, args.shipped))
    table = rows(scores)
    verdicts = aims(table)
    print(markdown(table, verdicts), end="")
    if args.json:
        content = {
            "scenes": args.scenes,
            "seconds": args.seconds,
            "recogniser": args.recogniser,
            "dnsmos": args.dnsmos.name if args.dnsmos else None,
            "rows": table,
            "aims": verdicts,
            "scores": [score.to_dict() for score in scores],
        }
        write_text(args.json, json.dumps(content, indent=1) + "\n")
    if args.page:
        text = page(
            scenes=args.scenes,
            seconds=args.seconds,
            shipped=args.shipped,
            table=table,
            verdicts=verdicts,
        )
        write_text(args.page, text)


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
        help="of an enhancer: voice (of gated ones), stem, "
        f"{', '.join(recipe_names())}; default: all of these",
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
    probe = commands.add_parser("probe", help="fit on a network's gates who speaks")
    probe.add_argument("--network", default="personal")
    probe.add_argument("--recipe", required=True)
    probe.add_argument("--scenes", type=int, default=240, help="to fit on, of 6 s; default 240")
    probe.add_argument("--test-scenes", type=int, default=104, help="to judge on; default 104")
    probe.set_defaults(run=_probe)
    score = commands.add_parser("score", help="the table of the recipes over TS1 to TS3")
    score.add_argument(
        "--networks", nargs="+", default=["e3net-small", "personal"], help="default: both that ship"
    )
    score.add_argument("--recipes", nargs="+", help="default: B1 to S3")
    score.add_argument("--scenes", type=int, default=26, help="of each scenario; default 26")
    score.add_argument("--seconds", type=float, default=6.0, help="a scene; default 6")
    score.add_argument("--recogniser", help="pocketsphinx, or a command with {wav} in it")
    score.add_argument("--dnsmos", type=Path, help="sig_bak_ovr.onnx of the DNS challenge")
    score.add_argument("--json", type=Path, help="every score, too")
    score.add_argument("--page", type=Path, help="the table as a page, in Markdown")
    score.set_defaults(run=_score)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a command; gives its exit code."""
    args = _parser().parse_args(arguments)
    return run_command(lambda: args.run(args))


if __name__ == "__main__":
    sys.exit(main())
