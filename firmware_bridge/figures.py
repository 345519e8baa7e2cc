"""Figures of what a board said, as the JSON of a measurement or a campaign holds them."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dyncp.errors import UserError
from dyncp.preset import Preset
from firmware_bridge.counting import TickCounter
from firmware_bridge.messages import Greeting
from firmware_bridge.stream import Streamed
from quantize.macs import Work, dense_work, executed_work
from targets import board as boards
from targets.firmware_build import Firmware


def provenance(
    greeting: Greeting,
    board: boards.Board,
    firmware: Firmware,
    checkpoint: Path,
    embedding: NDArray[np.int8] | None = None,
) -> dict[str, Any]:
    """What ran where and when; ``checkpoint``: the float network of the integers; ``embedding``:
    whom a personalised one kept, by the board's own account, of which the CRC-32 is named."""
    keeps = {} if embedding is None else {"embedding_crc32": zlib.crc32(embedding.tobytes())}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "preset": greeting.preset,
        "build_id": greeting.build_id,
        "model_hash": greeting.model_hash,
        "checkpoint_sha256": file_hash(checkpoint),
        **keeps,
        "compiler": firmware.compiler,
        "board": {
            "name": board.name,
            "title": board.title,
            "cpu": board.core.cpu,
            "emulated": greeting.counter.unit == "instructions",
            "counter": greeting.counter.name,
            "tick_hz": greeting.counter.tick_hz,
        },
    }


def file_hash(path: Path) -> str:
    """sha256, hex."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def mask_figures(preset: Preset, gates: NDArray[np.bool_]) -> dict[str, Any]:
    """How many gates were open; ``gates`` bool ``[T, blocks, gates]``."""
    gated = preset.gate is not None
    return {
        "gates": preset.gates * preset.blocks,
        "open_gates": float(gates.sum(axis=(1, 2)).mean()) if gated else 0.0,
        "blocks": {
            f"block{index}": {
                "gates": preset.gates,
                "open_gates": float(gates[:, index].sum(axis=1).mean()) if gated else 0.0,
            }
            for index in range(preset.blocks)
        },
    }


def work_figures(preset: Preset, firmware: Firmware, streamed: Streamed) -> dict[str, Any]:
    """MACs and weight bytes: what the host computes of the gates, against the board's."""
    dense = dense_work(preset, firmware.layouts)
    executed = [executed_work(preset, list(frame), firmware.layouts) for frame in streamed.gates]
    return {
        "macs": _compare(dense, executed, lambda work: work.macs, streamed.executed_macs),
        "weight_bytes": _compare(
            dense, executed, lambda work: work.weight_bytes, streamed.weight_bytes
        ),
    }


def _compare(
    dense: dict[str, Work],
    executed: list[dict[str, Work]],
    figure: Callable[[Work], int],
    reported: NDArray[np.int64],
) -> dict[str, Any]:
    """Means per frame of the layers' figures, by part of the network, against the board's."""
    parts: dict[str, dict[str, float]] = {}
    for layer, work in dense.items():
        part = parts.setdefault(layer.split(".")[0], {"dense": 0, "executed": 0.0})
        part["dense"] += figure(work)
        part["executed"] += float(np.mean([figure(frame[layer]) for frame in executed]))
    totals = np.array([sum(figure(work) for work in frame.values()) for frame in executed])
    return {
        "dense": sum(figure(work) for work in dense.values()),
        "executed": float(reported.mean()),
        "executed_max": int(reported.max()),
        "parts": parts,
        "host_agrees": bool(np.array_equal(totals, reported)),
        "frames_compared": len(totals),
    }


def latency_figures(preset: Preset, counter: TickCounter, streamed: Streamed) -> dict[str, Any]:
    """What a hop took, in the counter's unit, and how that stands to the time a hop lasts.

    ``deadline`` has the misses where the unit is cycles. Instructions are no time: of an
    emulator there is only how many a second a core must do for the most expensive hop.
    """
    counts = {
        "frame": streamed.counts,
        "network": streamed.counts - streamed.analysis_counts - streamed.synthesis_counts,
        "analysis": streamed.analysis_counts,
        "synthesis": streamed.synthesis_counts,
    }
    figures: dict[str, Any] = {"unit": counter.unit}
    for name, values in counts.items():
        p50, p95, p99 = np.percentile(values, [50, 95, 99], method="higher")
        figures[name] = {
            "p50": int(p50),
            "p95": int(p95),
            "p99": int(p99),
            "max": int(values.max()),
            "mean": float(values.mean()),
        }
    figures["deadline"] = _deadline(preset, counter, streamed.counts)
    return figures


def _deadline(
    preset: Preset, counter: TickCounter, counts: NDArray[np.int64]
) -> dict[str, Any] | None:
    hop_seconds = preset.audio.hop / preset.audio.sample_rate
    if counter.unit == "none":
        return None
    figures: dict[str, Any] = {
        "hop_seconds": hop_seconds,
        "needed_per_second": float(counts.max() / hop_seconds),
        "hops": len(counts),
        "misses": None,
    }
    if counter.unit == "cycles":
        figures["misses"] = int(np.count_nonzero(counts > hop_seconds * counter.tick_hz))
        figures["longest_seconds"] = float(counts.max() / counter.tick_hz)
    return figures


def memory_figures(greeting: Greeting, stack_used: int) -> dict[str, int]:
    """Bytes, all of them the board's own words."""
    return {
        "flash_bytes": greeting.flash_bytes,
        "ram_bytes": greeting.ram_bytes,
        "arena_bytes": greeting.arena_bytes,
        "stack_bytes": greeting.stack_bytes,
        "stack_used_bytes": stack_used,
    }
