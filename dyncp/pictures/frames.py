"""The labelled streams that are pictured: those of the probes, without PESQ and F0.

PESQ takes longer than all else together, and no picture shows it; F0 is shown of a
short stretch only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dyncp.checkpoint import Checkpoint
from dyncp.errors import UserError
from dyncp.probes.observations import LabelledFrames, labelled_frames, observe


@dataclass(frozen=True)
class Pictured:
    """Labelled streams of the test split and the gates that a network opened on them.

    ``gates`` bool ``[frames, blocks, gates]``.
    """

    checkpoint: Checkpoint
    frames: LabelledFrames
    gates: np.ndarray

    @property
    def flat(self) -> np.ndarray:
        """The gates as probes take them: bool ``[frames, blocks * gates]``."""
        return self.gates.reshape(len(self.gates), -1)


def pictured(checkpoint: Checkpoint, minutes: float, seed: int, data: Path | None) -> Pictured:
    """About ``minutes`` of labelled streams, seen by a network.

    Raises :class:`UserError` for a network without gates, or whose gates never change.
    """
    preset = checkpoint.preset
    if preset.gate is None:
        raise UserError(
            f"preset '{preset.name}' has no gates to picture; "
            "give the checkpoint of a preset with a [gate]"
        )
    frames = labelled_frames(preset.audio, "test", minutes, seed, data, costly=False)
    if not set(frames.mixed) & set(frames.classes):
        raise UserError(
            f"{frames.source.name}: no noise class of its test split "
            f"({', '.join(frames.mixed)}) is one of its training split, so there is no truth to "
            "picture; leave --data out"
        )
    gates = observe(checkpoint.network, frames).gates
    if not changing(gates).any():
        raise UserError(
            f"no gate of '{preset.name}' changes in {len(gates)} frames: there is nothing to "
            f"picture; was it trained? Run `make train PRESET={preset.name}`"
        )
    return Pictured(checkpoint, frames, gates.reshape(len(gates), preset.blocks, preset.gates))


def changing(gates: np.ndarray) -> np.ndarray:
    """Which gates are both open and closed in ``[frames, ...]``: bool ``[...]``."""
    return np.asarray(gates.any(axis=0) & ~gates.all(axis=0))
