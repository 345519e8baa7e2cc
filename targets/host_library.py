"""The firmware's library on the host: built by gcc, called through ctypes.

The same C sources and the same compiled model as on a board, so the host is a
rung of the parity ladder and a place to test the public interface.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, byref, c_char_p, c_int8, c_int16, c_int32, c_uint8, c_uint16, c_uint32
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dyncp.embedding import check
from dyncp.errors import UserError
from dyncp.files import replacing
from targets.compiler.compile import compile_model
from targets.compiler.emit import SOURCE, write_c
from targets.sources import C_FLAGS, include_folders, runtime_sources
from targets.toolchain import run_tool

LIBRARY = "libsluice.so"
SANITISERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
_ALIGNMENT = 16


def compile_flags(model_folder: str | Path) -> list[str]:
    """gcc's flags for everything that includes our headers or a compiled model's."""
    folders = [*include_folders(), Path(model_folder)]
    return [*C_FLAGS, "-O2", *(f"-I{folder}" for folder in folders)]


def build_library(model_folder: str | Path, output: str | Path) -> Path:
    """Build the library of the model compiled in ``model_folder``, as ``output``."""
    sources = [*runtime_sources(), Path(model_folder) / SOURCE]
    with replacing(output) as temporary:
        run_tool(
            "gcc",
            [*compile_flags(model_folder), "-shared", "-fPIC", *sources, "-o", temporary],
        )
    return Path(output)


def build_program(
    model_folder: str | Path, program: Path, output: str | Path, extra: Sequence[str] = ()
) -> Path:
    """Build a C program against the library's sources; ``extra`` are more flags."""
    sources = [*runtime_sources(), Path(model_folder) / SOURCE, program]
    with replacing(output) as temporary:
        run_tool("gcc", [*compile_flags(model_folder), *extra, *sources, "-o", temporary])
    path = Path(output)
    mode = path.stat().st_mode
    path.chmod(mode | (mode & 0o444) >> 2)  # whoever may read it may run it
    return path


def make_host_library(model: str | Path, folder: str | Path) -> Path:
    """Compile a `.tflite` and build its library in ``folder``; gives the library's path."""
    write_c(compile_model(model), folder)
    return build_library(folder, Path(folder) / LIBRARY)


class _Info(ctypes.Structure):
    _fields_ = [
        ("preset", c_char_p),
        ("hash", c_uint8 * 32),
        ("sample_rate", c_uint32),
        ("hop", c_uint16),
        ("bins", c_uint16),
        ("blocks", c_uint16),
        ("gates", c_uint16),
        ("layers", c_uint16),
        ("tensors", c_uint16),
        ("probes", c_uint16),
        ("dimensions", c_uint16),
        ("arena_bytes", c_uint32),
        ("dense_macs", c_uint32),
    ]


class _LayerCounters(ctypes.Structure):
    _fields_ = [(name, c_uint32) for name in ("executed_macs", "weight_bytes", "ticks")]


class _Counters(ctypes.Structure):
    _fields_ = [
        (name, c_uint32)
        for name in ("executed_macs", "weight_bytes", "ticks", "analysis_ticks", "synthesis_ticks")
    ]


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("name", c_char_p),
        ("data", POINTER(c_int8)),
        ("channels", c_uint16),
        ("zero_point", c_int16),
    ]


class _Instance(ctypes.Structure):
    _fields_ = [
        ("model", ctypes.c_void_p),
        ("arena", ctypes.c_void_p),
        ("clock", ctypes.c_void_p),
        ("counters", _Counters),
        ("frames", c_uint32),
    ]


@dataclass(frozen=True)
class LibraryInfo:
    """What a compiled model says of itself; fields as in ``sluice.h``."""

    preset: str
    model_hash: str
    sample_rate: int
    hop: int
    bins: int
    blocks: int
    gates: int
    layers: int
    tensors: int
    probes: int
    dimensions: int
    arena_bytes: int
    dense_macs: int


@dataclass(frozen=True)
class Counters:
    """Multiply-accumulates that ran in the last frame, and the weight bytes they read."""

    executed_macs: int
    weight_bytes: int


