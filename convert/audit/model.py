"""A .tflite's content, as far as it is judged, under the names of the schema's object API.

The attributes are those of ``ModelT`` and its parts, so that what reads one
(:mod:`convert.flatbuffer`, :mod:`convert.topology`) reads the other. Slots are
those of TensorFlow Lite's ``schema.fbs``.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from convert.audit.tables import File, Table

IDENTIFIER = b"TFL3"


@dataclass(eq=False)
class Quantization:
    """``scale``: float32; ``zeroPoint``: int64; None where the file has no such vector."""

    scale: NDArray[np.float32] | None
    zeroPoint: NDArray[np.int64] | None
    quantizedDimension: int
    detailsType: int


@dataclass(eq=False)
class Tensor:
    name: bytes
    shape: NDArray[np.int32] | None
    type: int
    buffer: int
    quantization: Quantization | None
    isVariable: bool
    shapeSignature: NDArray[np.int32] | None
    sparse: bool
    variant: bool
    externalBuffer: int


@dataclass(eq=False)
class Operator:
    """``builtinOptions`` is None for options of operators that the firmware lacks."""

    opcodeIndex: int
    inputs: NDArray[np.int32]
    outputs: NDArray[np.int32]
    builtinOptionsType: int
    builtinOptions: SimpleNamespace | None


@dataclass(eq=False)
class SubGraph:
    tensors: list[Tensor]
    inputs: NDArray[np.int32]
    outputs: NDArray[np.int32]
    operators: list[Operator]


@dataclass(eq=False)
class OperatorCode:
    builtinCode: int
    deprecatedBuiltinCode: int
    customCode: bytes
    version: int


@dataclass(eq=False)
class Buffer:
    """``offset``: where its data lie behind the flatbuffer; 0 if they lie in it."""

    data: NDArray[np.uint8] | None
    offset: int
    size: int


@dataclass(eq=False)
class Metadata:
    name: bytes
    buffer: int


@dataclass(eq=False)
class TensorMap:
    name: bytes
    tensorIndex: int


@dataclass(eq=False)
class SignatureDef:
    signatureKey: bytes
    inputs: list[TensorMap]
    outputs: list[TensorMap]
    subgraphIndex: int


@dataclass(eq=False)
class Model:
    version: int
    operatorCodes: list[OperatorCode]
    subgraphs: list[SubGraph]
    buffers: list[Buffer]
    metadata: list[Metadata]
    signatureDefs: list[SignatureDef]


_STRIDES = {"padding": (0, "b", 0), "strideW": (1, "i", 0), "strideH": (2, "i", 0)}
_OPTIONS: dict[int, tuple[str, dict[str, tuple[int, str, int]]]] = {
    1: (
        "Conv2DOptions",
        {
            **_STRIDES,
            "fusedActivationFunction": (3, "b", 0),
            "dilationWFactor": (4, "i", 1),
            "dilationHFactor": (5, "i", 1),
        },
    ),
    2: (
        "DepthwiseConv2DOptions",
        {
            **_STRIDES,
            "depthMultiplier": (3, "i", 0),
            "fusedActivationFunction": (4, "b", 0),
            "dilationWFactor": (5, "i", 1),
            "dilationHFactor": (6, "i", 1),
        },
    ),
    5: (
        "Pool2DOptions",
        {
            **_STRIDES,
            "filterWidth": (3, "i", 0),
            "filterHeight": (4, "i", 0),
            "fusedActivationFunction": (5, "b", 0),
        },
    ),
    10: (
        "ConcatenationOptions",
        {"axis": (0, "i", 0), "fusedActivationFunction": (1, "b", 0)},
    ),
    11: ("AddOptions", {"fusedActivationFunction": (0, "b", 0)}),
    23: ("GatherOptions", {"axis": (0, "i", 0), "batchDims": (1, "i", 0)}),
}
"""Per member of ``BuiltinOptions``: its name, and slot, kind and default of its fields."""

OPTIONS_OF = {
    "ADD": "AddOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "GATHER": "GatherOptions",
}
"""The firmware's operators that have options, and which; the others' are empty."""


def options_name(number: int) -> str:
    """The name of a ``BuiltinOptions`` member, of those that are read."""
    return _OPTIONS[number][0] if number in _OPTIONS else ""


def read_model(data: bytes) -> Model:
    """The content of a file whose identifier is right; raises :class:`Damaged`."""
    root = File(data).root()
    return Model(
        version=root.number(0, "I"),
        operatorCodes=[_code(t) for t in root.tables(1, "operator code")],
        subgraphs=[_subgraph(t, f"subgraph {i}") for i, t in enumerate(root.tables(2, "subgraph"))],
        buffers=[_buffer(t, i) for i, t in enumerate(root.tables(4, "buffer"))],
        metadata=[
            Metadata(t.text(0, "a metadata name"), t.number(1, "I"))
            for t in root.tables(6, "metadata entry")
        ],
        signatureDefs=[_signature(t) for t in root.tables(7, "signature")],
    )


def _code(table: Table) -> OperatorCode:
    return OperatorCode(
        builtinCode=table.number(3, "i"),
        deprecatedBuiltinCode=table.number(0, "b"),
        customCode=table.text(1, "a custom operator's name"),
        version=table.number(2, "i", 1),
    )


def _subgraph(table: Table, what: str) -> SubGraph:
    return SubGraph(
        tensors=[_tensor(t, i) for i, t in enumerate(table.tables(0, f"{what}: tensor"))],
        inputs=_indices(table, 1, f"the inputs of {what}"),
        outputs=_indices(table, 2, f"the outputs of {what}"),
        operators=[_operator(t, i) for i, t in enumerate(table.tables(3, f"{what}: operator"))],
    )


def _indices(table: Table, slot: int, what: str) -> NDArray[np.int32]:
    found = table.array(slot, np.int32, what)
    return np.zeros(0, np.int32) if found is None else found


def _tensor(table: Table, index: int) -> Tensor:
    what = f"tensor {index}"
    grid = table.table(4, f"the quantisation of {what}")
    return Tensor(
        name=table.text(3, f"the name of {what}"),
        shape=table.array(0, np.int32, f"the shape of {what}"),
        type=table.number(1, "b"),
        buffer=table.number(2, "I"),
        quantization=None if grid is None else _quantization(grid, what),
        isVariable=bool(table.number(5, "?")),
        shapeSignature=table.array(7, np.int32, f"the shape signature of {what}"),
        sparse=table.table(6, f"the sparsity of {what}") is not None,
        variant=bool(table.tables(9, f"a variant of {what}")),
        externalBuffer=table.number(10, "I"),
    )


def _quantization(table: Table, what: str) -> Quantization:
    return Quantization(
        scale=table.array(2, np.float32, f"the scales of {what}"),
        zeroPoint=table.array(3, np.int64, f"the zero points of {what}"),
        quantizedDimension=table.number(6, "i"),
        detailsType=table.number(4, "B"),
    )


def _operator(table: Table, index: int) -> Operator:
    what = f"operator {index}"
    kind = table.number(3, "B")
    options = table.table(4, f"the options of {what}")
    read = None
    if options is not None and kind in _OPTIONS:
        fields = _OPTIONS[kind][1].items()
        read = SimpleNamespace(**{name: options.number(*place) for name, place in fields})
    return Operator(
        opcodeIndex=table.number(0, "I"),
        inputs=_indices(table, 1, f"the inputs of {what}"),
        outputs=_indices(table, 2, f"the outputs of {what}"),
        builtinOptionsType=kind,
        builtinOptions=read,
    )


def _buffer(table: Table, index: int) -> Buffer:
    data = table.array(0, np.uint8, f"the data of buffer {index}")
    return Buffer(data, table.number(1, "Q"), table.number(2, "Q"))


def _signature(table: Table) -> SignatureDef:
    return SignatureDef(
        signatureKey=table.text(2, "a signature's key"),
        inputs=[_map(t) for t in table.tables(0, "a signature's input")],
        outputs=[_map(t) for t in table.tables(1, "a signature's output")],
        subgraphIndex=table.number(4, "I"),
    )


def _map(table: Table) -> TensorMap:
    return TensorMap(table.text(0, "a signature's name"), table.number(1, "I"))
