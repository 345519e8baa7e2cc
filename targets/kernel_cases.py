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
    Integers,
    average,
    multiply_by_quantized_multiplier,
    requantise,
)
from quantize.macs import STORAGE, Layout
from targets.compiler.packing import pack
from targets.compiler.plan import ConvolutionPlan, ResidualPlan

UNTOUCHED = np.int8(-91)
"""What outputs hold before a call; closed ones still do after it."""

LARGEST = 4096
"""Bytes of an output at most."""

_MAGIC = 0x31434C53
_ALIGNMENT = 16
_CASE_WORDS, _FRAME_WORDS = 16, 8
_OPERATIONS = (
    "nothing", "pointwise", "depthwise", "residual", "moving_average", "gate", "sigmoid",
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

    def complaint(self) -> str | None:
        """What is wrong, in words; None if nothing is."""
        if self.wrong == 0xFFFFFFFF:
            return f"it stopped in a fault at 0x{self.found:08x}"
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
        if result.wrong == 0xFFFFFFFF:
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


def nothing(frames: int = 1) -> Case:
    """No call at all: what reading the clock costs."""
    return _case("nothing", "nothing", frames, [], b"")


def pointwise(
    name: str,
    layer: ConvolutionPlan,
    layout: Layout,
    x: NDArray[np.int8],
    outputs: Sequence[Open | None] | None = None,
    inputs: Sequence[Open | None] | None = None,
) -> Case:
    """A 1x1 convolution on ``x``, int8 ``[frames, inputs]``; closed inputs become zero.

    ``outputs``, ``inputs``: what is open in each frame, None where all are.
    """
    frames = len(x)
    outputs, inputs = outputs or [None] * frames, inputs or [None] * frames
    x = x.copy()
    for row, columns in zip(x, inputs, strict=True):
        if columns is not None:
            row[columns.closed(layer.inputs)] = layer.input_zero_point
    sums = (x.astype(np.int64) - layer.input_zero_point) @ layer.weights.astype(np.int64).T
    expected = _finished(layer, sums, outputs)
    filled = np.full((frames, -(-layer.inputs // 4) * 4), 101, np.int8)  # read, and of no effect
    filled[:, : layer.inputs] = x
    parts = []
    for index, (rows, columns) in enumerate(zip(outputs, inputs, strict=True)):
        lists = [channels for channels in (rows, columns) if channels is not None]
        parts += [_frame(index, *_counts(rows), *_counts(columns))]
        parts += [_stored(channels.channels) for channels in lists]
        parts += [_stored(filled[index]), _stored(expected[index])]
    sizes = [layer.inputs, layer.outputs]
    return _convolution(name, "pointwise", layer, layout, sizes, frames, parts)


def depthwise(
    name: str,
    layer: ConvolutionPlan,
    layout: Layout,
    taps: NDArray[np.int8],
    channels: Sequence[Open | None] | None = None,
) -> Case:
    """A depthwise convolution on ``taps``, int8 ``[frames, 3, channels]``, oldest first."""
    frames = len(taps)
    channels = channels or [None] * frames
    centred = taps.astype(np.int64) - layer.input_zero_point
    sums = (centred * layer.weights.T.astype(np.int64)).sum(axis=1)
    expected = _finished(layer, sums, channels)
    parts = []
    for index, is_open in enumerate(channels):
        parts += [_frame(index, *_counts(is_open))]
        parts += [_stored(is_open.channels)] if is_open is not None else []
        parts += [*map(_stored, taps[index]), _stored(expected[index])]
    return _convolution(name, "depthwise", layer, layout, [layer.outputs], frames, parts)


def residual(
    name: str, add: ResidualPlan, x: NDArray[np.int8], branch: NDArray[np.int8]
) -> Case:
    """An addition of int8 ``[frames, channels]``; every other frame in place."""
    wide = [
        multiply_by_quantized_multiplier(
            (values.astype(np.int64) - side.zero_point) << 20, side.multiplier, side.shift
        )
        for values, side in ((x, add.x), (branch, add.branch))
    ]
    total = add.sum
    expected = requantise(wide[0] + wide[1], total.multiplier, total.shift, total.zero_point)
    parts = []
    for index in range(len(x)):
        parts += [_frame(index, index % 2), _stored(x[index]), _stored(branch[index])]
        parts += [_stored(expected[index].astype(np.int8))]
    sides = [(side.multiplier, side.shift, side.zero_point) for side in (add.x, add.branch, total)]
    words = [x.shape[1], *(word for side in sides for word in side)]
    return _case(name, "residual", len(x), words, b"".join(parts))


def moving_average(
    name: str, window: NDArray[np.int8]
) -> Case:
    """The mean over ``window``, int8 ``[frames, window, channels]``, the newest frame last."""
    frames, length, channels = window.shape
    totals = window.astype(np.int64).sum(axis=1)
    before = totals - window[:, -1]
    after = totals - window[:, 0]
    means = average(totals, length)
    parts = []
    for index in range(frames):
        newest, oldest = _stored(window[index, -1]), _stored(window[index, 0])
        parts += [_frame(index), newest, _stored(before[index].astype("<i2")), oldest]
        parts += [_stored(means[index].astype(np.int8)), _stored(after[index].astype("<i2"))]
        parts += [newest]
    return _case(name, "moving_average", frames, [channels, length], b"".join(parts))


def gate(name: str, logits: NDArray[np.int8], zero_point: int, group: int) -> Case:
    """Decisions on ``logits``, int8 ``[frames, gates]``."""
    parts = []
    for row in logits:
        is_open = row.astype(np.int64) > zero_point
        count = int(np.count_nonzero(is_open))
        bits = np.packbits(is_open, bitorder="little")
        channels = Open.of_gates(is_open, group).channels
        parts += [_words([count], _FRAME_WORDS), _stored(row), _stored(bits), _stored(channels)]
    words = [logits.shape[1], zero_point, group]
    return _case(name, "gate", len(logits), words, b"".join(parts))


def sigmoid(name: str, table: NDArray[np.int8], x: NDArray[np.int8]) -> Case:
    """A table of 256 looked up with ``x``, int8 ``[frames, count]``; half of them in place."""
    parts = [_stored(table)]
    for index, row in enumerate(x):
        expected = table[row.astype(np.int64) + 128]
        parts += [_frame(index, index % 2), _stored(row), _stored(expected)]
    return _case(name, "sigmoid", len(x), [x.shape[1]], b"".join(parts))


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


def _convolution(
    name: str,
    operation: str,
    layer: ConvolutionPlan,
    layout: Layout,
    sizes: list[int],
    frames: int,
    parts: list[bytes],
) -> Case:
    packed = pack(layer, layout)
    words = [
        *sizes,
        layer.input_zero_point,
        layer.output_zero_point,
        layer.lowest,
        list(STORAGE).index(layout),
        packed.weights.nbytes,
        packed.constants.nbytes,
    ]
    arrays = _stored(packed.weights) + _stored(packed.constants)
    return _case(name, operation, frames, words, arrays + b"".join(parts))


def _case(name: str, operation: str, frames: int, words: list[int], data: bytes) -> Case:
    header = [_OPERATIONS.index(operation), frames, *words]
    return Case(name, frames, _words(header, _CASE_WORDS) + data)


def _counts(is_open: Open | None) -> tuple[int, int]:
    return (len(is_open.channels), is_open.group) if is_open is not None else (_ALL_OPEN, 1)


def _frame(index: int, *words: int) -> bytes:
    """A frame's words; where its outputs begin differs from frame to frame."""
    return _words([index % 4, *words], _FRAME_WORDS)


def _words(values: Sequence[int], count: int) -> bytes:
    return _stored(np.array([*values, *[0] * (count - len(values))], "<i4"))


def _stored(values: NDArray) -> bytes:
    """An array, filled up to the alignment by at least a byte."""
    data = np.ascontiguousarray(values).tobytes()
    return data + b"\x7e" * (_ALIGNMENT - len(data) % _ALIGNMENT)
