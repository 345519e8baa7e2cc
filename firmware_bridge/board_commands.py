"""The commands about boards themselves: which there are, who one is, flashing it, its line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

Run = Callable[[argparse.Namespace], int | None]

WHERE = "where it is: auto, /dev/ttyACM0, socket://host:port, rfc2217://host:port, labgrid://place"


class Add(Protocol):
    """Makes a command of a name, a body and a line of help."""

    def __call__(self, name: str, run: Run, text: str) -> argparse.ArgumentParser: ...


def add_where(command: argparse.ArgumentParser, port_required: bool = False) -> None:
    """The arguments that name a board and the way to it."""
    command.add_argument("--board", required=True, help="a board's name, or a .toml file")
    emulated = "" if port_required else "; without it the board is emulated"
    command.add_argument("--port", required=port_required, help=f"{WHERE}{emulated}")
    command.add_argument("--serial-number", help="of the probe, where --port auto finds several")


def add_board_commands(add: Add) -> None:
    boards = add("boards", _boards, "the boards that are known, and the ports that are plugged in")
    boards.add_argument("--json", action="store_true", help="for programs")
    hello = add("hello", _hello, "ask a board who it is")
    add_where(hello)
    hello.add_argument("--firmware", type=Path, required=True, help="firmware.elf")
    flash = add("flash", _flash, "write firmware to a board; it must greet with that build")
    flash.add_argument("--board", required=True, help="a board's name, or a .toml file")
    flash.add_argument("--port", default="auto", help=f"{WHERE}; auto if it is left out")
    flash.add_argument("--serial-number", help="of the probe, where --port auto finds several")
    flash.add_argument("--image", type=Path, required=True, help="firmware.elf")
    line = add("line", _line, "what streaming makes of a serial line, from counted bytes")
    line.add_argument("--board", required=True, help="an emulated board's name")
    line.add_argument("--firmware", type=Path, required=True, help="firmware.elf")
    line.add_argument("--baud", type=int, action="append", help="of the line; may be repeated")
    line.add_argument("--hops", type=int, default=64, help="so many are streamed")


def _boards(args: argparse.Namespace) -> None:
    from firmware_bridge.discovery import as_json, as_text, known_boards, plugged_in

    ports = plugged_in()
    boards = known_boards(ports)
    print(json.dumps(as_json(boards, ports), indent=1) if args.json else as_text(boards, ports))


def _hello(args: argparse.Namespace) -> None:
    from firmware_bridge.connect import open_board

    with open_board(
        args.board, args.port, args.firmware, None, serial_number=args.serial_number
    ) as session:
        greeting = session.greeting
        print(f"board {greeting.board}, preset {greeting.preset}, build {greeting.build_id}")
        print(f"model {greeting.model_hash}")
        print(
            f"flash {greeting.flash_bytes} bytes, RAM {greeting.ram_bytes} + "
            f"{greeting.stack_bytes} stack, of it arena {greeting.arena_bytes}"
        )
        counter = greeting.counter
        by = f", by {counter.name} at {counter.tick_hz} Hz" if counter.tick_hz else ""
        print(f"counts {counter.unit}{by}; probes: {', '.join(session.probe_names) or 'none'}")


def _flash(args: argparse.Namespace) -> None:
    from firmware_bridge.connect import flash_board

    firmware, session = flash_board(args.board, args.port, args.image, args.serial_number)
    with session:
        print(
            f"{args.board} on {session.name} runs build {firmware.build_id} of {firmware.preset}, "
            "as its greeting says"
        )


def _line(args: argparse.Namespace) -> None:
    from firmware_bridge.line_report import line_report

    print(line_report(args.board, args.firmware, args.baud or [115_200, 921_600], args.hops))
