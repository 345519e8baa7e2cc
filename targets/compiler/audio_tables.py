"""The constants of the fixed-point audio front end (``firmware/audio/tables.h``)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext

import numpy as np
from numpy.typing import NDArray

from dyncp.preset import Audio

THRESHOLDS = 255
_KEY_BITS = 27
_UNREACHED = (1 << 32) - 1
_PCM_SCALE = 32768


@dataclass(frozen=True, eq=False)
class AudioTables:
    """Integers of the front end for one ``n_fft``; the C header says what each is for."""

    n_fft: int
    bins: int
    fft_bits: int
    fraction_bits: int
    sine: NDArray[np.int64]
    overlap_gain: NDArray[np.int64]
    thresholds: tuple[int, ...]


def _fft_bits(n_fft: int) -> int:
    """log2 of the points of the complex FFT, half as many as real samples."""
    return (n_fft // 2).bit_length() - 1


def fraction_bits(n_fft: int) -> int:
    """Fractional bits of a spectrum: the largest bin stays at or below 2**29."""
    return 14 - _fft_bits(n_fft)


def _fixed_point(values: NDArray[np.float64], bits: int) -> NDArray[np.int64]:
    """Rounded to ``bits`` fractional bits; 1 and -1 in Q31 lose a unit, so that -x fits too."""
    largest = (1 << 31) - 1
    scaled = np.floor(values * 2.0**bits + 0.5).astype(np.int64)
    return np.clip(scaled, -largest, largest)


def power_key(power: int) -> int:
    """A power as 32 bits that compare as it does (``sluice_power_key()`` in the C)."""
    excess = max(power.bit_length() - _KEY_BITS, 0)
    return (excess << (_KEY_BITS - 1)) + (power >> excess)


def feature_thresholds(audio: Audio, scale: float, zero_point: int) -> tuple[int, ...]:
    """The powers at which the int8 feature steps up, as keys of squared spectrum units.

    Entry j is the key nearest to the least integer ``|X|^2`` whose feature
    ``round((|X| + epsilon)^compression / scale) + zero_point`` reaches j - 127.
    Decimal arithmetic, so that every host computes the same integers.
    """
    with localcontext() as context:
        context.prec = 60
        unit = Decimal(_PCM_SCALE << fraction_bits(audio.n_fft))
        exponent = 1 / Decimal(repr(audio.compression))
        steps = []
        for j in range(THRESHOLDS):
            # Half a step below the level, where rounding to nearest turns to it.
            compressed = (Decimal(j - 127 - zero_point) - Decimal("0.5")) * Decimal(scale)
            magnitude = Decimal(0)
            if compressed > 0:
                magnitude = max(compressed**exponent - Decimal(repr(audio.epsilon)), magnitude)
            power = int(((magnitude * unit) ** 2).to_integral_value(rounding="ROUND_CEILING"))
            half = (1 << max(power.bit_length() - _KEY_BITS, 0)) >> 1
            steps.append(min(power_key(power + half), _UNREACHED))
    return tuple(steps)


def make_tables(audio: Audio, feature_scale: float, feature_zero_point: int) -> AudioTables:
    """All tables for a preset's audio and the quantisation of the network's input."""
    quarter = audio.n_fft // 4
    angles = 2.0 * np.pi * np.arange(quarter + 1) / audio.n_fft
    hann = 0.5 - 0.5 * np.cos(angles)
    return AudioTables(
        n_fft=audio.n_fft,
        bins=audio.bins,
        fft_bits=_fft_bits(audio.n_fft),
        fraction_bits=fraction_bits(audio.n_fft),
        sine=_fixed_point(np.sin(angles), 31),
        # Symmetric about half a hop, like the window that it makes up for.
        overlap_gain=_fixed_point(1.0 / (hann**2 + (1.0 - hann) ** 2), 29),
        thresholds=feature_thresholds(audio, feature_scale, feature_zero_point),
    )
