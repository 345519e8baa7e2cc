"""The measurement: audio through a board, and what came back, as one JSON object.

Nothing in it is estimated: the board's figures are the board's, the host's are
computed from the gates that the board reported, and where both know a figure
the two are compared frame by frame.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dyncp import audio
from dyncp.data.labels import voice_activity
from dyncp.embedding import Embedding, nobody
from dyncp.metrics import pesq_wb, si_sdr, stoi
from dyncp.preset import Preset
from firmware_bridge.energy import Monitor, energy_figures
from firmware_bridge.figures import (
    latency_figures,
    mask_figures,
    memory_figures,
    provenance,
    work_figures,
)
from firmware_bridge.report import MEASUREMENT_FORMAT
from firmware_bridge.session import Board
from firmware_bridge.stream import Streamed, stream
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
    checkpoint: Path,
    clean: NDArray[np.float32] | None = None,
    float_samples: NDArray[np.float32] | None = None,
    monitor: Monitor | None = None,
    keep: Embedding | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, Any], NDArray[np.int16]]:
    """Stream ``samples`` (float, [-1, 1]) through the board and put its figures together.

    ``clean``: the reference, as long as ``samples``; without it there is no
    quality and no accuracy. ``float_samples``: the float network's output, to
    compare with, of ``checkpoint``. ``monitor``: of the board's supply; without one there is
    no energy. ``keep``: whom a personalised board keeps; None: everybody. Gives the
    measurement and the enhanced audio, int16, aligned with the input.
    """
    if preset.speaker:
        session.set_embedding(nobody(preset.speaker.dimensions) if keep is None else keep)
    kept = session.embedding() if preset.speaker else None
    if monitor is not None:
        monitor.start()
    streamed = stream(session, audio.to_pcm(samples), progress)
    trace = monitor.stop() if monitor is not None else None
    stats = session.stats()
    greeting = session.greeting
    measurement = {
        "format": MEASUREMENT_FORMAT,
        **provenance(greeting, board, firmware, checkpoint, kept),
        "input": {
            "wav": str(wav),
            "seconds": len(samples) / preset.audio.sample_rate,
            "frames": len(streamed.gates),
            "sample_rate": preset.audio.sample_rate,
            "hop": preset.audio.hop,
        },
        "quality": _quality(preset, samples, float_samples, streamed, clean),
        **mask_figures(preset, streamed.gates),
        **work_figures(preset, firmware, streamed),
        "work": latency_figures(preset, greeting.counter, streamed),
        "memory": memory_figures(greeting, stats.stack_used),
        "vad": _vad(preset, session.probe_names, streamed, clean),
        "link": {
            "repeated": session.link_counts.repeated,
            "damaged": session.link_counts.damaged,
            "board_damaged": stats.damaged,
            "overruns": stats.overruns,
        },
    }
    if monitor is not None and trace is not None:
        # One hop of silence more than there are frames brings out the last samples.
        measurement["energy"] = energy_figures(trace, len(streamed.gates) + 1, monitor.name)
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
