"""The campaign: minutes of labelled audio through a board, and all that can be said of it.

The streams and their labels are those that probes are judged on (:mod:`dyncp.data.streams`).
Each stream starts cold, and what the board gave is kept in a folder as soon as it ends: a
campaign that was stopped goes on with the next stream. Kept parts are used only if board,
build, model and audio are the same.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from dyncp import audio
from dyncp.data.streams import Stream
from dyncp.files import replacing
from dyncp.metrics import pesq_wb, si_sdr, stoi
from dyncp.preset import Preset
from dyncp.probes.observations import LabelledFrames
from firmware_bridge.energy import Monitor, energy_figures
from firmware_bridge.figures import (
    latency_figures,
    mask_figures,
    memory_figures,
    provenance,
    work_figures,
)
from firmware_bridge.messages import Greeting
from firmware_bridge.session import Board
from firmware_bridge.stream import Progress, Resume, Streamed, history_hops, stream
from quantize.evaluation.integer_probes import judge_answers
from targets import board as boards
from targets.firmware_build import Firmware

CAMPAIGN_FORMAT = 1
MEASURES = ("pesq", "estoi", "si_sdr")


@dataclass(frozen=True)
class Material:
    """Labelled streams. ``stream`` makes one of them again; ``name`` says which data these are."""

    frames: LabelledFrames
    stream: Callable[[int], Stream]
    name: str


@dataclass(frozen=True)
class Probe:
    """As the model's metadata have it."""

    name: str
    weights: NDArray[np.int16]
    bias: int
    scale: float


@dataclass(frozen=True)
class Part:
    """What one stream gave; ``notes`` are figures of the session and, if measured, the energy."""

    streamed: Streamed
    notes: dict[str, Any]


def run_campaign(
    session: Board,
    preset: Preset,
    material: Material,
    folder: Path,
    *,
    monitor: Monitor | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Part]:
    """Every stream through the board, those that ``folder`` has not got yet."""
    parts = []
    count = len(material.frames.lengths)
    for index in range(count):
        pcm = audio.to_pcm(material.stream(index).noisy)
        key = _key(session.greeting, pcm, monitor)
        path = folder / f"stream-{index}.npz"
        part = _load(path, key)
        if part is None:
            title = f"stream {index + 1} of {count}"

            def told(done: int, total: int, title: str = title) -> None:
                if progress:
                    progress(title, done, total)

            part = _run(session, preset, pcm, monitor, told)
            _save(path, key, part)
        parts.append(part)
    return parts


def _run(
    session: Board,
    preset: Preset,
    pcm: NDArray[np.int16],
    monitor: Monitor | None,
    progress: Progress,
) -> Part:
    before, sent = session.stats(), asdict(session.link_counts)
    if monitor is not None:
        monitor.start()
    streamed = stream(session, pcm, progress, resume=Resume(history_hops(preset)))
    trace = monitor.stop() if monitor is not None else None
    after = session.stats()
    # A board that began anew has begun to count anew.
    since = 0 if streamed.restarts else 1
    notes: dict[str, Any] = {
        "stack_used": after.stack_used,
        "repeated": session.link_counts.repeated - sent["repeated"],
        "damaged": session.link_counts.damaged - sent["damaged"],
        "board_damaged": after.damaged - since * before.damaged,
        "overruns": after.overruns - since * before.overruns,
    }
    if monitor is not None and trace is not None:
        notes["energy"] = energy_figures(trace, len(streamed.gates) + 1, monitor.name)
    return Part(streamed, notes)


def _key(greeting: Greeting, pcm: NDArray[np.int16], monitor: Monitor | None) -> str:
    """What a kept part must have come from."""
    return json.dumps(
        {
            "format": CAMPAIGN_FORMAT,
            "board": greeting.board,
            "build_id": greeting.build_id,
            "model_hash": greeting.model_hash,
            "counter": asdict(greeting.counter),
            "monitor": monitor.name if monitor else None,
            "pcm": hashlib.sha256(pcm.tobytes()).hexdigest(),
        },
        sort_keys=True,
    )


def _save(path: Path, key: str, part: Part) -> None:
    arrays = {field.name: getattr(part.streamed, field.name) for field in fields(Streamed)}
    words = {"key": np.array(key), "notes": np.array(json.dumps(part.notes))}
    with replacing(path) as temporary:
        np.savez_compressed(temporary, **arrays, **words)  # type: ignore[arg-type]


def _load(path: Path, key: str) -> Part | None:
    """None if there is no such part, or one of something else."""
    try:
        with np.load(path) as stored:
            if str(stored["key"]) != key:
                return None
            arrays = {field.name: stored[field.name] for field in fields(Streamed)}
            notes = json.loads(str(stored["notes"]))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):
        return None
    return Part(Streamed(**{**arrays, "restarts": int(arrays["restarts"])}), notes)


