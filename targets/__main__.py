"""Command line: ``python -m targets compile|host|firmware|sizes``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dyncp.errors import run_command
from targets.compiler.compile import compile_model
from targets.compiler.emit import DEFAULT_NAME, write_c
from targets.firmware_build import add_firmware_command
from targets.host_library import make_host_library
from targets.sanitised_rung import PROGRAM, build_sanitised
from targets.size_report import add_sizes_command


def _compile(arguments: argparse.Namespace) -> None:
    plan = compile_model(arguments.model)
    for path in write_c(plan, arguments.out, arguments.name):
        print(path)
    print("\n".join(plan.arena.map_lines()))


def _host(arguments: argparse.Namespace) -> None:
    print(make_host_library(arguments.model, arguments.out))
    if arguments.sanitised:
        print(build_sanitised(arguments.out, arguments.out / PROGRAM))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m targets", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, body, text in (
        ("compile", _compile, "write a .tflite as C and print its arena"),
        ("host", _host, "build the host library, libsluice.so, of a .tflite"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--model", type=Path, required=True, help="the .tflite")
        command.add_argument("--out", type=Path, required=True, help="folder to write into")
        command.set_defaults(body=body)
        if body is _compile:
            command.add_argument(
                "--name",
                default=DEFAULT_NAME,
                help="the C object is NAME_model and its sizes NAME_HOP ..., so that several "
                "models link into one program (default: %(default)s)",
            )
        else:
            command.add_argument(
                "--sanitised",
                action="store_true",
                help=f"build {PROGRAM}, too: the same C under ASan and UBSan, for the ladder",
            )
    add_firmware_command(commands)
    add_sizes_command(commands)
    return parser


def main() -> int:
    arguments = _parser().parse_args()
    return run_command(lambda: arguments.body(arguments))


if __name__ == "__main__":
    sys.exit(main())
