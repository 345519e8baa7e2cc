"""Random cases for the kernels of a core, with what is extreme made likely.

Only what the compiler lets through: layers are in a layout that
:func:`targets.compiler.packing.layout_of` chooses, or in the plain one, and gates
close what they close in some network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dyncp.preset import GateSite
from quantize.arithmetic import Addition
from quantize.macs import Layout
from targets import kernel_cases
from targets.compiler.packing import layout_of
from targets.compiler.packing.packed import CLOSED_INPUTS, CLOSED_OUTPUTS
from targets.compiler.plan import (
    ConvolutionPlan,
    NetworkPlan,
    ProbePlan,
    ResidualPlan,
    ResidualSide,
)
from targets.kernel_cases import Case, Open
from targets.sources import Kernels

LARGEST_CHANNELS = 300
FRAMES = 24
TIES = (1 << 30, 3 << 29)
"""Multipliers that make exact halves."""

_SHORT_LIMIT = (1 << 23) - 1
"""What sum of |w| * 255 + |bias| may be at most where 256 times a sum must fit 32 bits."""


@dataclass(frozen=True)
class Place:
    """A layer of some network: what gates close of it."""

    site: GateSite | None
    group: int
    role: str

    @property
    def name(self) -> str:
        return f"block0.{self.role}"

    @property
    def closes_outputs(self) -> bool:
        return self.name.endswith(CLOSED_OUTPUTS[self.site])

    @property
    def closes_inputs(self) -> bool:
        return self.name.endswith(CLOSED_INPUTS[self.site])

    def __str__(self) -> str:
        return f"{self.role} at {self.site} x{self.group}" if self.site else self.role


SITES: tuple[tuple[GateSite | None, int], ...] = (
    (None, 1), *((site, group) for site in ("output", "hidden") for group in (1, 4, 8)),
)  # type: ignore[assignment]  # fmt: skip
PLACES = [Place(*site, role) for site in SITES for role in ("up", "down", "depthwise")]
POINTWISE = [place for place in PLACES if place.role != "depthwise"]
DEPTHWISE = [place for place in PLACES if place.role == "depthwise"]


def samples(kernels: Kernels, seed: int, outputs: int) -> Iterator[Case]:
    """Cases of every operation in turn, with at least ``outputs`` outputs in all."""
    rng = np.random.default_rng(seed)
    made = 0
    makers: list[Callable[[], tuple[Case, int]]] = [
        *(lambda place=place: _pointwise(rng, place, kernels) for place in POINTWISE),  # type: ignore[misc]
        *(lambda place=place: _depthwise(rng, place, kernels) for place in DEPTHWISE),  # type: ignore[misc]
        lambda: _residual(rng),
        lambda: _residual_of_small_sums(rng),
        lambda: _moving_average(rng),
        lambda: _gate(rng),
        lambda: _sigmoid(rng),
        *[lambda: _probes(rng)] * 3,
    ]
    yield _every_pair(rng)
    while made < outputs:
        for maker in makers:
            case, count = maker()
            made += count
            yield case


def _channels(rng: np.random.Generator, group: int) -> int:
    """Small and odd sizes often; a multiple of ``group``."""
    largest = int(rng.choice([9, 40, LARGEST_CHANNELS]))
    return group * int(rng.integers(1, max(2, largest // group + 1)))


def _zero_point(rng: np.random.Generator) -> int:
    return int(rng.choice([-128, 127, 0, rng.integers(-128, 128)]))


def _weights(rng: np.random.Generator, shape: tuple[int, int], style: str) -> NDArray[np.int8]:
    if style == "limits":
        return np.repeat(rng.choice([-127, 127], (shape[0], 1)), shape[1], axis=1).astype(np.int8)
    if style == "ties":
        return rng.integers(-1, 2, shape).astype(np.int8)
    if style == "extremes":
        return rng.choice([-127, 127, 0], shape).astype(np.int8)
    if style == "general":
        return rng.integers(-128, 128, shape).astype(np.int8)
    return np.clip(rng.normal(0, 45, shape).round(), -127, 127).astype(np.int8)


def _layer(rng: np.random.Generator, place: Place, shape: tuple[int, int]) -> ConvolutionPlan:
    """A layer of ``[outputs, inputs]`` that the compiler would accept."""
    outputs, inputs = shape
    style = str(rng.choice(["ordinary", "extremes", "limits", "ties", "general"]))
    weights = _weights(rng, shape, style)
    reach = np.abs(weights.astype(np.int64)).sum(axis=1) * 255
    room = np.maximum(_SHORT_LIMIT - reach, 0)
    if style == "limits":
        bias = np.sign(weights[:, 0].astype(np.int64)) * room
    else:
        largest = np.minimum(room, 300 if style == "ties" else 1 << 16)
        bias = rng.integers(-largest, largest + 1)
    multiplier = rng.integers(1 << 30, 1 << 31, outputs)
    if style == "ties":
        multiplier[:] = rng.choice(TIES)
    multiplier[rng.integers(0, 20, outputs) == 0] = rng.choice([0, (1 << 31) - 1, 1 << 30])
    # The typical sum, and with it the output, over some 8 bits.
    typical = np.log2(np.maximum(reach if style == "limits" else reach / inputs**0.5, 2))
    shift = np.clip(np.round(7 - typical).astype(np.int64) + rng.integers(-1, 3), -31, -1)
    if style == "general" and rng.integers(2):
        shift += rng.integers(0, 3, outputs)  # to the left too, where sums are small
        shift = np.where(reach + np.abs(bias) < 1 << 26, shift, np.minimum(shift, 0))
    if rng.integers(8) == 0:
        shift[:] = rng.choice([-31, -30, -1])
    zero_point = _zero_point(rng)
    return ConvolutionPlan(
        name=place.name,
        weights=weights,
        bias=bias.astype(np.int32),
        multiplier=multiplier,
        shift=shift,
        input_zero_point=_zero_point(rng),
        output_zero_point=zero_point,
        lowest=zero_point if style == "general" else -128,
    )


def _layout(
    rng: np.random.Generator, place: Place, layer: ConvolutionPlan, kernels: Kernels
) -> Layout:
    """What a network with this layer would have; at times plain, which every core can run."""
    network = NetworkPlan(layer, (), layer, np.zeros(256, np.int8), place.site, place.group)
    return "plain" if rng.integers(5) == 0 else layout_of(network, layer, kernels)


def _values(rng: np.random.Generator, shape: tuple[int, ...], zero_point: int) -> NDArray[np.int8]:
    """Frames of int8, each all one extreme, a mixture of extremes, or anything."""
    x = rng.integers(-128, 128, shape)
    for row in x:
        style = rng.integers(7)
        if style < 3:
            row[:] = (-128, 127, zero_point)[style]
        elif style == 3:
            row[:] = rng.choice([-128, 127], row.shape)
        elif style == 4:
            row[:] = np.clip(zero_point + rng.integers(-2, 3, row.shape), -128, 127)
    return x.astype(np.int8)


def _masks(rng: np.random.Generator, channels: int, group: int, dense: bool) -> list[Open | None]:
    """For each frame nothing open, all, one gate, a run, or a random share; no list if ``dense``.

    Networks run a layer without a list whose gates close inputs; not so with outputs.
    """
    gates, found = channels // group, []
    for style in rng.integers(0, 8, FRAMES):
        is_open = rng.random(gates) < rng.choice([0.1, 0.25, 0.5, 0.75, 0.95])
        if style < 2:
            is_open[:] = style == 1
        elif style == 2:
            is_open[:] = np.arange(gates) == rng.integers(gates)
        elif style == 3:
            first, end = np.sort(rng.integers(0, gates + 1, 2))
            is_open[:] = False
            is_open[first:end] = True
        found.append(None if style == 4 and dense else Open.of_gates(is_open, group))
    return found


def _pointwise(rng: np.random.Generator, place: Place, kernels: Kernels) -> tuple[Case, int]:
    outputs = _channels(rng, place.group if place.closes_outputs else 1)
    inputs = _channels(rng, place.group if place.closes_inputs else 1)
    layer = _layer(rng, place, (outputs, inputs))
    layout = _layout(rng, place, layer, kernels)
    x = _values(rng, (FRAMES, inputs), layer.input_zero_point)
    # No network closes both, but the plain kernel of any core can.
    both = layout == "plain" and rng.integers(3) == 0
    rows = columns = None
    if place.closes_outputs or both:
        group = place.group if outputs % place.group == 0 else 1
        rows = _masks(rng, outputs, group, dense=layout == "plain")
    if place.closes_inputs or both:
        group = place.group if inputs % place.group == 0 else 1
        columns = _masks(rng, inputs, group, dense=True)
    name = f"pointwise {inputs}->{outputs}, {layout}, {place}"
    case = kernel_cases.pointwise(name, layer, layout, x, outputs=rows, inputs=columns)
    return case, FRAMES * outputs


def _depthwise(rng: np.random.Generator, place: Place, kernels: Kernels) -> tuple[Case, int]:
    channels = _channels(rng, place.group)
    layer = _layer(rng, place, (channels, 3))
    layout = _layout(rng, place, layer, kernels)
    taps = _values(rng, (FRAMES, 3, channels), layer.input_zero_point)
    masks = _masks(rng, channels, place.group, dense=True) if place.closes_outputs else None
    name = f"depthwise {channels}, {layout}, {place}"
    return kernel_cases.depthwise(name, layer, layout, taps, masks), FRAMES * channels


def _addition(rng: np.random.Generator, scales: NDArray[np.floating] | None = None) -> ResidualPlan:
    """Of operands and a sum with these scales, or with any."""
    if scales is None:
        scales = np.exp(rng.uniform(-7, 0, 3))
        if rng.integers(3) == 0:
            scales[1] = scales[0]  # two factors of exactly 1/2
        if rng.integers(6) == 0:
            scales[2] = scales[:2].max() * 2.0 ** float(rng.choice([-18.5, -17.5, 9, 20]))
    exact = scales.astype(np.float32).astype(float)
    zero_points = [_zero_point(rng) for _ in range(3)]
    addition = Addition(*zip(exact.tolist(), zero_points, strict=True))  # type: ignore[arg-type]
    factors = addition.first, addition.second, addition.output
    sides = [ResidualSide(*f, z) for f, z in zip(factors, zero_points, strict=True)]
    return ResidualPlan(*sides)


def _every_pair(rng: np.random.Generator) -> Case:
    every = np.arange(-128, 128)
    x, branch = (a.reshape(16, -1).astype(np.int8) for a in np.meshgrid(every, every))
    return kernel_cases.residual("residual, every pair", _addition(rng), x, branch)


def _residual(rng: np.random.Generator) -> tuple[Case, int]:
    add, count = _addition(rng), _channels(rng, 1)
    x = _values(rng, (FRAMES, count), add.x.zero_point)
    branch = _values(rng, (FRAMES, count), add.branch.zero_point)
    return kernel_cases.residual(f"residual {count}", add, x, branch), FRAMES * count


def _residual_of_small_sums(rng: np.random.Generator) -> tuple[Case, int]:
    """Sums of a few units at the common scale, so that its lowest bit decides outputs."""
    scales = 2.0 ** np.array([0, rng.uniform(-21, -17), rng.uniform(-19, -16)])
    order = rng.permutation([0, 1])
    add, count = _addition(rng, scales[[*order, 2]]), _channels(rng, 1)
    operands = [
        np.full((FRAMES, count), side.zero_point, np.int8) if large == 0
        else _values(rng, (FRAMES, count), side.zero_point)
        for side, large in ((add.x, order[0]), (add.branch, order[1]))
    ]  # fmt: skip
    name = f"residual {count} of small sums"
    return kernel_cases.residual(name, add, operands[0], operands[1]), FRAMES * count


def _moving_average(rng: np.random.Generator) -> tuple[Case, int]:
    channels, length = _channels(rng, 1), int(rng.choice([2, 3, 43, 256, rng.integers(2, 257)]))
    zero_point = _zero_point(rng)
    x = _values(rng, (int(rng.choice([FRAMES, length + 5])), channels), zero_point)
    if rng.integers(4) == 0:
        x[:] = zero_point = int(rng.choice([-128, 127]))  # the largest sums
    name = f"moving average {channels} over {length}"
    return kernel_cases.moving_average(name, x, length, zero_point), x.size


def _gate(rng: np.random.Generator) -> tuple[Case, int]:
    group = int(rng.choice([1, 4, 8]))
    gates = _channels(rng, group) // group
    zero_point = _zero_point(rng)
    logits = _values(rng, (FRAMES, gates), zero_point)
    name = f"gate {gates} x{group}"
    return kernel_cases.gate(name, logits, zero_point, group), FRAMES * gates


def _sigmoid(rng: np.random.Generator) -> tuple[Case, int]:
    table = rng.integers(-128, 128, 256).astype(np.int8)
    x = _values(rng, (FRAMES, _channels(rng, 1)), 0)
    x[0] = np.resize(np.arange(-128, 128), x.shape[1])
    return kernel_cases.sigmoid(f"sigmoid {x.shape[1]}", table, x), x.size


def _probes(rng: np.random.Generator) -> tuple[Case, int]:
    """Any range of the rows; gates that none of them uses, and blocks that end within a word."""
    probes, blocks = int(rng.integers(1, 20)), int(rng.integers(1, 10))
    gates = int(rng.choice([1, 31, 32, 33, rng.integers(1, LARGEST_CHANNELS)]))
    used = rng.random(blocks * gates) < rng.choice([0, 0.05, 0.3, 1])
    weights = rng.integers(-32768, 32768, (probes, blocks * gates))
    weights[rng.random(weights.shape) < 0.2] = rng.choice([-32768, 32767, 0])
    weights[:, ~used] = 0
    room = (1 << 31) - 1 - np.abs(weights).sum(axis=1)
    biases = np.where(rng.integers(2, size=probes), room, -room)  # as far as checks let them
    rows = [
        ProbePlan(f"row{index}", row.astype(np.int16), int(bias))
        for index, (row, bias) in enumerate(zip(weights, biases, strict=True))
    ]
    share = rng.choice([0, 0.1, 0.25, 0.5, 1], (FRAMES, 1, 1))
    is_open = rng.random((FRAMES, blocks, gates)) < share
    first, last = np.sort(rng.integers(0, probes, 2)).tolist()
    columns = range(probes) if rng.integers(2) else range(first, last + 1)
    name = f"probes {columns} of {probes} on {blocks} x {gates} gates"
    return kernel_cases.probes(name, rows, is_open, columns), 4 * FRAMES * len(columns)
