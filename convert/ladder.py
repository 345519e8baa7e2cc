"""The parity ladder: several implementations of one network, frame by frame.

From the integer model on, equality is exact: one differing value fails the
ladder, and the report says where it arose. Float networks and optimised kernels
are reported beside it.

This module knows no implementation; rungs are brought by this room and later ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from convert.comparison import Comparison, Labels, Outputs, Recording, SequenceResult
from convert.parity_report import LadderReport, RungResult
from dyncp.errors import UserError

Kind = Literal["float", "exact", "optimised"]
Progress = Callable[[str, int, int], None]
"""Called with the rung's name, the frames done, and all of them."""


class Rung(Protocol):
    """One implementation of the network: anything that takes frames and gives tensors.

    ``kind``: an ``exact`` one must equal the specification in every value; ``float`` and
    ``optimised`` ones are reported. ``reset`` is a cold start, and the first one opens what
    the rung needs. ``step`` takes int8 features ``[bins]`` and gives

    - the output tensors of docs/contracts.md, int8 ``[channels]`` each,
    - ``gate{i}_open``, uint8 ``[gated channels]``: 1 where the implementation, by its own
      account of which gate serves which channel, runs the channel,
    - ``probes``, int32 ``[probes]``, if the model has any: their scores.

    A rung that is not exact may give the mask and the gates alone, and the mask as float
    gains. A rung of a personalised network is a :class:`PersonalRung`, too. All raise
    :class:`UserError` for what is not a mistake of the program.
    """

    name: str
    kind: Kind

    def reset(self) -> None: ...

    def step(self, features: NDArray[np.int8]) -> Outputs: ...

    def close(self) -> None: ...


@runtime_checkable
class ForeseeingRung(Protocol):
    """A rung that runs a sequence as a whole: told after ``reset`` what ``step`` will bring.

    ``embeddings``: of a personalised network, whom it keeps in each frame: int8
    ``[T, dimensions]``.
    """

    def foresee(
        self, frames: NDArray[np.int8], embeddings: NDArray[np.int8] | None = None
    ) -> None: ...


@runtime_checkable
class PersonalRung(Protocol):
    """A rung that takes an embedding: int8 ``[dimensions]``, whom to keep from the next frame
    on. A reset keeps it."""

    def set_embedding(self, embedding: NDArray[np.int8]) -> None: ...


@dataclass(frozen=True, eq=False)
class FrameSequence:
    """Frames that are run from a cold start: int8 ``[T, bins]``.

    Gate agreement and mask SNR are of the sequences that are not ``adversarial``.
    ``embeddings``: of a personalised network, from which frame on it keeps whom: int8
    ``[dimensions]``; the first from frame 0 on.
    """

    name: str
    frames: NDArray[np.int8]
    adversarial: bool = False
    embeddings: Mapping[int, NDArray[np.int8]] = field(default_factory=dict)

    def embedding_of_each(self) -> NDArray[np.int8]:
        """Whom each frame keeps: int8 ``[T, dimensions]``."""
        starts = sorted(self.embeddings)
        lengths = np.diff([*starts, len(self.frames)])
        return np.repeat([self.embeddings[start] for start in starts], lengths, axis=0)


def climb(
    rungs: Sequence[Rung],
    sequences: Sequence[FrameSequence],
    floating: Rung | None = None,
    progress: Progress | None = None,
    labels: Labels | None = None,
) -> LadderReport:
    """Run every rung over every sequence, each from a cold start, and compare.

    The first of ``rungs`` is the specification and must be exact; its errors are raised.
    Those of the others are in the report. ``floating`` is what gate agreement and mask SNR
    refer to. Each rung is closed after its last frame.
    """
    if not rungs or rungs[0].kind != "exact":
        raise UserError("the ladder needs an exact rung to start from")
    if not sequences or any(len(sequence.frames) == 0 for sequence in sequences):
        raise UserError("the ladder needs at least one frame")
    climber = _Climber(sequences, progress, labels or {})
    results = []
    if floating:
        result, recordings = climber.run(floating, record=True)
        results.append(result)
        if result.error is None:
            climber.truths = recordings
    result, recordings = climber.run(rungs[0], record=True)
    if result.error:
        raise UserError(f"{rungs[0].name}: {result.error}")
    climber.specifications = recordings
    results.append(result)
    results += [climber.run(rung)[0] for rung in rungs[1:]]
    return LadderReport(tuple(results), floating.name if floating else None)


class _Climber:
    """Runs rungs over the sequences; recordings are one for each sequence."""

    def __init__(
        self, sequences: Sequence[FrameSequence], progress: Progress | None, labels: Labels
    ) -> None:
        self._sequences, self._progress, self._labels = sequences, progress, labels
        self._total = sum(len(sequence.frames) for sequence in sequences)
        self.truths: list[Recording | None] = [None] * len(sequences)
        self.specifications: list[Recording | None] = [None] * len(sequences)

    def run(self, rung: Rung, record: bool = False) -> tuple[RungResult, list[Recording | None]]:
        """All sequences on one rung; with ``record``, what it gave, too."""
        results: list[SequenceResult] = []
        recordings: list[Recording | None] = []
        error = None
        try:
            for index, sequence in enumerate(self._sequences):
                recording = Recording(len(sequence.frames)) if record else None
                wanted = self.specifications[index]
                if rung.kind == "exact":
                    # The specification is held against itself, so that its values are counted.
                    wanted = wanted or recording
                comparison = Comparison(
                    sequence.name, wanted, self.truths[index], self._labels, rung.kind == "exact"
                )
                done, seconds, error = self._sequence(
                    rung, sequence, recording, comparison, sum(r.frames for r in results)
                )
                recordings.append(recording)
                results.append(
                    comparison.result(done, seconds, sequence.adversarial, error is None)
                )
                if error:
                    break
        finally:
            rung.close()
        return RungResult(rung.name, rung.kind, tuple(results), error), recordings

    def _sequence(
        self,
        rung: Rung,
        sequence: FrameSequence,
        recording: Recording | None,
        comparison: Comparison,
        before: int,
    ) -> tuple[int, float, str | None]:
        """Frames done, seconds in the rung, and the error that ended it."""
        seconds, done = 0.0, 0
        try:
            rung.reset()
            if isinstance(rung, ForeseeingRung):
                start = time.perf_counter()
                told = [sequence.embedding_of_each()] if sequence.embeddings else []
                rung.foresee(sequence.frames, *told)
                seconds = time.perf_counter() - start
            elif sequence.embeddings and not isinstance(rung, PersonalRung):
                raise UserError("it takes no embedding; give it a set_embedding (docs/parity.md)")
            for frame, features in enumerate(sequence.frames):
                start = time.perf_counter()
                if frame in sequence.embeddings and isinstance(rung, PersonalRung):
                    rung.set_embedding(sequence.embeddings[frame])
                outputs = rung.step(features)
                seconds += time.perf_counter() - start
                if recording:
                    recording.take(frame, outputs)
                comparison.take(frame, outputs)
                done += 1
                if self._progress:
                    self._progress(rung.name, before + done, self._total)
        except UserError as error:
            return done, seconds, f"{sequence.name}, frame {done}: {error}"
        return done, seconds, None
