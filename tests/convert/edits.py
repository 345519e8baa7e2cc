"""Ways to break a .tflite: edits of a ``ModelT`` in place, by tensor names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.convert.built import Edit, index_of, operator, tensor, values


def swap_names(first: str, second: str) -> Edit:
    def edit(model: Any) -> None:
        a, b = tensor(model, first), tensor(model, second)
        a.name, b.name = b.name, a.name

    return edit


def sign(name: str, index_name: str) -> Edit:
    """The signature's output ``name`` points at another tensor."""

    def edit(model: Any) -> None:
        (item,) = [i for i in model.signatureDefs[0].outputs if i.name == name.encode()]
        item.tensorIndex = index_of(model, index_name)

    return edit


def unsign(end: str, name: str) -> Edit:
    def edit(model: Any) -> None:
        signature = model.signatureDefs[0]
        kept = [item for item in getattr(signature, end) if item.name != name.encode()]
        assert len(kept) == len(getattr(signature, end)) - 1
        setattr(signature, end, kept)

    return edit


def reorder(end: str, order: Callable[[Any], Any]) -> Edit:
    def edit(model: Any) -> None:
        graph = model.subgraphs[0]
        setattr(graph, end, np.array(order(getattr(graph, end)), np.int32))

    return edit


def quantization(name: str, **changes: Any) -> Edit:
    """Another ``scale`` or ``zeroPoint`` of one tensor."""

    def edit(model: Any) -> None:
        found = schema.QuantizationParametersT()
        old = tensor(model, name).quantization
        found.scale, found.zeroPoint = np.array(old.scale), np.array(old.zeroPoint)
        for part, value in changes.items():
            array = getattr(found, part)
            setattr(found, part, array * 0 + np.array(value, array.dtype))
        tensor(model, name).quantization = found

    return edit


def both(*edits: Edit) -> Edit:
    def edit(model: Any) -> None:
        for each in edits:
            each(model)

    return edit


def typed(name: str, kind: int) -> Edit:
    return lambda model: setattr(tensor(model, name), "type", kind)


def unquantised(name: str) -> Edit:
    return lambda model: setattr(tensor(model, name), "quantization", None)


def rewire(kind: str, given: str, *sources: str) -> Edit:
    """The first inputs of one operator taken from other tensors."""

    def edit(model: Any) -> None:
        found = operator(model, kind, given)
        inputs = found.inputs.copy()
        inputs[: len(sources)] = [index_of(model, source) for source in sources]
        found.inputs = inputs

    return edit


def poke(name: str, byte: int) -> Edit:
    def edit(model: Any) -> None:
        values(model, name)[0] = byte

    return edit
