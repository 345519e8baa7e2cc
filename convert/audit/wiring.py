"""Does every operator find what it reads, and is everything in the graph of use?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from convert.audit.registry import Finding, check
from convert.audit.subject import Subject, printable


def wrong_indices(s: Subject) -> Iterator[Finding]:
    """Indices of tensors that are not there."""
    count = len(s.tensors)
    for end, indices in (("input", s.inputs), ("output", s.outputs)):
        for place, index in enumerate(indices):
            if not 0 <= index < count:
                text = f"{end} {place} of the graph is tensor {index} of {count}"
                yield Finding(text, "tensor", index, value=index)
    for step in s.steps:
        for end, tensors, lowest in (("input", step.inputs, -1), ("output", step.outputs, 0)):
            for place, index in enumerate(tensors):
                if not lowest <= index < count:
                    yield s.on_step(step, f"has {end} {place} as tensor {index} of {count}", index)


@check(
    "tensor-index",
    "error",
    "the graph and its operators name tensors that exist",
    "convert it anew",
)
def _tensor_index(s: Subject) -> Iterator[Finding]:
    return wrong_indices(s)


@check("operator-code-index", "error", "every operator's code is in the list", "convert it anew")
def _code_index(s: Subject) -> Iterator[Finding]:
    count = len(s.model.operatorCodes)
    for step, operator in zip(s.steps, s.main.operators, strict=True):
        if operator.opcodeIndex >= count:
            text = f"has operator code {operator.opcodeIndex} of {count}"
            yield s.on_step(step, text, operator.opcodeIndex)


@check(
    "read-before-written",
    "error",
    "an operator reads only what came in, is constant or was given before it",
    "sort the operators; break the cycle",
)
def _order(s: Subject) -> Iterator[Finding]:
    known = set(s.inputs)
    for step in s.sound_steps:
        for tensor in step.inputs:
            if tensor >= 0 and tensor not in known and not s.is_constant(tensor):
                if s.tensors[tensor].isVariable:
                    continue
                later = "later" if tensor in s.producers else "by nobody"
                yield s.on_step(step, f"reads '{s.name(tensor)}', which is given {later}", tensor)
        known.update(step.outputs)


@check(
    "written-twice",
    "error",
    "a tensor is given by one operator, or comes in, or is constant",
    "give each operator an output of its own",
)
def _written(s: Subject) -> Iterator[Finding]:
    known = dict.fromkeys(s.inputs, "it is an input")
    for step in s.sound_steps:
        for tensor in step.outputs:
            before = known.get(tensor)
            if before is None and s.is_constant(tensor):
                before = "it is a constant"
            if before:
                text = f"writes '{s.name(tensor)}' (tensor {tensor}), but {before}"
                yield s.on_step(step, text, tensor)
            known[tensor] = f"operator {step.index} gives it"


@check(
    "output-not-given",
    "error",
    "every output is computed",
    "make the output what an operator gives",
)
def _outputs(s: Subject) -> Iterator[Finding]:
    for tensor in s.outputs:
        if 0 <= tensor < len(s.tensors) and tensor not in s.producers:
            what = "an input" if tensor in s.inputs else "given by no operator"
            yield s.on_tensor(tensor, f"is an output, but {what}")


@check("operator-unused", "warning", "every operator's result is used", "leave the operator out")
def _operator_unused(s: Subject) -> Iterator[Finding]:
    outputs = set(s.outputs)
    for step in s.sound_steps:
        if step.outputs and not any(t in s.consumers or t in outputs for t in step.outputs):
            yield s.on_step(step, "gives what nobody reads")


@check("tensor-unused", "warning", "every tensor is used", "leave the tensor out")
def _tensor_unused(s: Subject) -> Iterator[Finding]:
    used = {*s.computed, *s.outputs, *s.consumers}
    for tensor in range(len(s.tensors)):
        if tensor not in used:
            yield s.on_tensor(tensor, "is used by no operator")


@check("input-unused", "warning", "every input is read", "leave the input out, or read it")
def _input_unused(s: Subject) -> Iterator[Finding]:
    for tensor in s.inputs:
        if tensor not in s.consumers and tensor not in s.outputs:
            yield s.on_tensor(tensor, "is an input that nobody reads")


@check("tensor-name", "error", "every input and output has a name in UTF-8", "name the tensor")
def _names(s: Subject) -> Iterator[Finding]:
    for index in dict.fromkeys([*s.inputs, *s.outputs]):
        if not 0 <= index < len(s.tensors):
            continue  # tensor-index
        name = s.tensors[index].name
        if not name:
            yield s.on_tensor(index, "has no name")
        elif not _is_text(name):
            yield s.on_tensor(index, "has a name that is not UTF-8")


def _is_text(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@check(
    "name-duplicate", "error", "no two tensors have one name", "rename one, in the signature too"
)
def _name_duplicate(s: Subject) -> Iterator[Finding]:
    for name, count in _repeated(tensor.name for tensor in s.tensors if tensor.name):
        text = f"{count} tensors are called '{printable(name)}'"
        yield Finding(text, "tensor", name=printable(name), value=count)


def _repeated(items: Iterable[bytes]) -> list[tuple[bytes, int]]:
    return [(item, count) for item, count in Counter(items).items() if count > 1]


@check(
    "end-duplicate",
    "error",
    "no tensor is listed twice as an input, or twice as an output",
    "give each input and output a tensor of its own",
)
def _end_duplicate(s: Subject) -> Iterator[Finding]:
    for end, indices in (("inputs", s.inputs), ("outputs", s.outputs)):
        for tensor, count in Counter(indices).items():
            if count > 1 and 0 <= tensor < len(s.tensors):
                yield s.on_tensor(tensor, f"is {count} of the {end}", count)