def campaign_figures(
    parts: Sequence[Part],
    *,
    greeting: Greeting,
    board: boards.Board,
    firmware: Firmware,
    preset: Preset,
    material: Material,
    probes: Sequence[Probe],
    checkpoint: Path,
) -> dict[str, Any]:
    """The JSON object of a campaign (docs/measure.md)."""
    frames, together = material.frames, joined([part.streamed for part in parts])
    rate = preset.audio.sample_rate
    latency = latency_figures(preset, greeting.counter, together)
    figures: dict[str, Any] = {
        "format": CAMPAIGN_FORMAT,
        **provenance(greeting, board, firmware, checkpoint),
        "input": {
            "data": material.name,
            "split": "test",
            "seed": frames.seed,
            "streams": len(parts),
            "minutes": len(together.pcm) / rate / 60,
            "frames": len(together.gates),
            "sample_rate": rate,
            "hop": preset.audio.hop,
            "noises": list(frames.mixed),
        },
        **work_figures(preset, firmware, together),
        "masks": mask_figures(preset, together.gates),
        "latency": latency,
        "probes": _probe_figures(together, probes, frames),
        "quality": _quality(parts, preset, material),
        "memory": memory_figures(greeting, max(part.notes["stack_used"] for part in parts)),
        "link": {
            name: sum(part.notes[name] for part in parts)
            for name in ("repeated", "damaged", "board_damaged", "overruns")
        }
        | {"restarts": together.restarts},
    }
    if all("energy" in part.notes for part in parts):
        figures["energy"] = _energy([part.notes["energy"] for part in parts])
    return figures


def joined(streams: Sequence[Streamed]) -> Streamed:
    """Streams one after another, as one."""
    arrays = {
        field.name: np.concatenate([getattr(streamed, field.name) for streamed in streams])
        for field in fields(Streamed)
        if field.name != "restarts"
    }
    return Streamed(**arrays, restarts=sum(streamed.restarts for streamed in streams))


def _probe_figures(
    together: Streamed, probes: Sequence[Probe], frames: LabelledFrames
) -> dict[str, Any] | None:
    """Judged by task; and whether the scores are those of the gates that the board reported."""
    if not probes:
        return None
    opened = together.gates.reshape(len(together.gates), -1).astype(np.int64)
    weights = np.array([probe.weights for probe in probes], np.int64)
    bias = np.array([probe.bias for probe in probes], np.int64)
    answers = together.probes * np.array([probe.scale for probe in probes])
    return {
        "host_agrees": bool(np.array_equal(opened @ weights.T + bias, together.probes)),
        "frames_compared": len(opened),
        "tasks": judge_answers([probe.name for probe in probes], answers, frames),
    }


def _quality(parts: Sequence[Part], preset: Preset, material: Material) -> dict[str, Any]:
    """Means over the segments, each scored by itself; a segment where a measure has no value
    is left out of its mean, and ``segments`` says how many were not."""
    rate = preset.audio.sample_rate
    found: dict[str, list[list[float]]] = {"noisy": [], "board": []}
    for index, part in enumerate(parts):
        made, begin = material.stream(index), 0
        board = audio.from_pcm(part.streamed.pcm)
        for segment in made.segments:
            within = slice(begin, begin + len(segment.clean))
            begin = within.stop
            for name, samples in (("noisy", made.noisy), ("board", board)):
                found[name].append(_scores(samples[within], segment.clean, rate))
    return {
        name: {
            measure: _mean([row[column] for row in rows]) for column, measure in enumerate(MEASURES)
        }
        | {"segments": int(np.isfinite(rows).all(axis=1).sum())}
        for name, rows in found.items()
    }


def _scores(samples: NDArray[np.float32], clean: NDArray[np.float32], rate: int) -> list[float]:
    return [
        pesq_wb(samples, clean, rate),
        stoi(samples, clean, rate, extended=True),
        si_sdr(samples, clean),
    ]


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else None


def _energy(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of all streams; what a monitor says of itself is the same for all."""
    seconds, joules = (sum(part[name] for part in found) for name in ("seconds", "joules"))
    hops = sum(part["hops"] for part in found)
    return {
        **found[0],
        "seconds": seconds,
        "joules": joules,
        "mean_watts": joules / seconds,
        "peak_watts": max(part["peak_watts"] for part in found),
        "hops": hops,
        "joules_per_hop": sum(part["joules_per_hop"] * part["hops"] for part in found) / hops,
    }
