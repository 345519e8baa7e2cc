"""One rung over one sequence of frames, value by value against the specification."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.dataflow import dataflow_order, origin_of
from dyncp.errors import UserError

Outputs = dict[str, NDArray[Any]]
Labels = Mapping[str, Sequence[str]]
"""Names of a tensor's channels, where they have any."""


@dataclass(frozen=True)
class Difference:
    """Where a rung first left the specification.

    ``expected`` and ``got`` are None where one of them has no such channel. ``layer`` is
    that of :mod:`quantize.wiring` which gives ``tensor``; ``between`` says in words what lies
    between ``equal``, the tensors of the same frame that it is computed from, and it.
    ``values_before``: how many values were compared before it, all equal.
    """

    sequence: str
    frame: int
    layer: str
    tensor: str
    channel: int
    label: str | None
    expected: int | None
    got: int | None
    between: str
    equal: tuple[str, ...]
    values_before: int

    def __str__(self) -> str:
        label = f" ({self.label})" if self.label else ""
        return (
            f"{self.sequence}, frame {self.frame}, layer {self.layer}, {self.tensor}, "
            f"channel {self.channel}{label}: expected {self.expected}, got {self.got}"
        )

    def explanation(self) -> str:
        """What is equal before it, and what therefore remains."""
        equal = " and ".join(self.equal) or "nothing of this frame"
        return (
            f"equal before it: {equal} of this frame, and all {self.values_before:,} values of "
            f"the sequence until then; between them: {self.between}"
        )


@dataclass(frozen=True)
class SequenceResult:
    """How one rung did on one sequence.

    ``mismatches``: values that differ from the specification, of ``values``; None where
    not all tensors can be compared. ``gates_equal``: channels whose gate stands as in the
    float network, of ``gates``. ``signal`` and ``noise``: power of the float mask, and of
    the difference to it. ``complete``: False if the rung broke on the way.
    """

    name: str
    adversarial: bool
    frames: int
    values: int | None
    mismatches: int | None
    first_difference: Difference | None
    gates: int
    gates_equal: int
    signal: float
    noise: float
    seconds: float
    complete: bool


def gate_agreement(results: Sequence[SequenceResult]) -> float | None:
    """Share of channels whose gate stands as in the float network; None without gates."""
    total = sum(result.gates for result in results)
    return sum(result.gates_equal for result in results) / total if total else None


def mask_snr_db(results: Sequence[SequenceResult]) -> float | None:
    """The float mask over the difference to it, dB; None if there is none."""
    signal = math.fsum(result.signal for result in results)
    noise = math.fsum(result.noise for result in results)
    return 10.0 * math.log10(signal / noise) if signal > 0 and noise > 0 else None


class Recording:
    """What a rung gave over a sequence, by tensor ``[T, channels]``."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._tensors: Outputs = {}

    @property
    def names(self) -> list[str]:
        return list(self._tensors)

    def take(self, frame: int, outputs: Outputs) -> None:
        if frame == 0:
            self._tensors = {
                name: np.zeros((self._frames, *values.shape), values.dtype)
                for name, values in outputs.items()
            }
        for name, stored in self._tensors.items():
            stored[frame] = outputs[name]

    def at(self, frame: int, name: str) -> NDArray[Any]:
        return np.asarray(self._tensors[name][frame])


class Comparison:
    """A rung's outputs, frame by frame, held against recordings."""

    def __init__(
        self,
        sequence: str,
        specification: Recording | None,
        truth: Recording | None,
        labels: Labels,
        exact: bool,
    ) -> None:
        self._sequence, self._specification, self._truth = sequence, specification, truth
        self._labels, self._exact = labels, exact
        self._order: list[str] = []
        self._compared = False
        self._values = self._mismatches = 0
        self._first: Difference | None = None
        self._gates = self._gates_equal = 0
        self._signal = self._noise = 0.0

    def take(self, frame: int, outputs: Outputs) -> None:
        """Compare one frame; raises :class:`UserError` if an exact rung lacks a tensor."""
        if frame == 0 and self._specification:
            self._order = dataflow_order(self._specification.names)
            missing = [name for name in self._order if name not in outputs]
            if not missing and outputs["mask"].dtype != np.int8:
                missing = ["int8 mask"]
            self._compared = not missing
            if self._exact and missing:
                raise UserError(f"it gives no {missing[0]}")
        if self._compared:
            self._compare(frame, outputs)
        if self._truth:
            self._against_float(frame, outputs)

    def _compare(self, frame: int, outputs: Outputs) -> None:
        assert self._specification
        for tensor in self._order:
            expected, got = self._specification.at(frame, tensor), outputs[tensor]
            differing = _differing(expected, got)
            if self._first is None and len(differing):
                self._first = self._difference(frame, tensor, int(differing[0]), expected, got)
            self._values += len(expected)
            self._mismatches += len(differing)

    def _difference(
        self, frame: int, tensor: str, channel: int, expected: NDArray[Any], got: NDArray[Any]
    ) -> Difference:
        origin = origin_of(tensor, self._order)
        names = self._labels.get(tensor, ())
        return Difference(
            sequence=self._sequence,
            frame=frame,
            layer=origin.layer,
            tensor=tensor,
            channel=channel,
            label=names[channel] if channel < len(names) else None,
            expected=_at(expected, channel),
            got=_at(got, channel),
            between=origin.words,
            equal=origin.inputs,
            values_before=self._values + channel,
        )

    def _against_float(self, frame: int, outputs: Outputs) -> None:
        assert self._truth
        for name in self._truth.names:
            wanted = self._truth.at(frame, name)
            if name.endswith("_open"):
                differing = len(_differing(wanted, outputs.get(name, np.zeros(0))))
                self._gates += len(wanted)
                self._gates_equal += len(wanted) - min(differing, len(wanted))
        wanted, got = _gains(self._truth.at(frame, "mask")), _gains(outputs["mask"])
        self._signal += float(np.square(wanted).sum())
        self._noise += float(np.square(wanted - got).sum())

    def result(
        self, frames: int, seconds: float, adversarial: bool, complete: bool
    ) -> SequenceResult:
        """The sums over ``frames`` frames."""
        return SequenceResult(
            name=self._sequence,
            adversarial=adversarial,
            frames=frames,
            values=self._values if self._compared else None,
            mismatches=self._mismatches if self._compared else None,
            first_difference=self._first,
            gates=self._gates,
            gates_equal=self._gates_equal,
            signal=self._signal,
            noise=self._noise,
            seconds=round(seconds, 6),
            complete=complete,
        )


def _differing(expected: NDArray[Any], got: NDArray[Any]) -> NDArray[np.int64]:
    """Channels that differ; those that only one side has count."""
    common = min(len(expected), len(got))
    differing = np.flatnonzero(expected[:common] != got[:common])
    return np.concatenate([differing, np.arange(common, max(len(expected), len(got)))])


def _at(values: NDArray[Any], channel: int) -> int | None:
    return int(values[channel]) if channel < len(values) else None


def _gains(mask: NDArray[Any]) -> NDArray[np.float64]:
    """A mask as gains; an int8 one has scale 1/256 and zero point -128."""
    if mask.dtype == np.int8:
        return (mask.astype(np.float64) + 128.0) / 256.0
    return mask.astype(np.float64)
