"""Weights rounded so that the error of one is made good by those not rounded yet.

Needs torch. Rounding to the nearest is best for a weight alone; a layer's output is a sum over
inputs that go together, so what one weight's rounding adds, its neighbours can take away
(GPTQ, Frantar et al., arXiv 2210.17323, after Hassibi and Stork's optimal brain surgeon). How
inputs go together is taken from calibration audio; the bias, hardly rounded, comes last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dyncp.network import Block, GatedConvFSENet
from quantize.checks import WEIGHT_LIMIT
from quantize.clips import Clip, float_inputs

_DAMPING = 0.01
"""Of the mean input power, added to each: keeps corrections of rare inputs small."""

Moments = dict[str, NDArray[np.float64]]
"""For each 1x1 layer, the mean of ``x xT`` over calibration, ``[inputs + 1, inputs + 1]``: x is
the layer's input with a 1 after it, which the bias multiplies."""


class _Sum:
    """``x xT`` over all frames of all clips."""

    def __init__(self, inputs: int) -> None:
        self.total = np.zeros((inputs + 1, inputs + 1))
        self.frames = 0

    def see(self, values: torch.Tensor) -> None:
        """``values [1, inputs, frames, 1]``."""
        x = values.double().reshape(values.shape[1], -1).numpy()
        x = np.concatenate([x, np.ones((1, x.shape[1]))])
        self.total += x @ x.T
        self.frames += x.shape[1]


def input_moments(network: GatedConvFSENet, features: Iterable[Clip]) -> Moments:
    """How the inputs of every 1x1 layer go together over clips (:mod:`quantize.clips`).

    An embedding is no input here: its columns are rounded alone (:mod:`quantize.calibrate`).
    """
    layers = _pointwise(network)
    sums = {name: _Sum(conv.in_channels) for name, conv in layers.items()}
    with _listening(layers, sums), torch.inference_mode():
        for clip in features:
            network(*float_inputs(clip))
    return {name: found.total / max(found.frames, 1) for name, found in sums.items()}


def round_rows(
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
    steps: NDArray[np.float64],
    moments: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Integers ``[outputs, inputs]`` within +-127, and the bias ``[outputs]`` that suits them.

    ``weight [outputs, inputs]``, ``steps [outputs]``: a row's scale; ``moments``: see
    :data:`Moments`. Loud inputs are rounded first, while there are many to correct them.
    """
    inputs = weight.shape[1]
    power = np.diag(moments)[:inputs]
    damped = moments + np.diag([*np.full(inputs, _DAMPING * power.mean() + 1e-12), 1e-12])
    order = np.append(np.argsort(-power, kind="stable"), inputs)
    spread = np.linalg.cholesky(np.linalg.inv(damped[np.ix_(order, order)])).T
    rest = np.concatenate([weight, bias[:, None]], axis=1)[:, order]
    integers = np.zeros_like(weight)
    for column in range(inputs):
        rounded = np.clip(np.rint(rest[:, column] / steps), -WEIGHT_LIMIT, WEIGHT_LIMIT)
        integers[:, order[column]] = rounded
        error = (rest[:, column] - rounded * steps) / spread[column, column]
        rest[:, column + 1 :] -= error[:, None] * spread[column, column + 1 :]
    return integers, rest[:, inputs]


def _pointwise(network: GatedConvFSENet) -> dict[str, nn.Conv2d]:
    """The 1x1 layers by their deployed names."""
    layers: dict[str, Any] = {"front": network.front}
    for index, block in enumerate(cast("list[Block]", network.blocks)):
        if block.gate is not None:
            layers[f"block{index}.squeeze"] = block.gate.squeeze
            layers[f"block{index}.score"] = block.gate.score
        layers[f"block{index}.up"] = block.up
        layers[f"block{index}.down"] = block.down
    return {**layers, "back": network.back}


@contextmanager
def _listening(layers: dict[str, nn.Conv2d], sums: dict[str, _Sum]) -> Iterator[None]:
    handles = [
        conv.register_forward_pre_hook(lambda _, inputs, name=name: sums[name].see(inputs[0]))
        for name, conv in layers.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