class HostLibrary:
    """One instance of the library at ``path``; several may share a library."""

    def __init__(self, path: str | Path) -> None:
        try:
            self._library = ctypes.CDLL(str(Path(path).resolve()))
            self._model = ctypes.addressof(ctypes.c_char.in_dll(self._library, "sluice_model"))
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is not a library of this project: {error}") from error
        self._library.sluice_features.restype = POINTER(c_int8)
        self._library.sluice_counters.restype = POINTER(_Counters)
        self._library.sluice_probe_name.restype = c_char_p
        self._library.sluice_embedding.restype = POINTER(c_int8)
        self.info = self._read_info()
        # ctypes aligns to 8 at most, so the arena starts somewhere inside its buffer.
        self._memory = (c_uint8 * (self.info.arena_bytes + _ALIGNMENT))()
        start = ctypes.addressof(self._memory)
        self._arena = ctypes.c_void_p(start + (-start) % _ALIGNMENT)
        self._instance = _Instance()
        self._call("sluice_init", self._model_pointer, self._arena,
                   ctypes.c_size_t(self.info.arena_bytes))  # fmt: skip

    @property
    def _model_pointer(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self._model)

    def _read_info(self) -> LibraryInfo:
        info = _Info()
        self._library.sluice_info(self._model_pointer, byref(info))
        numbers = {name: getattr(info, name) for name, *_ in _Info._fields_[2:]}
        return LibraryInfo(info.preset.decode(), bytes(info.hash).hex(), **numbers)

    def _call(self, function: str, *arguments: object) -> int:
        """Call a function on the instance; raises on a negative result."""
        status: int = getattr(self._library, function)(byref(self._instance), *arguments)
        if status < 0:
            raise UserError(f"{function} failed with error {status}")
        return status

    def reset(self) -> None:
        """Back to a cold start; the embedding stays."""
        self._call("sluice_reset")

    def set_embedding(self, embedding: NDArray[np.int8]) -> None:
        """Keep somebody else from the next frame on: int8 ``[dimensions]``.

        Raises :class:`UserError` for another, and for a model that takes none; whom it keeps
        stays then.
        """
        if not self.info.dimensions:
            raise UserError(f"the model '{self.info.preset}' takes no embedding")
        values = np.ascontiguousarray(check(embedding, self.info.dimensions, "the library"))
        self._call("sluice_set_embedding", values.ctypes.data_as(POINTER(c_int8)),
                   ctypes.c_size_t(len(values)))  # fmt: skip

    def embedding(self) -> NDArray[np.int8] | None:
        """The embedding in force, int8 ``[dimensions]``; None if the model takes none."""
        data = self._library.sluice_embedding(byref(self._instance))
        return np.ctypeslib.as_array(data, (self.info.dimensions,)).copy() if data else None

    def process_frame(self, features: NDArray[np.int8]) -> dict[str, NDArray[np.int8]]:
        """Run the network on int8 ``[bins]``; gives :meth:`tensors`."""
        frame = np.ascontiguousarray(features)
        _check(frame, np.dtype(np.int8), self.info.bins)
        self._call("sluice_process_frame", frame.ctypes.data_as(POINTER(c_int8)))
        return self.tensors()

    def process_hop(self, pcm: NDArray[np.int16]) -> NDArray[np.int16]:
        """Enhance int16 ``[hop]``; the result is the input of one hop before, enhanced."""
        hop = np.array(pcm, order="C")
        _check(hop, np.dtype(np.int16), self.info.hop)
        self._call("sluice_process_hop", hop.ctypes.data_as(POINTER(c_int16)))
        return hop

    def features(self) -> NDArray[np.int8]:
        """The int8 features of the last hop or frame, ``[bins]``."""
        data = self._library.sluice_features(byref(self._instance))
        if not data:
            raise UserError("there are no features before the first frame")
        return np.ctypeslib.as_array(data, (self.info.bins,)).copy()

    def tensors(self) -> dict[str, NDArray[np.int8]]:
        """Every output of the last frame by name, in the signature's order."""
        values = {}
        for index in range(self.info.tensors):
            tensor = _Tensor()
            self._call("sluice_tensor", c_uint32(index), byref(tensor))
            data = np.ctypeslib.as_array(tensor.data, (tensor.channels,)).copy()
            values[tensor.name.decode()] = data
        return values

    def gates(self, block: int) -> NDArray[np.bool_]:
        """Which gates of a block the last frame opened, ``[gates]``."""
        bits = (c_uint8 * ((self.info.gates + 7) // 8))()
        self._call("sluice_gates", c_uint32(block), bits)
        unpacked = np.unpackbits(np.array(bits, np.uint8), bitorder="little")
        return unpacked[: self.info.gates].astype(np.bool_)

    def probes(self) -> dict[str, int]:
        """Every probe's score on the last frame."""
        count = self.info.probes
        scores = (c_int32 * max(count, 1))()
        self._call("sluice_probes", c_uint32(0), c_uint32(count), scores)
        names = (
            self._library.sluice_probe_name(self._model_pointer, c_uint32(index)).decode()
            for index in range(count)
        )
        return dict(zip(names, scores, strict=False))

    def counters(self) -> Counters:
        """Of the last frame, all layers together."""
        counters = self._library.sluice_counters(byref(self._instance)).contents
        return Counters(counters.executed_macs, counters.weight_bytes)

    def layer_counters(self) -> dict[str, Counters]:
        """Of the last frame, by layer, front to back."""
        layers = {}
        for index in range(self.info.layers):
            name, counters = c_char_p(), _LayerCounters()
            self._call("sluice_layer", c_uint32(index), byref(name), byref(counters))
            assert name.value is not None
            layers[name.value.decode()] = Counters(counters.executed_macs, counters.weight_bytes)
        return layers


def _check(values: NDArray, dtype: np.dtype, size: int) -> None:
    if values.dtype != dtype or values.shape != (size,):
        raise UserError(f"expected {dtype} [{size}], got {values.dtype} {list(values.shape)}")
