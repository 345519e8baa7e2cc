"""Probes as the firmware reads them: which gates have weights, and these, gate by gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dyncp.errors import UserError
from targets.compiler.plan import ProbePlan

WORD_BYTES = 4
_WORD_BITS = 32
_ROWS_LIMIT = 65535


@dataclass(frozen=True, eq=False)
class PackedProbes:
    """The parts of a ``sluice_probe_table_t`` (``firmware/kernels/probes.h``).

    ``used``: uint32 ``[words]``, a bit for each gate that has a weight in some probe.
    ``rows``: uint16 ``[words]``, such gates in the words before. ``weights``: int16
    ``[used gates, probes]``. ``biases``: int32 ``[probes]``.
    """

    used: NDArray[np.uint32]
    rows: NDArray[np.uint16]
    weights: NDArray[np.int16]
    biases: NDArray[np.int32]


def gate_words(gates: int) -> int:
    """Words that the bits of one block's gates take."""
    return -(-gates // _WORD_BITS)


def gate_bits(gates: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Bits of bool ``[..., blocks, gates]`` as in the arena: each block in whole words."""
    filled = np.zeros((*gates.shape[:-1], gate_words(gates.shape[-1]) * _WORD_BITS), np.bool_)
    filled[..., : gates.shape[-1]] = gates
    bits = np.packbits(filled, axis=-1, bitorder="little")
    return bits.reshape(*gates.shape[:-2], -1)


def pack_probes(probes: Sequence[ProbePlan], blocks: int, gates: int) -> PackedProbes:
    """Leave out the gates that have no weight in any of the probes; there is at least one.

    Raises :class:`UserError` if more gates have weights than the firmware can number.
    """
    weights = np.stack([probe.weights for probe in probes], axis=1)
    used = weights.any(axis=1)
    if np.count_nonzero(used) > _ROWS_LIMIT:
        raise UserError(
            f"the probes have weights for {np.count_nonzero(used)} gates, more than {_ROWS_LIMIT}; "
            "fit them on fewer"
        )
    words = gate_bits(used.reshape(blocks, gates)).view("<u4").astype(np.uint32)
    in_words = np.array([int(word).bit_count() for word in words], np.int64)
    return PackedProbes(
        words,
        (np.cumsum(in_words) - in_words).astype(np.uint16),
        weights[used],
        np.array([probe.bias for probe in probes], np.int32),
    )
