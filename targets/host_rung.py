"""The compiled C on the host as a rung of the parity ladder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.comparison import Outputs
from convert.dataflow import PROBES
from convert.ladder import Kind
from targets.host_library import HostLibrary


class HostRung:
    """The library at ``path``; ``group``: channels per gate, 0 without gates."""

    name = "C on the host"
    kind: Kind = "exact"

    def __init__(self, path: str | Path, group: int) -> None:
        self.library = HostLibrary(path)
        self._group = group

    def reset(self) -> None:
        self.library.reset()

    def set_embedding(self, embedding: NDArray[np.int8]) -> None:
        self.library.set_embedding(embedding)

    def step(self, features: NDArray[np.int8]) -> Outputs:
        outputs: Outputs = dict(self.library.process_frame(features))
        for block in range(self.library.info.blocks if self._group else 0):
            is_open = np.repeat(self.library.gates(block), self._group)
            outputs[f"gate{block}_open"] = is_open.astype(np.uint8)
        if self.library.info.probes:
            outputs[PROBES] = np.array(list(self.library.probes().values()), np.int32)
        return outputs

    def close(self) -> None:
        """The library stays loaded until the process ends."""
