"""What int8 costs a network, on the clips on which it was scored in float."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from dyncp.checkpoint import load_checkpoint
from dyncp.errors import UserError
from dyncp.metrics import pesq_wb, si_sdr, stoi
from dyncp.network import Block, GatedConvFSENet
from dyncp.quality import Recipe, recipes
from quantize.enhance import enhance
from quantize.integer_model import IntegerModel
from quantize.model import load_model

MARGINS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, np.inf)
"""Edges of the histogram of float logits' distances from the threshold, in int8 steps."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Networks:
    """Files: ``floating``, the network as it was trained; ``deployed``, the float network that
    was rounded (the same function, or one trained on from it); ``model``, its integers."""

    floating: Path
    deployed: Path
    model: Path


@dataclass(frozen=True)
class Measured:
    """Of one clip. Sums over its frames: arrays ``[blocks, gates]`` of decisions equal to the
    trained float network's and to the deployed one's, of frames on which the former opens,
    and of the power that it then lets through; ``margins`` ``[2, bins]``: all decisions and
    those that flip, by the deployed logit's distance from the threshold."""

    frames: int
    scores: dict[str, float]
    equal: Array
    equal_own: Array
    opened: Array
    power: Array
    margins: Array
    mask_power: float
    mask_error: float


@dataclass(frozen=True)
class _Test:
    networks: Networks
    recipe: Recipe

    def run(self) -> Measured:
        torch.set_num_threads(1)
        mixture, rate = self.recipe.mix(), self.recipe.rate
        model = _integers(self.networks.model)
        ours = enhance(model, mixture.noisy)
        floating = _watched(_network(self.networks.floating), ours.features)
        deployed = _watched(_network(self.networks.deployed), ours.features)
        scales = [
            model.model.activations[f"gate{block}_logits"].scale for block in range(len(ours.gates))
        ]
        flips = ours.gates != deployed.gates
        margins = np.zeros((2, len(MARGINS) - 1))
        for logits, flipped, scale in zip(deployed.logits, flips, scales, strict=True):
            distance = np.abs(logits) / scale
            margins[0] += np.histogram(distance, MARGINS)[0]
            margins[1] += np.histogram(distance[flipped], MARGINS)[0]
        difference = floating.mask - ours.mask
        return Measured(
            frames=len(ours.mask),
            scores={
                "pesq": pesq_wb(ours.samples, mixture.clean, rate),
                "estoi": stoi(ours.samples, mixture.clean, rate, extended=True),
                "si_sdr": si_sdr(ours.samples, mixture.clean),
            },
            equal=(ours.gates == floating.gates).sum(axis=1).astype(np.float64),
            equal_own=(~flips).sum(axis=1).astype(np.float64),
            opened=floating.gates.sum(axis=1).astype(np.float64),
            power=floating.power,
            margins=margins,
            mask_power=float(np.square(floating.mask, dtype=np.float64).sum()),
            mask_error=float(np.square(difference, dtype=np.float64).sum()),
        )


@cache
def _integers(path: Path) -> IntegerModel:
    return IntegerModel(load_model(path))


@cache
def _network(path: Path) -> GatedConvFSENet:
    return load_checkpoint(path).network


@dataclass(frozen=True)
class _Seen:
    mask: NDArray[np.float32]
    logits: NDArray[np.float32]
    power: Array

    @property
    def gates(self) -> NDArray[np.bool_]:
        return self.logits > 0


