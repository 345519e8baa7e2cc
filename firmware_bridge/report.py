"""A measurement as tables for the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convert.parity_report import FORMAT as PARITY_FORMAT
from dyncp.errors import UserError

MEASUREMENT_FORMAT = 3


def load_json(path: Path, made_by: str) -> dict[str, Any]:
    """Read a JSON object; ``made_by`` is the command to name if it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror or error}; make it with: {made_by}"
        ) from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); make it again with: {made_by}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is not what `{made_by}` writes; make it again")
    return content


def load_measurement(path: Path) -> dict[str, Any]:
    """Read a measurement; raises :class:`UserError` if it is none or of another format."""
    measurement = load_json(path, "make measure")
    if measurement.get("format") != MEASUREMENT_FORMAT:
        raise UserError(f"{path} is not a measurement of this version; run: make measure")
    return measurement


def load_parity(path: Path) -> dict[str, Any]:
    """Read the parity report; raises :class:`UserError` if it is none or of another format."""
    parity = load_json(path, "make parity")
    if parity.get("format") != PARITY_FORMAT:
        raise UserError(f"{path} is not a parity report of this version; run: make parity")
    return parity


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned: the first to the left, the others to the right."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    text = []
    for number, line in enumerate(lines):
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        text.append("  " + "  ".join(cells).rstrip())
        if number == 0:
            text.append("  " + "  ".join("-" * width for width in widths))
    return "\n".join(text)


def _decimal(value: float | None, digits: int) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _count(value: float) -> str:
    return f"{round(value):,}"


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def format_measurement(measurement: dict[str, Any]) -> str:
    """The whole result, as `make` prints it."""
    parts = [_title(measurement)]
    if measurement["quality"]:
        parts.append(_quality(measurement["quality"]))
    else:
        parts.append("  No clean reference was given, so there is no PESQ, STOI or SI-SDR.")
    parts += [_work(measurement), _time(measurement), _memory(measurement["memory"])]
    parts.append(_vad(measurement["vad"]))
    if "energy" in measurement:
        parts.append(energy_words(measurement["energy"]))
    return "\n\n".join(parts)


def _title(measurement: dict[str, Any]) -> str:
    board, source = measurement["board"], measurement["input"]
    kind = "emulated" if board["emulated"] else "hardware"
    return (
        f"preset {measurement['preset']} on {board['name']} ({board['cpu']}, {kind}): "
        f"{source['frames']} frames, {source['seconds']:.1f} s of {source['wav']}"
    )


def _quality(quality: dict[str, dict[str, float]]) -> str:
    rows = [
        [name, _decimal(q["pesq"], 2), _decimal(q["stoi"], 3), _decimal(q["si_sdr"], 2)]
        for name, q in quality.items()
    ]
    return table(["quality", "PESQ (wb)", "STOI", "SI-SDR dB"], rows)


def _work(measurement: dict[str, Any]) -> str:
    macs, weights = measurement["macs"], measurement["weight_bytes"]
    rows = []
    for name in ("front", *measurement["blocks"], "back"):
        block = measurement["blocks"].get(name)
        part, fetched = macs["parts"][name], weights["parts"][name]
        rows.append(
            [
                name,
                _share(block["open_gates"], block["gates"]) if block and block["gates"] else "",
                _count(part["dense"]),
                _count(part["executed"]),
                _share(part["executed"], part["dense"]),
                _count(fetched["executed"]),
            ]
        )
    rows.append(
        [
            "frame",
            _share(measurement["open_gates"], measurement["gates"]),
            _count(macs["dense"]),
            _count(macs["executed"]),
            _share(macs["executed"], macs["dense"]),
            _count(weights["executed"]),
        ]
    )
    header = ["per frame", "gates open", "dense MACs", "executed", "share", "weight bytes"]
    agree = (
        "board and host agree on the MACs and weight bytes of every frame"
        if macs["host_agrees"] and weights["host_agrees"]
        else "BOARD AND HOST DISAGREE ON MACS OR WEIGHT BYTES"
    )
    return table(header, rows) + f"\n  ({agree})"


def _time(measurement: dict[str, Any]) -> str:
    work = measurement["work"]
    unit = work["unit"]
    if unit == "none":
        return "  The board has no counter, so there is no time."
    rows = [
        [name, *(_count(work[key][statistic]) for statistic in ("p50", "p95", "p99", "max"))]
        for key, name in (
            ("frame", "a frame"),
            ("network", "of it, the network"),
            ("analysis", "of it, STFT and features"),
            ("synthesis", "of it, mask and overlap-add"),
        )
    ]
    board = measurement["board"]
    counted = f"counted by {board['counter']} at {board['tick_hz'] / 1e6:g} MHz"
    header = [f"{unit}", "p50", "p95", "p99", "max"]
    return f"{table(header, rows)}\n  ({counted})\n  {deadline_words(work)}"


def deadline_words(work: dict[str, Any]) -> str:
    """How the hops stand to the time that a hop lasts; "" without a counter."""
    deadline, unit = work["deadline"], work["unit"]
    if deadline is None:
        return ""
    lasts = f"a hop lasts {1000 * deadline['hop_seconds']:g} ms"
    if deadline["misses"] is None:
        return (
            f"{lasts}: the most expensive one needs {deadline['needed_per_second'] / 1e6:.1f} M "
            f"{unit} a second; an emulator has no time to miss"
        )
    return (
        f"{lasts}, the longest took {1000 * deadline['longest_seconds']:.2f} ms: "
        f"{deadline['misses']} of {deadline['hops']} missed their deadline"
    )


def energy_words(energy: dict[str, Any]) -> str:
    """What a monitor measured."""
    over = "while hops were processed" if energy["over"] == "hops" else "waiting and link included"
    return (
        f"  Energy by {energy['monitor']} at {energy['volts']:.2f} V: "
        f"{1e6 * energy['joules_per_hop']:.2f} uJ a hop ({over}), "
        f"{1000 * energy['mean_watts']:.3f} mW on average over {energy['seconds']:.1f} s."
    )


def _memory(memory: dict[str, int]) -> str:
    rows = [
        ["flash (code and weights)", _count(memory["flash_bytes"])],
        ["RAM (static, arena included)", _count(memory["ram_bytes"])],
        ["of it, the network's arena", _count(memory["arena_bytes"])],
        ["stack high-water", _count(memory["stack_used_bytes"])],
    ]
    return table(["memory", "bytes"], rows)


def _vad(vad: dict[str, Any] | None) -> str:
    if vad is None:
        return "  Voice activity: the model has no `vad` probe."
    if vad["accuracy"] is None:
        return (
            f"  Voice activity from the masks, computed on the board: speech in "
            f"{100 * vad['speech']:.1f} % of the frames (no reference to score it with)."
        )
    return (
        f"  Voice activity from the masks, computed on the board: {100 * vad['accuracy']:.1f} % of "
        f"frames right (always saying the commoner answer: {100 * vad['majority']:.1f} %)."
    )
