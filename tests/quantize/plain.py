"""The deployed network once more, in plain Python integers and fractions.

Written from the published definitions (gemmlowp's ``fixedpoint.h``, TensorFlow
Lite's quantisation specification), to hold :mod:`quantize` against. Nothing of
its arithmetic is imported.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from quantize.model import Activation, QuantizedModel


def half_away(value: Fraction) -> int:
    """The nearest integer, halves away from zero."""
    magnitude = math.floor(abs(value) + Fraction(1, 2))
    return magnitude if value >= 0 else -magnitude


def clamp(value: int, low: int = -128, high: int = 127) -> int:
    return max(low, min(high, value))


def multiplier_of(real: Fraction) -> tuple[int, int]:
    """A positive factor as a 31-bit multiplier and a power of two."""
    shift = 0
    while real >= Fraction(2) ** shift:
        shift += 1
    while real < Fraction(2) ** (shift - 1):
        shift -= 1
    multiplier = half_away(real / Fraction(2) ** shift * 2**31)
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    return (0, 0) if shift < -31 else (multiplier, shift)


def doubling_high_multiply(a: int, b: int) -> int:
    """As C does it: a nudge with the product's sign, then division towards zero."""
    nudged = a * b + (2**30 if a * b >= 0 else 1 - 2**30)
    return nudged // 2**31 if nudged >= 0 else -(-nudged // 2**31)


def scaled(value: int, multiplier: int, shift: int) -> int:
    """``value * multiplier * 2**(shift - 31)``, rounded twice."""
    high = doubling_high_multiply(value * 2 ** max(shift, 0), multiplier)
    return half_away(Fraction(high, 2 ** max(-shift, 0)))


def real_quotient(first: float, second: float, divisor: float) -> Fraction:
    """``first * second / divisor`` in double precision, as the kernels' preparation has it."""
    return Fraction(first * second / divisor)


def add(values: tuple[int, int], grids: tuple[Activation, Activation, Activation]) -> int:
    """One element of an int8 ADD."""
    first, second, output = grids
    twice = 2.0 * max(first.scale, second.scale)
    total = 0
    for value, grid in zip(values, (first, second), strict=True):
        multiplier = multiplier_of(Fraction(grid.scale / twice))
        total += scaled((value - grid.zero_point) * 2**20, *multiplier)
    multiplier = multiplier_of(Fraction(twice / (2**20 * output.scale)))
    return clamp(scaled(total, *multiplier) + output.zero_point)


class PlainNetwork:
    """All frames at once; histories are looked up, not carried."""

    def __init__(self, model: QuantizedModel) -> None:
        self.model, self.preset = model, model.preset

    def beside(self, index: int, frame: int) -> list[int]:
        """The embedding of a frame on the grid of a block's input; [] without one."""
        grids = self.model.activations
        if not self.preset.speaker:
            return []
        source, target = grids["embedding"], grids[f"block{index}.input"]
        factor = multiplier_of(Fraction(source.scale / target.scale))
        return [
            clamp(scaled(value - source.zero_point, *factor) + target.zero_point)
            for value in self.embeddings[frame]
        ]

    def layer(self, name: str, x: list[int], *older: list[int]) -> list[int]:
        """A 1x1 of ``x``, or with ``older`` taps (oldest first) a depthwise."""
        layer = self.model.layers[name]
        source = self.model.activations[layer.spec.input]
        target = self.model.activations[layer.spec.output]
        result = []
        for row, weights in enumerate(layer.weight.tolist()):
            values = [tap[row] for tap in (*older, x)] if layer.spec.depthwise else x
            total = int(layer.bias[row]) + sum(
                w * (v - source.zero_point) for w, v in zip(weights, values, strict=True)
            )
            real = real_quotient(source.scale, float(layer.weight_scale[row]), target.scale)
            value = scaled(total, *multiplier_of(real)) + target.zero_point
            result.append(clamp(value, target.zero_point if layer.spec.relu else -128))
        return result

    def run(
        self, frames: NDArray[np.int8], embeddings: NDArray[np.int8] | None = None
    ) -> dict[str, NDArray[np.int64]]:
        """Every output tensor, ``[T, channels]``; ``embeddings``: ``[T, dimensions]``, or nobody's
        all the time."""
        dimensions = self.preset.speaker.dimensions if self.preset.speaker else 0
        if embeddings is None:
            embeddings = np.zeros((len(frames), dimensions), np.int8)
        self.embeddings: list[list[int]] = embeddings.tolist()
        outputs: dict[str, list[list[int]]] = {}
        x = [self.layer("front", frame) for frame in frames.tolist()]
        for index in range(self.preset.blocks):
            x = self._block(index, x, outputs)
        logits = [self.layer("back", frame) for frame in x]
        outputs["mask"] = [[int(self.model.sigmoid_table[v + 128]) for v in f] for f in logits]
        return {name: np.array(rows) for name, rows in outputs.items()}

    def _block(
        self, index: int, x: list[list[int]], outputs: dict[str, list[list[int]]]
    ) -> list[list[int]]:
        grids, inner = self.model.activations, f"block{index}."
        after = f"block{index + 1}.input" if index + 1 < self.preset.blocks else "back.input"
        gate, dilation = self.preset.gate, self.preset.network.block_dilations[index]
        zero_hidden = [grids[f"{inner}hidden"].zero_point] * self.preset.network.hidden
        hidden: list[list[int]] = []
        result = []
        for t, frame in enumerate(x):
            closed = [False] * max(len(zero_hidden), len(frame))
            if gate:
                zero = grids[f"{inner}input"].zero_point
                window = [
                    x[t - ago] if t >= ago else [zero] * len(frame)
                    for ago in range(gate.pool_frames)
                ]
                mean = [half_away(Fraction(sum(c), len(c))) for c in zip(*window, strict=True)]
                mean += self.beside(index, t)
                logits = self.layer(f"{inner}score", self.layer(f"{inner}squeeze", mean))
                outputs.setdefault(f"gate{index}_logits", []).append(logits)
                threshold = grids[f"gate{index}_logits"].zero_point
                closed = [q <= threshold for q in logits for _ in range(gate.group)]
            site = gate.site if gate else None
            wide = self.layer(f"{inner}up", frame + self.beside(index, t))
            if site == "hidden":
                wide = _closed(wide, closed, zero_hidden[0])
            past = [hidden[t - n * dilation] if t >= n * dilation else zero_hidden for n in (2, 1)]
            hidden.append(wide)
            y = self.layer(f"{inner}depthwise", wide, *past)
            if site == "hidden":
                y = _closed(y, closed, grids[f"{inner}filtered"].zero_point)
            update = self.layer(f"{inner}down", y)
            if site == "output":
                update = _closed(update, closed, grids[f"{inner}update"].zero_point)
            trio = (grids[f"{inner}input"], grids[f"{inner}update"], grids[after])
            result.append([add(pair, trio) for pair in zip(frame, update, strict=True)])
        outputs[f"taps{index}_out"] = hidden
        if gate and gate.pool_frames > 1:
            outputs[f"pool{index}_out"] = x
        return result


def _closed(values: list[int], closed: list[bool], zero: int) -> list[int]:
    return [zero if shut else value for value, shut in zip(values, closed, strict=True)]