@torch.inference_mode()
def _watched(network: GatedConvFSENet, features: NDArray[np.float32]) -> _Seen:
    """The float network; ``power`` ``[blocks, gates]`` is what open gates let through, summed.

    Of site ``output``: squares of the last 1x1's outputs; of ``hidden``: squares of the wide
    channels, times the squared norm of the column that reads them.
    """
    passed: list[Tensor] = []

    def take(block: Block) -> Any:
        def hook(_module: Any, _inputs: Any, output: Tensor) -> None:
            if block.site == "hidden":
                passed.append(torch.relu(output) ** 2 * (block.down.weight**2).sum(dim=0)[None])
            else:
                passed.append(output**2)

        module = block.depthwise_norm if block.site == "hidden" else block.down
        return module.register_forward_hook(hook)

    handles = [take(block) for block in cast("list[Block]", network.blocks) if block.site]
    try:
        found = network(torch.from_numpy(features)[None])
    finally:
        for handle in handles:
            handle.remove()
    mask = found.mask[0].numpy().T
    if not found.logits:
        return _Seen(mask, np.zeros((0, len(mask), 0), np.float32), np.zeros((0, 0)))
    logits = np.stack([scores[0].numpy().T for scores in found.logits])
    power = np.stack([values[0, :, :, 0].numpy().T for values in passed])
    blocks, frames, gates = logits.shape
    grouped = power.reshape(blocks, frames, gates, -1).sum(axis=3)
    return _Seen(mask, logits, np.asarray((grouped * (logits > 0)).sum(axis=1), np.float64))


def measure_exactness(
    networks: Networks, float_clips: list[dict[str, Any]], data: Path | None = None
) -> dict[str, Any]:
    """Run the integer model on every test clip, and hold it against the float networks.

    ``float_clips``: the scores of ``networks.floating`` on those clips, as
    ``python -m dyncp evaluate`` writes them. Gives plain values; see :func:`summary`.
    Raises :class:`UserError` where the files are of different networks or clips.
    """
    model = load_model(networks.model)
    for path in (networks.floating, networks.deployed):
        if load_checkpoint(path).preset.architecture() != model.preset.architecture():
            raise UserError(f"{path} is of another network than {networks.model}")
    tests = [_Test(networks, recipe) for recipe in recipes(model.preset.audio.sample_rate, data)]
    if [(t.recipe.noise, t.recipe.snr) for t in tests] != [
        (clip["noise"], clip["snr"]) for clip in float_clips
    ]:
        raise UserError("the float scores are of other clips; run: make evaluate")
    # Not forked: a fork of a process whose torch has threads may hang.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        bar = tqdm(
            pool.map(_Test.run, tests),
            desc=f"int8 {model.preset.name}",
            total=len(tests),
            disable=not sys.stderr.isatty(),
        )
        return summary(list(bar), float_clips) | {"preset": model.preset.name}


def summary(found: list[Measured], float_clips: list[dict[str, Any]]) -> dict[str, Any]:
    """Over all clips, as plain values.

    ``gates`` (None for a static network): shares of equal decisions, over all and by block:
    ``equal`` to the trained float network's, ``own`` to the deployed one's; ``weighted``: the
    first, each gate weighted by the mean power that it lets through when it is open.
    ``mask_snr``: dB. ``lost``: float less int8, clip by clip, by score.
    """
    frames = sum(clip.frames for clip in found)
    gates = None
    if found[0].equal.size:
        equal, own, opened, power = (
            sum((getattr(clip, name) for clip in found), start=np.zeros(()))
            for name in ("equal", "equal_own", "opened", "power")
        )
        weights = power / np.maximum(opened, 1)
        margins = sum((clip.margins for clip in found), start=np.zeros(()))
        gates = {
            "equal": float(equal.mean() / frames),
            "own": float(own.mean() / frames),
            "weighted": float((equal * weights).sum() / (weights.sum() * frames)),
            "equal_by_block": (equal.mean(axis=1) / frames).tolist(),
            "own_by_block": (own.mean(axis=1) / frames).tolist(),
            "margins": {
                "edges": [edge if np.isfinite(edge) else None for edge in MARGINS],
                "decisions": margins[0].astype(int).tolist(),
                "flips": margins[1].astype(int).tolist(),
            },
        }
    error = sum(clip.mask_error for clip in found)
    power_of_mask = sum(clip.mask_power for clip in found)
    return {
        "clips": len(found),
        "frames": frames,
        "gates": gates,
        "mask_snr": float(10 * np.log10(power_of_mask / error)) if error else None,
        "lost": {
            name: [
                None if before[name] is None or not np.isfinite(clip.scores[name])
                else before[name] - clip.scores[name]
                for clip, before in zip(found, float_clips, strict=True)
            ]
            for name in ("pesq", "estoi", "si_sdr")
        },
    }  # fmt: skip
