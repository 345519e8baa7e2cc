"""A stretch of sound, the gates that open on it, and what the probes make of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MultipleLocator

from dyncp import audio
from dyncp.data.labels import F0_RANGE, LEVEL_RANGE, fundamental_frequency
from dyncp.data.streams import SEGMENT_SECONDS, Stream, make_stream
from dyncp.pictures.answers import Probe, probes_of
from dyncp.pictures.frames import Pictured, changing
from dyncp.pictures.style import (
    BLACK,
    BLUE,
    GREY,
    LIGHT,
    VERMILLION,
    bare,
    class_colour,
    ink_on,
    picture,
)

STRETCH_SECONDS = 20.0
_RANGE = 70
"""dB of the spectrogram below its loudest."""
_STEPS = 28
"""Colours of the spectrogram: 2.5 dB apart."""
_LEAST_ROWS = 7
"""A block of fewer changing gates has taller rows, so that its name has room."""


@dataclass(frozen=True)
class _Stretch:
    """Some frames of one stream."""

    shown: Pictured
    number: int
    """Of the stream."""
    frames: slice
    """Of all streams in a row."""

    @cached_property
    def stream(self) -> Stream:
        frames = self.shown.frames
        return make_stream(frames.source, frames.seed, self.number, frames.classes)

    @property
    def within(self) -> slice:
        """The frames, counted from the stream's first."""
        first = sum(self.shown.frames.lengths[: self.number])
        return slice(self.frames.start - first, self.frames.stop - first)

    @cached_property
    def seconds(self) -> np.ndarray:
        """Where frames begin and the last ends: ``[frames + 1]``."""
        count = self.frames.stop - self.frames.start
        return np.arange(count + 1) / self.shown.checkpoint.preset.audio.frames_per_second

    def of(self, values: np.ndarray) -> np.ndarray:
        return values[self.frames]


def draw_gates(shown: Pictured, path: Path) -> None:
    """Write ``gates.png``: spectrogram, raster of the gates, labels and probes' answers."""
    stretch = _choose(shown)
    probes = probes_of(shown.checkpoint.probes)
    bands = 0.42 if "vad" in probes else 0.22
    noise = 0.42 if "noise" in probes else 0.22
    heights = [1.7, 3.3, bands, noise, 0.85, 0.85]
    with picture(path, height=sum(heights) + 1.95) as figure:
        axes = [
            figure.add_axes(box) for box in _boxes(figure, heights, gaps=[0.3, 0.3, 0.1, 0.26, 0.1])
        ]
        for each in axes:
            each.set_xlim(0, stretch.seconds[-1])
            each.xaxis.set_major_locator(MultipleLocator(2))
        for each in axes[:-1]:
            each.tick_params(labelbottom=False)
        _spectrogram(figure, axes[0], stretch)
        _raster(axes[1], stretch)
        _voice(axes[2], stretch, probes.get("vad"))
        _noise(axes[3], stretch, probes.get("noise"))
        labels = shown.frames.labels
        snr = stretch.of(labels.snr)
        _values(axes[4], stretch, snr, probes.get("snr"), name="SNR (dB)", limits=LEVEL_RANGE)
        f0 = fundamental_frequency(shown.checkpoint.preset.audio, stretch.stream.clean)
        f0 = np.where(stretch.of(labels.vad) > 0, f0[stretch.within], np.nan)
        _values(axes[5], stretch, f0, probes.get("f0"), name="F0 (Hz)", limits=F0_RANGE)
        axes[5].set_xlabel("time (s)")
        figure.align_ylabels(axes)


def _choose(shown: Pictured) -> _Stretch:
    """The stretch whose labels show most; what the probes say has no part in it.

    It begins in the middle of a segment, for the gates to be warm and two changes of the
    noise to be seen. Best are voices of both genders and speech for about two thirds.
    """
    labels, lengths = shown.frames.labels, shown.frames.lengths
    per_second = shown.checkpoint.preset.audio.frames_per_second
    starts = np.concatenate([[0], np.cumsum(lengths)])
    best, chosen = -np.inf, None
    for stream, length in enumerate(lengths):
        count = min(round(STRETCH_SECONDS * per_second), length)
        half, segment = SEGMENT_SECONDS * per_second / 2, SEGMENT_SECONDS * per_second
        begins = np.rint(np.arange(half, length - count + 1, segment)).astype(int)
        for begin in begins if len(begins) else [0]:
            frames = slice(int(starts[stream] + begin), int(starts[stream] + begin + count))
            gender = labels.gender[frames]
            both = (gender == 0).any() and (gender == 1).any()
            score = float(both) - abs(float(labels.vad[frames].mean()) - 2 / 3)
            if score > best:
                best, chosen = score, _Stretch(shown, stream, frames)
    assert chosen is not None
    return chosen


