"""Networks for the bench: a preset's shape with random weights and gates that are pinned.

What a frame costs depends on the shape, on the layouts and on which gates are open, not
on what was learned; so no network is trained or converted for it. The plan is made as the
compiler would, and built to firmware from there on. Gates are pinned by biases of the
score layer that outweigh anything its inputs can give: other biases in the same image
open other gates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dyncp.preset import Preset
from dyncp.state import output_shapes
from firmware_bridge.bench_kernels import open_at_random, random_layer, residual_plan
from quantize.arithmetic import sigmoid_table
from quantize.wiring import layer_specs
from targets.compiler.audio_tables import make_tables
from targets.compiler.compile import make_arena
from targets.compiler.packing import layout_of, pack
from targets.compiler.plan import BlockPlan, ConvolutionPlan, GatePlan, NetworkPlan, Plan
from targets.sources import Kernels

_SEED = 11
_FEATURE_GRID = 6.0 / 255, -128
_MASK_GRID = 0.06, 5
_PINNED_BIAS = 1 << 20


def pinned_gates(preset: Preset, share: int) -> NDArray[np.bool_]:
    """bool ``[blocks, gates]``: ``share`` percent of each block's, at random places."""
    rng = np.random.default_rng(_SEED)
    rows = [open_at_random(rng, preset.gates, share) for _ in range(preset.blocks)]
    return np.stack(rows)


def bench_plan(preset: Preset, kernels: Kernels) -> Plan:
    """A network of ``preset``'s shape; its gates are all open until :func:`pins` say else."""
    rng = np.random.default_rng(_SEED)
    layers = {
        spec.name: random_layer(
            rng,
            spec.name,
            spec.outputs,
            spec.inputs,
            input_zero_point=-128 if spec.role in ("front", "depthwise", "down", "score") else 3,
        )
        for spec in layer_specs(preset)
    }
    network = NetworkPlan(
        front=layers["front"],
        blocks=tuple(_block(preset, index, layers) for index in range(preset.blocks)),
        back=layers["back"],
        sigmoid=sigmoid_table(*_MASK_GRID),
        site=preset.gate.site if preset.gate else None,
        group=preset.gate.group if preset.gate else 1,
    )
    return Plan(
        preset=preset.name,
        model_hash=hashlib.sha256(f"bench {preset.name}".encode()).hexdigest(),
        sample_rate=preset.audio.sample_rate,
        network=network,
        probes=(),
        tensors=tuple(output_shapes(preset)),
        audio=make_tables(preset.audio, *_FEATURE_GRID),
        arena=make_arena(preset, network),
        kernels=kernels,
    )


def pins(plan: Plan, gates: NDArray[np.bool_]) -> dict[str, bytes]:
    """The constants, by their names in the image, that open these gates in every frame."""
    values = {}
    for block, is_open in zip(plan.network.blocks, gates, strict=True):
        if block.gate:
            score = _pinned(block.gate.score, is_open)
            layout = layout_of(plan.network, score, plan.kernels)
            name = f"{score.name.replace('.', '_')}_constants"
            values[name] = pack(score, layout).constants.astype("<i4").tobytes()
    return values


def _block(preset: Preset, index: int, layers: Mapping[str, ConvolutionPlan]) -> BlockPlan:
    inner = f"block{index}."
    gate = None
    if preset.gate:
        score = _pinned(layers[f"{inner}score"], np.ones(preset.gates, np.bool_))
        gate = GatePlan(layers[f"{inner}squeeze"], score, preset.gate.pool_frames)
    return BlockPlan(
        gate=gate,
        up=layers[f"{inner}up"],
        depthwise=layers[f"{inner}depthwise"],
        down=layers[f"{inner}down"],
        residual=residual_plan((0.05, 3), (0.02, 5), (0.055, 3)),
        dilation=preset.network.block_dilations[index],
    )


def _pinned(score: ConvolutionPlan, is_open: NDArray[np.bool_]) -> ConvolutionPlan:
    bias = np.where(is_open, _PINNED_BIAS, -_PINNED_BIAS).astype(np.int32)
    return replace(score, bias=bias)
