"""Names and shapes that five rooms build on."""

from __future__ import annotations

import pytest

from dyncp.preset import Preset
from dyncp.state import input_shapes, output_shapes
from quantize.wiring import activation_names, layer_specs, tensor_activation
from tests.conftest import tiny_preset


def test_the_layers_are_those_of_the_contract() -> None:
    names = [spec.name for spec in layer_specs(tiny_preset())]
    block = ["squeeze", "score", "up", "depthwise", "down"]
    blocks = [f"block{index}.{role}" for index in range(2) for role in block]
    assert names == ["front", *blocks, "back"]
    static = [spec.role for spec in layer_specs(tiny_preset(None))]
    assert static == ["front", *["up", "depthwise", "down"] * 2, "back"]


@pytest.mark.parametrize(
    ("preset", "score"),
    [
        (tiny_preset("output"), 16),
        (tiny_preset("output", 8), 2),
        (tiny_preset("hidden"), 32),
        (tiny_preset("hidden", 4), 8),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_layers_have_the_shapes_of_the_preset(preset: Preset, score: int) -> None:
    shapes = {spec.name: (spec.outputs, spec.inputs) for spec in layer_specs(preset)}
    assert shapes["front"] == (16, 33)
    assert shapes["block1.squeeze"] == (4, 16)
    assert shapes["block1.score"] == (score, 4)
    assert shapes["block1.up"] == (32, 16)
    assert shapes["block1.depthwise"] == (32, 3)
    assert shapes["block1.down"] == (16, 32)
    assert shapes["back"] == (33, 16)


def test_every_layer_stands_between_known_activations(any_tiny_preset: Preset) -> None:
    names = activation_names(any_tiny_preset)
    assert len(names) == len(set(names))
    order = {name: place for place, name in enumerate(names)}
    for spec in layer_specs(any_tiny_preset):
        assert order[spec.input] < order[spec.output]


def test_tied_tensors_share_an_activation(any_tiny_preset: Preset) -> None:
    """A state that came back on another grid would drift, frame by frame."""
    names = activation_names(any_tiny_preset)
    for tensor in (*input_shapes(any_tiny_preset), *output_shapes(any_tiny_preset)):
        assert tensor_activation(tensor) in names
    for tensor in input_shapes(any_tiny_preset):
        back = tensor.replace("_in", "_out")
        assert tensor_activation(back) == tensor_activation(tensor)


def test_blocks_beyond_the_tenth_are_not_confused() -> None:
    assert tensor_activation("taps12_in") == "block12.hidden"
    assert tensor_activation("pool10_out") == "block10.input"
    assert tensor_activation("gate11_logits") == "gate11_logits"
