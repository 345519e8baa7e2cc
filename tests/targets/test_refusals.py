"""Graphs that the compiler must refuse: by name, on one line, never by guessing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convert.flatbuffer import operator_name, text
from dyncp.errors import UserError
from targets.compiler.compile import compile_model
from tests.targets.built import Built, edited

Edit = Callable[[Any], None]


def operators(model: Any, kind: str) -> list[Any]:
    graph = model.subgraphs[0]
    return [op for op in graph.operators if operator_name(model, op) == kind]


def tensor(model: Any, name: str) -> Any:
    return next(t for t in model.subgraphs[0].tensors if text(t.name) == name)


def layer(model: Any, name: str) -> Any:
    """The operator that has the weights of a layer."""
    tensors = model.subgraphs[0].tensors
    return next(
        op
        for op in model.subgraphs[0].operators
        if len(op.inputs) > 1 and text(tensors[op.inputs[1]].name) == f"{name}/weight"
    )


def data_of(model: Any, name: str, kind: type) -> np.ndarray:
    return np.frombuffer(bytes(model.buffers[tensor(model, name).buffer].data), kind).copy()


def set_data(model: Any, name: str, values: np.ndarray) -> None:
    model.buffers[tensor(model, name).buffer].data = np.frombuffer(values.tobytes(), np.uint8)


def new_kind(kind: str, old: str) -> Edit:
    """Turns the first operator of kind ``old`` into another."""

    def edit(model: Any) -> None:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        model.operatorCodes.append(code)
        operators(model, old)[0].opcodeIndex = len(model.operatorCodes) - 1

    return edit


def option(kind: str, name: str, value: int) -> Edit:
    """Sets an option of the first operator of a kind."""

    def edit(model: Any) -> None:
        setattr(operators(model, kind)[0].builtinOptions, name, value)

    return edit


def activation(name: str, kind: str) -> Edit:
    def edit(model: Any) -> None:
        function = getattr(schema.ActivationFunctionType, kind)
        layer(model, name).builtinOptions.fusedActivationFunction = function

    return edit


def huge_bias(model: Any) -> None:
    bias = data_of(model, "block1.down/bias", np.int32)
    bias[3] = 2**31 - 1
    set_data(model, "block1.down/bias", bias)


def left_shift(bits: int) -> Edit:
    """A weight scale so coarse that the sums of a channel are shifted to the left."""

    def edit(model: Any) -> None:
        op, tensors = layer(model, "block0.up"), model.subgraphs[0].tensors
        source, target = (tensors[i].quantization.scale[0] for i in (op.inputs[0], op.outputs[0]))
        scales = tensor(model, "block0.up/weight").quantization
        scales.scale = np.array(scales.scale)
        scales.scale[5] = 0.75 * 2.0**bits * target / source
        bias = tensor(model, "block0.up/bias").quantization
        bias.scale = np.array(scales.scale) * source

    return edit


def no_bias(model: Any) -> None:
    op = layer(model, "block0.up")
    op.inputs = np.array([*op.inputs[:2], -1], np.int32)


def weight_zero_point(model: Any) -> None:
    grid = tensor(model, "back/weight").quantization
    grid.zeroPoint = np.ones(len(grid.scale), np.int64)


def one_weight_scale(model: Any) -> None:
    grid = tensor(model, "front/weight").quantization
    grid.scale, grid.zeroPoint = grid.scale[:1], grid.zeroPoint[:1]


def swapped_layers(model: Any) -> None:
    """Names of two layers exchanged: their weights would go to each other's place."""
    first, second = tensor(model, "block0.up/weight"), tensor(model, "block1.up/weight")
    first.name, second.name = second.name, first.name


def other_residual(model: Any) -> None:
    """The second block's residual taken from the first block's input."""
    first, second = operators(model, "ADD")
    branch = second.inputs[1] if second.inputs[0] == first.outputs[0] else second.inputs[0]
    second.inputs = np.array([first.inputs[0], branch], np.int32)


def spare_operator(model: Any) -> None:
    """A second sigmoid that nothing reads."""
    graph = model.subgraphs[0]
    source = operators(model, "LOGISTIC")[0]
    result, spare = schema.TensorT(), schema.OperatorT()
    mask = graph.tensors[source.outputs[0]]
    result.name, result.shape, result.type = b"spare", mask.shape, mask.type
    result.quantization, result.buffer = mask.quantization, mask.buffer
    graph.tensors.append(result)
    spare.opcodeIndex, spare.inputs = source.opcodeIndex, source.inputs
    spare.outputs = np.array([len(graph.tensors) - 1], np.int32)
    graph.operators.append(spare)


