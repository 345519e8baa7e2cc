"""Are the shapes fixed, and does every operator give what its inputs make?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from convert.audit.registry import CannotJudge, Finding, check
from convert.audit.subject import MOST_EXTENTS, Step, Subject, extents

Shape = tuple[int, ...]

_LARGEST = (1 << 31) - 1


def _unfixed(s: Subject) -> Iterator[Finding]:
    for index, tensor in enumerate(s.tensors):
        shape, size = s.shape(index), s.size(index)
        if any(extent <= 0 for extent in shape):
            yield s.on_tensor(index, f"has shape {extents(shape)}", list(shape[:MOST_EXTENTS]))
        elif len(shape) > MOST_EXTENTS:
            yield s.on_tensor(index, f"has {len(shape)} dimensions", len(shape))
        elif size is not None and size > _LARGEST:
            yield s.on_tensor(index, f"has shape {list(shape)}, {size} bytes", size)
        signature = tensor.shapeSignature
        if signature is not None and signature.size and (signature < 0).any():
            text = f"may change its shape: {signature[:MOST_EXTENTS].tolist()}"
            yield s.on_tensor(index, text, signature[:MOST_EXTENTS].tolist())


@check(
    "shape-not-fixed",
    "error",
    "every shape is fixed and positive",
    "export with fixed shapes, one frame at a time",
)
def _fixed(s: Subject) -> Iterator[Finding]:
    return _unfixed(s)


@check(
    "shape-mismatch",
    "error",
    "an operator's output has the shape that its inputs give",
    "convert it anew; a shape was written by hand",
)
def _mismatch(s: Subject) -> Iterator[Finding]:
    require_fixed(s)
    for step in s.sound_steps:
        rule = _RULES.get(step.kind)
        if rule is None:
            continue
        try:
            expected = rule(s, step)
        except _Impossible as error:
            yield s.on_step(step, str(error))
            continue
        found = s.shape(step.output)
        if expected is not None and found != expected:
            text = f"has shape {list(found)}, its inputs give {list(expected)}"
            yield s.on_step(step, text, list(found))


def _listed(shapes: list[Shape]) -> str:
    return ", ".join(extents(shape) for shape in shapes[:4])


class _Impossible(Exception):
    """The inputs fit together in no way."""


def _broadcast(s: Subject, step: Step) -> Shape:
    shapes = [s.shape(tensor) for tensor in step.inputs]
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError as error:
        raise _Impossible(f"has inputs of shapes {_listed(shapes)}") from error


def _same(s: Subject, step: Step) -> Shape:
    return s.shape(step.inputs[0])


def _gather(s: Subject, step: Step) -> Shape | None:
    source, taken = s.shape(step.inputs[0]), s.shape(step.inputs[1])
    if step.options is None:
        return None
    axis = _axis(step.options.axis, len(source))
    indices = s.values(step.inputs[1])
    if indices is not None and indices.size:
        lowest, highest = int(indices.min()), int(indices.max())
        if lowest < 0 or highest >= source[axis]:
            raise _Impossible(f"takes channels {lowest} to {highest} of {source[axis]}")
    if step.options.batchDims != 0:
        return None
    return source[:axis] + taken + source[axis + 1 :]


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise _Impossible(f"has axis {axis} of {rank}")
    return axis % rank


def _concatenation(s: Subject, step: Step) -> Shape | None:
    if step.options is None:
        return None
    shapes = [s.shape(tensor) for tensor in step.inputs]
    axis = _axis(step.options.axis, len(shapes[0]))
    rests = {shape[:axis] + shape[axis + 1 :] for shape in shapes}
    if len(rests) > 1 or len({len(shape) for shape in shapes}) > 1:
        raise _Impossible(f"joins shapes {_listed(shapes)}")
    total = sum(shape[axis] for shape in shapes)
    return (*shapes[0][:axis], total, *shapes[0][axis + 1 :])


def _convolution(s: Subject, step: Step) -> Shape | None:
    source, kernel = s.shape(step.inputs[0]), s.shape(step.inputs[1])
    if len(source) != 4 or len(kernel) != 4:
        raise _Impossible(f"has shapes {list(source)} and {list(kernel)}, not of 4 dimensions")
    if step.options is None:
        return None
    if step.kind == "CONV_2D":
        outputs, groups = kernel[0], kernel[3]
        if groups <= 0 or source[3] % groups:
            raise _Impossible(f"has a kernel {list(kernel)} for {source[3]} channels")
    else:
        outputs = kernel[3]
        if outputs != source[3] * step.options.depthMultiplier:
            raise _Impossible(f"has a kernel {list(kernel)} for {source[3]} channels")
    extents = _windows(step, source, kernel[1:3])
    return None if extents is None else (source[0], *extents, outputs)


def _pool(s: Subject, step: Step) -> Shape | None:
    source = s.shape(step.inputs[0])
    if len(source) != 4:
        raise _Impossible(f"has shape {list(source)}, not of 4 dimensions")
    if step.options is None:
        return None
    extents = _windows(step, source, (step.options.filterHeight, step.options.filterWidth))
    return None if extents is None else (source[0], *extents, source[3])


def _windows(step: Step, source: Shape, kernel: Shape) -> tuple[int, int] | None:
    """Height and width after moving a window; None where operator-geometry finds no window."""
    options = vars(step.options) if step.options else {}
    extents = []
    for axis, side in ((0, "H"), (1, "W")):
        stride, dilation = options[f"stride{side}"], options.get(f"dilation{side}Factor", 1)
        if stride <= 0 or dilation <= 0 or kernel[axis] <= 0:
            return None
        extent = source[1 + axis]
        if options["padding"] == schema.Padding.VALID:
            extent -= (kernel[axis] - 1) * dilation
            if extent <= 0:
                raise _Impossible(f"has a window larger than its input {list(source)}")
        extents.append((extent + stride - 1) // stride)
    return extents[0], extents[1]


_RULES: dict[str, Callable[[Subject, Step], Shape | None]] = {
    "ADD": _broadcast,
    "AVERAGE_POOL_2D": _pool,
    "CONCATENATION": _concatenation,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "GATHER": _gather,
    "GREATER": _broadcast,
    "LOGISTIC": _same,
    "QUANTIZE": _same,
    "SELECT_V2": _broadcast,
}


def require_fixed(s: Subject) -> None:
    """Raise :class:`CannotJudge` where shapes make numbers meaningless."""
    if next(_unfixed(s), None):
        raise CannotJudge("shapes are not fixed and positive (shape-not-fixed)")
