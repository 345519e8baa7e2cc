"""Deliberately broken models, each with the id of the check that must catch it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.convert.built import Edit, index_of, operator, tensor, with_metadata
from tests.convert.edits import (
    both,
    poke,
    quantization,
    reorder,
    rewire,
    sign,
    swap_names,
    typed,
    unquantised,
    unsign,
)

LOGITS = ("gate0_logits", "gate0_logits/threshold")
KIND = schema.TensorType


def attribute(find: Callable[[Any], Any], **changes: Any) -> Edit:
    """Attributes of one part of the model set anew."""

    def edit(model: Any) -> None:
        for name, value in changes.items():
            setattr(find(model), name, value)

    return edit


def of_tensor(tensor_name: str, /, **changes: Any) -> Edit:
    return attribute(lambda m: tensor(m, tensor_name), **changes)


def of_operator(kind: str, given: str, **changes: Any) -> Edit:
    return attribute(lambda m: operator(m, kind, given), **changes)


def option(kind: str, given: str, **changes: Any) -> Edit:
    """Options of one operator, which it shares with no other."""

    def edit(model: Any) -> None:
        found = operator(model, kind, given)
        found.builtinOptions = copy.copy(found.builtinOptions)
        for name, value in changes.items():
            assert hasattr(found.builtinOptions, name)
            setattr(found.builtinOptions, name, value)

    return edit


def grid(name: str, scale: Any, zero_point: Any, axis: int = 0, details: int = 0) -> Edit:
    """A quantisation block with vectors of any length."""

    def edit(model: Any) -> None:
        found = schema.QuantizationParametersT()
        found.scale = None if scale is None else np.atleast_1d(np.array(scale, np.float32))
        found.zeroPoint = np.atleast_1d(np.array(zero_point, np.int64))
        found.quantizedDimension = axis
        if details:
            found.detailsType = details
            found.details = schema.CustomQuantizationT()
        tensor(model, name).quantization = found

    return edit


def recoded(kind: str, given: str, number: int, custom: bytes | None = None) -> Edit:
    """One operator made another builtin, with a code of its own."""

    def edit(model: Any) -> None:
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
        code.version, code.customCode = 1, custom
        operator(model, kind, given).opcodeIndex = len(model.operatorCodes)
        model.operatorCodes.append(code)

    return edit


def resized(name: str, *shape: int) -> Edit:
    return of_tensor(name, shape=np.array(shape, np.int32))


def data_of(name: str, change: Callable[[Any], Any]) -> Edit:
    def edit(model: Any) -> None:
        buffer = model.buffers[tensor(model, name).buffer]
        buffer.data = np.frombuffer(change(np.array(buffer.data, np.uint8)).tobytes(), np.uint8)

    return edit


def buffers(change: Callable[[list[Any]], Any]) -> Edit:
    return lambda model: change(model.buffers)


def full(length: int, offset: int = 0) -> Any:
    buffer = schema.BufferT()
    buffer.data, buffer.offset = np.ones(length, np.uint8), offset
    return buffer


def unread(model: Any) -> None:
    """An operator more, whose result nobody reads."""
    graph = model.subgraphs[0]
    extra = copy.deepcopy(operator(model, "LOGISTIC", "mask"))
    graph.tensors.append(copy.deepcopy(tensor(model, "mask")))
    graph.tensors[-1].name = b"extra"
    extra.outputs = np.array([len(graph.tensors) - 1], np.int32)
    graph.operators.append(extra)


def merged_logits(model: Any) -> None:
    """Both gates' logits joined into one output, as a converter did."""
    graph = model.subgraphs[0]
    join = copy.deepcopy(operator(model, "CONCATENATION", "block0.hidden/concatenation"))
    join.builtinOptions.axis = 3
    names = ("gate0_logits", "gate1_logits")
    join.inputs = np.array([index_of(model, name) for name in names], np.int32)
    joined = copy.deepcopy(tensor(model, names[0]))
    joined.name, joined.shape = b"gate_logits", np.array([1, 1, 1, 32], np.int32)
    join.outputs = np.array([len(graph.tensors)], np.int32)
    outputs = [i for i in graph.outputs if i not in join.inputs]
    graph.outputs = np.array([outputs[0], len(graph.tensors), *outputs[1:]], np.int32)
    graph.tensors.append(joined)
    graph.operators.append(join)


