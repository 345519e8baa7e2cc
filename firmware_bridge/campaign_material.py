"""What a campaign streams and with what it is judged: the probes' own streams and labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dyncp.data.streams import make_stream
from dyncp.preset import Audio
from dyncp.probes.observations import labelled_frames
from dyncp.probes.study import TEST_SEED
from firmware_bridge.campaign import Material, Probe


def labelled_material(settings: Audio, minutes: float, data: Path | None = None) -> Material:
    """The first ``minutes`` of the test split that probes are judged on, labels from the cache."""
    frames = labelled_frames(settings, "test", minutes, TEST_SEED, data)
    return Material(
        frames,
        lambda index: make_stream(frames.source, frames.seed, index, frames.mixed),
        frames.source.name,
    )


def probes_of(metadata: dict[str, Any]) -> list[Probe]:
    """The probes of a .tflite's metadata (docs/contracts.md)."""
    return [
        Probe(
            str(entry["name"]),
            np.array(entry["weights"], np.int16),
            int(entry["bias"]),
            float(entry["scale"]),
        )
        for entry in metadata["probes"]
    ]
