"""What the float network's activations reach on calibration features, and what of it to keep.

Needs torch. The network is run twice: once for the extremes, once for how the values lie
between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from dyncp.embedding import SCALE, ZERO_POINT
from dyncp.errors import UserError
from dyncp.network import Block, GatedConvFSENet
from quantize.arithmetic import INT8_MAX
from quantize.clips import Clip, float_inputs
from quantize.methods import DEFAULT_METHOD, Method
from quantize.wiring import block_input

_BINS = 4096
_KEPT = 0.99999
"""Share of the values that ``percentile`` keeps inside each end."""
_STEPS = 255.0
_SHRINKS = np.geomspace(0.2, 1.0, 60)
"""What ``mse`` tries: these parts of the extremes."""


@dataclass
class Range:
    """The extremes seen of one activation; zero is always inside."""

    low: float = 0.0
    high: float = 0.0

    def see(self, values: Tensor) -> None:
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))


class Histogram:
    """How the values of one activation lie between its extremes."""

    def __init__(self, extremes: Range) -> None:
        self.extremes = extremes
        self.counts = np.zeros(_BINS)

    def see(self, values: Tensor) -> None:
        low, high = self.extremes.low, self.extremes.high
        if high > low:
            counts = torch.histc(values.float(), _BINS, low, high)
            self.counts += counts.numpy()

    @property
    def centres(self) -> NDArray[np.float64]:
        """The middle of every bin ``[bins]``."""
        span = self.extremes.high - self.extremes.low
        return self.extremes.low + (np.arange(_BINS) + 0.5) * span / _BINS

    def percentile(self) -> Range:
        """Without the rarest values at either end."""
        total = self.counts.sum()
        if total == 0:
            return self.extremes
        below = np.cumsum(self.counts) / total
        width = (self.extremes.high - self.extremes.low) / _BINS
        first = int(np.searchsorted(below, 1 - _KEPT, side="right"))
        last = int(np.searchsorted(below, _KEPT, side="left"))
        low = self.extremes.low + first * width
        high = self.extremes.low + (last + 1) * width
        return Range(min(0.0, low), max(0.0, high))

    def least_error(self) -> Range:
        """The part of the extremes that int8 gives back with the least squared error."""
        if self.counts.sum() == 0:
            return self.extremes
        kept = self.counts > 0
        values, counts = self.centres[kept], self.counts[kept]
        best, least = self.extremes, np.inf
        for shrink in _SHRINKS:
            low, high = shrink * self.extremes.low, shrink * self.extremes.high
            step = (high - low) / _STEPS
            outside = values - np.clip(values, low, high)
            # Inside, the error is uniform over a step.
            error = float((counts * (outside**2 + (outside == 0) * step**2 / 12)).sum())
            if error < least:
                best, least = Range(low, high), error
        return best


class Peaks:
    """The largest magnitude seen in every channel of one activation, ``[channels]``."""

    def __init__(self) -> None:
        self.values = torch.zeros(0)

    def see(self, values: Tensor) -> None:
        found = values.abs().transpose(0, 1).flatten(1).amax(dim=1)
        self.values = torch.maximum(self.values, found) if len(self.values) else found


class Observer(Protocol):
    """What looks at an activation ``[1, channels, frames, ...]``, clip by clip."""

    def see(self, values: Tensor) -> None: ...


def observe(
    network: GatedConvFSENet,
    features: Iterable[Clip],
    method: Method = DEFAULT_METHOD,
) -> dict[str, Range]:
    """Range of every activation over clips of features (:mod:`quantize.clips`).

    ``minmax``: all that was seen; ``percentile``: but for the rarest 1e-5 at either end;
    ``mse``: what int8 gives back with the least squared error. Raises :class:`UserError`
    where there is no frame, or a value that is not finite. Where a personalised network's
    embedding goes beside a block's input, any embedding is inside that input's range.
    """
    clips = list(features)
    ranges = {name: Range() for name in watched(network)}
    watch(network, clips, ranges)
    if method != "minmax":
        histograms = {name: Histogram(seen) for name, seen in ranges.items()}
        watch(network, clips, histograms)
        percentile = method == "percentile"
        ranges = {
            name: histogram.percentile() if percentile else histogram.least_error()
            for name, histogram in histograms.items()
        }
    return ranges if network.preset.speaker is None else _with_room(network, ranges)


def _with_room(network: GatedConvFSENet, ranges: dict[str, Range]) -> dict[str, Range]:
    """The ranges with that of the embedding's grid among them, and in each block's input."""
    whole = Range(0.0, (INT8_MAX - ZERO_POINT) * SCALE)
    inputs = {block_input(network.preset, block) for block in range(network.preset.blocks)}
    widened = {
        name: Range(seen.low, max(seen.high, whole.high)) if name in inputs else seen
        for name, seen in ranges.items()
    }
    return {**widened, "embedding": whole}


def channel_peaks(
    network: GatedConvFSENet, features: Iterable[Clip]
) -> dict[str, NDArray[np.float64]]:
    """The largest magnitude of every channel of every activation; arguments as `observe`'s."""
    peaks = {name: Peaks() for name in watched(network)}
    watch(network, features, peaks)
    return {name: peak.values.double().numpy() for name, peak in peaks.items()}


def watched(network: GatedConvFSENet) -> dict[str, tuple[nn.Module | None, bool]]:
    """Every activation, the module that gives it (None: the input), and whether through a ReLU.

    The whole-sequence network serves: it gives what the streaming form gives frame by frame.
    """
    preset = network.preset
    found: dict[str, tuple[nn.Module | None, bool]] = {"features": (None, False)}
    found[block_input(preset, 0)] = network.front, True
    for index, block in enumerate(cast("list[Block]", network.blocks)):
        if block.gate is not None:
            found[f"block{index}.squeezed"] = block.gate.squeeze, True
            found[f"gate{index}_logits"] = block.gate.score, False
        found[f"block{index}.hidden"] = block.up_norm, True
        found[f"block{index}.filtered"] = block.depthwise_norm, True
        found[f"block{index}.update"] = block.down, False
        found[block_input(preset, index + 1)] = block, False
    found["mask_logits"] = network.back, False
    return found


def watch(
    network: GatedConvFSENet,
    features: Iterable[Clip],
    observers: Mapping[str, Observer],
) -> None:
    """Show every activation to its observer; raises as :func:`observe` says."""
    clips = [inputs for inputs in map(float_inputs, features) if inputs[0].shape[2]]
    if not clips:
        raise UserError("calibration needs at least one frame of features; there was none")
    if not all(bool(torch.isfinite(inputs[0]).all()) for inputs in clips):
        raise UserError("the calibration features hold values that are not finite")
    with _hooks(network, observers), torch.inference_mode():
        for inputs in clips:
            observers["features"].see(inputs[0])
            network(*inputs)


@contextmanager
def _hooks(network: GatedConvFSENet, observers: Mapping[str, Observer]) -> Iterator[None]:
    handles = []

    def add(module: nn.Module, name: str, relu: bool) -> None:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            values = output[0] if isinstance(output, tuple) else output
            if not bool(torch.isfinite(values).all()):
                raise UserError(
                    f"the float network's {name} is not finite on the calibration features; "
                    "its training diverged, train it anew"
                )
            observers[name].see(F.relu(values) if relu else values)

        handles.append(module.register_forward_hook(hook))

    try:
        for name, (module, relu) in watched(network).items():
            if module is not None:
                add(module, name, relu)
        yield
    finally:
        for handle in handles:
            handle.remove()
