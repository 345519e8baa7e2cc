"""The labelled streams that are pictured: those of the probes, without PESQ and F0.

PESQ takes longer than all else together, and no picture shows it; F0 is shown of a
short stretch only.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from dyncp.checkpoint import Checkpoint
from dyncp.data.labels import (
    FrameLabels,
    active_level,
    level_ratios,
    voice_activity,
)
from dyncp.data.open import open_source
from dyncp.data.streams import Stream, make_stream, stream_count
from dyncp.errors import UserError
from dyncp.preset import Audio
from dyncp.probes.observations import LabelledFrames, mixed_classes, observe


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
    frames = _labelled(preset.audio, minutes, seed, data)
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


def _labelled(settings: Audio, minutes: float, seed: int, data: Path | None) -> LabelledFrames:
    source = open_source(data, settings.sample_rate, "test")
    classes, mixed = source.trained_noise_classes, mixed_classes(source)
    if not set(mixed) & set(classes):
        raise UserError(
            f"{source.name}: no noise class of its test split ({', '.join(mixed)}) is one of its "
            "training split, so there is no truth to picture; leave --data out"
        )
    labels, segments, names = [], [], []
    for index in range(stream_count(minutes, mixed)):
        stream = make_stream(source, seed, index, mixed)
        labels.append(cheap_labels(settings, stream, classes))
        segments.append(stream.segment_of_frames(settings.hop) + index * len(mixed))
        names += [segment.speaker.name for segment in stream.segments]
    _, speaker = np.unique(names, return_inverse=True)
    joined = {
        field.name: np.concatenate([getattr(part, field.name) for part in labels])
        for field in fields(FrameLabels)
    }
    return LabelledFrames(
        source,
        seed,
        classes,
        mixed,
        tuple(len(part) for part in segments),
        np.concatenate(segments),
        speaker[np.concatenate(segments)],
        FrameLabels(**joined),
    )


def cheap_labels(settings: Audio, stream: Stream, classes: tuple[str, ...]) -> FrameLabels:
    """As :func:`dyncp.data.streams.label_stream` has them; ``pesq`` and ``f0`` are NaN."""
    of_frame = stream.segment_of_frames(settings.hop)
    levels = np.array([active_level(segment.clean) for segment in stream.segments])
    index = {kind: number for number, kind in enumerate(classes)}
    kinds = np.array([index.get(s.noise, np.nan) for s in stream.segments], np.float32)
    women = {"f": 1.0, "m": 0.0, None: np.nan}
    genders = np.array([women[segment.speaker.gender] for segment in stream.segments])
    active = voice_activity(settings, stream.clean, levels[of_frame])
    snr, si_sdr = level_ratios(settings, stream.noisy, stream.clean)

    def spoken(labels: np.ndarray) -> np.ndarray:
        return np.where(active, labels, np.nan).astype(np.float32)

    return FrameLabels(
        vad=active.astype(np.float32),
        gender=spoken(genders[of_frame]),
        noise=kinds[of_frame],
        snr=spoken(snr),
        si_sdr=spoken(si_sdr),
        pesq=np.full(len(active), np.nan, np.float32),
        f0=np.full(len(active), np.nan, np.float32),
    )
