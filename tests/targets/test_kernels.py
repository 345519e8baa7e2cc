"""Each portable kernel against the arithmetic of the integer model, at the edges too.

Whole networks reach few of the shifts, ties and odd sizes that a kernel must get right.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_int8, c_int16, c_int32, c_uint8, c_uint16, c_uint32, c_uint64
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from quantize.arithmetic import (
    INT8_MIN,
    Addition,
    average,
    multiply_by_quantized_multiplier,
    requantise,
)
from quantize.macs import STORAGE
from targets.compiler.audio_tables import power_key
from targets.sources import C_FLAGS, FIRMWARE_FOLDER, runtime_sources
from targets.toolchain import run_tool

SEEDS = st.integers(0, 2**32 - 1)
TYPES = {np.dtype(np.int8): c_int8, np.dtype(np.int16): c_int16, np.dtype(np.int32): c_int32,
         np.dtype(np.uint8): c_uint8, np.dtype(np.uint16): c_uint16,
         np.dtype(np.uint32): c_uint32}  # fmt: skip


PLAIN = 0


class OpenChannels(ctypes.Structure):
    _fields_ = [("channels", POINTER(c_uint16)), ("count", c_uint16), ("group", c_uint16)]


class Pointwise(ctypes.Structure):
    _fields_ = [
        ("weights", POINTER(c_int8)),
        ("constants", POINTER(c_int32)),
        ("inputs", c_uint16),
        ("outputs", c_uint16),
        ("input_zero_point", c_int16),
        ("output_zero_point", c_int16),
        ("lowest", c_int8),
        ("layout", c_uint8),
    ]


class Depthwise(ctypes.Structure):
    _fields_ = [
        ("weights", POINTER(c_int8)),
        ("constants", POINTER(c_int32)),
        ("count", c_uint16),
        ("input_zero_point", c_int16),
        ("output_zero_point", c_int16),
        ("lowest", c_int8),
        ("layout", c_uint8),
    ]


class AudioTables(ctypes.Structure):
    _fields_ = [
        ("n_fft", c_uint16),
        ("bins", c_uint16),
        ("fft_bits", c_uint8),
        ("fraction_bits", c_uint8),
        ("sine", POINTER(c_int32)),
        ("overlap_gain", POINTER(c_int32)),
        ("thresholds", POINTER(c_uint32)),
    ]


class Side(ctypes.Structure):
    _fields_ = [("multiplier", c_int32), ("shift", c_int32), ("zero_point", c_int16)]


class Residual(ctypes.Structure):
    _fields_ = [(name, Side) for name in ("x", "branch", "sum")]


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Any:
    output = tmp_path_factory.mktemp("kernels") / "kernels.so"
    ours = [path for path in runtime_sources() if path.parent.name in ("kernels", "audio")]
    sources = [*ours, Path(__file__).with_name("kernels.c")]
    flags = [*C_FLAGS, "-O2", "-shared", "-fPIC", f"-I{FIRMWARE_FOLDER}"]
    run_tool("gcc", [*flags, *sources, "-o", output])
    return ctypes.CDLL(str(output))


def at(values: NDArray[Any]) -> Any:
    return values.ctypes.data_as(POINTER(TYPES[values.dtype]))


def channels_of(
    rng: np.random.Generator, count: int
) -> tuple[Any, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Constants of ``count`` outputs, as C and as arrays."""
    bias = rng.integers(-(2**16), 2**16, count)
    multiplier = rng.integers(2**30, 2**31, count)
    shift = rng.integers(-16, 2, count)
    constants = np.stack([bias, multiplier, shift], axis=1).astype(np.int32)
    return at(constants), bias, multiplier, shift


def some_open(rng: np.random.Generator, channels: int) -> NDArray[np.uint16] | None:
    """Open channels, ascending; None: all of them."""
    if rng.integers(3) == 0:
        return None
    return np.flatnonzero(rng.integers(0, 2, channels)).astype(np.uint16)


def as_c(channels: NDArray[np.uint16] | None) -> Any:
    if channels is None:
        return None
    return ctypes.byref(OpenChannels(at(channels), len(channels), 1))


def test_the_firmware_stores_layers_as_the_host_counts_them(kernels: Any) -> None:
    """The order of the layouts in C is theirs here."""
    for index, layout in enumerate(STORAGE):
        found = np.zeros(4, np.uint8)
        kernels.storage_of(c_uint32(index), at(found))
        assert tuple(found) == astuple(STORAGE[layout]), layout


