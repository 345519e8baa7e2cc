"""How much a network helps on speakers that it was not trained on, clip by clip."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from dyncp.checkpoint import Checkpoint, load_checkpoint
from dyncp.data.open import open_source
from dyncp.data.source import AudioSource, Mixture
from dyncp.enhance import enhance
from dyncp.metrics import pesq_wb, si_sdr, stoi

SNRS = (0.0, 5.0, 10.0)
"""dB."""
_LEVEL = -26.0


@dataclass(frozen=True)
class Clip:
    """One noisy clip of the test split before and after the network.

    ``si_sdr`` in dB, ``pesq`` wide-band in MOS-LQO, ``estoi`` 0..1; ``*_noisy`` are those of
    the input. ``open``: the share of open gates by block, empty without gates. ``seen``:
    the class of noise is one that the network was trained with.
    """

    noise: str
    seen: bool
    snr: float
    si_sdr_noisy: float
    si_sdr: float
    pesq_noisy: float
    pesq: float
    estoi_noisy: float
    estoi: float
    open: tuple[float, ...]


@dataclass(frozen=True)
class Recipe:
    """A clip of the test split, to be mixed by whichever process is free.

    It depends on the data and the sample rate alone, its speaker too, so that networks can be
    compared clip by clip. ``data`` as in :func:`dyncp.data.open.open_source`.
    """

    rate: int
    data: Path | None
    noise: str
    snr: float
    number: int
    seconds: float

    def mix(self) -> Mixture:
        rng = np.random.default_rng([23, self.number, int(self.snr), sum(map(ord, self.noise))])
        source = _opened(self.data, self.rate)
        return source.mix(rng, self.seconds, noise=self.noise, snr=self.snr, level=_LEVEL)

    @property
    def seen(self) -> bool:
        """Whether the noise is of a class that networks are trained with."""
        return self.noise in _opened(self.data, self.rate).trained_noise_classes


def recipes(
    rate: int, data: Path | None = None, repeats: int = 2, seconds: float = 6.0
) -> list[Recipe]:
    """Every noise class of the test split at 0, 5 and 10 dB, ``repeats`` clips each."""
    return [
        Recipe(rate, data, kind, snr, number, seconds)
        for kind in _opened(data, rate).noise_classes
        for snr in SNRS
        for number in range(repeats)
    ]


@dataclass(frozen=True)
class _Test:
    """A clip to be made, enhanced and scored."""

    checkpoint: Path
    recipe: Recipe

    def run(self) -> Clip:
        torch.set_num_threads(1)
        return score(_loaded(self.checkpoint), self.recipe.mix(), self.recipe.seen)


# Both for the processes of one scoring: what outlives it would not see a new checkpoint.
@cache
def _loaded(path: Path) -> Checkpoint:
    return load_checkpoint(path)


@cache
def _opened(data: Path | None, rate: int) -> AudioSource:
    return open_source(data, rate, "test")


def score(checkpoint: Checkpoint, mixture: Mixture, seen: bool) -> Clip:
    """Enhance one mixture and measure it against its clean reference."""
    rate = checkpoint.preset.audio.sample_rate
    output = enhance(checkpoint.network, mixture.noisy)
    before, after, clean = mixture.noisy, output.samples, mixture.clean
    return Clip(
        noise=mixture.noise,
        seen=seen,
        snr=mixture.snr,
        si_sdr_noisy=si_sdr(before, clean),
        si_sdr=si_sdr(after, clean),
        pesq_noisy=pesq_wb(before, clean, rate),
        pesq=pesq_wb(after, clean, rate),
        estoi_noisy=stoi(before, clean, rate, extended=True),
        estoi=stoi(after, clean, rate, extended=True),
        open=tuple(output.gates.mean(axis=(0, 2)).tolist()) if output.gates.size else (),
    )


def score_test_split(
    checkpoint: Path, data: Path | None = None, repeats: int = 2, seconds: float = 6.0
) -> list[Clip]:
    """Score the clips of :func:`recipes`, in several processes, with a progress bar."""
    rate = load_checkpoint(checkpoint).preset.audio.sample_rate
    tests = [_Test(checkpoint, recipe) for recipe in recipes(rate, data, repeats, seconds)]
    # Not forked: a fork of a process whose torch has threads may hang.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return list(
            tqdm(
                pool.map(_Test.run, tests),
                desc="score",
                total=len(tests),
                disable=not sys.stderr.isatty(),
            )
        )


def to_json(checkpoint: Checkpoint, clips: list[Clip]) -> dict[str, Any]:
    """The scores as plain values; a measure that found no speech is null."""
    rows = [
        {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in asdict(clip).items()}
        for clip in clips
    ]
    return {"preset": checkpoint.preset.name, "clips": rows}


def format_clips(clips: list[Clip]) -> str:
    """Means by noise class, and over the classes that were trained with and the others."""
    lines = [
        f"{'noise':<12}{'trained':>8}{'SI-SDR in':>11}{'out':>7}{'PESQ in':>9}{'out':>6}"
        f"{'ESTOI in':>10}{'out':>6}{'open':>7}"
    ]
    kinds = list(dict.fromkeys(clip.noise for clip in clips))
    groups = [(kind, [clip for clip in clips if clip.noise == kind]) for kind in kinds]
    groups += [("mean", [c for c in clips if c.seen]), ("mean", [c for c in clips if not c.seen])]
    for name, group in groups:
        if not group:
            continue

        def mean(field: str, group: list[Clip] = group) -> float:
            values = np.array([getattr(clip, field) for clip in group])
            known = values[~np.isnan(values)]
            return float(known.mean()) if len(known) else float("nan")

        used = np.mean([float(np.mean(clip.open)) if clip.open else 1.0 for clip in group])
        lines.append(
            f"{name:<12}{'yes' if group[0].seen else 'no':>8}"
            f"{mean('si_sdr_noisy'):>11.2f}{mean('si_sdr'):>7.2f}"
            f"{mean('pesq_noisy'):>9.2f}{mean('pesq'):>6.2f}"
            f"{mean('estoi_noisy'):>10.2f}{mean('estoi'):>6.2f}{used:>7.2f}"
        )
    return "\n".join(lines)
