"""Short streams without PESQ, so that probes can be fitted in a second."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from dyncp.data import streams
from dyncp.preset import Audio, Preset, parse_preset
from dyncp.probes import observations, study
from tests.conftest import tiny_preset

MINUTES = 0.15
"""One stream of the ten classes."""


def coarse_preset(site: str | None) -> Preset:
    """The tiny network on frames of 512 samples, of which there are fewer."""
    values = tiny_preset(site).to_dict()
    values["audio"].update(n_fft=512, hop=256, bins=257)
    return parse_preset("tiny", values, "tiny")


def slope(settings: Audio, noisy: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Stands in for PESQ: it rises from 1 to 2 along a stream."""
    frames = -(-len(clean) // settings.hop)
    return 1 + np.arange(frames, dtype=np.float32) / np.float32(frames)


class InProcess:
    """Stands in for a pool of processes."""

    def __init__(self, **_: Any) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def map(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        return map(work, items)


def quick_probes(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Streams of a second a class, in this process; labels are kept in ``cache``."""
    monkeypatch.setattr(streams, "SEGMENT_SECONDS", 1.0)
    monkeypatch.setattr(streams, "window_pesq", slope)
    monkeypatch.setattr(study, "STUDY_MINUTES", MINUTES)
    monkeypatch.setattr(observations, "CACHE_FOLDER", cache)
    monkeypatch.setattr(observations, "ProcessPoolExecutor", InProcess)
    observations._workers_source.cache_clear()
