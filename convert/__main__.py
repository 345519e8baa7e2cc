"""Command line: ONNX and TFLite files, the contract check and the parity ladder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from convert.parity_arguments import add_parity_arguments
from dyncp.errors import UserError, run_command


def _onnx(args: argparse.Namespace) -> None:
    from convert.onnx_export import export_onnx
    from dyncp.checkpoint import load_checkpoint

    export_onnx(args.out, load_checkpoint(args.checkpoint).network)
    print(f"wrote {args.out}")


def _tflite(args: argparse.Namespace) -> None:
    from convert.onnx_export import layer_weights
    from convert.structure import float_structure
    from convert.tflite_build import build_tflite, check_same_network
    from dyncp.files import write_bytes
    from quantize.model import load_model

    model = load_model(args.quantized)
    weights = layer_weights(args.onnx, model.preset)
    check_same_network(weights, model)
    written = build_tflite(float_structure(args.onnx), weights, model)
    write_bytes(args.out, written)
    print(f"wrote {args.out}: {len(written)} bytes, model {model.model_hash[:12]}")


def _check(args: argparse.Namespace) -> None:
    from convert.contract import check_contract

    metadata = check_contract(args.model)
    personal = ", an embedding" if "embedding" in metadata else ""
    print(
        f"{args.model}: {len(metadata['gates'])} gates{personal} and {len(metadata['states'])} "
        "states as contracted"
    )


def _audit(args: argparse.Namespace) -> int:
    from convert.audit.registry import all_checks
    from convert.audit.report import audit_file

    if args.list:
        for check in all_checks():
            print(f"{check.severity:8} {check.id}: {check.title}")
        return 0
    if args.model is None:
        raise UserError("say which file: python -m convert audit FILE.tflite")
    report = audit_file(args.model, run=not args.no_run)
    if args.json:
        report.write_json(args.json)
    if args.junit:
        report.write_junit(args.junit)
    for line in report.lines():
        print(line)
    return report.exit_code


def _parity(args: argparse.Namespace) -> int:
    from convert.parity_command import feature_file, open_ladder, with_audio
    from convert.rung_list import desktop_rungs
    from dyncp.audio import features, load_wav

    ladder = open_ladder(args, args.quantized, args.tflite)
    preset = ladder.model.preset
    if args.wav:
        values = features(preset.audio, load_wav(args.wav, preset.audio.sample_rate))
    else:
        values = feature_file(args.features, preset)
    source = args.wav or args.features
    ladder = with_audio(ladder, source.name, values)
    planned = desktop_rungs(ladder.model, args.tflite, args.onnx)
    return ladder.finish(ladder.climb(planned, args.checkpoint), source)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m convert", description=__doc__)
    commands = parser.add_subparsers(required=True)

    onnx = commands.add_parser("onnx", help="write the streaming network as ONNX")
    onnx.add_argument("--checkpoint", type=Path, required=True, help="float network (.pt)")
    onnx.add_argument("--out", type=Path, required=True)
    onnx.set_defaults(run=_onnx)

    tflite = commands.add_parser("tflite", help="write the deployed .tflite")
    tflite.add_argument("--onnx", type=Path, required=True, help="gives the structure")
    tflite.add_argument("--quantized", type=Path, required=True, help="gives every number (.npz)")
    tflite.add_argument("--out", type=Path, required=True)
    tflite.set_defaults(run=_tflite)

    check = commands.add_parser("check", help="check a .tflite's gate and state contracts")
    check.add_argument("model", type=Path)
    check.set_defaults(run=_check)

    audit = commands.add_parser(
        "audit",
        help="judge any .tflite; exit code 0: clear, 1: failed, 3: could not be judged to the end",
    )
    audit.add_argument("model", type=Path, nargs="?", metavar="FILE.tflite")
    audit.add_argument("--json", type=Path, help="report to write (.json)")
    audit.add_argument("--junit", type=Path, help="report to write for a CI server (.xml)")
    audit.add_argument("--no-run", action="store_true", help="leave the interpreter out")
    audit.add_argument("--list", action="store_true", help="list all checks and stop")
    audit.set_defaults(run=_audit)

    parity = commands.add_parser(
        "parity",
        help="hold a .tflite against the integer model; exit code 1 if a value differs, "
        "2 if a rung cannot run",
    )
    parity.add_argument("--quantized", type=Path, required=True)
    parity.add_argument("--tflite", type=Path, required=True)
    parity.add_argument("--checkpoint", type=Path, help="report agreement with this float network")
    parity.add_argument("--onnx", type=Path, help="report this float ONNX file too")
    source = parity.add_mutually_exclusive_group(required=True)
    source.add_argument("--wav", type=Path, help="audio to run")
    source.add_argument("--features", type=Path, help="float features [bins, frames] (.npy) to run")
    add_parity_arguments(parity)
    parity.set_defaults(run=_parity)
    return parser


def main() -> int:
    args = _parser().parse_args()
    return run_command(lambda: args.run(args))


if __name__ == "__main__":
    sys.exit(main())
