"""The deployed network in integers: the specification that every other rung must equal.

Plain numpy, no torch. Int8 features in, the int8 tensors of docs/contracts.md out, in
their order. It takes one frame or many at once: no value depends on how they are cut.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dyncp.embedding import Embedding, check, nobody
from dyncp.errors import UserError
from dyncp.preset import DEPTHWISE_KERNEL
from dyncp.state import has_pool_state
from quantize.arithmetic import (
    INT8_MIN,
    Addition,
    Integers,
    Requantisation,
    average,
    requantise,
)
from quantize.model import QuantizedModel, QuantizedProbe
from quantize.probes import probe_scores
from quantize.wiring import block_input

Int8 = NDArray[np.int8]

_CHUNK = 512
"""Frames that :meth:`IntegerModel.run` takes at once: what stays in a processor's cache."""

_NOTHING = np.array(False)
"""The closed channels of a block without gates."""


class _Layer:
    """One convolution with its ReLU, from int8 values to int8 values (held in int64)."""

    def __init__(self, model: QuantizedModel, name: str) -> None:
        layer = model.layers[name]
        source, target = model.activations[layer.spec.input], model.activations[layer.spec.output]
        # Products and sums stay below 2**31, so float64 is exact, and BLAS is fast.
        weight = layer.weight.astype(np.float64)
        self._weight = weight[:, : layer.spec.inputs].T
        self._columns = weight[:, layer.spec.inputs :].astype(np.int64)
        self._depthwise = layer.spec.depthwise
        self._own_bias = self._bias = layer.bias.astype(np.int64)
        self._multiplier, self._shift = model.multipliers(name)
        self._input_zero, self._output_zero = source.zero_point, target.zero_point
        self._lowest = target.zero_point if layer.spec.relu else INT8_MIN

    def keep(self, embedding: Integers) -> None:
        """Fold an embedding ``[dimensions]``, on the input's grid, into the bias."""
        self._bias = self._own_bias + self._columns @ (embedding - self._input_zero)

    def __call__(self, x: Integers) -> Integers:
        """``[T, inputs]``, or ``[taps, T, channels]`` for a depthwise; gives ``[T, outputs]``."""
        centred = (x - self._input_zero).astype(np.float64)
        if self._depthwise:
            total = sum(tap * weight for tap, weight in zip(centred, self._weight, strict=True))
        else:
            total = centred @ self._weight
        accumulator = np.asarray(total).astype(np.int64) + self._bias
        return requantise(
            accumulator, self._multiplier, self._shift, self._output_zero, self._lowest
        )


class _Past:
    """The last frames of one tensor, zero activation at first."""

    def __init__(self, frames: int, channels: int, zero_point: int) -> None:
        self._frames = np.full((frames, channels), zero_point, np.int64)

    def followed_by(self, x: Integers) -> Integers:
        """The past, then ``x`` ``[T, channels]``, whose last frames are the past of what comes."""
        joined = np.concatenate([self._frames, x])
        self._frames = joined[len(x) :]
        return joined


class _Block:
    """One block: gate, up, depthwise, down, residual."""

    def __init__(self, model: QuantizedModel, index: int) -> None:
        preset, self.index = model.preset, index
        inner = f"block{index}."
        source = model.activations[block_input(preset, index)]
        target = model.activations[block_input(preset, index + 1)]
        update = model.activations[f"{inner}update"]
        self._hidden = model.activations[f"{inner}hidden"]
        self._filtered = model.activations[f"{inner}filtered"]
        self._update_zero = update.zero_point
        self._site = preset.gate.site if preset.gate else None
        self._up, self._depthwise, self._down = (
            _Layer(model, inner + role) for role in ("up", "depthwise", "down")
        )
        self._add = Addition(
            (source.scale, source.zero_point),
            (update.scale, update.zero_point),
            (target.scale, target.zero_point),
        )
        self._dilation = preset.network.block_dilations[index]
        self._taps = _Past(
            self._dilation * (DEPTHWISE_KERNEL - 1), preset.network.hidden, self._hidden.zero_point
        )
        if preset.gate:
            self._squeeze, self._score = (
                _Layer(model, inner + role) for role in ("squeeze", "score")
            )
            self._logit_zero = model.activations[f"gate{index}_logits"].zero_point
            self._group = preset.gate.group
            self._window = preset.gate.pool_frames
            self._pool = _Past(self._window - 1, preset.network.channels, source.zero_point)

        self._personal: list[_Layer] = []
        if preset.speaker:
            self._personal = [self._up, *([self._squeeze] if preset.gate else [])]
            embedding = model.activations["embedding"]
            self._requantise = Requantisation(
                (embedding.scale, embedding.zero_point), (source.scale, source.zero_point)
            )

    def keep(self, embedding: Embedding) -> None:
        """Whom to keep from the next frame on: int8 ``[dimensions]``."""
        for layer in self._personal:
            layer.keep(self._requantise(embedding.astype(np.int64)))

    def _logits(self, x: Integers) -> Integers:
        # Sums of raw int8 values over the window that ends at each frame.
        total = np.cumsum(self._pool.followed_by(x), axis=0)
        window_total = total[self._window - 1 :]
        window_total[1:] -= total[: len(x) - 1]
        return self._score(self._squeeze(average(window_total, self._window)))

    def __call__(self, x: Integers) -> tuple[Integers, Integers | None, Integers]:
        """Give the block's output, its logits (None if static) and its hidden frames."""
        frames = len(x)
        logits, closed = None, _NOTHING
        if self._site:
            logits = self._logits(x)
            closed = np.repeat(logits <= self._logit_zero, self._group, axis=1)
        hidden = self._up(x)
        if self._site == "hidden":
            hidden = np.where(closed, self._hidden.zero_point, hidden)
        history = self._taps.followed_by(hidden)
        starts = range(0, self._dilation * DEPTHWISE_KERNEL, self._dilation)
        y = self._depthwise(np.stack([history[start : start + frames] for start in starts]))
        if self._site == "hidden":
            y = np.where(closed, self._filtered.zero_point, y)
        y = self._down(y)
        if self._site == "output":
            y = np.where(closed, self._update_zero, y)
        return self._add(x, y), logits, hidden


