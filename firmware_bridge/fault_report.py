"""The campaign over a faulty line as a command: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dyncp.errors import UserError
from dyncp.files import write_text
from firmware_bridge.fault_campaign import RATES, Campaign, Counts, Patience, Progress
from firmware_bridge.faulty_line import WEIGHTS
from firmware_bridge.report import table
from targets.board import load_board
from targets.firmware_build import Firmware, read_firmware
from targets.host_library import HostLibrary

FORMAT = 1
PATIENCE = Patience()


def run_faults(
    board: str,
    elf: Path,
    library: Path,
    frames: int,
    *,
    rates: Sequence[float] = RATES,
    seed: int = 1,
    patience: Patience = PATIENCE,
    out: Path | None = None,
    progress: Progress | None = None,
) -> list[Counts]:
    """Run a :class:`Campaign`, and print a line for each rate as it ends; ``out``: JSON to write.

    Raises :class:`UserError` if the firmware is of another board or network.
    """
    if frames < len(rates) or not all(0 <= rate < 1 for rate in rates):
        raise UserError("give at least a frame for every --rate, and rates of 0 or more, below 1")
    target, firmware = load_board(board), read_firmware(elf)
    if firmware.board != target.name:
        raise UserError(f"{elf} was built for {firmware.board}, not for {target.name}")
    campaign = Campaign(target, elf, firmware, HostLibrary(library), seed=seed, patience=patience)
    counts = []
    for one in campaign.run(frames, rates, progress):
        counts.append(one)
        # A long campaign that is ended half-way has told, and written, what it had.
        told = f"{one.frames:,} frames, {one.right:,} right, {one.errors.total():,} named errors"
        print(f"at {one.rate:g} faults a byte: {told}, {one.wrong} wrong", flush=True)
        if out:
            write_text(out, json.dumps(as_json(counts, firmware, seed, patience), indent=1) + "\n")
    return counts


def as_json(
    counts: Sequence[Counts], firmware: Firmware, seed: int, patience: Patience
) -> dict[str, Any]:
    """What was run, on what, and what came of it."""
    return {
        "format": FORMAT,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "board": firmware.board,
        "preset": firmware.preset,
        "build_id": firmware.build_id,
        "model_hash": firmware.model_hash,
        "seed": seed,
        "patience": vars(patience),
        "frames": sum(one.frames for one in counts),
        "passed": all(one.passed for one in counts),
        "rates": [
            {**vars(one), "frames": one.frames, "faults": dict(one.faults),
             "errors": dict(one.errors)}
            for one in counts
        ],
    }  # fmt: skip


def as_text(counts: Sequence[Counts]) -> str:
    """Two tables, and what went wrong."""
    outcome = [
        [
            f"{one.rate:g}", f"{one.frames:,}", f"{one.faults.total():,}", f"{one.right:,}",
            f"{one.repeated:,}", f"{one.damaged:,}", f"{one.errors['LinkTimeout']:,}",
            f"{one.errors['TransportClosed']:,}", str(one.unexplained), str(one.wrong),
            str(one.late), f"{one.seconds:,.0f}",
        ]
        for one in [*counts, _sum(counts)]
    ]  # fmt: skip
    outcome[-1][0] = "all"
    head = [
        "faults a byte", "frames", "faults", "right", "sent again", "damaged seen", "timed out",
        "line closed", "other errors", "wrong", "late", "s",
    ]  # fmt: skip
    kinds = [
        [f"{one.rate:g}", *(f"{one.faults[kind]:,}" for kind in WEIGHTS), f"{one.sessions:,}"]
        for one in counts
    ]
    lines = [table(head, outcome), "", table(["faults a byte", *WEIGHTS, "sessions"], kinds)]
    for one in counts:
        lines += [f"at {one.rate:g}: {story}" for story in [*one.told, *one.left_behind]]
    if all(one.passed for one in counts):
        lines += ["", "every frame ended in the right bytes or in a named error; nothing is left"]
    return "\n".join(lines)


def _sum(counts: Sequence[Counts]) -> Counts:
    whole = Counts(0.0)
    for one in counts:
        for name in ("right", "wrong", "late", "unexplained", "sessions", "repeated", "damaged"):
            setattr(whole, name, getattr(whole, name) + getattr(one, name))
        whole.seconds += one.seconds
        whole.faults += one.faults
        whole.errors += Counter(one.errors)
    return whole
