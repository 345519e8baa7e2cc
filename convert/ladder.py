"""The parity ladder: several implementations of one network, frame by frame.

From the integer model on, equality is exact: one differing value fails the
ladder, and the report names the first frame, tensor and channel. Rungs that
are not exact (float, optimised kernels) are reported beside it.

This module knows no implementation; later rooms bring rungs of their own.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dyncp.errors import UserError
from dyncp.files import write_text

FORMAT = 1
Outputs = dict[str, NDArray[Any]]
Progress = Callable[[str, int, int], None]
"""Called with the rung's name, the frames done, and all of them."""


class Rung(Protocol):
    """One implementation of the network.

    ``exact``: whether it must equal the first rung in every value. ``step``
    takes int8 features ``[bins]`` and gives the output tensors of
    docs/contracts.md, int8 ``[channels]`` each, and ``gate{i}_open``, uint8
    ``[gated channels]``: 1 where the implementation, by its own account of
    which gate serves which channel, runs the channel. An inexact rung may give
    the mask and the gates alone, and the mask as float gains.
    """

    name: str
    exact: bool

    def reset(self) -> None: ...

    def step(self, features: NDArray[np.int8]) -> Outputs: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Difference:
    """Where a rung first left the first rung; None: one of them had no such value."""

    frame: int
    tensor: str
    channel: int
    expected: int | None
    got: int | None

    def __str__(self) -> str:
        return (
            f"frame {self.frame}, {self.tensor}, channel {self.channel}: "
            f"expected {self.expected}, got {self.got}"
        )