def without_output(name: str) -> Edit:
    def edit(model: Any) -> None:
        place = index_of(model, name)
        reorder("outputs", lambda o: [i for i in o if i != place])(model)
        unsign("outputs", name)(model)

    return edit


def moved(kind: str, given: str, place: int) -> Edit:
    """One operator stored elsewhere in the order."""

    def edit(model: Any) -> None:
        operators, found = model.subgraphs[0].operators, operator(model, kind, given)
        operators.remove(found)
        operators.insert(place, found)

    return edit


def outside(model: Any) -> None:
    model.buffers[tensor(model, "back/bias").buffer].offset = 1 << 20


def twice(items: Callable[[Any], list[Any]]) -> Edit:
    return lambda model: items(model).append(copy.deepcopy(items(model)[0]))


def metadata_bytes(content: bytes) -> Edit:
    def edit(model: Any) -> None:
        model.buffers[model.metadata[0].buffer].data = np.frombuffer(content, np.uint8)

    return edit


def entry(**changes: Any) -> Edit:
    return with_metadata(lambda values: values.update(changes))


def grouped(entry: Any) -> None:
    """Metadata that agrees with itself on groups of 4."""
    entry["preset"]["gate"]["group"] = 4
    for gate in entry["gates"]:
        gate["group"] = 4


def swap_gates(model: Any) -> None:
    """Both gates' names exchanged wherever they stand, so that only the layers tell."""
    swap_names("gate0_logits", "gate1_logits")(model)
    reorder("outputs", lambda o: o[[0, 2, 1, *range(3, len(o))]])(model)
    first, second = model.signatureDefs[0].outputs[1:3]
    first.tensorIndex, second.tensorIndex = second.tensorIndex, first.tensorIndex


