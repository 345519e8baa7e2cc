"""What a network shows and what was true, frame by frame, on labelled streams."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from dyncp import audio
from dyncp.data.labels import FrameLabels
from dyncp.data.open import open_source
from dyncp.data.source import AudioSource
from dyncp.data.speakers import Split
from dyncp.data.speech import CACHE_FOLDER, source_key
from dyncp.data.speeds import RECORDED, at_speeds
from dyncp.data.streams import label_sources, label_stream, make_stream, stream_count
from dyncp.files import replacing
from dyncp.network import GatedConvFSENet
from dyncp.preset import Audio


@dataclass(frozen=True)
class LabelledFrames:
    """The streams of a split, and their labels, frames of all streams in a row.

    ``classes``: names of the noise classes that labels are indices into, the same in every
    split. ``mixed``: those that these streams have. ``lengths``: frames of each stream.
    ``segments`` and ``speakers`` int ``[frames]``: which segment of all, and of which speaker,
    a frame lies in.
    """

    source: AudioSource
    seed: int
    classes: tuple[str, ...]
    mixed: tuple[str, ...]
    lengths: tuple[int, ...]
    segments: np.ndarray
    speakers: np.ndarray
    labels: FrameLabels

    def noisy(self, index: int) -> np.ndarray:
        """The noisy samples of a stream."""
        return make_stream(self.source, self.seed, index, self.mixed).noisy


@dataclass(frozen=True)
class Observations:
    """What the network had inside, per frame.

    ``gates`` bool and ``logits`` float16, ``[frames, blocks * gates]``; ``features`` and
    ``mask`` float16 ``[frames, bins]``: its input and its suppression mask.
    """

    gates: np.ndarray
    logits: np.ndarray
    features: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class _Streams:
    """Which streams; enough for another process to make them again."""

    settings: Audio
    split: Split
    seed: int
    classes: tuple[str, ...]
    mixed: tuple[str, ...]
    data: Path | None
    costly: bool
    speeds: tuple[int, ...]

    def label(
        self, index: int, source: AudioSource | None = None
    ) -> tuple[FrameLabels, np.ndarray, list[str]]:
        """Labels, the segment of each frame, the speaker of each segment."""
        source = source or _workers_source(
            self.data, self.settings.sample_rate, self.split, self.speeds
        )
        stream = make_stream(source, self.seed, index, self.mixed)
        labels = label_stream(self.settings, stream, self.classes, self.costly)
        names = [segment.speaker.name for segment in stream.segments]
        return labels, stream.segment_of_frames(self.settings.hop), names


@cache
def _workers_source(
    data: Path | None, sample_rate: int, split: Split, speeds: tuple[int, ...]
) -> AudioSource:
    """Opened once, since a worker that labels does not outlive the data as they are."""
    return at_speeds(open_source(data, sample_rate, split), speeds)


def mixed_classes(source: AudioSource) -> tuple[str, ...]:
    """The noises of a split's streams: those that were trained with, or else its own."""
    trained = source.trained_noise_classes
    return tuple(kind for kind in source.noise_classes if kind in trained) or source.noise_classes


def labelled_frames(
    settings: Audio,
    split: Split,
    minutes: float,
    seed: int,
    data: Path | None = None,
    *,
    costly: bool = True,
    speeds: tuple[int, ...] = RECORDED,
) -> LabelledFrames:
    """About ``minutes`` of labelled streams of a split, at least one stream.

    Classes are those of the training split. Streams have those of them that the split
    has; where it shares none (VoiceBank+DEMAND's test set), they have its own, without a
    label. The labels of the synthetic data are kept in the cache; PESQ and F0, which take
    their time, are NaN unless ``costly``. Voices are played at ``speeds``, tenths of their own.
    ``data`` as in :func:`dyncp.data.open.open_source`.
    """
    source = at_speeds(open_source(data, settings.sample_rate, split), speeds)
    classes, mixed = source.trained_noise_classes, mixed_classes(source)
    count = stream_count(minutes, mixed)
    name = f"labels-{split}-{settings.sample_rate}-{settings.n_fft}-{settings.hop}-{seed}x{count}"
    if speeds != RECORDED:
        name += "-" + ".".join(str(speed) for speed in speeds)
    key = source_key(Path(__file__), *label_sources())
    path = CACHE_FOLDER / f"{name}-{key}.npz"
    kept = data is None and costly
    if not kept or not path.is_file():
        streams = _Streams(settings, split, seed, classes, mixed, data, costly, speeds)
        arrays = _label_all(streams, source, count)
        if kept:
            with replacing(path) as temporary:
                np.savez(temporary, **arrays)  # type: ignore[arg-type]
    else:
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
    labels = FrameLabels(**{field.name: arrays[field.name] for field in fields(FrameLabels)})
    lengths = tuple(int(length) for length in arrays["lengths"])
    return LabelledFrames(
        source, seed, classes, mixed, lengths, arrays["segments"], arrays["speakers"], labels
    )


def _label_all(streams: _Streams, source: AudioSource, count: int) -> dict[str, np.ndarray]:
    if count == 1 or not streams.costly:  # not worth a process
        labelled = [streams.label(index, source) for index in range(count)]
    else:
        # Not forked: a fork of a process whose torch has threads may hang.
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            labelled = list(
                tqdm(
                    pool.map(streams.label, range(count)),
                    desc=f"labels ({streams.split})",
                    total=count,
                    disable=not sys.stderr.isatty(),
                )
            )
    arrays = {
        field.name: np.concatenate([getattr(labels, field.name) for labels, *_ in labelled])
        for field in fields(FrameLabels)
    }
    arrays["segments"] = np.concatenate(
        [segments + index * len(streams.mixed) for index, (_, segments, _) in enumerate(labelled)]
    )
    _, speaker = np.unique([name for *_, names in labelled for name in names], return_inverse=True)
    arrays["speakers"] = speaker[arrays["segments"]]
    arrays["lengths"] = np.array([len(segments) for _, segments, _ in labelled])
    return arrays


def observe(network: GatedConvFSENet, frames: LabelledFrames) -> Observations:
    """Run the network over the streams, each from a cold start."""

    def run(noisy: np.ndarray, length: int) -> tuple[np.ndarray, ...]:
        logits, features, mask = (x[:length] for x in _inside(network, noisy))
        return logits > 0, *(x.astype(np.float16) for x in (logits, features, mask))

    parts = zip(*per_stream(frames, run, "probes"), strict=True)
    return Observations(*(np.concatenate(part) for part in parts))


def per_stream(
    frames: LabelledFrames, run: Callable[[np.ndarray, int], tuple[np.ndarray, ...]], what: str
) -> list[tuple[np.ndarray, ...]]:
    """``run(noisy samples, frames)`` of every stream, with progress."""
    bar = tqdm(
        frames.lengths,
        desc=f"{what} ({frames.source.split})",
        disable=not sys.stderr.isatty(),
    )
    return [run(frames.noisy(index), length) for index, length in enumerate(bar)]


@torch.no_grad()
def _inside(network: GatedConvFSENet, noisy: np.ndarray) -> tuple[np.ndarray, ...]:
    settings = network.preset.audio
    features = audio.compress(settings, audio.spectrum(settings, noisy))
    mask, logits = network.eval()(torch.from_numpy(features)[None])
    scores = [block[0].numpy().T for block in logits] or [np.zeros((features.shape[1], 0))]
    return np.concatenate(scores, axis=1), features.T, mask[0].numpy().T