@given(SEEDS)
def test_requantisation_rounds_as_the_reference_kernels(kernels: Any, seed: int) -> None:
    """Twice, ties included; a single rounding differs in a value of a thousand."""
    rng = np.random.default_rng(seed)
    shift = rng.integers(-31, 30, 2000)
    room = 2**30 >> np.maximum(shift, 0)  # what the compiler ensures
    wide = rng.integers(-room + 1, room)
    narrow = rng.integers(-300, 301, shift.shape).clip(-room + 1, room - 1)
    accumulator = np.where(rng.integers(0, 2, shift.shape), wide, narrow)
    # Powers of two as multipliers make many exact ties.
    multiplier = np.where(rng.integers(0, 2, shift.shape), 2**30,
                          rng.integers(2**30, 2**31, shift.shape))  # fmt: skip
    multiplier[:10] = 0
    results = np.zeros(len(shift), np.int32)
    kernels.requantise_all(
        at(accumulator.astype(np.int32)), at(multiplier.astype(np.int32)),
        at(shift.astype(np.int32)), ctypes.c_size_t(len(shift)), at(results),
    )  # fmt: skip
    expected = multiply_by_quantized_multiplier(accumulator, multiplier, shift)
    assert np.array_equal(results, expected)


@given(SEEDS, st.integers(1, 21), st.integers(1, 70))
def test_a_pointwise_layer_of_any_size_with_anything_closed(
    kernels: Any, seed: int, outputs: int, inputs: int
) -> None:
    """Four rows run at once: every remainder, and every mixture of open rows and columns."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(-128, 128, (outputs, inputs)).astype(np.int8)
    constants, bias, multiplier, shift = channels_of(rng, outputs)
    zero_point = int(rng.integers(-128, 128))
    lowest = int(rng.choice([INT8_MIN, zero_point]))
    open_outputs, open_inputs = some_open(rng, outputs), some_open(rng, inputs)
    x = rng.integers(-128, 128, inputs).astype(np.int8)
    input_zero = int(rng.integers(-128, 128))
    true = x.astype(np.int64) - input_zero
    if open_inputs is not None:
        true[np.setdiff1d(np.arange(inputs), open_inputs)] = 0
    scratch = np.full(inputs, 12345, np.int16)
    layer = Pointwise(at(weights), constants, inputs, outputs, input_zero, zero_point, lowest,
                      PLAIN)  # fmt: skip
    y = np.full(outputs, 77, np.int8)
    kernels.sluice_pointwise(ctypes.byref(layer), at(x), at(scratch), as_c(open_outputs),
                             as_c(open_inputs), at(y))  # fmt: skip
    sums = weights.astype(np.int64) @ true + bias
    expected = requantise(sums, multiplier, shift, zero_point, lowest)
    if open_outputs is not None:
        expected[np.setdiff1d(np.arange(outputs), open_outputs)] = 77  # left as it was
    assert np.array_equal(y, expected)


@given(SEEDS, st.integers(1, 40))
def test_a_depthwise_layer_with_anything_closed(kernels: Any, seed: int, channels: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(-128, 128, (channels, 3)).astype(np.int8)
    constants, bias, multiplier, shift = channels_of(rng, channels)
    input_zero, zero_point = (int(z) for z in rng.integers(-128, 128, 2))
    frames = rng.integers(-128, 128, (3, channels)).astype(np.int8)
    is_open = some_open(rng, channels)
    layer = Depthwise(at(weights), constants, channels, input_zero, zero_point, zero_point)
    y = np.full(channels, 77, np.int8)
    kernels.sluice_depthwise(
        ctypes.byref(layer), *(at(frame) for frame in frames), as_c(is_open), at(y)
    )
    sums = ((frames.astype(np.int64) - input_zero) * weights.T).sum(axis=0) + bias
    expected = requantise(sums, multiplier, shift, zero_point, zero_point)
    if is_open is not None:
        expected[np.setdiff1d(np.arange(channels), is_open)] = 77
    assert np.array_equal(y, expected)


@given(SEEDS)
def test_the_residual_is_the_int8_addition_for_every_pair(kernels: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scales = np.exp(rng.uniform(-7, 0, 3)).astype(np.float32).astype(float)
    zero_points = rng.integers(-128, 128, 3)
    grids = [(float(s), int(z)) for s, z in zip(scales, zero_points, strict=True)]
    addition = Addition(*grids)
    factors = addition.first, addition.second, addition.output
    sides = [Side(*f, z) for f, z in zip(factors, addition.zero_points, strict=True)]
    every = np.arange(-128, 128)
    x, branch = (a.reshape(-1).astype(np.int8) for a in np.meshgrid(every, every))
    expected = addition(x.astype(np.int64), branch.astype(np.int64))
    kernels.sluice_residual(ctypes.byref(Residual(*sides)), at(x), at(branch),
                            c_uint32(len(x)), at(x))  # in place, as the runtime does  # fmt: skip
    assert np.array_equal(x, expected)


@given(SEEDS, st.integers(2, 256), st.sampled_from([-128, 0, 127, None]))
def test_the_running_average_never_drifts(
    kernels: Any, seed: int, frames: int, constant: int | None
) -> None:
    """A sum of 16 bits, at most 256 frames of the extremes: no overflow and no error is kept."""
    rng = np.random.default_rng(seed)
    channels, zero = 5, int(rng.integers(-128, 128))
    length = 2 * frames + 3
    x = rng.integers(-128, 128, (length, channels)).astype(np.int8)
    if constant is not None:
        x[:] = constant
    ring = np.full((frames - 1, channels), zero, np.int8)
    sums = np.full(channels, (frames - 1) * zero, np.int16)
    result = np.zeros(channels, np.int8)
    history = np.concatenate([ring, x]).astype(np.int64)
    for t in range(length):
        oldest = ring[t % (frames - 1)]
        kernels.sluice_moving_average(at(x[t]), c_uint32(channels), c_int32(frames), at(sums),
                                      at(oldest), at(result))  # fmt: skip
        assert np.array_equal(result, average(history[t : t + frames].sum(axis=0), frames))


@given(SEEDS, st.integers(1, 40), st.sampled_from([1, 4, 8]), st.integers(-128, 127))
def test_a_gate_is_open_above_its_zero_point_only(
    kernels: Any, seed: int, gates: int, group: int, zero_point: int
) -> None:
    """At the zero point it is closed: one step decides over a channel."""
    rng = np.random.default_rng(seed)
    logits = np.clip(rng.integers(-2, 3, gates) + zero_point, -128, 127).astype(np.int8)
    bits = np.full((gates + 7) // 8 + 1, 0xFF, np.uint8)
    channels = np.full(gates * group + 1, 0xFFFF, np.uint16)
    count = kernels.sluice_gate(at(logits), c_uint32(gates), c_int32(zero_point),
                                c_uint32(group), at(bits), at(channels))  # fmt: skip
    is_open = logits.astype(int) > zero_point
    assert count == np.count_nonzero(is_open)
    assert np.array_equal(bits[:-1], np.packbits(is_open, bitorder="little"))
    expected = np.flatnonzero(np.repeat(is_open, group))
    assert np.array_equal(channels[: len(expected)], expected)
    assert bits[-1] == 0xFF and channels[-1] == 0xFFFF  # nothing behind the end


@given(SEEDS, st.integers(1, 40))
def test_a_feature_is_the_number_of_steps_at_or_below_its_power(
    kernels: Any, seed: int, bins: int
) -> None:
    """At a step, between steps, where steps coincide, and beyond what any power can reach."""
    rng = np.random.default_rng(seed)
    roots = np.sort(rng.integers(0, 60, 255))
    roots[-int(rng.integers(1, 60)) :] = 2**29
    keys = np.array([power_key(int(root) ** 2) for root in roots], np.uint32)
    keys[-int(rng.integers(1, 9)) :] = 2**32 - 1
    spectrum = np.zeros((bins, 2), np.int32)
    spectrum[:, 0] = rng.integers(-61, 62, bins)
    spectrum[:, 1] = rng.integers(-5, 6, bins) * rng.integers(0, 2, bins)
    spectrum[0] = rng.choice([0, 2**29]), 0
    tables = AudioTables(bins=bins, thresholds=at(keys))
    features = np.zeros(bins, np.int8)
    kernels.sluice_quantise_features(ctypes.byref(tables), at(spectrum), at(features))
    power = (spectrum.astype(np.int64) ** 2).sum(axis=1)
    reached = [power_key(int(value)) for value in power]
    assert np.array_equal(features, np.searchsorted(keys, reached, side="right") - 128)


@given(st.integers(0, 2**60), st.integers(0, 2**30))
def test_keys_compare_as_their_powers(kernels: Any, power: int, more: int) -> None:
    """On the device and in the compiler alike, and to 1 part in 2^26."""
    kernels.sluice_power_key.restype = c_uint32
    first, second = (kernels.sluice_power_key(c_uint64(p)) for p in (power, power + more))
    assert (first, second) == (power_key(power), power_key(power + more))
    assert first <= second
    if more << 26 > power:
        assert first < second
