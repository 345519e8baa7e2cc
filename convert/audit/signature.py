"""Can the inputs and outputs be addressed by name, in the order of the contract?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from convert.audit.identity import preset_of
from convert.audit.model import SignatureDef
from convert.audit.registry import CannotJudge, Finding, NotApplicable, check
from convert.audit.subject import Subject, extents, printable
from convert.metadata import SIGNATURE
from dyncp.state import input_shapes, output_shapes

_KEY = SIGNATURE.encode()


def _signature(s: Subject) -> SignatureDef:
    """The one that callers ask for."""
    for signature in s.model.signatureDefs:
        if signature.signatureKey == _KEY:
            return signature
    raise CannotJudge(f"there is no signature '{SIGNATURE}' (signature-missing)")


def _ends(s: Subject, signature: SignatureDef) -> Iterator[tuple[str, list[int], dict[bytes, int]]]:
    for end, indices, maps in (
        ("input", s.inputs, signature.inputs),
        ("output", s.outputs, signature.outputs),
    ):
        yield end, indices, {item.name: item.tensorIndex for item in maps}


@check(
    "signature-missing",
    "error",
    f"there is a signature '{SIGNATURE}' for the first subgraph",
    "convert with signatures",
)
def _missing(s: Subject) -> Iterator[Finding]:
    found = [sig for sig in s.model.signatureDefs if sig.signatureKey == _KEY]
    if not found:
        keys = ", ".join(printable(sig.signatureKey) for sig in s.model.signatureDefs[:4])
        yield Finding(f"there is no signature '{SIGNATURE}', but {keys or 'none'}", "signature")
    for signature in found[:1]:
        if signature.subgraphIndex != 0:
            text = f"the signature '{SIGNATURE}' is of subgraph {signature.subgraphIndex}"
            yield Finding(text, "signature", value=signature.subgraphIndex)


@check(
    "signature-duplicate",
    "error",
    "no signature, and no name in one, is there twice",
    "leave the second one out",
)
def _duplicate(s: Subject) -> Iterator[Finding]:
    for key, count in Counter(sig.signatureKey for sig in s.model.signatureDefs).items():
        if count > 1:
            text = f"{count} signatures are called '{printable(key)}'"
            yield Finding(text, "signature", name=printable(key), value=count)
    for index, signature in enumerate(s.model.signatureDefs):
        for end, items in (("input", signature.inputs), ("output", signature.outputs)):
            for name, count in Counter(item.name for item in items).items():
                if count > 1:
                    text = f"{count} {end}s of signature {index} are called '{printable(name)}'"
                    yield Finding(text, "signature", index, printable(name), count)


@check(
    "signature-tensor",
    "error",
    "the signature's names lead to the graph's inputs and outputs",
    "write the signature anew",
)
def _tensor(s: Subject) -> Iterator[Finding]:
    for end, indices, named in _ends(s, _signature(s)):
        known = set(indices)
        for name, index in named.items():
            if index not in known:
                exists = index < len(s.tensors)
                what = f"'{s.name(index)}'" if exists else f"tensor {index} of {len(s.tensors)}"
                text = f"the signature's {end} '{printable(name)}' is {what}, no {end} of the graph"
                yield Finding(text, "signature", 0, printable(name), index)


@check(
    "signature-incomplete",
    "error",
    "every input and output is in the signature",
    "write the signature anew",
)
def _incomplete(s: Subject) -> Iterator[Finding]:
    for end, indices, named in _ends(s, _signature(s)):
        signed = set(named.values())
        for index in indices:
            if index not in signed and 0 <= index < len(s.tensors):
                yield s.on_tensor(index, f"is an {end} that the signature leaves out")


@check(
    "signature-name",
    "error",
    "the signature calls a tensor by the tensor's own name",
    "write the signature anew; readers of either name must find the same tensor",
)
def _name(s: Subject) -> Iterator[Finding]:
    preset_of(s)  # a foreign file may name as it likes
    for end, _, named in _ends(s, _signature(s)):
        for name, index in named.items():
            if index < len(s.tensors) and s.tensors[index].name != name:
                text = f"is the signature's {end} '{printable(name)}'"
                yield s.on_tensor(index, text, printable(name))


@check(
    "end-order",
    "error",
    "inputs and outputs have the names and the order of docs/contracts.md",
    "name and order them as the contract does",
)
def _order(s: Subject) -> Iterator[Finding]:
    preset = preset_of(s)
    for end, wanted, indices in (
        ("input", list(input_shapes(preset)), s.inputs),
        ("output", list(output_shapes(preset)), s.outputs),
    ):
        names = [s.name(i) if 0 <= i < len(s.tensors) else f"tensor {i}" for i in indices]
        for place in range(max(len(wanted), len(names))):
            want = wanted[place] if place < len(wanted) else "nothing"
            have = names[place] if place < len(names) else "nothing"
            if want != have:
                text = f"{end} {place} must be {want}, but is {have}"
                yield Finding(text, "tensor", indices[place] if place < len(names) else None, have)


@check(
    "end-shape",
    "error",
    "inputs and outputs have the shapes of the metadata's preset",
    "convert the model and its metadata together",
)
def _shape(s: Subject) -> Iterator[Finding]:
    preset = preset_of(s)
    wanted = {**input_shapes(preset), **output_shapes(preset)}
    found = False
    for index in dict.fromkeys([*s.inputs, *s.outputs]):
        if not 0 <= index < len(s.tensors) or s.name(index) not in wanted:
            continue  # tensor-index, end-order
        found = True
        batch, channels, frames, width = wanted[s.name(index)]
        shape = (batch, frames, width, channels)
        if s.shape(index) != shape:
            text = f"has shape {extents(s.shape(index))}, the preset {extents(shape)}"
            yield s.on_tensor(index, text, list(s.shape(index)[:8]))
    if not found:
        raise NotApplicable("no input or output has a name of the contract")
