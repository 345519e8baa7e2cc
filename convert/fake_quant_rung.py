"""The rung that quantisation-aware training runs: the integer model's rounding, in float torch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from convert.comparison import Outputs
from convert.ladder import Kind
from dyncp.embedding import nobody
from dyncp.errors import UserError
from dyncp.network import GatedConvFSENet
from quantize.arithmetic import dequantise
from quantize.model import QuantizedModel
from quantize.qat.network import FakeQuantNet


class FakeQuantRung:
    """The integers' own weights and grids in torch; no exact rung, for it rounds in float32.

    It runs a sequence as a whole, as training does, so it must be told what will come.
    """

    NAME = "fake-quant, torch"
    kind: Kind = "float"

    def __init__(self, network: GatedConvFSENet, model: QuantizedModel) -> None:
        self.name = self.NAME
        self._network = FakeQuantNet(network, model.activations, layers=model.layers).eval()
        self._grid = model.activations["features"]
        speaker = model.preset.speaker
        self._nobody = nobody(speaker.dimensions) if speaker else None
        self._group = model.preset.gate.group if model.preset.gate else 1
        self._coming: Iterator[tuple[NDArray[np.int8], Outputs]] = iter(())

    def reset(self) -> None:
        self._coming = iter(())

    @torch.inference_mode()
    def foresee(self, frames: NDArray[np.int8], embeddings: NDArray[np.int8] | None = None) -> None:
        """Run the frames int8 ``[T, bins]`` that :meth:`step` will ask for; ``embeddings``: int8
        ``[T, dimensions]``, whom a personalised network keeps in each."""
        features = dequantise(frames.T, self._grid.scale, self._grid.zero_point)
        if embeddings is None and self._nobody is not None:
            embeddings = np.repeat(self._nobody[None], len(frames), axis=0)
        batch = torch.from_numpy(np.ascontiguousarray(features))[None]
        found = self._network(batch, embeddings)
        masks = found.mask[0].numpy().T
        opened = [
            np.repeat((logits[0] > 0).numpy().T, self._group, axis=1).astype(np.uint8)
            for logits in found.logits
        ]
        self._coming = iter(
            [
                (frame, {"mask": masks[t]} | {f"gate{b}_open": x[t] for b, x in enumerate(opened)})
                for t, frame in enumerate(frames)
            ]
        )

    def step(self, features: NDArray[np.int8]) -> Outputs:
        foreseen = next(self._coming, None)
        if foreseen is None or not np.array_equal(foreseen[0], features):
            raise UserError(f"{self.name}: was not told of this frame beforehand")
        return foreseen[1]

    def close(self) -> None:
        """Nothing is held."""
