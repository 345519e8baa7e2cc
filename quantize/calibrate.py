"""Min-max calibration, and the float network rounded onto what it found.

Needs torch. Ranges are those of the float network on calibration features;
weights are those of the streaming form, batch normalisation folded in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from dyncp.errors import UserError
from dyncp.network import Block, GatedConvFSENet
from dyncp.streaming import StreamingNet
from quantize.arithmetic import INT8_MAX, INT8_MIN, sigmoid_table, sigmoid_values
from quantize.checks import (
    LOGIT_SCALE_LIMIT,
    LOGIT_SCALE_MIN,
    MASK_SCALE,
    MASK_ZERO_POINT,
    SIGMOID_TIE_MARGIN,
    SMALLEST_RANGE,
    SMALLEST_WEIGHT_SCALE,
    WEIGHT_LIMIT,
)
from quantize.model import Activation, QuantizedLayer, QuantizedModel, QuantizedProbe
from quantize.probes import task_of
from quantize.wiring import LayerSpec, block_input, layer_specs

_BIAS_STEPS = float(1 << 28)
"""A channel's weight scale is kept large enough for its bias to stay below this."""

_PROBE_WEIGHT_LIMIT, _PROBE_BIAS_STEPS = 32767, float(1 << 30)
_SMALLEST_PROBE_SCALE = 1e-12


@dataclass
class Range:
    """The extremes seen of one activation; zero is always inside."""

    low: float = 0.0
    high: float = 0.0

    def see(self, values: Tensor) -> None:
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))


def observe(network: GatedConvFSENet, features: Iterable[NDArray[np.float32]]) -> dict[str, Range]:
    """Range of every activation over clips of features, each float32 ``[bins, frames]``.

    The whole-sequence network serves, through hooks on its modules: it gives
    what the streaming form gives frame by frame.
    """
    preset = network.preset
    ranges: dict[str, Range] = {}
    hooks = []

    def watch(module: nn.Module, name: str, relu: bool = False) -> None:
        seen = ranges.setdefault(name, Range())

        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            values = output[0] if isinstance(output, tuple) else output
            if not bool(torch.isfinite(values).all()):
                raise UserError(
                    f"the float network's {name} is not finite on the calibration features; "
                    "its training diverged, train it anew"
                )
            seen.see(F.relu(values) if relu else values)

        hooks.append(module.register_forward_hook(hook))

    watch(network.front, block_input(preset, 0), relu=True)
    for index, block in enumerate(cast("list[Block]", network.blocks)):
        if block.gate is not None:
            watch(block.gate.squeeze, f"block{index}.squeezed", relu=True)
            watch(block.gate.score, f"gate{index}_logits")
        watch(block.up_norm, f"block{index}.hidden", relu=True)
        watch(block.depthwise_norm, f"block{index}.filtered", relu=True)
        watch(block.down, f"block{index}.update")
        watch(block, block_input(preset, index + 1))
    watch(network.back, "mask_logits")
    ranges["features"] = Range()
    frames = 0
    try:
        with torch.inference_mode():
            for clip in features:
                batch = torch.from_numpy(np.ascontiguousarray(clip, np.float32))[None]
                if batch.shape[2] == 0:
                    continue
                if not bool(torch.isfinite(batch).all()):
                    raise UserError("the calibration features hold values that are not finite")
                ranges["features"].see(batch)
                network(batch)
                frames += batch.shape[2]
    finally:
        for handle in hooks:
            handle.remove()
    if frames == 0:
        raise UserError("calibration needs at least one frame of features; there was none")
    return ranges


def activation(seen: Range, smallest_scale: float = 0.0) -> Activation:
    """The int8 grid of a range: zero is on it, the extremes are (nearly) its ends."""
    span = max(seen.high - seen.low, SMALLEST_RANGE)
    scale = float(np.float32(max(span / (INT8_MAX - INT8_MIN), smallest_scale)))
    zero_point = round(INT8_MIN - seen.low / scale)
    return Activation(scale, int(np.clip(zero_point, INT8_MIN, INT8_MAX)))


def logit_activation(seen: Range) -> Activation:
    """The grid of a gate's logits, inside what the integer gate test bears."""
    found = activation(seen, LOGIT_SCALE_MIN * (1 + 1e-6))
    if found.scale < LOGIT_SCALE_LIMIT:
        return found
    # Logits far from 0 may saturate: the gate only asks for their sign.
    return Activation(float(np.nextafter(np.float32(LOGIT_SCALE_LIMIT), np.float32(0))), 0)