def _boxes(
    figure: Figure, heights: list[float], gaps: list[float]
) -> list[tuple[float, float, float, float]]:
    """Axes from top to bottom: heights and the gaps between them in inches."""
    width, total = figure.get_size_inches()
    left, right, top = 0.82, 0.95, 0.32
    boxes, y = [], total - top
    for height, gap in zip(heights, [*gaps, 0.0], strict=True):
        y -= height
        boxes.append((left / width, y / total, (width - left - right) / width, height / total))
        y -= gap
    return boxes


def _beside(figure: Figure, axes: Axes, width: float = 0.012) -> Axes:
    """A narrow place at the right of some axes."""
    box = axes.get_position()
    return figure.add_axes((box.x1 + 0.01, box.y0, width, box.height))


def _spectrogram(figure: Figure, axes: Axes, stretch: _Stretch) -> None:
    settings = stretch.shown.checkpoint.preset.audio
    spectra = audio.spectrum(settings, stretch.stream.noisy)[:, stretch.within]
    # A sine at full scale is 0 dB.
    full_scale = audio.analysis_window(settings).sum() / 2
    level = 20 * np.log10(np.maximum(np.abs(spectra) / full_scale, 1e-9))
    loudest = 5 * np.ceil(level.max() / 5)
    image = axes.imshow(
        level,
        origin="lower",
        aspect="auto",
        extent=(0, stretch.seconds[-1], 0, settings.sample_rate / 2000),
        vmin=loudest - _RANGE,
        vmax=loudest,
        cmap=colormaps["magma"].resampled(_STEPS),
        interpolation_stage="data",
    )
    axes.set_ylabel("frequency (kHz)")
    axes.set_title(
        f"noisy input: {stretch.seconds[-1]:.0f} s of a test stream "
        f"({stretch.shown.frames.source.name} data)"
    )
    bar = figure.colorbar(image, cax=_beside(figure, axes))
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.set_label("level (dB FS)")


