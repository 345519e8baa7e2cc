"""Command line: the probes in integers, and the page of results over all presets."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from dyncp.errors import run_command
from dyncp.files import write_text


def _integer(args: argparse.Namespace) -> None:
    from quantize.evaluation.integer_probes import judge_integer_probes

    result = judge_integer_probes(args.checkpoint, args.model, args.minutes, args.data)
    write_text(args.out, json.dumps(result, indent=1) + "\n")
    for row in result["results"]:
        measure = "accuracy" if row["int8"].get("r2") is None else "r2"
        print(
            f"{row['task']:<8} {measure:<8} float {row['float'][measure]:.3f}   "
            f"int8 {row['int8'][measure]:.3f}   {row['operations']:.0f} additions a frame"
        )


def _results(args: argparse.Namespace) -> None:
    from quantize.evaluation.results import collect, draw, write_page

    results = collect(args.build, args.presets, args.suffix)
    print(write_page(results, args.page))
    write_text(args.page.with_suffix(".json"), json.dumps(results, indent=1) + "\n")
    if args.pictures:
        draw(results, args.pictures / "quality.png")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m quantize.evaluation", description=__doc__)
    commands = parser.add_subparsers(required=True)
    integer = commands.add_parser("integer", help="judge the probes on the integer model's masks")
    integer.add_argument("--checkpoint", type=Path, required=True)
    integer.add_argument("--model", type=Path, required=True, help="quantized.npz")
    integer.add_argument("--data", type=Path)
    integer.add_argument("--minutes", type=float, default=10.0, help="of the test split (10)")
    integer.add_argument("--out", type=Path, required=True)
    integer.set_defaults(run=_integer)
    page = commands.add_parser("page", help="write the page of results and its JSON")
    page.add_argument("--build", type=Path, default=Path("build"))
    page.add_argument("--presets", nargs="+", required=True)
    page.add_argument("--suffix", default="", help="of the files of a corpus")
    page.add_argument("--page", type=Path, required=True, help=".md to write, .json beside it")
    page.add_argument("--pictures", type=Path, help="folder of pictures")
    page.set_defaults(run=_results)
    return parser


def main() -> int:
    args = _parser().parse_args()
    return run_command(lambda: args.run(args))


if __name__ == "__main__":
    sys.exit(main())
