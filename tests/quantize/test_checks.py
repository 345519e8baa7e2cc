"""A model that C could not run exactly must never be written, let alone flashed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from dyncp.errors import UserError
from quantize.checks import LOGIT_SCALE_MIN, check_logit_scale
from quantize.model import QuantizedModel
from tests.conftest import tiny_preset
from tests.quantize.models import with_activation, with_layer

Edit = Callable[[QuantizedModel], QuantizedModel]


def grid(name: str, **changes: float) -> Edit:
    return lambda model: with_activation(model, name, **changes)


def layer(name: str, part: str, value: float, index: tuple[int, ...] | None = None) -> Edit:
    """One number, or all, of a layer's array replaced."""

    def edit(model: QuantizedModel) -> QuantizedModel:
        array = getattr(model.layers[name], part).copy()
        array[index if index is not None else ...] = value
        return with_layer(model, name, **{part: array})

    return edit


def cast(name: str, part: str, kind: type) -> Edit:
    return lambda model: with_layer(
        model, name, **{part: getattr(model.layers[name], part).astype(kind)}
    )


def probe(**changes: object) -> Edit:
    return lambda model: replace(model, probes=(replace(model.probes[0], **changes),))


def lost(part: str, name: str) -> Edit:
    return lambda model: replace(
        model, **{part: {k: v for k, v in getattr(model, part).items() if k != name}}
    )


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lost("layers", "block1.down"), "the layer block1.down is missing"),
        (lost("activations", "gate1_logits"), "the activation gate1_logits is missing"),
        (
            lambda m: replace(m, layers={**m.layers, "block0.up": m.layers["block1.up"]}),
            "the layer block0.up does not fit the preset",
        ),
        (grid("features", scale=0.0), "features: scale 0.0 is not a positive float32"),
        (grid("features", scale=-0.5), "features: scale -0.5 is not a positive"),
        (grid("features", scale=float("nan")), "features: scale nan"),
        (grid("features", scale=float("inf")), "features: scale inf"),
        (grid("features", scale=0.1), "features: scale 0.1 is not a positive float32 value"),
        (grid("block1.hidden", zero_point=128), "block1.hidden: zero point 128"),
        (grid("block1.hidden", zero_point=-129), "block1.hidden: zero point -129"),
        (grid("gate1_logits", scale=2.0**-9), "gate1_logits has scale 0.00195312; .* from 0.002"),
        (grid("gate1_logits", scale=1.0), "gate1_logits has scale 1; .* below 1"),
        (grid("mask", scale=0.5), "mask must have scale 1/256 and zero point -128"),
        (grid("mask", zero_point=-127), "mask must have scale 1/256 and zero point -128"),
        (cast("back", "weight", np.int16), r"back weight is int16 \[33, 16\], expected int8"),
        (cast("back", "bias", np.int64), "back bias is int64"),
        (cast("back", "weight_scale", np.float64), "back weight_scale is float64"),
        (layer("back", "weight", -128, (3, 4)), "back has a weight of -128"),
        (layer("back", "weight_scale", np.nan, (3,)), "back has a weight scale that is not"),
        (layer("back", "weight_scale", 0.0, (3,)), "back has a weight scale that is not"),
        (layer("back", "weight_scale", -1.0, (3,)), "back has a weight scale that is not"),
        (layer("back", "bias", 2**31 - 1, (5,)), "back channel 5 can overflow its 32-bit"),
        (layer("back", "bias", -(2**31), (5,)), "back channel 5 can overflow its 32-bit"),
        (layer("back", "weight_scale", 1e9, (6,)), "back channel 6 can overflow"),
        (lambda m: replace(m, sigmoid_table=m.sigmoid_table[1:]), r"sigmoid_table is int8 \[255\]"),
        (probe(weights=np.zeros(31, np.int16)), r"probe 'vad' weights is int16 \[31\]"),
        (probe(weights=np.zeros(32, np.int32)), "probe 'vad' weights is int32"),
        (probe(bias=2**31), "probe 'vad' can overflow a 32-bit score"),
        (probe(scale=0.0), "probe 'vad': scale 0.0 is not a positive"),
        (probe(scale=float("nan")), "probe 'vad': scale nan"),
        (lambda m: replace(m, probes=m.probes * 2), "two probes are named 'vad'"),
        (probe(name="VAD"), "probe 'VAD': a name is TASK or TASK/CLASS"),
        (probe(name="noise/car"), "probe 'noise/car' is the only class of its task"),
        (lambda m: replace(m, preset=tiny_preset(None)), r"'vad' weights .* int16 \[0\]"),
        (lambda m: replace(m, preset=tiny_preset("hidden")), "does not fit the preset"),
    ],
)
def test_what_cannot_be_right_is_named(model: QuantizedModel, edit: Edit, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        edit(model)
    assert "\n" not in str(error.value)


def test_an_accumulator_may_be_full_but_not_more(model: QuantizedModel) -> None:
    """The bound counts the worst input against every weight, and the left shift."""
    name, channel = "block0.score", 2
    source = model.activations[model.layers[name].spec.input]
    largest = max(127 - source.zero_point, source.zero_point + 128)
    weights = int(np.abs(model.layers[name].weight[channel].astype(int)).sum())
    scale = model.layers[name].weight_scale.copy()
    target = model.activations["gate0_logits"].scale
    scale[channel] = np.float32(3 * target / source.scale)  # a left shift of two
    bias = model.layers[name].bias.copy()
    bias[channel] = 2**28 - 1 - weights * largest
    full = with_layer(model, name, weight_scale=scale, bias=bias)
    assert full.multipliers(name)[1][channel] == 2
    bias = bias.copy()
    bias[channel] += 1
    with pytest.raises(UserError, match=rf"{name} channel {channel} can overflow"):
        with_layer(full, name, bias=bias)


def test_logit_scales_at_their_ends() -> None:
    check_logit_scale("gate0_logits", LOGIT_SCALE_MIN)
    check_logit_scale("gate0_logits", float(np.nextafter(np.float32(1), np.float32(0))))
    with pytest.raises(UserError, match="gate0_logits"):
        check_logit_scale("gate0_logits", LOGIT_SCALE_MIN * 0.999)
    with pytest.raises(UserError, match="gate0_logits"):
        check_logit_scale("gate0_logits", float("nan"))
