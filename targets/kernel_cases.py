"""Cases for kernels: what a call is given, and every byte that must come of it.

What is expected is computed with :mod:`quantize.arithmetic`. The cases go to one file,
which ``firmware/bench/`` walks through on the host or on a board; its results are one
:class:`Result` for each case.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dyncp.errors import UserError
from quantize.arithmetic import (
    ADD_LEFT_SHIFT,
    Integers,
    average,
    multiply_by_quantized_multiplier,
    requantise,
)
from quantize.macs import STORAGE, Layout
from targets.compiler.packing import pack
from targets.compiler.packing.probes import gate_bits, pack_probes
from targets.compiler.plan import ConvolutionPlan, ProbePlan, ResidualPlan

UNTOUCHED = np.int8(-91)
"""What outputs hold before a call; closed ones still do after it."""

LARGEST = 4096
"""Bytes of an output at most."""

_MAGIC = 0x31434C53
_ALIGNMENT = 16
_CASE_WORDS, _FRAME_WORDS = 16, 8
_OPERATIONS = (
    "nothing", "pointwise", "depthwise", "residual", "moving_average", "gate", "sigmoid", "probes",
)  # fmt: skip
_ALL_OPEN = -1


@dataclass(frozen=True, eq=False)
class Open:
    """The open channels of a layer: uint16, ascending, in whole groups."""

    channels: NDArray[np.uint16]
    group: int

    @staticmethod
    def of_gates(gates: NDArray[np.bool_], group: int) -> Open:
        """``gates``: bool ``[channels / group]``, True is open."""
        return Open(np.flatnonzero(np.repeat(gates, group)).astype(np.uint16), group)

    def closed(self, channels: int) -> NDArray[np.int64]:
        """The other channels of ``channels``."""
        return np.setdiff1d(np.arange(channels), self.channels)


@dataclass(frozen=True, eq=False)
class Case:
    """One kernel with its constants, called once a frame. ``data`` is as in the file."""

    name: str
    frames: int
    data: bytes


@dataclass(frozen=True)
class Result:
    """What the program says of a case; ``firmware/bench/cases.h`` has the same fields."""

    bytes: int
    wrong: int
    frame: int
    output: int
    expected: int
    found: int
    strayed: int
    ticks: int

    @property
    def stopped(self) -> bool:
        """Whether the program could not go on."""
        return self.wrong == 0xFFFFFFFF

    def complaint(self) -> str | None:
        """What is wrong, in words; None if nothing is."""
        if self.stopped:
            refused = self.found >= 1 << 31
            code = self.found - (1 << 32)
            return f"it was refused, error {code}" if refused else f"fault at 0x{self.found:08x}"
        if self.wrong:
            return (
                f"{self.wrong} of {self.bytes} bytes differ, first byte {self.output} of frame "
                f"{self.frame}: {_signed(self.found)} instead of {_signed(self.expected)}"
            )
        return f"{self.strayed} bytes around its outputs written" if self.strayed else None


RESULT = struct.Struct("<8I")


def _signed(byte: int) -> int:
    return byte - 256 if 128 <= byte < 256 else byte


def file_of(cases: Sequence[Case]) -> bytes:
    """The file that the program reads."""
    header = _stored(np.array([_MAGIC, len(cases)], "<i4"))
    return header + b"".join(case.data for case in cases)


def parse_results(data: bytes, cases: Sequence[Case]) -> list[Result]:
    """What came back; raises :class:`UserError` if the program did not reach the end."""
    whole = len(data) // RESULT.size * RESULT.size
    results = [Result(*fields) for fields in RESULT.iter_unpack(data[:whole])]
    for case, result in zip(cases, results, strict=False):
        if result.stopped:
            raise UserError(f"the kernel check stopped at '{case.name}': {result.complaint()}")
    if len(results) != len(cases) or whole != len(data):
        raise UserError(
            f"the kernel check gave {len(results)} results and not {len(cases)}: it stopped at "
            f"'{cases[min(len(results), len(cases) - 1)].name}'"
        )
    return results


def complaints(cases: Sequence[Case], results: Sequence[Result]) -> list[str]:
    """A line for every case that is not as expected."""
    found = ((case.name, result.complaint()) for case, result in zip(cases, results, strict=True))
    return [f"{name}: {complaint}" for name, complaint in found if complaint]


def nothing() -> Case:
    """No call at all: what reading the clock costs."""
    return _case("nothing", "nothing", [], [b""])


def pointwise(
    name: str,
    layer: ConvolutionPlan,
    layout: Layout,
    x: NDArray[np.int8],
    *,
    outputs: Sequence[Open | None] | None = None,
    inputs: Sequence[Open | None] | None = None,
) -> Case:
    """A 1x1 convolution on ``x``, int8 ``[frames, inputs]``; closed inputs become zero.

    ``outputs``, ``inputs``: what is open in each frame, None where all are.
    """
    outputs, inputs = outputs or [None] * len(x), inputs or [None] * len(x)
    filled = np.full((len(x), -(-layer.inputs // 4) * 4), 101, np.int8)  # read, and of no effect
    filled[:, : layer.inputs] = x
    for row, columns in zip(filled, inputs, strict=True):
        if columns is not None:
            row[columns.closed(layer.inputs)] = layer.input_zero_point
    centred = filled[:, : layer.inputs].astype(np.int64) - layer.input_zero_point
    y = _finished(layer, centred @ layer.weights.astype(np.int64).T, outputs)
    frames = [
        _frame(index, *_counts(rows), *_counts(columns))
        + _stored_lists(rows, columns)
        + _stored(filled[index], y[index])
        for index, (rows, columns) in enumerate(zip(outputs, inputs, strict=True))
    ]
    words = [layer.inputs, layer.outputs, *_layer_words(layer, layout)]
    return _case(name, "pointwise", words, frames, _packed(layer, layout))


def depthwise(
    name: str,
    layer: ConvolutionPlan,
    layout: Layout,
    taps: NDArray[np.int8],
    channels: Sequence[Open | None] | None = None,
) -> Case:
    """A depthwise convolution on ``taps``, int8 ``[frames, 3, channels]``, oldest first."""
    channels = channels or [None] * len(taps)
    centred = taps.astype(np.int64) - layer.input_zero_point
    y = _finished(layer, (centred * layer.weights.T.astype(np.int64)).sum(axis=1), channels)
    frames = [
        _frame(index, *_counts(is_open)) + _stored_lists(is_open) + _stored(*taps[index], y[index])
        for index, is_open in enumerate(channels)
    ]
    words = [layer.outputs, *_layer_words(layer, layout)]
    return _case(name, "depthwise", words, frames, _packed(layer, layout))


def residual(name: str, add: ResidualPlan, x: NDArray[np.int8], branch: NDArray[np.int8]) -> Case:
    """An addition of int8 ``[frames, channels]``; every other frame in place."""
    left, right = (
        multiply_by_quantized_multiplier(
            (values.astype(np.int64) - side.zero_point) << ADD_LEFT_SHIFT,
            side.multiplier,
            side.shift,
        )
        for values, side in ((x, add.x), (branch, add.branch))
    )
    total = add.sum
    y = requantise(left + right, total.multiplier, total.shift, total.zero_point).astype(np.int8)
    frames = [
        _frame(index, index % 2) + _stored(x[index], branch[index], y[index])
        for index in range(len(x))
    ]
    sides = [(side.multiplier, side.shift, side.zero_point) for side in (add.x, add.branch, total)]
    return _case(name, "residual", [x.shape[1], *(word for side in sides for word in side)], frames)


def moving_average(name: str, x: NDArray[np.int8], window: int, zero_point: int) -> Case:
    """The running mean over ``window`` frames of ``x``, int8 ``[frames, channels]``.

    Before them, as after a cold start, all is ``zero_point``.
    """
    past = np.full((window - 1, x.shape[1]), zero_point, np.int8)
    history = np.concatenate([past, x])
    sums = np.cumsum(history, axis=0, dtype=np.int64)
    totals = sums[window - 1 :]
    totals[1:] -= sums[: len(x) - 1].copy()
    means = average(totals, window).astype(np.int8)
    # The newest frame takes the place of the oldest.
    frames = [
        _frame(index) + _stored(x[index], history[index], means[index], x[index])
        for index in range(len(x))
    ]
    return _case(name, "moving_average", [x.shape[1], window, zero_point], frames)


def gate(name: str, logits: NDArray[np.int8], zero_point: int, group: int) -> Case:
    """Decisions on ``logits``, int8 ``[frames, gates]``."""
    frames = []
    for row in logits:
        is_open = row.astype(np.int64) > zero_point
        bits = np.packbits(is_open, bitorder="little")
        channels = Open.of_gates(is_open, group).channels
        count = int(np.count_nonzero(is_open))
        frames.append(_words([count], _FRAME_WORDS) + _stored(row, bits, channels))
    return _case(name, "gate", [logits.shape[1], zero_point, group], frames)


def sigmoid(name: str, table: NDArray[np.int8], x: NDArray[np.int8]) -> Case:
    """A table of 256 looked up with ``x``, int8 ``[frames, count]``; every other in place."""
    frames = [
        _frame(index, index % 2) + _stored(row, table[row.astype(np.int64) + 128])
        for index, row in enumerate(x)
    ]
    return _case(name, "sigmoid", [x.shape[1]], frames, _stored(table))


def probes(
    name: str,
    rows: Sequence[ProbePlan],
    gates: NDArray[np.bool_],
    columns: range,
) -> Case:
    """The scores of ``columns`` of the probes on ``gates``, bool ``[frames, blocks, gates]``."""
    packed = pack_probes(rows, *gates.shape[1:])
    weights = np.stack([row.weights.astype(np.int64) for row in rows], axis=1)
    scores = gates.reshape(len(gates), -1) @ weights + packed.biases
    expected = scores[:, columns.start : columns.stop].astype("<i4")
    frames = [_stored(bits, row) for bits, row in zip(gate_bits(gates), expected, strict=True)]
    words = [len(packed.used), len(packed.weights), len(rows), columns.start, len(columns)]
    arrays = _stored(packed.used, packed.rows, packed.weights, packed.biases)
    return _case(name, "probes", words, frames, arrays)


def _finished(
    layer: ConvolutionPlan, sums: Integers, is_open: Sequence[Open | None]
) -> NDArray[np.int8]:
    """Outputs ``[frames, outputs]`` of the sums without bias."""
    y = requantise(
        sums + layer.bias, layer.multiplier, layer.shift, layer.output_zero_point, layer.lowest
    ).astype(np.int8)
    for row, rows in zip(y, is_open, strict=True):
        if rows is not None:
            row[rows.closed(layer.outputs)] = UNTOUCHED
    return y


def _layer_words(layer: ConvolutionPlan, layout: Layout) -> list[int]:
    packed = pack(layer, layout)
    return [
        layer.input_zero_point,
        layer.output_zero_point,
        layer.lowest,
        list(STORAGE).index(layout),
        packed.weights.nbytes,
        packed.constants.nbytes,
    ]


def _packed(layer: ConvolutionPlan, layout: Layout) -> bytes:
    packed = pack(layer, layout)
    return _stored(packed.weights, packed.constants)


def _case(
    name: str, operation: str, words: list[int], frames: list[bytes], arrays: bytes = b""
) -> Case:
    header = _words([_OPERATIONS.index(operation), len(frames), *words], _CASE_WORDS)
    return Case(name, len(frames), header + arrays + b"".join(frames))


def _counts(is_open: Open | None) -> tuple[int, int]:
    return (len(is_open.channels), is_open.group) if is_open is not None else (_ALL_OPEN, 1)


def _stored_lists(*lists: Open | None) -> bytes:
    return _stored(*(is_open.channels for is_open in lists if is_open is not None))


def _frame(index: int, *words: int) -> bytes:
    """A frame's words; where its outputs begin differs from frame to frame."""
    return _words([index % 4, *words], _FRAME_WORDS)


def _words(values: Sequence[int], count: int) -> bytes:
    return _stored(np.array([*values, *[0] * (count - len(values))], "<i4"))


def _stored(*arrays: NDArray) -> bytes:
    """Arrays, each filled up to the alignment by at least a byte."""
    data = [np.ascontiguousarray(values).tobytes() for values in arrays]
    return b"".join(one + b"\x7e" * (_ALIGNMENT - len(one) % _ALIGNMENT) for one in data)
