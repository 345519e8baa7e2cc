"""Command line: what int8 costs, the probes in integers, and the pages over all presets."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

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


def _exactness(args: argparse.Namespace) -> None:
    from quantize.evaluation.exactness import Networks, measure_exactness
    from quantize.evaluation.results import read_json

    clips = read_json(args.quality, "make evaluate")["clips"]
    networks = Networks(args.checkpoint, args.deployed, args.model)
    result = measure_exactness(networks, clips, args.data)
    write_text(args.out, json.dumps(result, indent=1) + "\n")
    gates = result["gates"]
    print(
        (f"equal gates {gates['equal']:.3%}, weighted {gates['weighted']:.3%}, " if gates else "")
        + f"mask SNR {result['mask_snr']:.2f} dB over {result['frames']} frames"
    )


def _ways(args: argparse.Namespace) -> None:
    from dyncp.checkpoint import load_checkpoint
    from quantize.evaluation.ways import compare_ways

    result = compare_ways(load_checkpoint(args.checkpoint))
    write_text(args.out, json.dumps(result, indent=1) + "\n")
    print(f"wrote {args.out}")


def _exactness_page(args: argparse.Namespace) -> None:
    from quantize.evaluation.exactness_page import WAYS, aim_table, main_table, page
    from quantize.evaluation.results import read_json

    def read(name: str, way: str, file: str) -> Any:
        folder = args.build / (name if way == "ptq" else f"{name}-{way}")
        return read_json(folder / file, "make exactness")

    found = {
        name: {way: read(name, way, "exactness.json") for way in WAYS} for name in args.presets
    }
    ways = {name: read(name, "ptq", "ways.json") for name in args.presets}
    probes = {
        name: {way: read(name, way, "integer.json") for way in WAYS}
        for name in args.presets
        if found[name]["ptq"]["gates"]
    }
    write_text(args.page, page(found, ways, probes))
    together = {"exactness": found, "ways": ways, "integer_probes": probes}
    write_text(args.page.with_suffix(".json"), json.dumps(together, indent=1) + "\n")
    print(f"{main_table(found)}\n\n{aim_table(found, probes)}")


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
    exactness = commands.add_parser("exactness", help="what int8 costs, on the test clips")
    exactness.add_argument("--checkpoint", type=Path, required=True, help="trained in float (.pt)")
    exactness.add_argument("--deployed", type=Path, required=True, help="what was rounded (.pt)")
    exactness.add_argument("--model", type=Path, required=True, help="quantized.npz")
    exactness.add_argument("--quality", type=Path, required=True, help="the float scores (.json)")
    exactness.add_argument("--data", type=Path)
    exactness.add_argument("--out", type=Path, required=True)
    exactness.set_defaults(run=_exactness)
    ways = commands.add_parser("ways", help="ways to find ranges, and where 16 bits would pay")
    ways.add_argument("--checkpoint", type=Path, required=True)
    ways.add_argument("--out", type=Path, required=True)
    ways.set_defaults(run=_ways)
    exact_page = commands.add_parser("exactness-page", help="write the page of exactness")
    exact_page.add_argument("--build", type=Path, default=Path("build"))
    exact_page.add_argument("--presets", nargs="+", required=True)
    exact_page.add_argument(
        "--page", type=Path, required=True, help=".md to write, .json beside it"
    )
    exact_page.set_defaults(run=_exactness_page)
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