class IntegerModel:
    """Runs a :class:`QuantizedModel`; starts cold, and keeps everybody.

    ``embedding``: whom a personalised network keeps, int8 ``[dimensions]``; None in others.
    """

    def __init__(self, model: QuantizedModel) -> None:
        self.model = model
        self._front, self._back = _Layer(model, "front"), _Layer(model, "back")
        self._table = model.sigmoid_table.astype(np.int64)
        speaker = model.preset.speaker
        self.embedding: Embedding | None = nobody(speaker.dimensions) if speaker else None
        self.reset()

    def reset(self) -> None:
        """Back to a cold start: zero activation in every ring. The embedding stays."""
        self._blocks = [_Block(self.model, index) for index in range(self.model.preset.blocks)]
        if self.embedding is not None:
            self.set_embedding(self.embedding)

    def set_embedding(self, embedding: Embedding) -> None:
        """Keep somebody else from the next frame on; the rings stay as they are.

        ``embedding``: int8 ``[dimensions]`` in -127..127. Raises :class:`UserError` for another,
        and for a network that takes none.
        """
        speaker = self.model.preset.speaker
        if speaker is None:
            raise UserError(f"preset '{self.model.preset.name}' takes no embedding")
        self.embedding = check(embedding, speaker.dimensions, "the integer model").copy()
        for block in self._blocks:
            block.keep(self.embedding)

    def step(self, features: Int8) -> dict[str, Int8]:
        """One frame: int8 ``[bins]`` in, every output tensor as int8 ``[channels]``, in order."""
        bins = self.model.preset.audio.bins
        if features.shape != (bins,) or features.dtype != np.int8:
            raise UserError(
                f"a frame must be int8 [{bins}], not {features.dtype} {list(features.shape)}"
            )
        return {name: values[0] for name, values in self._advance(features[None]).items()}

    def run(self, frames: Int8) -> dict[str, Int8]:
        """From a cold start: int8 ``[T, bins]`` in, every output as int8 ``[T, channels]``."""
        bins = self.model.preset.audio.bins
        if frames.ndim != 2 or frames.shape[1] != bins or frames.dtype != np.int8:
            raise UserError(
                f"frames must be int8 [T, {bins}], not {frames.dtype} {list(frames.shape)}"
            )
        if len(frames) == 0:
            raise UserError("there are no frames to run")
        self.reset()
        parts = [
            self._advance(frames[start : start + _CHUNK]) for start in range(0, len(frames), _CHUNK)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _advance(self, frames: Int8) -> dict[str, Int8]:
        """The outputs of the next frames, ``[T, channels]`` each."""
        gates: dict[str, Integers] = {}
        taps: dict[str, Integers] = {}
        pools: dict[str, Integers] = {}
        x = self._front(frames.astype(np.int64))
        for block in self._blocks:
            pools[f"pool{block.index}_out"] = x
            x, logits, hidden = block(x)
            taps[f"taps{block.index}_out"] = hidden
            if logits is not None:
                gates[f"gate{block.index}_logits"] = logits
        if not has_pool_state(self.model.preset):
            pools = {}
        outputs = {"mask": self._table[self._back(x) - INT8_MIN], **gates, **taps, **pools}
        return {name: values.astype(np.int8) for name, values in outputs.items()}


def open_gates(model: QuantizedModel, outputs: dict[str, Int8]) -> list[NDArray[np.bool_]]:
    """One bool array per block, shaped like the logits in ``outputs``; [] if static."""
    if model.preset.gate is None:
        return []
    names = [f"gate{block}_logits" for block in range(model.preset.blocks)]
    return [outputs[name] > model.activations[name].zero_point for name in names]


def probe_score(probe: QuantizedProbe, gates: list[NDArray[np.bool_]]) -> int:
    """The int32 score of a probe on one frame's open gates (:func:`open_gates`)."""
    return int(probe_scores([(probe.weights, probe.bias)], gates)[0])
