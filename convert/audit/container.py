"""Is it a .tflite, can it be parsed, and does its data have the size that it says?"""

from __future__ import annotations

from collections.abc import Iterator

from convert.audit.registry import CannotJudge, Finding, check
from convert.audit.subject import Subject, extents

_VERSION = 3


@check("not-tflite", "error", "the file begins as a .tflite does", "give the right file")
def _identifier(s: Subject) -> Iterator[Finding]:
    if s.foreign:
        yield Finding(s.foreign)


@check(
    "damaged", "error", "every offset and length stays inside the file", "convert or copy it anew"
)
def _damaged(s: Subject) -> Iterator[Finding]:
    if s.foreign:
        raise CannotJudge("the file is no .tflite (not-tflite)")
    if s.damage:
        yield Finding(f"the file cannot be parsed: {s.damage}")


@check("schema-version", "error", "the schema's version is 3", "convert it with a newer TFLite")
def _version(s: Subject) -> Iterator[Finding]:
    if s.model.version != _VERSION:
        yield Finding(f"the schema's version is {s.model.version}", value=s.model.version)


@check(
    "subgraph-count",
    "error",
    "there is one subgraph",
    "convert without control flow; export one signature",
)
def _subgraphs(s: Subject) -> Iterator[Finding]:
    count = len(s.model.subgraphs)
    if count != 1:
        yield Finding(f"the file has {count} subgraphs; only the first is judged", value=count)


@check("buffer-index", "error", "every tensor's and entry's buffer exists", "convert it anew")
def _buffer_index(s: Subject) -> Iterator[Finding]:
    count = len(s.model.buffers)
    for number, graph in enumerate(s.model.subgraphs):
        for index, tensor in enumerate(graph.tensors):
            if tensor.buffer >= count:
                text = f"tensor {index} of subgraph {number} has buffer {tensor.buffer} of {count}"
                yield Finding(text, "tensor", index, value=tensor.buffer)
    for index, entry in enumerate(s.model.metadata):
        if entry.buffer >= count:
            text = f"metadata entry {index} has buffer {entry.buffer} of {count}"
            yield Finding(text, "metadata", index, value=entry.buffer)


@check(
    "buffer-outside",
    "error",
    "all data lies inside the flatbuffer",
    "convert to one file of less than 2 GB",
)
def _outside(s: Subject) -> Iterator[Finding]:
    for index, buffer in enumerate(s.model.buffers):
        if buffer.offset > 1:
            text = f"buffer {index} lies at byte {buffer.offset}, behind the flatbuffer"
            yield Finding(text, "buffer", index, value=buffer.offset)
    for number, tensor in enumerate(s.tensors):
        if tensor.externalBuffer:
            yield s.on_tensor(number, "has its data in another file", tensor.externalBuffer)


@check(
    "buffer-size",
    "error",
    "a constant has the bytes of its shape and type",
    "write the constant anew",
)
def _buffer_size(s: Subject) -> Iterator[Finding]:
    for index, tensor in enumerate(s.tensors):
        size = s.size(index)
        if tensor.buffer == 0 or not s.is_constant(index) or size is None or tensor.sparse:
            continue
        data = s.model.buffers[tensor.buffer].data
        assert data is not None
        if data.size != size:
            shape = extents(s.shape(index))
            text = f"is {s.type_name(index)} {shape}, {size} bytes, but its buffer has {data.size}"
            yield s.on_tensor(index, text, data.size)


@check("buffer-first-empty", "error", "buffer 0, which means no data, is empty", "convert it anew")
def _first_empty(s: Subject) -> Iterator[Finding]:
    if s.model.buffers and s.model.buffers[0].data is not None and s.model.buffers[0].data.size:
        yield Finding("buffer 0 has data", "buffer", 0, value=int(s.model.buffers[0].data.size))


@check("buffer-unused", "warning", "every buffer is used", "leave it out when writing")
def _buffer_unused(s: Subject) -> Iterator[Finding]:
    used = {tensor.buffer for graph in s.model.subgraphs for tensor in graph.tensors}
    used |= {entry.buffer for entry in s.model.metadata}
    for index, buffer in enumerate(s.model.buffers):
        if index and index not in used and buffer.data is not None and buffer.data.size:
            size = int(buffer.data.size)
            yield Finding(f"nobody uses buffer {index}, {size} bytes", "buffer", index, value=size)


@check(
    "tensor-storage",
    "error",
    "no tensor is sparse, a variable or a variant",
    "make states inputs and outputs; convert without sparsity",
)
def _storage(s: Subject) -> Iterator[Finding]:
    for index, tensor in enumerate(s.tensors):
        for kind in ("sparse", "isVariable", "variant"):
            if getattr(tensor, kind):
                word = {"sparse": "sparse", "isVariable": "a variable", "variant": "a variant"}
                yield s.on_tensor(index, f"is {word[kind]}")
