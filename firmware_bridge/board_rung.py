"""A board as the last rung of the parity ladder, and its audio path against the host's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.comparison import Outputs
from convert.dataflow import PROBES
from convert.ladder import Kind
from firmware_bridge.session import Board
from firmware_bridge.stream import Progress, hops_of
from targets.host_library import HostLibrary


class BoardRung:
    """A board that ``connect`` opens a session on, at the first reset.

    ``group``: channels per gate, 0 without gates.
    """

    kind: Kind = "exact"

    def __init__(self, name: str, connect: Callable[[], Board], group: int) -> None:
        self.name, self._connect, self._group = name, connect, group
        self._session: Board | None = None

    def reset(self) -> None:
        if self._session is None:
            self._session = self._connect()
        self._session.reset()

    def set_embedding(self, embedding: NDArray[np.int8]) -> None:
        assert self._session
        self._session.set_embedding(embedding)

    def step(self, features: NDArray[np.int8]) -> Outputs:
        assert self._session
        result = self._session.process_frame(features)
        outputs: Outputs = dict(self._session.tensors())
        for block, gates in enumerate(result.gates if self._group else []):
            outputs[f"gate{block}_open"] = np.repeat(gates, self._group).astype(np.uint8)
        if len(result.probes):
            outputs[PROBES] = result.probes
        return outputs

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


@dataclass(frozen=True)
class AudioParity:
    """Samples of enhanced audio compared, how many differ, and the first that does."""

    samples: int
    mismatches: int
    first_sample: int | None
    expected: int | None
    got: int | None

    @property
    def passed(self) -> bool:
        return self.mismatches == 0

    def line(self) -> str:
        """One line of the summary for people."""
        verdict = "equal" if self.passed else "DIFFERS"
        line = f"{verdict}, {self.mismatches:,} of {self.samples:,} samples differ"
        if self.first_sample is not None:
            line += f", first at {self.first_sample}: expected {self.expected}, got {self.got}"
        return line


def compare_audio(
    library: HostLibrary,
    session: Board,
    pcm: NDArray[np.int16],
    progress: Progress | None = None,
    embedding: NDArray[np.int8] | None = None,
) -> AudioParity:
    """Enhance int16 ``[samples]`` on the host and on the board, both from a cold start.

    ``embedding``: whom a personalised model keeps.
    """
    if embedding is not None:
        library.set_embedding(embedding)
        session.set_embedding(embedding)
    library.reset()
    session.reset()
    hops = list(hops_of(pcm, library.info.hop))
    expected = np.concatenate([library.process_hop(hop) for hop in hops])
    received = []
    for result in session.process_hops(hops):
        received.append(result.pcm)
        if progress:
            progress(len(received), len(hops))
    got = np.concatenate(received)
    differing = np.flatnonzero(expected != got)
    first = int(differing[0]) if len(differing) else None
    return AudioParity(
        samples=len(expected),
        mismatches=len(differing),
        first_sample=first,
        expected=int(expected[first]) if first is not None else None,
        got=int(got[first]) if first is not None else None,
    )
