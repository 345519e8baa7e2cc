"""How a command line names the monitor of a board's supply."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from dyncp.errors import UserError
from firmware_bridge.energy import Monitor


def add_ppk2_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments that name a PPK2."""
    command.add_argument(
        "--ppk2", metavar="PORT", help="measure energy with a PPK2 (docs/energy.md)"
    )
    command.add_argument(
        "--millivolts", type=int, default=3300, help="of the supply, 800 to 5000 (3300)"
    )
    command.add_argument(
        "--ppk2-mode",
        choices=("source", "ampere"),
        default="source",
        help="does it power the board? (source)",
    )
    command.add_argument(
        "--trigger", type=int, help="its digital channel that is high while a hop is processed"
    )


@contextmanager
def monitored(args: argparse.Namespace) -> Iterator[Monitor | None]:
    """The PPK2 that the arguments name, if they do; closed at the end.

    It may power the board: to be opened before the board is.
    """
    if args.ppk2 is None:
        yield None
        return
    if args.port is None:
        raise UserError("--ppk2 measures a real board: give its --port; an emulator draws nothing")
    from firmware_bridge.ppk2 import Ppk2Monitor

    with Ppk2Monitor(args.ppk2, args.millivolts, args.ppk2_mode, args.trigger) as monitor:
        yield monitor