def _raster(axes: Axes, stretch: _Stretch) -> None:
    shown = stretch.shown
    gates = stretch.of(shown.gates)
    rows, edges, counts = [], [0], []
    for block in range(gates.shape[1]):
        moving = gates[:, block][:, changing(gates[:, block])]
        order = np.argsort(-moving.mean(axis=0), kind="stable")
        image = np.where(moving[:, order].T, 2, 1)
        taller = -(-_LEAST_ROWS // max(len(image), 1))
        slot = np.repeat(image, taller, axis=0) if len(image) else np.zeros((_LEAST_ROWS, 1))
        rows.append(np.broadcast_to(slot, (len(slot), len(gates))))
        edges.append(edges[-1] + len(slot))
        counts.append(len(image))
    axes.imshow(
        np.concatenate(rows),
        aspect="auto",
        extent=(0, stretch.seconds[-1], edges[-1], 0),
        cmap=ListedColormap(["#D9D9D9", "white", BLUE]),
        vmin=0,
        vmax=2,
        interpolation="nearest",
    )
    for edge in edges[1:-1]:
        axes.axhline(edge, color=BLACK, linewidth=0.7)
    middles = (np.array(edges[1:]) + np.array(edges[:-1])) / 2
    axes.set_yticks(middles, [f"block {block}" for block in range(len(middles))])
    axes.tick_params(left=False)
    total = shown.checkpoint.preset.gates
    right = axes.secondary_yaxis("right")
    right.set_yticks(middles, [f"{count} of {total}" for count in counts])
    right.tick_params(right=False)
    group = shown.checkpoint.preset.gate.group  # type: ignore[union-attr]
    each = "" if group == 1 else f", each of {group} channels"
    axes.set_title(
        f"gates that change: {sum(counts):,} of {total * len(counts):,}{each}; "
        f"blue: open ({100 * gates.mean():.0f} % of all gates are)"
    )


def _voice(axes: Axes, stretch: _Stretch, probe: Probe | None) -> None:
    rows = {"voice": (stretch.of(stretch.shown.frames.labels.vad), BLACK)}
    if probe:
        rows["probe"] = (probe.answers(stretch.of(stretch.shown.flat)), VERMILLION)
    _bands(axes, list(rows))
    for index, (answers, colour) in enumerate(rows.values()):
        _runs(axes, stretch, np.where(answers > 0, 0, -1), index, {0: colour})


def _noise(axes: Axes, stretch: _Stretch, probe: Probe | None) -> None:
    classes = list(stretch.shown.frames.classes)
    truth = stretch.of(stretch.shown.frames.labels.noise).astype(int)
    rows = {"noise": truth}
    if probe:
        # A checkpoint may know other classes than the data have.
        classes += [kind for kind in probe.classes if kind not in classes]
        own = np.array([classes.index(kind) for kind in probe.classes])
        rows["probe"] = own[probe.answers(stretch.of(stretch.shown.flat)).astype(int)]
    _bands(axes, list(rows))
    colours = {index: class_colour(index) for index in range(len(classes))}
    for index, answers in enumerate(rows.values()):
        _runs(axes, stretch, answers, index, colours)
    for begin, end, kind in _constant_runs(truth):
        x = (stretch.seconds[begin] + stretch.seconds[end]) / 2
        axes.text(
            x, 0.5, classes[kind], ha="center", va="center_baseline", fontsize=8,
            color=ink_on(class_colour(kind)),
        )  # fmt: skip
    if probe:
        said = [kind for kind in np.unique(rows["probe"]) if kind not in truth]
        axes.legend(
            handles=[Patch(color=class_colour(kind), label=classes[kind]) for kind in said],
            loc="upper left", bbox_to_anchor=(0, -0.02), ncols=7, borderpad=0.1, columnspacing=1.2,
            handlelength=0.9, handletextpad=0.4, borderaxespad=0.1,
        )  # fmt: skip


def _bands(axes: Axes, names: list[str]) -> None:
    bare(axes)
    axes.set_ylim(len(names), 0)
    axes.set_yticks(np.arange(len(names)) + 0.5, names)
    for label in axes.get_yticklabels()[1:]:
        label.set_color(VERMILLION)


def _runs(
    axes: Axes, stretch: _Stretch, answers: np.ndarray, row: int, colours: dict[int, str]
) -> None:
    """Equal neighbours as one bar, on a light ground."""
    seconds = stretch.seconds
    axes.broken_barh([(0, float(seconds[-1]))], (row + 0.06, 0.88), color=LIGHT, linewidth=0)
    for value, colour in colours.items():
        spans = [
            (float(seconds[begin]), float(seconds[end] - seconds[begin]))
            for begin, end, kind in _constant_runs(answers)
            if kind == value
        ]
        axes.broken_barh(spans, (row + 0.06, 0.88), color=colour, linewidth=0)


def _constant_runs(values: np.ndarray) -> list[tuple[int, int, int]]:
    """``(begin, end, value)`` of every run of equal values."""
    begins = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1])
    ends = np.concatenate([begins[1:], [len(values)]])
    return [(int(b), int(e), int(values[b])) for b, e in zip(begins, ends, strict=True)]


def _values(
    axes: Axes,
    stretch: _Stretch,
    truth: np.ndarray,
    probe: Probe | None,
    *,
    name: str,
    limits: tuple[float, float],
) -> None:
    """Answers where there is a truth, within the ``limits`` that labels have."""
    middles = (stretch.seconds[1:] + stretch.seconds[:-1]) / 2
    if probe:
        answers = probe.answers(stretch.of(stretch.shown.flat))
        answers = np.where(np.isnan(truth), np.nan, np.clip(answers, *limits))
        axes.plot(
            middles, answers, ".", markersize=2.2, markeredgewidth=0, color=VERMILLION,
            label="probe",
        )  # fmt: skip
    axes.plot(middles, truth, color=BLACK, linewidth=1.4, label="truth")
    axes.set_ylabel(name)
    axes.grid(axis="y", color=LIGHT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(bottom=False)
    if probe:
        axes.legend(
            loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.2, markerscale=3,
            handletextpad=0.5,
        )  # fmt: skip
    else:
        axes.text(1.01, 0.5, "truth", transform=axes.transAxes, va="center", color=GREY)
