"""The arguments of the parity commands; apart, so that ``--help`` is quick."""

from __future__ import annotations

import argparse
from pathlib import Path

FRAMES = 1000


def add_parity_arguments(parser: argparse.ArgumentParser) -> None:
    """What both commands take, but for the files of the network and the audio."""
    parser.add_argument(
        "--frames", type=int, default=FRAMES, help="of the audio, at most (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random adversarial frames")
    parser.add_argument(
        "--no-adversarial", action="store_true", help="run no adversarial frames, audio alone"
    )
    parser.add_argument(
        "--embedding", type=Path, metavar="FILE.json",
        help="whom a personalised network keeps in the audio (default: everybody)",
    )  # fmt: skip
    parser.add_argument(
        "--without", action="append", default=[], metavar="RUNG", help="leave it out; repeatable"
    )
    parser.add_argument(
        "--rung", action="append", default=[], metavar="MODULE:FUNCTION",
        help="climb a rung of yours, too (docs/parity.md); repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, required=True, help="report to write (.json), and JUnit beside it"
    )
