"""Long labelled streams for the probes: segments of speech in noise, joined.

Built as arXiv 2602.10666 builds its own (30 minutes to train, 30 to test): every
segment has one speaker, one class of noise and one SNR, all classes talk as long, and
the speakers of the splits are disjoint. Segment length, the range of the SNR and the
share of silence are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dyncp.data.labels import (
    FrameLabels,
    active_level,
    fundamental_frequency,
    level_ratios,
    voice_activity,
    window_pesq,
)
from dyncp.data.source import AudioSource, Mixture
from dyncp.data.speech import speech_sources
from dyncp.preset import Audio

SEGMENT_SECONDS = 10.0
PAUSE = 1.5
"""Mean pause between sentences, in s: about a third of a stream is not speech."""


@dataclass(frozen=True)
class Stream:
    """Segments joined; ``noisy`` and ``clean`` are float32 ``[samples]``."""

    segments: tuple[Mixture, ...]
    noisy: np.ndarray
    clean: np.ndarray

    def segment_of_frames(self, hop: int) -> np.ndarray:
        """Which segment each frame's centre lies in: int ``[frames]``."""
        ends = np.cumsum([len(segment.clean) for segment in self.segments])
        centres = np.arange(-(-len(self.clean) // hop)) * hop
        return np.asarray(np.searchsorted(ends, centres, side="right"))


def stream_count(minutes: float, classes: tuple[str, ...]) -> int:
    """How many streams make about ``minutes``; each has a segment of every class."""
    return max(1, round(minutes * 60 / (SEGMENT_SECONDS * len(classes))))


def label_sources() -> tuple[Path, ...]:
    """The files that decide the synthetic streams and their labels, as
    :func:`dyncp.data.speech.source_key` takes them."""
    here = Path(__file__)
    names = ("labels", "mixtures", "noise", "noise_clips", "rooms", "speeds", "talk")
    others = (here.with_name(f"{name}.py") for name in names)
    return (here, *others, here.parent.with_name("metrics.py"), *speech_sources())


def make_stream(source: AudioSource, seed: int, index: int, classes: tuple[str, ...]) -> Stream:
    """Stream ``index`` of a seed: a segment for each class, in an order that is drawn.

    SNR is uniform in -5..15 dB; rooms as the source has them.
    """
    rng = np.random.default_rng([19, seed, index])
    segments = tuple(
        source.mix(
            rng, SEGMENT_SECONDS, noise=str(kind), snr=float(rng.uniform(-5, 15)), pause=PAUSE
        )
        for kind in rng.permutation(list(classes))
    )
    return Stream(
        segments,
        np.concatenate([segment.noisy for segment in segments]),
        np.concatenate([segment.clean for segment in segments]),
    )


def label_stream(
    settings: Audio, stream: Stream, classes: tuple[str, ...], costly: bool = True
) -> FrameLabels:
    """The labels of every frame of a stream; a noise that is none of ``classes`` has none.

    PESQ and F0 take longer than all else together: only if ``costly``, else they are NaN.
    """
    of_frame = stream.segment_of_frames(settings.hop)
    levels = np.array([active_level(segment.clean) for segment in stream.segments])
    genders = np.array([_gender(segment) for segment in stream.segments], np.float32)
    kinds = np.array([_index(segment.noise, classes) for segment in stream.segments], np.float32)
    active = voice_activity(settings, stream.clean, levels[of_frame])
    snr, si_sdr = level_ratios(settings, stream.noisy, stream.clean)
    unknown = np.full(len(active), np.nan)

    def spoken(labels: np.ndarray) -> np.ndarray:
        return np.where(active, labels, np.nan).astype(np.float32)

    return FrameLabels(
        vad=active.astype(np.float32),
        gender=spoken(genders[of_frame]),
        noise=kinds[of_frame],
        snr=spoken(snr),
        si_sdr=spoken(si_sdr),
        pesq=spoken(window_pesq(settings, stream.noisy, stream.clean) if costly else unknown),
        f0=spoken(fundamental_frequency(settings, stream.clean) if costly else unknown),
    )


def _index(noise: str, classes: tuple[str, ...]) -> float:
    return float(classes.index(noise)) if noise in classes else float("nan")


def _gender(segment: Mixture) -> float:
    gender = segment.speaker.gender
    return float("nan") if gender is None else float(gender == "f")
