"""The kernels that the bench counts: whole layers, in the layout that a core has for them.

Weights and inputs are random; no kernel but the moving average branches on them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dyncp.preset import GateSite
from quantize.arithmetic import Addition
from targets import kernel_cases
from targets.compiler.packing import layout_of
from targets.compiler.plan import (
    ConvolutionPlan,
    NetworkPlan,
    ProbePlan,
    ResidualPlan,
    ResidualSide,
)
from targets.kernel_cases import Case, Open
from targets.sources import Kernels

SHARES = (100, 75, 50, 25)
"""Percent of the gates that are open."""

GROUPS = (1, 4, 8)
_SEED = 7
_TAPS = 3
_USED_GATES = 300
_WINDOW = 43


@dataclass(frozen=True, eq=False)
class Kernel:
    """A call to count; ``macs`` are those that it executes, 0 where it has none."""

    macs: int
    case: Case

    @property
    def name(self) -> str:
        return self.case.name


def kernels_to_count(kernels: Kernels) -> list[Kernel]:
    """Every kernel, for a core that runs ``kernels``."""
    rng = np.random.default_rng(_SEED)
    found = [
        _pointwise(rng, kernels, inputs, outputs)
        for inputs, outputs in ((128, 128), (256, 128), (128, 256), (257, 128), (128, 257))
    ]
    for group in GROUPS:
        for share in SHARES:
            gated = _Gating("output", group, share)
            found.append(_pointwise(rng, kernels, 128, 128, gated=gated, role="down"))
    for role, inputs, outputs in (("up", 128, 256), ("down", 256, 128)):
        for group in GROUPS:
            for share in SHARES:
                gated = _Gating("hidden", group, share)
                found.append(_pointwise(rng, kernels, inputs, outputs, gated=gated, role=role))
    found.append(_pointwise_both(kernels))
    found.append(_depthwise(rng, kernels, 256))
    found += [_depthwise(rng, kernels, 256, _Gating("hidden", group, 50)) for group in GROUPS]
    x = rng.integers(-128, 128, (2, 257)).astype(np.int8)
    add, narrow = _addition(), x[:1, :128]
    found += [
        Kernel(0, case)
        for case in (
            kernel_cases.residual("residual 128", add, narrow, x[1:, :128]),
            kernel_cases.moving_average(f"moving average 128 over {_WINDOW}", narrow, _WINDOW, 3),
            *_gates(rng, 128, 1),
            *_gates(rng, 16, 8),
            kernel_cases.sigmoid("sigmoid 257", x[0, :256], x[:1]),
            *(_probes(probes, share) for probes in (1, 16) for share in SHARES),
        )
    ]
    return found


@dataclass(frozen=True)
class _Gating:
    site: GateSite
    group: int
    share: int

    def open(self, rng: np.random.Generator, channels: int) -> list[Open]:
        """The share at random places, for one frame."""
        return [Open.of_gates(open_at_random(rng, channels // self.group, self.share), self.group)]


def open_at_random(
    rng: np.random.Generator, gates: int, share: int
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """bool ``[gates]``: exactly ``share`` percent of them open."""
    is_open = np.zeros(gates, np.bool_)
    is_open[rng.permutation(gates)[: gates * share // 100]] = True
    return is_open


def random_layer(
    rng: np.random.Generator, name: str, outputs: int, inputs: int, *, input_zero_point: int = 3
) -> ConvolutionPlan:
    """A convolution as training and calibration give it: outputs over most of the 8 bits."""
    weights = np.clip(rng.normal(0, 45, (outputs, inputs)).round(), -127, 127).astype(np.int8)
    shift = round(5 - np.log2(45 * 60 * inputs**0.5))
    return ConvolutionPlan(
        name=name,
        weights=weights,
        bias=rng.integers(-2000, 2000, outputs).astype(np.int32),
        multiplier=rng.integers(1 << 30, 1 << 31, outputs),
        shift=np.full(outputs, shift, np.int64),
        input_zero_point=input_zero_point,
        output_zero_point=-128 if name.endswith(("up", "depthwise", "squeeze", "front")) else 5,
        lowest=-128,
    )


def _network(layer: ConvolutionPlan, gated: _Gating | None) -> NetworkPlan:
    """What gates close, for the choice of the layout."""
    site, group = (gated.site, gated.group) if gated else (None, 1)
    return NetworkPlan(layer, (), layer, np.zeros(256, np.int8), site, group)


def _pointwise(
    rng: np.random.Generator,
    kernels: Kernels,
    inputs: int,
    outputs: int,
    *,
    gated: _Gating | None = None,
    role: str = "up",
) -> Kernel:
    zero_point = -128 if role == "down" else 3
    layer = random_layer(rng, f"block0.{role}", outputs, inputs, input_zero_point=zero_point)
    layout = layout_of(_network(layer, gated), layer, kernels)
    x = rng.integers(-128, 128, (1, inputs)).astype(np.int8)
    name = f"pointwise {inputs}->{outputs}"
    if gated is None:
        return Kernel(layer.macs, kernel_cases.pointwise(f"{name} dense", layer, layout, x))
    closes_inputs = gated.site == "hidden" and role == "down"
    is_open = gated.open(rng, inputs if closes_inputs else outputs)
    what = "inputs" if closes_inputs else "outputs"
    name = f"{name} {what} x{gated.group}, {gated.share} % open"
    lists = {what: is_open}
    case = kernel_cases.pointwise(name, layer, layout, x, **lists)
    return Kernel(layer.macs * gated.share // 100, case)


def _pointwise_both(kernels: Kernels) -> Kernel:
    """Half the outputs and half the inputs closed: no network does, but a peer's layer may."""
    rng = np.random.default_rng(_SEED)
    layer = random_layer(rng, "block0.down", 128, 128, input_zero_point=-128)
    inputs, outputs = _Gating("hidden", 4, 50), _Gating("hidden", 8, 50)
    layout = layout_of(_network(layer, inputs), layer, kernels)
    x = rng.integers(-128, 128, (1, 128)).astype(np.int8)
    lists = {"inputs": inputs.open(rng, 128), "outputs": outputs.open(rng, 128)}
    name = "pointwise 128->128 outputs x8 and inputs x4, 50 % open"
    return Kernel(layer.macs // 4, kernel_cases.pointwise(name, layer, layout, x, **lists))


def _depthwise(
    rng: np.random.Generator, kernels: Kernels, channels: int, gated: _Gating | None = None
) -> Kernel:
    layer = random_layer(rng, "block0.depthwise", channels, _TAPS, input_zero_point=-128)
    layout = layout_of(_network(layer, gated), layer, kernels)
    taps = rng.integers(-128, 128, (1, _TAPS, channels)).astype(np.int8)
    name, share = f"depthwise {channels}", gated.share if gated else 100
    name += f" x{gated.group}, {share} % open" if gated else " dense"
    is_open = gated.open(rng, channels) if gated else None
    case = kernel_cases.depthwise(name, layer, layout, taps, is_open)
    return Kernel(layer.macs * share // 100, case)


def _gates(rng: np.random.Generator, gates: int, group: int) -> list[Case]:
    cases = []
    for share in SHARES:
        logits = np.where(open_at_random(rng, gates, share), 60, -60)[None].astype(np.int8)
        cases.append(kernel_cases.gate(f"gate {gates} x{group}, {share} % open", logits, 0, group))
    return cases


def _probes(probes: int, share: int) -> Case:
    """Rows on 300 of the published network's 9 x 128 gates; ``share`` of those are open."""
    rng = np.random.default_rng(_SEED)
    used = rng.permutation(9 * 128)[:_USED_GATES]
    weights = np.zeros((probes, 9 * 128), np.int16)
    weights[:, used] = rng.integers(-32767, 32768, (probes, _USED_GATES))
    gates = np.ones(9 * 128, np.bool_)
    gates[used] = open_at_random(rng, _USED_GATES, share)
    rows = [ProbePlan(f"row{index}", row, 1000) for index, row in enumerate(weights)]
    name = f"probes {probes} on {_USED_GATES} gates, {share} % open"
    return kernel_cases.probes(name, rows, gates.reshape(1, 9, 128), range(probes))


def _addition() -> ResidualPlan:
    return residual_plan((0.05, -20), (0.02, 7), (0.055, -12))


def residual_plan(
    x: tuple[float, int], branch: tuple[float, int], total: tuple[float, int]
) -> ResidualPlan:
    """An addition of two tensors, each given as (scale, zero point)."""
    addition = Addition(x, branch, total)
    factors = addition.first, addition.second, addition.output
    return ResidualPlan(
        *(
            ResidualSide(*factor, zero_point)
            for factor, zero_point in zip(factors, addition.zero_points, strict=True)
        )
    )