def looped(model: Any) -> None:
    """The first layer reads the last."""
    layer(model, "front").inputs[0] = layer(model, "back").outputs[0]


def unsigned(model: Any) -> None:
    tensor(model, "block0.filtered").type = schema.TensorType.UINT8


def second_subgraph(model: Any) -> None:
    model.subgraphs.append(model.subgraphs[0])


def computed_weights(model: Any) -> None:
    """Weights that the file does not hold: something would have to compute them."""
    model.buffers[tensor(model, "block0.up/weight").buffer].data = None


def of_type(name: str, kind: str) -> Edit:
    def edit(model: Any) -> None:
        tensor(model, name).type = getattr(schema.TensorType, kind)

    return edit


def wide_bias(model: Any) -> None:
    set_data(model, "front/bias", data_of(model, "front/bias", np.int32).astype(np.int64))
    of_type("front/bias", "INT64")(model)


def of_shape(name: str, *shape: int) -> Edit:
    """Another shape of as many values."""

    def edit(model: Any) -> None:
        tensor(model, name).shape = np.array(shape, np.int32)

    return edit


def bias_grid(field: str, value: float) -> Edit:
    def edit(model: Any) -> None:
        grid = tensor(model, "block0.up/bias").quantization
        values = np.array(getattr(grid, field))
        values[3] = value
        setattr(grid, field, values)

    return edit


def inserted(model: Any) -> None:
    """A QUANTIZE between the first block's `down` and what reads it."""
    graph = model.subgraphs[0]
    source = layer(model, "block0.down")
    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.QUANTIZE
    model.operatorCodes.append(code)
    result, before = schema.TensorT(), graph.tensors[source.outputs[0]]
    result.name, result.shape, result.type = b"inserted", before.shape, before.type
    result.quantization, result.buffer = before.quantization, 0
    graph.tensors.append(result)
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs = np.array([len(graph.tensors) - 1], np.int32)
    operator.outputs = source.outputs
    source.outputs = operator.inputs
    graph.operators.append(operator)


def metadata(change: Callable[[dict[str, Any]], None]) -> Edit:
    def edit(model: Any) -> None:
        entry = next(e for e in model.metadata if text(e.name) == "sluice")
        values = json.loads(bytes(model.buffers[entry.buffer].data))
        change(values)
        packed = json.dumps(values).encode()
        model.buffers[entry.buffer].data = np.frombuffer(packed, np.uint8)

    return edit


def probe(**values: Any) -> Edit:
    return metadata(lambda entry: entry["probes"][0].update(values))


