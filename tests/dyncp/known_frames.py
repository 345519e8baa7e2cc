"""Labelled frames and gates made up in memory, with what is between them known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dyncp.data.labels import FrameLabels
from dyncp.data.mixtures import MixtureSource
from dyncp.data.speeds import RECORDED
from dyncp.preset import Audio
from dyncp.probes import shipped, study
from dyncp.probes.observations import LabelledFrames, Observations

CLASSES = ("hum", "wind", "rain")
FRAMES = 900
TRUTH = {"vad": 0, "gender": 1, "noise": 2, "snr": 4, "si_sdr": 5, "pesq": 6, "f0": 7}
"""The gate that says each; ``noise`` has two."""


def labels_of(gates: np.ndarray) -> dict[str, np.ndarray]:
    """What the first eight gates say."""
    said = {task: gates[:, gate].astype(np.float32) for task, gate in TRUTH.items()}
    said["noise"] += 2 * (gates[:, 3] & ~gates[:, 2])
    return said | {"snr": 10 * said["snr"] - 3, "f0": 100 + 80 * said["f0"]}


class Known:
    """Stands in for streams of both splits and for the network that hears them."""

    def __init__(self, gates: int = 32, bins: int = 5) -> None:
        rng = np.random.default_rng(1)
        self.asked: list[tuple[str, float, int]] = []
        self.speeds: dict[str, tuple[int, ...]] = {}
        self.seen, self.labels = {}, {}
        for split in ("train", "test"):
            logits = rng.normal(0, 1, (FRAMES, gates)).astype(np.float16)
            free = (rng.random((FRAMES, bins)).astype(np.float16) for _ in "ab")
            self.seen[split] = Observations(logits > 0, logits, *free)
            self.labels[split] = labels_of(logits > 0)

    def labelled_frames(
        self,
        settings: Audio,
        split: str,
        minutes: float,
        seed: int,
        data: Any = None,
        *,
        speeds: tuple[int, ...] = RECORDED,
    ) -> LabelledFrames:
        self.asked.append((split, minutes, seed))
        self.speeds[split] = speeds
        source = MixtureSource.__new__(MixtureSource)
        source.split = split  # type: ignore[assignment]
        return LabelledFrames(
            source, seed, CLASSES, CLASSES, (FRAMES // 3,) * 3,
            np.arange(FRAMES) // 50, np.arange(FRAMES) // 50 % 6, FrameLabels(**self.labels[split]),
        )  # fmt: skip

    def observe(self, network: Any, frames: LabelledFrames) -> Observations:
        return self.seen[frames.source.split]


def put_in_place(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (study, shipped):
        monkeypatch.setattr(module, "labelled_frames", known.labelled_frames)
        monkeypatch.setattr(module, "observe", known.observe)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Known:
    made = Known()
    put_in_place(made, monkeypatch)
    return made