BROKEN: list[tuple[str, str, Edit]] = [
    # what is broken, the id that must catch it, and how
    ("another schema version", "schema-version", attribute(lambda m: m, version=2)),
    ("a subgraph more", "subgraph-count", twice(lambda m: m.subgraphs)),
    ("no subgraph", "subgraph-count", attribute(lambda m: m, subgraphs=[])),
    ("a buffer that is not there", "buffer-index", of_tensor("mask", buffer=9999)),
    ("a buffer behind the file", "buffer-outside", outside),
    ("half a constant", "buffer-size", data_of("back/weight", lambda d: d[: len(d) // 2])),
    ("data in buffer 0", "buffer-first-empty", buffers(lambda b: b.__setitem__(0, full(4)))),
    ("a buffer too many", "buffer-unused", buffers(lambda b: b.append(full(9)))),
    ("a variable", "tensor-storage", of_tensor("taps0_in", isVariable=True)),
    # wiring
    ("a tensor that is not there", "tensor-index",
     of_operator("CONV_2D", "mask_logits", inputs=np.array([9999, 0, 0], np.int32))),
    ("an output that is not there", "tensor-index", reorder("outputs", lambda o: [*o[:-1], 9999])),
    ("an operator code that is not there", "operator-code-index",
     of_operator("LOGISTIC", "mask", opcodeIndex=77)),
    ("operators out of order", "read-before-written", moved("LOGISTIC", "mask", 0)),
    ("a cycle", "read-before-written", rewire("CONV_2D", "taps0_out",
                                              "mask_logits")),
    ("two writers", "written-twice",
     lambda m: setattr(operator(m, "LOGISTIC", "mask"), "outputs",
                       np.array([index_of(m, "mask_logits")], np.int32))),
    ("a constant as output", "output-not-given",
     lambda m: reorder("outputs", lambda o: [index_of(m, "back/bias"), *o[1:]])(m)),
    ("an operator too many", "operator-unused", unread),
    ("a tensor too many", "tensor-unused", twice(lambda m: m.subgraphs[0].tensors)),
    ("an input that nobody reads", "input-unused",
     rewire("CONCATENATION", "block1.hidden/concatenation", "taps0_in")),
    ("a name that is no text", "tensor-name", of_tensor("mask", name=b"\xff\xfe")),
    ("an output without a name", "tensor-name", of_tensor("mask", name=None)),
    ("one name for two", "name-duplicate", of_tensor("block0.filtered", name=b"block1.filtered")),
    ("an output listed twice", "end-duplicate", reorder("outputs", lambda o: [*o, o[0]])),
    # operators
    ("an operand too few", "operator-operands",
     lambda m: setattr(operator(m, "ADD", "back.input"), "inputs",
                       operator(m, "ADD", "back.input").inputs[:1])),
    ("no options", "operator-options", of_operator("CONV_2D", "mask_logits", builtinOptions=None,
                                                   builtinOptionsType=0)),
    ("a custom operator", "operator-custom", recoded("LOGISTIC", "mask", 32, b"MySigmoid")),
    ("an operator that the firmware lacks", "operator-not-in-firmware",
     recoded("LOGISTIC", "mask", schema.BuiltinOperator.TANH)),
    ("an old version", "operator-version",
     lambda m: setattr(m.operatorCodes[operator(m, "LOGISTIC", "mask").opcodeIndex],
                       "version", 1)),
    ("a QUANTIZE in a network without an embedding", "requantised",
     recoded("LOGISTIC", "mask", schema.BuiltinOperator.QUANTIZE)),
    ("a DEQUANTIZE", "requantised",
     recoded("LOGISTIC", "mask", schema.BuiltinOperator.DEQUANTIZE)),
    ("a float tensor", "float-island", typed("block1.update", KIND.FLOAT32)),
    ("a 16-bit tensor", "type-not-in-firmware", typed("block1.update", KIND.INT16)),
    ("a fused RELU6", "fused-activation",
     option("CONV_2D", "taps0_out",
            fusedActivationFunction=schema.ActivationFunctionType.RELU6)),
    ("a RELU in the residual", "fused-activation",
     option("ADD", "back.input", fusedActivationFunction=schema.ActivationFunctionType.RELU)),
    ("a stride", "operator-geometry", option("CONV_2D", "mask_logits", strideW=2)),
    ("a padded depthwise", "operator-geometry",
     option("DEPTHWISE_CONV_2D", "block0.filtered", padding=schema.Padding.SAME)),
    ("a join of channels", "operator-geometry",
     option("CONCATENATION", "block0.hidden/concatenation", axis=3)),
    ("an average over fewer frames", "operator-geometry",
     option("AVERAGE_POOL_2D", "block0.input/average_pool_2d", filterHeight=4)),
    # shapes
    ("a dimension of 0", "shape-not-fixed", resized("block0.update", 1, 0, 1, 16)),
    ("a negative dimension", "shape-not-fixed", resized("features", -1, 1, 1, 33)),
    ("a dynamic shape", "shape-not-fixed",
     of_tensor("features", shapeSignature=np.array([-1, 1, 1, 33], np.int32))),
    ("another shape", "shape-mismatch", resized("block0.update", 1, 1, 1, 17)),
    # quantisation
    ("no scale", "scale-missing", unquantised("block0.filtered")),
    ("a scale of NaN", "scale-not-finite", quantization("pool0_out", scale=np.nan)),
    ("an infinite scale", "scale-not-finite", quantization("block0.update", scale=np.inf)),
    ("a scale of 0", "scale-not-positive", quantization("pool0_out", scale=0.0)),
    ("a negative scale", "scale-not-positive", quantization("block1.down/weight", scale=-1.0)),
    ("a denormal scale", "scale-denormal", quantization("block0.update", scale=1e-40)),
    ("too few scales", "scale-count", grid("block0.down/weight", [0.1] * 3, [0] * 3)),
    ("scales along no dimension", "scale-count", grid("block0.down/weight", [0.1] * 16, [0] * 16,
                                                      axis=7)),
    ("an activation per channel", "scale-per-channel",
     grid("block0.update", [0.1] * 16, [0] * 16, axis=3)),
    ("two zero points", "zero-point-count", grid("block0.update", 0.1, [0, 0])),
    ("a zero point outside int8", "zero-point-range", quantization("pool0_out", zeroPoint=300)),
    ("custom quantisation", "quantisation-details", grid("block0.update", 0.1, 0, details=1)),
    ("a tensor that calibration never woke", "scale-floor",
     quantization("block0.squeezed", scale=1e-3 / 255)),
    ("logits at the floor", "scale-floor", both(*(quantization(n, scale=0.002) for n in LOGITS))),
    # operators' own rules
    ("an average re-scaled", "rescaled",
     quantization("block0.input/average_pool_2d", scale=0.25)),
    ("a window re-scaled", "rescaled", quantization("block0.hidden/concatenation", zeroPoint=3)),
    ("a selection re-scaled", "rescaled", quantization("block0.update/select_v2", scale=0.5)),
    ("a mask at another scale", "logistic-grid", quantization("mask", scale=0.01)),
    ("a mask at another zero point", "logistic-grid", quantization("mask", zeroPoint=0)),
    ("a sigmoid on a tie", "logistic-tie", grid("mask_logits", np.log(509 / 3) / 60, 0)),
    ("a sum at too small a scale", "add-scale", quantization("back.input", scale=1e-12)),
    # layers
    ("weights of another type", "weight-type", typed("block1.down/weight", KIND.UINT8)),
    ("weights on one scale", "weight-scale", grid("block0.down/weight", 0.1, 0)),
    ("weights off zero", "weight-zero-point", quantization("block0.up/weight", zeroPoint=3)),
    ("a weight of -128", "weight-lowest", poke("block0.up/weight", 128)),
    ("a bias of floats", "bias-type", typed("back/bias", KIND.FLOAT32)),
    ("a convolution without bias", "bias-type",
     lambda m: setattr(operator(m, "CONV_2D", "mask_logits"), "inputs",
                       operator(m, "CONV_2D", "mask_logits").inputs[:2])),
    ("a bias at another scale", "bias-scale", quantization("back/bias", scale=0.5)),
    ("a bias that overflows", "accumulator-overflow",
     data_of("back/bias", lambda d: np.full(len(d) // 4, (1 << 31) - 1, np.int32))),
    ("an output scale that overflows", "accumulator-overflow",
     quantization("mask_logits", scale=1e-9)),
    ("a channel that gives nothing", "channel-dead",
     quantization("block0.squeezed", scale=1e12)),
    # signature and ends
    ("no signature", "signature-missing", attribute(lambda m: m, signatureDefs=None)),
    ("a signature of another name", "signature-missing",
     attribute(lambda m: m.signatureDefs[0], signatureKey=b"other")),
    ("a signature of another subgraph", "signature-missing",
     attribute(lambda m: m.signatureDefs[0], subgraphIndex=1)),
    ("two signatures", "signature-duplicate", twice(lambda m: m.signatureDefs)),
    ("a name twice", "signature-duplicate", twice(lambda m: m.signatureDefs[0].outputs)),
    ("a signature that leads nowhere", "signature-tensor",
     attribute(lambda m: m.signatureDefs[0].outputs[2], tensorIndex=9999)),
    ("a signature that leads inside", "signature-tensor", sign("gate0_logits", "block0.update")),
    ("logits lost from the signature", "signature-incomplete", unsign("outputs", "gate1_logits")),
    ("a signature that mixes logits up", "signature-name", sign("gate0_logits", "gate1_logits")),
    ("outputs in another order", "end-order",
     reorder("outputs", lambda o: o[[0, 2, 1, 3, 4, 5, 6]])),
    ("inputs in another order", "end-order", reorder("inputs", lambda i: i[::-1])),
    ("logits renamed", "end-order", of_tensor("gate0_logits", name=b"Identity_1")),
    ("more bins than the preset", "end-shape", resized("features", 1, 1, 1, 34)),
    # metadata
    ("no metadata", "metadata-missing", attribute(lambda m: m, metadata=None)),
    ("two metadata entries", "metadata-missing", twice(lambda m: m.metadata)),
    ("metadata that is no JSON", "metadata-format", metadata_bytes(b"{'a'")),
    ("metadata as deep as a well", "metadata-format", metadata_bytes(b"[" * 50_000)),
    ("a preset as deep as a well", "metadata-preset",
     with_metadata(lambda e: e["preset"].update(audio=json.loads("[" * 400 + "]" * 400)))),
    ("metadata of another format", "metadata-format", entry(format=2)),
    ("a hash that is none", "metadata-format", entry(model_hash="abc")),
    ("a preset that cannot be", "metadata-preset", entry(preset={"name": "x"})),
    ("a preset of a billion blocks", "metadata-preset",
     with_metadata(lambda e: e["preset"]["network"].update(stacks=10**9))),
    ("gates of another preset", "metadata-gates", with_metadata(lambda e: e["gates"].pop())),
    ("states of another preset", "metadata-states",
     with_metadata(lambda e: e["states"][0].update(reads=[1, 2]))),
    ("an embedding that nothing takes", "metadata-embedding",
     entry(embedding={"dimensions": 8, "scale": 1 / 64, "zero_point": -128})),
    ("a probe too short", "metadata-probes",
     with_metadata(lambda e: e["probes"][0].update(weights=[1]))),
    ("another model's hash", "model-hash", entry(model_hash="0" * 64)),
    ("one weight changed", "model-hash", poke("block0.up/weight", 1)),
    # gates
    ("logits that do not leave", "gate-output-missing", without_output("gate0_logits")),
    ("logits merged", "gate-merged", merged_logits),
    ("another threshold", "gate-threshold", poke("gate1_logits/threshold", 77)),
    ("a threshold at another scale", "gate-threshold",
     quantization("gate0_logits/threshold", scale=0.5)),
    ("closed to another value", "gate-closed-value", poke("block0.update/closed", 77)),
    ("closed at another scale", "gate-closed-value",
     quantization("block0.update/closed", scale=0.5)),
    ("logits too fine", "gate-scale", both(*(quantization(n, scale=0.001) for n in LOGITS))),
    ("logits too coarse", "gate-scale", both(*(quantization(n, scale=1.5) for n in LOGITS))),
    ("a gate that closes nothing", "gate-test",
     rewire("SELECT_V2", "block1.update/select_v2", "gate0_logits/open")),
    ("a gate gone round", "gate-bypassed", rewire("ADD", "pool1_out", "pool0_out",
                                                  "block0.update")),
    ("a gate that the metadata lacks", "gate-count",
     with_metadata(lambda e: (e["gates"].clear(), e["preset"].update(gate=None)))),
    ("gates swapped", "gate-layer", swap_gates),
    ("groups that the graph lacks", "gate-channels", with_metadata(grouped)),
    ("layers swapped", "gate-closes", swap_names("block0.down/weight", "block1.down/weight")),
    # states
    ("a state that does not go out", "state-pair", without_output("taps1_out")),
    ("a state at another scale", "state-grid", quantization("taps1_in", scale=0.25)),
    ("a pool state at another zero point", "state-grid", quantization("pool0_in", zeroPoint=3)),
    ("a state of fewer taps", "state-shape", resized("taps0_in", 1, 1, 1, 32)),
    ("a state in another order", "state-window",
     rewire("CONCATENATION", "block0.hidden/concatenation", "taps0_out", "taps0_in")),
    ("a pool that is not read", "state-window", rewire("CONV_2D", "block0.squeezed", "pool0_out")),
    ("layers of another state", "state-window",
     swap_names("block0.depthwise/weight", "block1.depthwise/weight")),
    # the net below all others
    ("a mask of another layer", "contract", swap_names("back/weight", "front/weight")),
]  # fmt: skip
"""Of the network with gates on single output channels and a moving average."""

BROKEN_HIDDEN: list[tuple[str, str, Edit]] = [
    ("a gate that serves other channels", "gate-channels", poke("gate1_logits/channels", 1)),
    ("a channel that is not there", "shape-mismatch", poke("gate1_logits/channels", 99)),
    ("logits re-scaled on the way", "rescaled", quantization("gate1_logits/gather", scale=0.5)),
    ("a gather of another axis", "operator-geometry",
     option("GATHER", "gate1_logits/gather", axis=2)),
    ("a depthwise read ungated", "gate-bypassed",
     rewire("CONV_2D", "block1.update", "block1.filtered")),
    ("channels of another gate", "gate-closes",
     rewire("SELECT_V2", "taps1_out", "gate0_logits/open")),
]  # fmt: skip
"""Of the network with gates on groups of hidden channels."""