CASES: dict[str, tuple[Edit, str]] = {
    "unsupported operator": (new_kind("MUL", "ADD"), r"MUL that gives 'pool1_out' cannot"),
    "other operator in its place": (new_kind("LOGISTIC", "ADD"), "LOGISTIC .* expected ADD here"),
    "ReLU6": (activation("block0.up", "RELU6"), r"'block0\.hidden\S*' has .* RELU6; only RELU"),
    "activation on an ADD": (option("ADD", "fusedActivationFunction", 1), "has a fused activation"),
    "stride": (option("CONV_2D", "strideH", 2), "has strideH 2; it must be 1"),
    "dilation": (option("DEPTHWISE_CONV_2D", "dilationHFactor", 2), "has dilationHFactor 2"),
    "padded depthwise": (option("DEPTHWISE_CONV_2D", "padding", 0), r"block0\.depthwise: padding"),
    "padded pool": (option("AVERAGE_POOL_2D", "padding", 0), "must have padding VALID"),
    "shorter pool": (option("AVERAGE_POOL_2D", "filterHeight", 4), r"averages \[4, 1\] of 5"),
    "join of channels": (option("CONCATENATION", "axis", 3), "must join its frames in time"),
    "overflowing bias": (huge_bias, r"block1\.down: channel 3 can overflow its 32-bit"),
    "overflowing shift": (left_shift(15), r"block0\.up: channel 5 can overflow its 32-bit"),
    "too large a shift": (left_shift(16), r"block0\.up: channel 5 can overflow its 32-bit"),
    "no bias": (no_bias, r"block0\.up: its bias must be a constant, int32 \[32\]"),
    "asymmetric weights": (weight_zero_point, r"back: its weights need .* zero point 0"),
    "one scale a layer": (one_weight_scale, r"front: its weights need a scale for each output"),
    "exchanged layers": (swapped_layers, r"block[01]\.up"),
    "other residual": (other_residual, r"block1\.up and the residual read"),
    "inserted operator": (inserted, "given by a QUANTIZE, is not the embedding"),
    "second subgraph": (second_subgraph, "has 2 subgraphs, not one"),
    "computed weights": (computed_weights, r"block0\.up: its weights must be a constant"),
    "weights of 16 bits": (of_type("back/weight", "INT16"), "are not the int8 weights of a layer"),
    "bias of 64 bits": (wide_bias, r"front: its bias must .* int32 \[16\]"),
    "float bias": (of_type("front/bias", "FLOAT32"), r"front: its bias must .* int32 \[16\]"),
    "wide kernel": (of_shape("front/weight", 16, 1, 3, 11), "kernel is not a 1x1 convolution"),
    "two filters a channel": (
        of_shape("block1.depthwise/weight", 1, 1, 3, 32),
        "is not one filter a channel|averages",
    ),
    "depth multiplier": (
        option("DEPTHWISE_CONV_2D", "depthMultiplier", 2),
        "its depth multiplier is 2; it must be 1",
    ),
    "stride of a depthwise": (option("DEPTHWISE_CONV_2D", "strideH", 2), "has strideH 2"),
    "stride of a pool": (option("AVERAGE_POOL_2D", "strideW", 2), "has strideW 2"),
    "activation on a pool": (
        option("AVERAGE_POOL_2D", "fusedActivationFunction", 1),
        "has a fused activation",
    ),
    "activation on a join": (
        option("CONCATENATION", "fusedActivationFunction", 3),
        "has a fused activation",
    ),
    "tanh": (activation("back", "TANH"), "has the fused activation TANH; only RELU"),
    "batched gather": (option("GATHER", "batchDims", 1), "must have no batch dimensions"),
    "bias at another scale": (
        bias_grid("scale", 1.0),
        r"block0\.up: its bias must be at the scales",
    ),
    "bias with a zero point": (bias_grid("zeroPoint", 4), r"block0\.up: its bias must .* point 0"),
    "spare operator": (spare_operator, r"LOGISTIC that gives 'spare' is no part"),
    "loop": (looped, r"front: its bias must be at the scales of its input|front reads"),
    "another type": (unsigned, r"tensor block0\.filtered, .* is not int8"),
    "hash not hex": (metadata(lambda e: e.update(model_hash="xyz")), "not a sha256 in hex"),
    "hash too long": (metadata(lambda e: e.update(model_hash="ab" * 33)), "not a sha256 in hex"),
    "fractional weight": (probe(weights=[0.5] * 8), "'f0' has a weight that is not a 16-bit"),
    "text for a bias": (probe(bias="1"), "'f0' has a bias that is not an integer"),
    "wide probe weight": (probe(weights=[40000] * 8), "'f0' has a weight that is not a 16-bit"),
    "overflowing probe": (probe(bias=2**31 - 5), "'f0' has a bias that .* can overflow 32 bits"),
    "short probe": (probe(weights=[1]), "'f0' has 1 weights for 8 gates"),
    "nameless probe": (metadata(lambda e: e["probes"][0].pop("name")), "'name'"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_graph_that_cannot_be_compiled_is_refused(
    name: str, hidden: Built, tmp_path: Path
) -> None:
    """What the compiler does not understand would be wrong on the device, silently."""
    edit, message = CASES[name]
    broken = edited(hidden.tflite, tmp_path / "broken.tflite", edit)
    with pytest.raises(UserError, match=message) as caught:
        compile_model(broken)
    assert str(caught.value).startswith(str(broken))
    assert "\n" not in str(caught.value)


def test_a_left_shift_with_room_to_spare_is_compiled(hidden: Built, tmp_path: Path) -> None:
    """A coarse weight scale is unusual, not wrong."""
    coarse = edited(hidden.tflite, tmp_path / "coarse.tflite", left_shift(3))
    up = compile_model(coarse).network.blocks[0].up
    assert up.shift[5] == 3


def test_the_editing_itself_breaks_nothing(hidden: Built, tmp_path: Path) -> None:
    """Else the cases above would prove nothing."""
    copy = edited(hidden.tflite, tmp_path / "copy.tflite", lambda model: None)
    assert compile_model(copy).model_hash == hidden.plan.model_hash


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_refused_or_compiles_whole(
    data: st.DataObject, hidden: Built, tmp_path: Path
) -> None:
    """Flipped and missing bytes must end in one line for the user, not in a traceback."""
    content = bytearray(hidden.tflite.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(content[: data.draw(st.integers(0, 2 * len(content)))])
    try:
        compile_model(broken)
    except UserError as error:
        assert str(broken) in str(error)
        assert "\n" not in str(error)
