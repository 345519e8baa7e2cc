"""The tests' tiny network as firmware: for runs of so many frames that a preset would take hours.

    python -m tests.targets.tiny_firmware --board mps2-an386 --out build/tiny

It writes ``BOARD/firmware.elf`` and ``c/libsluice.so``, the same network for this machine. Its
weights are random; every kernel, the front end, the gates and the probes run.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from dyncp.errors import run_command
from targets.board import load_board
from targets.firmware_build import build_firmware
from tests.conftest import tiny_preset
from tests.targets.built import build


def make(board: str, out: Path) -> None:
    """Build it anew in ``out``; raises UserError for an unknown board."""
    target = load_board(board)
    shutil.rmtree(out, ignore_errors=True)
    built = build(tiny_preset("hidden", 8, 5), out)
    build_firmware(built.tflite, target, out / board)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--board", required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder, made anew")
    args = parser.parse_args()
    return run_command(lambda: make(args.board, args.out))


if __name__ == "__main__":
    sys.exit(main())
