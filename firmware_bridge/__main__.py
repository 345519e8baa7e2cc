"""Command line: which boards there are, audio through one, its parity, the result."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from convert.parity_arguments import add_parity_arguments
from dyncp.errors import UserError, run_command
from firmware_bridge.board_commands import WHERE, add_board_commands, add_where
from firmware_bridge.campaign_command import add_campaign_command
from firmware_bridge.energy_arguments import add_ppk2_arguments, monitored
from firmware_bridge.mlperf_command import add_mlperf_command
from firmware_bridge.personal_command import add_personal_command
from firmware_bridge.progress import Bar

if TYPE_CHECKING:
    from firmware_bridge.session import Board
    from targets.firmware_build import Firmware

_EXIT_MISMATCH = 1


def _measure(args: argparse.Namespace) -> None:
    from dyncp.audio import from_pcm, load_wav, save_wav, to_pcm
    from dyncp.files import write_text
    from firmware_bridge.connect import preset_and_firmware
    from targets.board import load_board

    board = load_board(args.board)
    preset, firmware = preset_and_firmware(args.model, args.firmware, args.board)
    rate = preset.audio.sample_rate
    # The board is given these very samples, so the float network is too.
    samples = from_pcm(to_pcm(load_wav(args.wav, rate)))
    clean = load_wav(args.clean, rate) if args.clean else None
    if clean is not None and len(clean) != len(samples):
        raise UserError(
            f"{args.clean} has {len(clean)} samples, {args.wav} {len(samples)}; a clean "
            "reference must be as long as the noisy file"
        )

    # Slow to import, so not before the input is known to be good.
    from dyncp.checkpoint import load_checkpoint
    from dyncp.enhance import enhance
    from firmware_bridge.measure import measure

    network = load_checkpoint(args.checkpoint, expect=preset).network
    enhanced = enhance(network, samples).samples
    with (
        monitored(args) as monitor,
        _open(args, firmware) as session,
        Bar("measure", "hop") as progress,
    ):
        measurement, pcm = measure(
            session,
            board,
            firmware,
            preset,
            samples,
            wav=args.wav,
            checkpoint=args.checkpoint,
            clean=clean,
            float_samples=enhanced,
            monitor=monitor,
            progress=progress,
        )
    save_wav(args.enhanced, pcm, rate)
    write_text(args.out, json.dumps(measurement, indent=1) + "\n")
    print(f"wrote {args.enhanced} and {args.out}")


def _parity(args: argparse.Namespace) -> int:
    from firmware_bridge.parity import run_parity

    with Bar("parity", "frame") as progress:
        return run_parity(args, progress.of)


def _report(args: argparse.Namespace) -> None:
    from convert.parity_report import format_parity
    from firmware_bridge.report import format_measurement, load_measurement, load_parity

    parts = [format_measurement(load_measurement(args.measurement))]
    if args.parity:
        parts.append(format_parity(load_parity(args.parity)))
    print("\n\n".join(parts))


def _bench(args: argparse.Namespace) -> int:
    from dyncp.files import write_text
    from firmware_bridge import bench
    from firmware_bridge.bench_compare import compare
    from firmware_bridge.bench_report import page, text

    boards = args.board or bench.emulated_boards()
    selection = bench.Selection(boards, presets=() if args.only_kernels else bench.PRESETS)
    partial = bool(args.board or args.only_kernels)
    if args.update and partial:
        raise UserError("--update counts everything; leave out --board and --only-kernels")
    committed = None if args.update else bench.read_figures(args.committed)
    figures = bench.run_bench(selection, bench.Announcer(selection.steps))
    bench.write_figures(args.out, figures)
    print(text(figures))
    if args.update:
        bench.write_figures(args.committed, figures)
        write_text(args.committed.with_suffix(".md"), page(figures))
        print(f"\nwrote {args.committed} and {args.committed.with_suffix('.md')}")
    if committed is None:
        return 0
    comparison = compare(figures, committed, partial)
    print("\n" + "\n".join(comparison.lines()))
    return 0 if comparison.passed else _EXIT_MISMATCH


def _faults(args: argparse.Namespace) -> int:
    from firmware_bridge.fault_report import as_text, run_faults

    with Bar("faults", "frame") as progress:
        counts = run_faults(
            args.board,
            args.firmware,
            args.library,
            args.frames,
            seed=args.seed,
            out=args.out,
            progress=progress,
            **({"rates": args.rate} if args.rate else {}),
        )
    print(as_text(counts))
    return 0 if all(one.passed for one in counts) else _EXIT_MISMATCH


def _open(args: argparse.Namespace, firmware: Firmware | None) -> Board:
    from firmware_bridge.connect import open_board

    return open_board(
        args.board, args.port, args.firmware, firmware, serial_number=args.serial_number
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m firmware_bridge", description=__doc__)
    commands = parser.add_subparsers(required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int | None], text: str):  # type: ignore[no-untyped-def]
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    add_board_commands(add)
    add_mlperf_command(add)
    add_campaign_command(add)
    add_personal_command(add)
    measure = add("measure", _measure, "stream audio through a board and measure")
    parity = add(
        "parity",
        _parity,
        "climb the whole ladder; 1 if a value differs, 2 if a rung cannot run",
    )
    add_where(measure)
    add_ppk2_arguments(measure)
    measure.add_argument("--firmware", type=Path, required=True, help="firmware.elf")
    for command in (measure, parity):
        command.add_argument("--model", type=Path, required=True, help="its .tflite")
        command.add_argument("--checkpoint", type=Path, required=True, help="its float network")
        command.add_argument("--wav", type=Path, required=True, help="noisy audio")
    measure.add_argument("--out", type=Path, required=True, help="report to write (.json)")
    parity.add_argument(
        "--board", action="append", default=[], help="a board's name, or a .toml file; repeatable"
    )
    parity.add_argument(
        "--firmware", action="append", default=[], type=Path,
        help="firmware.elf of each board, in the same order",
    )  # fmt: skip
    parity.add_argument("--port", help=f"of the first board, {WHERE}; the others are emulated")
    measure.add_argument("--clean", type=Path, help="the clean reference, to score with")
    measure.add_argument("--enhanced", type=Path, required=True, help="audio to write (.wav)")
    parity.add_argument("--quantized", type=Path, required=True, help="the integers (.npz)")
    parity.add_argument("--onnx", type=Path, required=True, help="the float ONNX file")
    parity.add_argument("--library", type=Path, required=True, help="the host's libsluice.so")
    parity.add_argument("--sanitised", type=Path, help="the same C under sanitizers")
    add_parity_arguments(parity)

    bench = add("bench", _bench, "count instructions on emulated boards; 1 if some cost more")
    bench.add_argument("--board", action="append", help="only this one; may be repeated")
    bench.add_argument("--only-kernels", action="store_true", help="no whole frames")
    bench.add_argument("--out", type=Path, required=True, help="figures to write (.json)")
    bench.add_argument(
        "--committed", type=Path, default=Path("docs/bench.json"), help="figures to compare with"
    )
    bench.add_argument("--update", action="store_true", help="make these the committed figures")

    faults = add("faults", _faults, "frames over a line that damages them; 1 if one is believed")
    faults.add_argument("--board", required=True, help="an emulated board's name")
    faults.add_argument("--firmware", type=Path, required=True, help="firmware.elf")
    faults.add_argument("--library", type=Path, required=True, help="the host's libsluice.so")
    faults.add_argument("--frames", type=int, default=1000, help="shared out among the rates")
    faults.add_argument("--rate", type=float, action="append", help="faults a byte; repeatable")
    faults.add_argument("--seed", type=int, default=1, help="where the faults fall")
    faults.add_argument("--out", type=Path, help="figures to write (.json)")

    report = add("report", _report, "show a measurement as tables")
    report.add_argument("measurement", type=Path)
    report.add_argument("--parity", type=Path, help="parity.json to show below it")
    return parser


def main() -> int:
    args = _parser().parse_args()
    # A CI server that cancels a job must not leave emulators behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    return run_command(lambda: args.run(args))


if __name__ == "__main__":
    sys.exit(main())
