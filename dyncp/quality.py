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
class _Test:
    """A clip to be made and scored by whichever process is free."""

    checkpoint: Path
    data: Path | None
    noise: str
    snr: float
    number: int
    seconds: float

    def run(self) -> Clip:
        torch.set_num_threads(1)
        checkpoint, source = _loaded(self.checkpoint, self.data)
        rng = np.random.default_rng([23, self.number, int(self.snr), sum(map(ord, self.noise))])
        mixture = source.mix(rng, self.seconds, noise=self.noise, snr=self.snr, level=_LEVEL)
        return score(checkpoint, mixture, self.noise in source.trained_noise_classes)


@cache  # for the processes of one scoring; what outlives it would not see a new checkpoint
def _loaded(path: Path, data: Path | None) -> tuple[Checkpoint, AudioSource]:
    checkpoint = load_checkpoint(path)
    return checkpoint, open_source(data, checkpoint.preset.audio.sample_rate, "test")


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
    """Every noise class of the test split at 0, 5 and 10 dB, ``repeats`` clips each.

    The clips, their speakers too, depend on the data and the network's sample rate alone,
    so that networks can be compared clip by clip.
    ``data`` as in :func:`dyncp.data.open.open_source`.
    """
    rate = load_checkpoint(checkpoint).preset.audio.sample_rate
    source = open_source(data, rate, "test")
    tests = [
        _Test(checkpoint, data, kind, snr, number, seconds)
        for kind in source.noise_classes
        for snr in SNRS
        for number in range(repeats)
    ]
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
