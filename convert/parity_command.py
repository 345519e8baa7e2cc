"""What the parity commands of this room and of the last one share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from convert.adversarial import adversarial_sequences
from convert.contract import read_metadata
from convert.junit import Case
from convert.ladder import FrameSequence, Progress, climb
from convert.parity_report import LadderReport, format_parity
from convert.people import changing_people, keeping, with_people
from convert.rung_list import PlannedRung, make_rungs, own_rung, without
from convert.rungs import TorchRung
from dyncp.embedding import Embedding
from dyncp.errors import UserError
from dyncp.preset import Preset
from quantize.arithmetic import quantise
from quantize.model import QuantizedModel, load_model


@dataclass(frozen=True)
class Ladder:
    """A model, what is run on it, and where the report goes.

    ``keep``: whom a personalised network keeps in the audio; None in any other network.
    """

    args: argparse.Namespace
    model: QuantizedModel
    tflite: Path
    sequences: list[FrameSequence]
    keep: Embedding | None = None

    def climb(
        self,
        planned: Sequence[PlannedRung],
        checkpoint: Path | None,
        progress: Progress | None = None,
    ) -> LadderReport:
        """Make the rungs that are asked for, and climb them; ``checkpoint``: the float network."""
        floating = None
        own = [own_rung(place, self.model, self.tflite) for place in self.args.rung]
        beside: list[PlannedRung] = []
        if checkpoint:
            import torch

            from convert.fake_quant_rung import FakeQuantRung
            from dyncp.checkpoint import load_checkpoint

            torch.set_num_threads(1)
            network = load_checkpoint(checkpoint, expect=self.model.preset).network
            floating = TorchRung(network, self.model)
            make = partial(FakeQuantRung, network, self.model)
            beside = [PlannedRung(FakeQuantRung.NAME, FakeQuantRung.kind, make)]
        first, *rest = planned
        chosen, left_out = without([first, *beside, *rest, *own], self.args.without)
        labels = {"probes": [probe.name for probe in self.model.probes]}
        rungs = make_rungs(chosen)
        with threadpool_limits(1):  # a frame is too small to share: threads would only wait
            report = climb(rungs, self.sequences, floating, progress, labels)
        return replace(report, left_out=tuple(left_out))

    def finish(self, report: LadderReport, source: Path, beside: Sequence[Case] = ()) -> int:
        """Write the report, print it and give the exit code."""
        report = replace(report, beside=tuple(beside))
        real = [sequence for sequence in self.sequences if not sequence.adversarial]
        about: dict[str, Any] = {
            "preset": self.model.preset.name,
            "model_hash": self.model.model_hash,
            "input": str(source),
            "frames": sum(len(sequence.frames) for sequence in real),
            "seed": self.args.seed,
            "sequences": [
                {"name": s.name, "adversarial": s.adversarial, "frames": len(s.frames)}
                for s in self.sequences
            ],
        }
        report.write(self.args.out, about)
        print(format_parity(report.to_json(about)))
        return report.exit_code


def open_ladder(args: argparse.Namespace, quantized: Path, tflite: Path) -> Ladder:
    """Check that the files are of one model, and add the adversarial frames.

    The audio is still to come: :meth:`Ladder.sequences` takes it in front.
    """
    if args.frames < 1:
        raise UserError(f"--frames must be at least 1, not {args.frames}")
    if args.seed < 0:
        raise UserError(f"--seed must not be negative, as {args.seed} is")
    if args.out.suffix != ".json":
        raise UserError(f"--out must end in .json, not be {args.out}; JUnit goes beside it")
    model = load_model(quantized)
    if read_metadata(tflite)["model_hash"] != model.model_hash:
        raise UserError(f"{tflite} was made from another quantised model; convert it anew")
    made = [] if args.no_adversarial else adversarial_sequences(model, args.seed)
    keep = keeping(model.preset, args.embedding)
    return Ladder(args, model, tflite, with_people(made, model.preset, args.seed), keep)


def with_audio(ladder: Ladder, name: str, features: NDArray[np.float32]) -> Ladder:
    """The ladder with float features ``[bins, frames]`` as its first sequence."""
    grid = ladder.model.activations["features"]
    frames = quantise(features[:, : ladder.args.frames].T, grid.scale, grid.zero_point)
    audio = [FrameSequence(name, frames)]
    if ladder.keep is not None:
        audio = [replace(audio[0], embeddings={0: ladder.keep})]
        if not ladder.args.no_adversarial:
            audio.append(changing_people(audio[0], ladder.args.seed))
    return replace(ladder, sequences=[*audio, *ladder.sequences])


def feature_file(path: Path, preset: Preset) -> NDArray[np.float32]:
    """Float features ``[bins, frames]`` of a .npy file."""
    try:
        values = np.load(path, allow_pickle=False)
    except Exception as error:  # numpy and zip each raise their own on foreign bytes
        raise UserError(f"cannot read features from {path}: {error}") from error
    bins = preset.audio.bins
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.shape[0] != bins:
        raise UserError(f"{path} must hold float features [{bins}, frames]")
    if not np.issubdtype(values.dtype, np.floating):
        raise UserError(f"{path} must hold floating-point numbers, not {values.dtype}")
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise UserError(f"{path} holds values that are no finite float32 numbers")
    return values
