"""From what calibration saw to the grids of int8, and the float network rounded onto them.

Needs torch. Weights are those of the streaming form, batch normalisation folded in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from dyncp.checkpoint import Checkpoint
from dyncp.embedding import NEUTRAL
from dyncp.errors import UserError
from dyncp.network import GatedConvFSENet
from dyncp.streaming import StreamingNet
from quantize.arithmetic import (
    INT8_MAX,
    INT8_MIN,
    Requantisation,
    sigmoid_table,
    sigmoid_values,
)
from quantize.checks import (
    LOGIT_SCALE_LIMIT,
    LOGIT_SCALE_MIN,
    LOGIT_SHIFT,
    MASK_SCALE,
    MASK_ZERO_POINT,
    SIGMOID_TIE_MARGIN,
    SMALLEST_RANGE,
    SMALLEST_WEIGHT_SCALE,
    WEIGHT_LIMIT,
)
from quantize.clips import Clip
from quantize.compensate import Moments, input_moments, round_rows
from quantize.methods import DEFAULT_METHOD, Method
from quantize.model import Activation, QuantizedLayer, QuantizedModel, QuantizedProbe
from quantize.probes import task_of
from quantize.ranges import Range, observe
from quantize.wiring import LayerSpec, activation_names, layer_specs

_BIAS_STEPS = float(1 << 28)
"""A channel's weight scale is kept large enough for its bias to stay below this."""

_PROBE_WEIGHT_LIMIT, _PROBE_BIAS_STEPS = 32767, float(1 << 30)
_SMALLEST_PROBE_SCALE = 1e-12


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


def sigmoid_activation(found: Activation) -> Activation:
    """The grid of LOGISTIC's input, widened until no table entry is near a tie.

    So every library's ``exp`` rounds to the same table.
    """
    while True:
        values = sigmoid_values(found.scale, found.zero_point)
        if np.abs(values - np.floor(values) - 0.5).min() >= SIGMOID_TIE_MARGIN:
            return found
        found = Activation(float(np.float32(found.scale * 1.0005)), found.zero_point)


def grids(ranges: Mapping[str, Range]) -> dict[str, Activation]:
    """The grid of every activation, from the ranges that :func:`observe` gives."""
    found = {}
    for name, seen in ranges.items():
        if name == "mask_logits":
            found[name] = sigmoid_activation(activation(seen))
        elif name.startswith("gate"):
            found[name] = logit_activation(seen)
        else:
            found[name] = activation(seen)
    found["mask"] = Activation(MASK_SCALE, MASK_ZERO_POINT)
    return found


def quantise_network(
    network: GatedConvFSENet,
    features: Iterable[Clip],
    probes: Sequence[dict[str, Any]] = (),
    method: Method = DEFAULT_METHOD,
    compensated: bool = False,
) -> QuantizedModel:
    """Calibrate on ``features`` by ``method`` (see :func:`observe`) and round the network.

    ``compensated``: weights make good each other's rounding (:mod:`quantize.compensate`).
    ``probes`` are those of a checkpoint: dicts with ``name``, ``weights``
    float32 ``[blocks * gates]`` and ``bias``. Those of one task get one scale.
    """
    clips = list(features)
    activations = grids(observe(network, clips, method))
    moments = input_moments(network, clips) if compensated else None
    return round_network(network, activations, probes, moments)


def round_network(
    network: GatedConvFSENet,
    activations: Mapping[str, Activation],
    probes: Sequence[dict[str, Any]] = (),
    moments: Moments | None = None,
) -> QuantizedModel:
    """The network's weights rounded, between activations on grids that are given.

    Each to the nearest, or with ``moments`` so that they make good each other's error.
    """
    streaming = StreamingNet(network)
    layers = {
        spec.name: _quantise_layer(
            spec, layer_module(streaming, spec), activations, (moments or {}).get(spec.name)
        )
        for spec in layer_specs(network.preset)
    }
    table = sigmoid_table(activations["mask_logits"].scale, activations["mask_logits"].zero_point)
    return QuantizedModel(
        network.preset, dict(activations), layers, table, tuple(_quantise_probes(probes))
    )


def round_trained(checkpoint: Checkpoint, features: Iterable[Clip]) -> QuantizedModel:
    """The integers of a checkpoint that was trained through the rounding, on its own grids.

    ``features``: calibration clips, for the compensation of its weights.
    Raises :class:`UserError` where they are not those of its network.
    """
    activations = {name: Activation(*grid) for name, grid in checkpoint.grids.items()}
    missing = [name for name in activation_names(checkpoint.preset) if name not in activations]
    if missing:
        raise UserError(f"the checkpoint's grids lack {missing[0]}; train it anew")
    moments = input_moments(checkpoint.network, features)
    return round_network(checkpoint.network, activations, checkpoint.probes, moments)


def layer_module(streaming: StreamingNet, spec: LayerSpec) -> nn.Conv2d:
    """The convolution of the streaming network that ``spec`` names."""
    owner = streaming if spec.block is None else streaming.blocks[spec.block]
    module = getattr(owner, spec.role)
    if not isinstance(module, nn.Conv2d):
        raise TypeError(f"{spec.name} is {type(module).__name__}, not a convolution")
    return module


def _quantise_layer(
    spec: LayerSpec,
    module: nn.Conv2d,
    activations: Mapping[str, Activation],
    moments: NDArray[np.float64] | None,
) -> QuantizedLayer:
    assert module.bias is not None
    input_scale = activations[spec.input].scale
    weight = module.weight.detach().double().reshape(spec.outputs, spec.columns).numpy()
    # Of an embedding's columns the part that nobody's gives: then it is the bias of everybody.
    bias = module.bias.detach().double().numpy() + NEUTRAL * weight[:, spec.inputs :].sum(axis=1)
    if spec.role == "score":
        bias = bias + activations[spec.output].scale * LOGIT_SHIFT
    scale = np.maximum(
        np.abs(weight).max(axis=1) / WEIGHT_LIMIT, np.abs(bias) / (input_scale * _BIAS_STEPS)
    )
    scale = np.maximum(scale, SMALLEST_WEIGHT_SCALE).astype(np.float32)
    steps = scale.astype(np.float64)
    integers = np.clip(np.rint(weight / steps[:, None]), -WEIGHT_LIMIT, WEIGHT_LIMIT)
    if moments is not None:
        own = weight[:, : spec.inputs]
        integers[:, : spec.inputs], bias = round_rows(own, bias, steps, moments)
    # A score's bias is cut, not rounded, lest its shift become the half that it avoids.
    steps_of_bias = (np.floor if spec.role == "score" else np.rint)(bias / (input_scale * steps))
    if spec.embedding:
        # Taken out in integers, so that nobody's embedding gives this bias and no other.
        steps_of_bias -= integers[:, spec.inputs :].sum(axis=1) * _of_nobody(
            activations["embedding"], activations[spec.input]
        )
    return QuantizedLayer(spec, integers.astype(np.int8), scale, steps_of_bias.astype(np.int32))


def _of_nobody(embedding: Activation, source: Activation) -> int:
    """Every value of nobody's embedding beside a layer's input, less the zero point there."""
    grids = (embedding.scale, embedding.zero_point), (source.scale, source.zero_point)
    return int(Requantisation(*grids)(np.zeros(1, np.int64))[0]) - source.zero_point


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
