"""Command line: a float checkpoint, calibrated and rounded to ``quantized.npz``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dyncp.errors import UserError, run_command

_CALIBRATION_SEED = 1
_HELD_OUT_SEED = 2
_HELD_OUT_SECONDS = 10.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m quantize", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="float network (.pt)")
    parser.add_argument("--out", type=Path, required=True, help="quantised model to write (.npz)")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of synthesised calibration audio (default 60)"
    )
    parser.add_argument(
        "--wav", type=Path, nargs="+", help="calibrate on these recordings of noisy speech instead"
    )
    return parser


def _quantise(args: argparse.Namespace) -> None:
    import numpy as np

    from dyncp.audio import features, load_wav
    from dyncp.checkpoint import load_checkpoint
    from dyncp.data.mixtures import calibration_features
    from quantize.agreement import compare_with_float
    from quantize.calibrate import quantise_network
    from quantize.model import save_model

    if not 1.0 <= args.seconds <= 3600.0:
        raise UserError(f"--seconds must lie in 1..3600, not {args.seconds:g}")
    checkpoint = load_checkpoint(args.checkpoint)
    audio = checkpoint.preset.audio
    if args.wav:
        clips = [features(audio, load_wav(path, audio.sample_rate)) for path in args.wav]
    else:
        clips = calibration_features(checkpoint.preset, args.seconds, _CALIBRATION_SEED)
    model = quantise_network(checkpoint.network, clips, checkpoint.probes)
    save_model(args.out, model)
    held_out = np.concatenate(
        calibration_features(checkpoint.preset, _HELD_OUT_SECONDS, _HELD_OUT_SEED), axis=1
    )
    frames = sum(clip.shape[1] for clip in clips)
    print(f"wrote {args.out}: calibrated on {frames} frames, model {model.model_hash[:12]}")
    for line in compare_with_float(checkpoint.network, model, held_out).lines():
        print(line)


def main() -> int:
    args = _parser().parse_args()
    return run_command(lambda: _quantise(args))


if __name__ == "__main__":
    sys.exit(main())
