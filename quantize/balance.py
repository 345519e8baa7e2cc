"""Channels of one tensor brought nearer to each other, so that one int8 scale serves them all.

Needs torch. A channel is divided by a factor where it is made and multiplied by it where
it is read: the network's function stays, for ReLU passes a positive factor through (cross-layer
equalisation, Nagel et al., arXiv 1906.04721). Along the residual all blocks share a factor.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from functools import reduce
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dyncp.network import Block, GatedConvFSENet
from quantize.clips import Clip
from quantize.ranges import channel_peaks
from quantize.wiring import block_input

_SHARE = 0.5
"""How far channels are brought together, 1: to equal peaks. What activations gain, the weights
that read them lose, since a row of them has one scale."""

_LARGEST = 10.0
_GRAIN = 8
"""Factors are powers of 2 ** (1 / 8): the last bits of a peak, which differ from processor to
processor, do not reach the weights."""


@torch.no_grad()
def balance(network: GatedConvFSENet, features: Iterable[Clip]) -> GatedConvFSENet:
    """A network of the same function whose tensors are kinder to int8.

    ``features``: calibration clips (:mod:`quantize.clips`). Errors as
    :func:`quantize.ranges.observe`. What reads an embedding follows the rows of its layer,
    not the channels of the block's input: the embedding stays as it is.
    """
    peaks = channel_peaks(network, features)
    preset = network.preset
    balanced = copy.deepcopy(network)
    inputs = [peaks[block_input(preset, block)] for block in range(preset.blocks + 1)]
    residual = _factors(reduce(np.maximum, inputs))
    _divide_rows(balanced.front.weight, balanced.front.bias, residual)
    _multiply_columns(balanced.back.weight, residual)
    for index, block in enumerate(cast("list[Block]", balanced.blocks)):
        hidden, filtered = (
            _factors(peaks[f"block{index}.{name}"]) for name in ("hidden", "filtered")
        )
        _multiply_columns(block.up.weight, residual)
        _divide_rows(block.up_norm.weight, block.up_norm.bias, hidden)
        _divide_rows(block.depthwise.weight, None, 1 / hidden)
        _divide_rows(block.depthwise_norm.weight, block.depthwise_norm.bias, filtered)
        _multiply_columns(block.down.weight, filtered)
        _divide_rows(block.down.weight, block.down.bias, residual)
        if block.gate is not None:
            squeezed = _factors(peaks[f"block{index}.squeezed"])
            _multiply_columns(block.gate.squeeze.weight, residual)
            _divide_rows(block.gate.squeeze.weight, block.gate.squeeze.bias, squeezed)
            if block.gate.squeeze_speaker is not None:
                # That of `up` stands before the batch norm, which is divided already.
                _divide_rows(block.gate.squeeze_speaker.weight, None, squeezed)
            _multiply_columns(block.gate.score.weight, squeezed)
    return balanced


def _factors(peaks: NDArray[np.float64]) -> Tensor:
    """What each channel is divided by; 1 for one that calibration never woke."""
    awake = peaks > 0
    if not awake.any():
        return torch.ones(len(peaks))
    logs = np.log2(np.where(awake, peaks, 1.0))
    wanted = np.where(awake, (logs - logs[awake].mean()) * _SHARE, 0.0)
    limit = np.log2(_LARGEST)
    grains = np.rint(np.clip(wanted, -limit, limit) * _GRAIN)
    return torch.from_numpy(2.0 ** (grains / _GRAIN)).float()


def _divide_rows(weight: Tensor, bias: Tensor | None, factors: Tensor) -> None:
    weight /= factors.reshape(-1, *[1] * (weight.dim() - 1))
    if bias is not None:
        bias /= factors


def _multiply_columns(weight: Tensor, factors: Tensor) -> None:
    weight *= factors.reshape(1, -1, 1, 1)