@dataclass(frozen=True)
class RungResult:
    """How one rung did.

    ``mismatches``: values that differ from the first rung, of ``values``;
    None where not all tensors can be compared. ``gate_agreement``: share of
    channels whose gate stands as in the float network; ``mask_snr_db``: power
    of the float mask over that of the difference. Both None without a float
    network, the first also for a static one, the second also for an equal mask.
    """

    name: str
    exact: bool
    frames: int
    values: int | None
    mismatches: int | None
    first_difference: Difference | None
    gate_agreement: float | None
    mask_snr_db: float | None
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the rung holds; an inexact one always does."""
        return not self.exact or self.mismatches == 0

    def line(self) -> str:
        """One line of the summary for people."""
        verdict = "reported" if not self.exact else "equal" if self.passed else "DIFFERS"
        parts = [f"{self.name:34s} {verdict:8s}"]
        if self.mismatches is not None:
            parts.append(f"{self.mismatches} of {self.values} values differ")
        if self.gate_agreement is not None:
            parts.append(f"gates as in float {self.gate_agreement:.3%}")
        if self.mask_snr_db is not None:
            parts.append(f"mask SNR {self.mask_snr_db:.2f} dB")
        return ", ".join(parts)


@dataclass(frozen=True)
class LadderReport:
    """All rungs, in the order in which they were climbed."""

    rungs: tuple[RungResult, ...]

    @property
    def passed(self) -> bool:
        return all(rung.passed for rung in self.rungs)

    def lines(self) -> list[str]:
        """The summary for people."""
        lines = []
        for rung in self.rungs:
            lines.append(rung.line())
            if rung.exact and rung.first_difference:
                lines.append(f"    first at {rung.first_difference}")
        return lines

    def write(self, path: str | Path, about: dict[str, Any]) -> None:
        """Write ``parity.json`` atomically; ``about`` says of what (model, audio)."""
        content = {
            "format": FORMAT,
            **about,
            "passed": self.passed,
            "rungs": [{**asdict(rung), "passed": rung.passed} for rung in self.rungs],
        }
        write_text(path, json.dumps(content, indent=1) + "\n")


def climb(
    rungs: Sequence[Rung],
    frames: NDArray[np.int8],
    floating: Rung | None = None,
    progress: Progress | None = None,
) -> LadderReport:
    """Run every rung from a cold start over int8 ``[T, bins]`` and compare.

    The first of ``rungs`` is the specification and must be exact. ``floating``
    is what gate agreement and mask SNR refer to. All rungs are closed at the end.
    """
    if not rungs or not rungs[0].exact:
        raise UserError("the ladder needs an exact rung to start from")
    if len(frames) == 0:
        raise UserError("the ladder needs at least one frame")
    results = []
    try:
        truth = _run(floating, frames, progress)[0] if floating else None
        specification: list[Outputs] = []
        for rung in rungs:
            outputs, seconds = _run(rung, frames, progress)
            specification = specification or outputs
            results.append(_result(rung, outputs, specification, truth, seconds))
    finally:
        for rung in [*rungs, *([floating] if floating else [])]:
            rung.close()
    return LadderReport(tuple(results))


def _run(
    rung: Rung, frames: NDArray[np.int8], progress: Progress | None
) -> tuple[list[Outputs], float]:
    rung.reset()
    outputs = []
    start = time.perf_counter()
    for done, frame in enumerate(frames, 1):
        outputs.append(rung.step(frame))
        if progress:
            progress(rung.name, done, len(frames))
    return outputs, time.perf_counter() - start


def _result(
    rung: Rung,
    outputs: list[Outputs],
    specification: list[Outputs],
    truth: list[Outputs] | None,
    seconds: float,
) -> RungResult:
    values = mismatches = first = None
    if set(specification[0]) <= set(outputs[0]) and outputs[0]["mask"].dtype == np.int8:
        values, mismatches, first = _compare(specification, outputs)
    elif rung.exact:
        missing = next((name for name in specification[0] if name not in outputs[0]), "int8 mask")
        raise UserError(f"the rung '{rung.name}' gives no {missing}")
    return RungResult(
        name=rung.name,
        exact=rung.exact,
        frames=len(outputs),
        values=values,
        mismatches=mismatches,
        first_difference=first,
        gate_agreement=_gate_agreement(truth, outputs) if truth else None,
        mask_snr_db=_mask_snr(truth, outputs) if truth else None,
        seconds=round(seconds, 6),
    )


def dataflow_order(tensors: Sequence[str]) -> list[str]:
    """Output tensors in the order in which a frame computes them.

    So the first difference of a frame is the one that caused the others.
    """
    kinds = ("pool{}_out", "gate{}_logits", "gate{}_open", "taps{}_out")

    def place(name: str) -> tuple[float, int]:
        number = re.search(r"\d+", name)
        kind = re.sub(r"\d+", "{}", name, count=1)
        if number is None or kind not in kinds:
            return float("inf"), 0
        return int(number.group()), kinds.index(kind)

    return sorted(tensors, key=place)


def _compare(
    specification: list[Outputs], outputs: list[Outputs]
) -> tuple[int, int, Difference | None]:
    """Values compared, how many differ, and the first that does."""
    order = dataflow_order(list(specification[0]))
    values = mismatches = 0
    first = None
    for frame, (expected, got) in enumerate(zip(specification, outputs, strict=True)):
        for tensor in order:
            differing = _differing(expected[tensor], got[tensor])
            values += len(expected[tensor])
            mismatches += len(differing)
            if first is None and len(differing):
                channel = int(differing[0])
                first = Difference(
                    frame,
                    tensor,
                    channel,
                    _at(expected[tensor], channel),
                    _at(got[tensor], channel),
                )
    return values, mismatches, first


def _differing(expected: NDArray[Any], got: NDArray[Any]) -> NDArray[np.int64]:
    """Channels that differ; those that only one side has count."""
    common = min(len(expected), len(got))
    differing = np.flatnonzero(expected[:common] != got[:common])
    return np.concatenate([differing, np.arange(common, max(len(expected), len(got)))])


def _at(values: NDArray[Any], channel: int) -> int | None:
    return int(values[channel]) if channel < len(values) else None


def _gate_agreement(truth: list[Outputs], outputs: list[Outputs]) -> float | None:
    names = [name for name in truth[0] if name.endswith("_open")]
    if not names:
        return None
    equal = total = 0
    for wanted, got in zip(truth, outputs, strict=True):
        for name in names:
            total += len(wanted[name])
            differing = _differing(wanted[name], got.get(name, np.zeros(0)))
            equal += len(wanted[name]) - min(len(differing), len(wanted[name]))
    return equal / total


def _gains(outputs: list[Outputs]) -> NDArray[np.float64]:
    """Masks as gains ``[T, bins]``; int8 masks have scale 1/256 and zero point -128."""
    masks = np.stack([frame["mask"] for frame in outputs])
    if masks.dtype == np.int8:
        return (masks.astype(np.float64) + 128.0) / 256.0
    return masks.astype(np.float64)


def _mask_snr(truth: list[Outputs], outputs: list[Outputs]) -> float | None:
    wanted = _gains(truth)
    noise = float(np.square(wanted - _gains(outputs)).sum())
    signal = float(np.square(wanted).sum())
    return float(10.0 * np.log10(signal / noise)) if signal > 0 and noise > 0 else None