def sigmoid_activation(seen: Range) -> Activation:
    """The grid of LOGISTIC's input, widened until no table entry is near a tie.

    So every library's ``exp`` rounds to the same table.
    """
    found = activation(seen)
    while True:
        values = sigmoid_values(found.scale, found.zero_point)
        if np.abs(values - np.floor(values) - 0.5).min() >= SIGMOID_TIE_MARGIN:
            return found
        found = Activation(float(np.float32(found.scale * 1.0005)), found.zero_point)


def quantise_network(
    network: GatedConvFSENet,
    features: Iterable[NDArray[np.float32]],
    probes: Sequence[dict[str, Any]] = (),
) -> QuantizedModel:
    """Calibrate on ``features`` (see :func:`observe`) and round the network.

    ``probes`` are those of a checkpoint: dicts with ``name``, ``weights``
    float32 ``[blocks * gates]`` and ``bias``. Those of one task get one scale.
    """
    preset = network.preset
    ranges = observe(network, features)
    activations = {}
    for name, seen in ranges.items():
        if name == "mask_logits":
            activations[name] = sigmoid_activation(seen)
        elif name.startswith("gate"):
            activations[name] = logit_activation(seen)
        else:
            activations[name] = activation(seen)
    activations["mask"] = Activation(MASK_SCALE, MASK_ZERO_POINT)
    streaming = StreamingNet(network)
    layers = {
        spec.name: _quantise_layer(
            spec, layer_module(streaming, spec), activations[spec.input].scale
        )
        for spec in layer_specs(preset)
    }
    table = sigmoid_table(activations["mask_logits"].scale, activations["mask_logits"].zero_point)
    return QuantizedModel(preset, activations, layers, table, tuple(_quantise_probes(probes)))


def layer_module(streaming: StreamingNet, spec: LayerSpec) -> nn.Conv2d:
    """The convolution of the streaming network that ``spec`` names."""
    owner = streaming if spec.block is None else streaming.blocks[spec.block]
    module = getattr(owner, spec.role)
    if not isinstance(module, nn.Conv2d):
        raise TypeError(f"{spec.name} is {type(module).__name__}, not a convolution")
    return module


def _quantise_layer(spec: LayerSpec, module: nn.Conv2d, input_scale: float) -> QuantizedLayer:
    assert module.bias is not None
    weight = module.weight.detach().double().reshape(spec.outputs, spec.inputs).numpy()
    bias = module.bias.detach().double().numpy()
    scale = np.maximum(
        np.abs(weight).max(axis=1) / WEIGHT_LIMIT, np.abs(bias) / (input_scale * _BIAS_STEPS)
    )
    scale = np.maximum(scale, SMALLEST_WEIGHT_SCALE).astype(np.float32)
    steps = scale.astype(np.float64)
    integers = np.clip(np.rint(weight / steps[:, None]), -WEIGHT_LIMIT, WEIGHT_LIMIT)
    return QuantizedLayer(
        spec,
        integers.astype(np.int8),
        scale,
        np.rint(bias / (input_scale * steps)).astype(np.int32),
    )


def _quantise_probes(probes: Sequence[dict[str, Any]]) -> Iterator[QuantizedProbe]:
    scales: dict[str, float] = {}
    for probe in probes:
        task = task_of(str(probe["name"]))
        scales[task] = max(scales.get(task, _SMALLEST_PROBE_SCALE), _probe_scale(probe))
    for probe in probes:
        scale = scales[task_of(str(probe["name"]))]
        weights = np.asarray(probe["weights"], np.float64).reshape(-1)
        yield QuantizedProbe(
            str(probe["name"]),
            np.rint(weights / scale).astype(np.int16),
            round(float(probe["bias"]) / scale),
            scale,
        )


def _probe_scale(probe: dict[str, Any]) -> float:
    """The finest scale at which the weights fit 16 bits and the score 32."""
    largest = float(np.abs(np.asarray(probe["weights"], np.float64)).max(initial=0.0))
    bias = abs(float(probe["bias"]))
    if not np.isfinite([largest, bias]).all():
        raise UserError(f"probe '{probe['name']}' holds a number that is not finite; fit it anew")
    return max(largest / _PROBE_WEIGHT_LIMIT, bias / _PROBE_BIAS_STEPS)
