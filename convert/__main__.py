"""Command line: ONNX and TFLite files, the contract check and the parity ladder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dyncp.errors import UserError, run_command

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dyncp.preset import Preset

_EXIT_MISMATCH = 1


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
    print(
        f"{args.model}: {len(metadata['gates'])} gates and {len(metadata['states'])} states "
        "as contracted"
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
    from convert.contract import read_metadata
    from convert.ladder import Rung, climb
    from convert.rungs import RUNTIMES, IntegerRung, OnnxRung, TfliteRung, TorchRung
    from dyncp.checkpoint import load_checkpoint
    from quantize.arithmetic import quantise
    from quantize.model import load_model

    if args.frames < 1:
        raise UserError(f"--frames must be at least 1, not {args.frames}")
    model = load_model(args.quantized)
    if read_metadata(args.tflite)["model_hash"] != model.model_hash:
        raise UserError(f"{args.tflite} was made from another quantised model; convert it anew")
    grid = model.activations["features"]
    features = _features(args, model.preset)[:, : args.frames]
    frames = quantise(features.T, grid.scale, grid.zero_point)
    rungs: list[Rung] = [IntegerRung(model)]
    rungs += [TfliteRung(args.tflite, runtime) for runtime in RUNTIMES]
    rungs.append(TfliteRung(args.tflite, "ai-edge-litert", "optimised"))
    if args.onnx:
        rungs.append(OnnxRung(args.onnx, model))
    floating = None
    if args.checkpoint:
        floating = TorchRung(load_checkpoint(args.checkpoint, expect=model.preset).network, model)
    report = climb(rungs, frames, floating)
    about = {
        "preset": model.preset.name,
        "model_hash": model.model_hash,
        "input": (args.wav or args.features).name,
        "frames": len(frames),
    }
    report.write(args.out, about)
    for line in report.lines():
        print(line)
    return 0 if report.passed else _EXIT_MISMATCH


def _features(args: argparse.Namespace, preset: Preset) -> NDArray[np.float32]:
    """Float features ``[bins, frames]`` from a WAV or a .npy file."""
    import numpy as np

    from dyncp.audio import features, load_wav

    if args.wav:
        return features(preset.audio, load_wav(args.wav, preset.audio.sample_rate))
    try:
        values = np.load(args.features, allow_pickle=False)
    except Exception as error:  # numpy and zip each raise their own on foreign bytes
        raise UserError(f"cannot read features from {args.features}: {error}") from error
    bins = preset.audio.bins
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.shape[0] != bins:
        raise UserError(f"{args.features} must hold float features [{bins}, frames]")
    if not np.issubdtype(values.dtype, np.floating):
        raise UserError(f"{args.features} must hold floating-point numbers, not {values.dtype}")
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise UserError(f"{args.features} holds values that are no finite float32 numbers")
    return values


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
        "parity", help="hold a .tflite against the integer model; exit code 1 if a value differs"
    )
    parity.add_argument("--quantized", type=Path, required=True)
    parity.add_argument("--tflite", type=Path, required=True)
    parity.add_argument("--checkpoint", type=Path, help="report agreement with this float network")
    parity.add_argument("--onnx", type=Path, help="report this float ONNX file too")
    source = parity.add_mutually_exclusive_group(required=True)
    source.add_argument("--wav", type=Path, help="audio to run")
    source.add_argument("--features", type=Path, help="float features [bins, frames] (.npy) to run")
    parity.add_argument("--frames", type=int, default=500, help="at most this many (default 500)")
    parity.add_argument("--out", type=Path, required=True, help="report to write (.json)")
    parity.set_defaults(run=_parity)
    return parser


def main() -> int:
    args = _parser().parse_args()
    return run_command(lambda: args.run(args))


if __name__ == "__main__":
    sys.exit(main())
