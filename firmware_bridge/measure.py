"""The measurement: audio through a board, and what came back, as one JSON object.

Nothing in it is estimated: the board's figures are the board's, the host's are
computed from the gates that the board reported, and where both know a figure
the two are compared frame by frame.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dyncp import audio
from dyncp.data.labels import voice_activity
from dyncp.metrics import pesq_wb, si_sdr, stoi
from dyncp.preset import Preset
from firmware_bridge.report import MEASUREMENT_FORMAT
from firmware_bridge.session import Board
from firmware_bridge.stream import Streamed, stream
from quantize.macs import Work, dense_work, executed_work
from targets import board as boards
from targets.firmware_build import Firmware


def measure(
    session: Board,
    board: boards.Board,
    firmware: Firmware,
    preset: Preset,
    samples: NDArray[np.float32],
    *,
    wav: Path,
    clean: NDArray[np.float32] | None = None,
    float_samples: NDArray[np.float32] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, Any], NDArray[np.int16]]:
    """Stream ``samples`` (float, [-1, 1]) through the board and put its figures together.

    ``clean``: the reference, as long as ``samples``; without it there is no
    quality and no accuracy. ``float_samples``: the float network's output, to
    compare with. Gives the measurement and the enhanced audio, int16, aligned
    with the input.
    """
    streamed = stream(session, audio.to_pcm(samples), progress)
    stats = session.stats()
    gates = streamed.gates
    dense = dense_work(preset, firmware.layouts)
    executed = [executed_work(preset, list(frame), firmware.layouts) for frame in gates]
    greeting = session.greeting
    measurement = {
        "format": MEASUREMENT_FORMAT,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "preset": preset.name,
        "build_id": greeting.build_id,
        "model_hash": greeting.model_hash,
        "compiler": firmware.compiler,
        "board": {
            "name": board.name,
            "title": board.title,
            "cpu": board.core.cpu,
            "emulated": greeting.counter.unit == "instructions",
            "counter": greeting.counter.name,
            "tick_hz": greeting.counter.tick_hz,
        },
        "input": {
            "wav": str(wav),
            "seconds": len(samples) / preset.audio.sample_rate,
            "frames": len(gates),
            "sample_rate": preset.audio.sample_rate,
            "hop": preset.audio.hop,
        },
        "quality": _quality(preset, samples, float_samples, streamed, clean),
        "gates": preset.gates * preset.blocks,
        "open_gates": float(gates.sum(axis=(1, 2)).mean()) if preset.gate else 0.0,
        "blocks": {
            f"block{index}": {
                "gates": preset.gates,
                "open_gates": float(gates[:, index].sum(axis=1).mean()) if preset.gate else 0.0,
            }
            for index in range(preset.blocks)
        },
        "macs": _compare(dense, executed, lambda work: work.macs, streamed.executed_macs),
        "weight_bytes": _compare(
            dense, executed, lambda work: work.weight_bytes, streamed.weight_bytes
        ),
        "work": _work(streamed, greeting.counter.unit),
        "memory": {
            "flash_bytes": greeting.flash_bytes,
            "ram_bytes": greeting.ram_bytes,
            "arena_bytes": greeting.arena_bytes,
            "stack_bytes": greeting.stack_bytes,
            "stack_used_bytes": stats.stack_used,
        },
        "vad": _vad(preset, session.probe_names, streamed, clean),
        "link": {
            "repeated": session.link_counts.repeated,
            "damaged": session.link_counts.damaged,
            "board_damaged": stats.damaged,
            "overruns": stats.overruns,
        },
    }
    return measurement, streamed.pcm


def _quality(
    preset: Preset,
    noisy: NDArray[np.float32],
    float_samples: NDArray[np.float32] | None,
    streamed: Streamed,
    clean: NDArray[np.float32] | None,
) -> dict[str, dict[str, float]] | None:
    if clean is None:
        return None
    rate = preset.audio.sample_rate
    versions = {"noisy": noisy}
    if float_samples is not None:
        versions["float"] = float_samples
    versions["board"] = audio.from_pcm(streamed.pcm)
    return {
        name: {
            "pesq": pesq_wb(samples, clean, rate),
            "stoi": stoi(samples, clean, rate),
            "si_sdr": si_sdr(samples, clean),
        }
        for name, samples in versions.items()
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


def _work(streamed: Streamed, unit: str) -> dict[str, Any]:
    counts = {
        "frame": streamed.counts,
        "network": streamed.counts - streamed.analysis_counts - streamed.synthesis_counts,
        "analysis": streamed.analysis_counts,
        "synthesis": streamed.synthesis_counts,
    }
    figures: dict[str, Any] = {"unit": unit}
    for name, values in counts.items():
        p50, p95 = np.percentile(values, [50, 95], method="higher")
        figures[name] = {
            "p50": int(p50),
            "p95": int(p95),
            "max": int(values.max()),
            "mean": float(values.mean()),
        }
    return figures


def _vad(
    preset: Preset,
    probe_names: list[str],
    streamed: Streamed,
    clean: NDArray[np.float32] | None,
) -> dict[str, Any] | None:
    if "vad" not in probe_names:
        return None
    speech = streamed.probes[:, probe_names.index("vad")] > 0
    result: dict[str, Any] = {"speech": float(speech.mean()), "accuracy": None, "majority": None}
    if clean is not None:
        active = voice_activity(preset.audio, clean)[: len(speech)]
        result["accuracy"] = float(np.mean(speech == active))
        result["majority"] = float(max(active.mean(), 1 - active.mean()))
    return result
