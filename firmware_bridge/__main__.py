"""Command line: which boards there are, audio through one, its parity, the result."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from dyncp.errors import UserError, run_command

if TYPE_CHECKING:
    from dyncp.preset import Preset
    from firmware_bridge.session import Board
    from targets.firmware_build import Firmware

_EXIT_MISMATCH = 1


def _boards(_: argparse.Namespace) -> None:
    from serial.tools.list_ports import comports

    from targets.board import board_names, load_board

    ports = list(comports())
    for name in board_names():
        board = load_board(name)
        ids = board.usb.ids if board.usb else ()
        found = [p.device for p in ports if f"{p.vid or 0:04x}:{p.pid or 0:04x}" in ids]
        where = "emulated" if board.emulator else ", ".join(found) or "not connected"
        print(f"{name:16s} {where:16s} {board.title}")
    for port in ports:
        print(f"port {port.device}: {port.description}")


def _hello(args: argparse.Namespace) -> None:
    with _open(args, None) as session:
        greeting = session.greeting
        print(f"board {greeting.board}, preset {greeting.preset}, build {greeting.build_id}")
        print(f"model {greeting.model_hash}")
        print(
            f"flash {greeting.flash_bytes} bytes, RAM {greeting.ram_bytes} + "
            f"{greeting.stack_bytes} stack, of it arena {greeting.arena_bytes}"
        )
        print(f"counts {greeting.counter.unit}; probes: {', '.join(session.probe_names) or 'none'}")


def _measure(args: argparse.Namespace) -> None:
    from dyncp.audio import from_pcm, load_wav, save_wav, to_pcm
    from dyncp.files import write_text
    from targets.board import load_board

    board = load_board(args.board)
    preset, firmware = _preset_and_firmware(args)
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
    with _open(args, firmware) as session, _Bar("measure", "hop") as progress:
        measurement, pcm = measure(
            session,
            board,
            firmware,
            preset,
            samples,
            wav=args.wav,
            clean=clean,
            float_samples=enhanced,
            progress=progress,
        )
    save_wav(args.enhanced, pcm, rate)
    write_text(args.out, json.dumps(measurement, indent=1) + "\n")
    print(f"wrote {args.enhanced} and {args.out}")


def _parity(args: argparse.Namespace) -> int:
    from convert.ladder import Rung, climb
    from convert.rungs import RUNTIMES, IntegerRung, OnnxRung, TfliteRung, TorchRung
    from dyncp.audio import features, load_wav, to_pcm
    from dyncp.checkpoint import load_checkpoint
    from firmware_bridge.board_rung import BoardRung, compare_audio
    from quantize.arithmetic import quantise
    from quantize.model import load_model
    from targets.host_rung import HostRung

    if args.frames < 1:
        raise UserError(f"--frames must be at least 1, not {args.frames}")
    preset, firmware = _preset_and_firmware(args)
    model = load_model(args.quantized)
    if model.model_hash != firmware.model_hash:
        raise UserError(f"{args.quantized} is another model than {args.firmware}'s; run make again")
    samples = load_wav(args.wav, preset.audio.sample_rate)[: args.frames * preset.audio.hop]
    grid = model.activations["features"]
    frames = quantise(features(preset.audio, samples).T, grid.scale, grid.zero_point)
    group = preset.gate.group if preset.gate else 0
    host = HostRung(args.library, group)
    floating = TorchRung(load_checkpoint(args.checkpoint, expect=model.preset).network, model)
    with _open(args, firmware) as session, _Bar("parity", "frame") as progress:
        rungs: list[Rung] = [
            IntegerRung(model),
            *(TfliteRung(args.model, runtime) for runtime in RUNTIMES),
            host,
            BoardRung(session, group),
            TfliteRung(args.model, kernels="optimised"),
            OnnxRung(args.onnx, model),
        ]
        report = climb(rungs, frames, floating, progress.of)
        audio = compare_audio(host.library, session, to_pcm(samples))
    passed = report.passed and audio.passed
    report.write(
        args.out,
        {
            "preset": preset.name,
            "model_hash": model.model_hash,
            "board": args.board,
            "input": str(args.wav),
            "frames": len(frames),
            "audio": {**vars(audio), "passed": audio.passed},
        },
    )
    print("\n".join([*report.lines(), audio.line()]))
    return 0 if passed else _EXIT_MISMATCH


def _report(args: argparse.Namespace) -> None:
    from firmware_bridge.report import (
        format_measurement,
        format_parity,
        load_measurement,
        load_parity,
    )

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


def _preset_and_firmware(args: argparse.Namespace) -> tuple[Preset, Firmware]:
    """What the model is and the image that was built of it."""
    from convert.contract import read_metadata
    from convert.metadata import deployed_preset
    from targets.board import load_board
    from targets.firmware_build import read_firmware

    metadata, firmware = read_metadata(args.model), read_firmware(args.firmware)
    if metadata["model_hash"] != firmware.model_hash:
        raise UserError(
            f"{args.firmware} was built from another model than {args.model}; build it again"
        )
    board = load_board(args.board)
    if firmware.board != board.name:
        raise UserError(f"{args.firmware} was built for {firmware.board}, not for {board.name}")
    return deployed_preset(metadata["preset"]), firmware


def _open(args: argparse.Namespace, firmware: Firmware | None) -> Board:
    """A session on the port, or on an emulator that ends with it."""
    from firmware_bridge.emulator import EmulatorTransport
    from firmware_bridge.session import Board
    from firmware_bridge.transport import SerialTransport, Transport
    from targets.board import load_board

    board = load_board(args.board)
    transport: Transport
    if args.port:
        transport = SerialTransport(args.port, board.uart.baud)
    else:
        transport = EmulatorTransport(board, args.firmware)
    return Board(transport, build_id=firmware.build_id if firmware else None)


class _Bar:
    """A progress bar for callbacks that say how far they are."""

    def __init__(self, title: str, unit: str) -> None:
        self._bar = tqdm(desc=title, unit=unit, disable=not sys.stderr.isatty(), leave=False)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def of(self, part: str, done: int, total: int) -> None:
        """The progress of one part of several."""
        if done == 1:
            self._bar.reset(total)
            self._bar.set_description(part)
        self(done, total)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m firmware_bridge", description=__doc__)
    commands = parser.add_subparsers(required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int | None], text: str):  # type: ignore[no-untyped-def]
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    add("boards", _boards, "the boards that are known, and the serial ports that are there")

    hello = add("hello", _hello, "ask a board who it is")
    measure = add("measure", _measure, "stream audio through a board and measure")
    parity = add("parity", _parity, "hold a board against the integer model; 1 if a value differs")
    for command in (hello, measure, parity):
        command.add_argument("--board", required=True, help="a board's name, or a .toml file")
        command.add_argument("--port", help="where it is: /dev/ttyACM0, socket://host:port")
        command.add_argument("--firmware", type=Path, required=True, help="firmware.elf")
    for command in (measure, parity):
        command.add_argument("--model", type=Path, required=True, help="its .tflite")
        command.add_argument("--checkpoint", type=Path, required=True, help="its float network")
        command.add_argument("--wav", type=Path, required=True, help="noisy audio")
        command.add_argument("--out", type=Path, required=True, help="report to write (.json)")
    measure.add_argument("--clean", type=Path, help="the clean reference, to score with")
    measure.add_argument("--enhanced", type=Path, required=True, help="audio to write (.wav)")
    parity.add_argument("--quantized", type=Path, required=True, help="the integers (.npz)")
    parity.add_argument("--onnx", type=Path, required=True, help="the float ONNX file")
    parity.add_argument("--library", type=Path, required=True, help="the host's libsluice.so")
    parity.add_argument("--frames", type=int, default=500, help="at most this many (default 500)")

    bench = add("bench", _bench, "count instructions on emulated boards; 1 if some cost more")
    bench.add_argument("--board", action="append", help="only this one; may be repeated")
    bench.add_argument("--only-kernels", action="store_true", help="no whole frames")
    bench.add_argument("--out", type=Path, required=True, help="figures to write (.json)")
    bench.add_argument(
        "--committed", type=Path, default=Path("docs/bench.json"), help="figures to compare with"
    )
    bench.add_argument("--update", action="store_true", help="make these the committed figures")

    report = add("report", _report, "show a measurement as tables")
    report.add_argument("measurement", type=Path)
    report.add_argument("--parity", type=Path, help="parity.json to show below it")
    return parser


def main() -> int:
    args = _parser().parse_args()
    return run_command(lambda: args.run(args))


if __name__ == "__main__":
    sys.exit(main())
