"""A personalised network on the ladder: whom it keeps changes on every rung at the same frame,
and a file whose embedding has gone astray is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.__main__ import main
from convert.audit.report import audit_file
from convert.comparison import Outputs
from convert.fake_quant_rung import FakeQuantRung
from convert.ladder import FrameSequence, climb
from convert.metadata import describe
from convert.people import changing_people, keeping, with_people
from convert.rung_list import FunctionRung
from convert.rungs import IntegerRung, OnnxRung, TfliteRung, TorchRung
from dyncp.embedding import nobody, save_embedding
from dyncp.errors import UserError
from quantize.clips import random_embedding
from tests.convert.built import (
    Built,
    Metadata,
    edited,
    index_of,
    operator,
    refused,
    tensor,
    with_metadata,
)
from tests.quantize.command import run


def speech(built: Built, frames: int) -> FrameSequence:
    return FrameSequence("speech", built.frames(frames), embeddings={0: nobody(8)})


class Deaf:
    """A rung that is never told of a change."""

    name, kind = "deaf", "exact"

    def __init__(self, built: Built) -> None:
        self._rung = IntegerRung(built.model)

    def reset(self) -> None:
        self._rung.reset()

    def set_embedding(self, embedding: np.ndarray) -> None:
        pass

    def step(self, features: np.ndarray) -> Outputs:
        return self._rung.step(features)

    def close(self) -> None:
        pass


def test_a_rung_that_misses_a_change_fails_at_its_frame(personal: Built) -> None:
    first, second = speech(personal, 30), speech(personal, 40)
    second = replace(second, embeddings={0: nobody(8), 17: random_embedding(8, 1)})
    _, deaf = climb([IntegerRung(personal.model), Deaf(personal)], [first, second]).rungs
    assert [sequence.mismatches == 0 for sequence in deaf.sequences] == [True, False]
    difference = deaf.sequences[1].first_difference
    assert difference and difference.frame == 17 and difference.layer.startswith("block0.")


def test_a_rung_that_takes_no_embedding_says_so(personal: Built) -> None:
    make = FunctionRung("mine", "exact", lambda: IntegerRung(personal.model).step)
    report = climb([IntegerRung(personal.model), make], [speech(personal, 5)])
    assert report.rungs[1].error is not None
    assert "it takes no embedding" in report.rungs[1].error
    assert report.exit_code == 2


def test_the_float_rungs_keep_whom_the_integers_keep(personal: Built) -> None:
    """Measured against a float network that kept somebody else, int8 would look broken."""
    changing = replace(changing_people(speech(personal, 120), 0), adversarial=False)
    rungs = [
        IntegerRung(personal.model),
        OnnxRung(personal.onnx, personal.model),
        FakeQuantRung(personal.network, personal.model),
    ]
    report = climb(rungs, [changing], TorchRung(personal.network, personal.model))
    _, integer, onnx, fake = report.rungs
    assert onnx.gate_agreement == 1.0 and (onnx.mask_snr_db or 999) > 100
    assert integer.mask_snr_db is not None and integer.mask_snr_db > 15
    assert fake.mask_snr_db is not None and abs(fake.mask_snr_db - integer.mask_snr_db) < 3
    other = replace(changing, embeddings={0: nobody(8)})
    wrong = IntegerRung(personal.model)
    wrong.reset()
    masks = [[], []]  # type: ignore[var-annotated]
    for sequence, rows in zip((changing, other), masks, strict=True):
        wrong.reset()
        for frame, features in enumerate(sequence.frames):
            if frame in sequence.embeddings:
                wrong.set_embedding(sequence.embeddings[frame])
            rows.append(wrong.step(features)["mask"])
    assert (np.array(masks[0]) != np.array(masks[1])).any()


def test_people_change_inside_every_sequence_and_everybody_is_among_them(personal: Built) -> None:
    plain = [FrameSequence(str(i), personal.frames(20)) for i in range(4)]
    made = with_people(plain, personal.preset, 0)
    assert all(sorted(sequence.embeddings) == [0, 10] for sequence in made)
    whole = np.concatenate([sequence.embedding_of_each() for sequence in made])
    assert len(np.unique(whole, axis=0)) == 4
    assert (whole == 127).any() and (whole == -127).any() and (whole == 0).all(axis=1).any()


def test_parity_takes_whom_to_keep_from_a_file(personal: Built, output: Built, tmp_path: Path):  # type: ignore[no-untyped-def]
    somebody = tmp_path / "ann.json"
    save_embedding(somebody, random_embedding(8, 5), "ann")
    np.save(tmp_path / "features.npy", personal.features(30))
    common = ["--features", tmp_path / "features.npy", "--out", tmp_path / "parity.json"]
    files = ["--quantized", personal.quantized, "--tflite", personal.tflite]
    masks = []
    for extra in ([], ["--embedding", somebody]):
        finished = run(main, "parity", *files, *common, *extra,
                       "--checkpoint", personal.checkpoint)  # fmt: skip
        assert (finished.code, finished.err) == (0, "")
        content = json.loads((tmp_path / "parity.json").read_text())
        names = [sequence["name"] for sequence in content["sequences"]]
        assert names[:2] == ["features.npy", "features.npy, whom to keep changes"]
        rung = next(rung for rung in content["rungs"] if rung["name"] == "integer model")
        masks.append(rung["mask_snr_db"])
    assert masks[0] != masks[1]
    files = ["--quantized", output.quantized, "--tflite", output.tflite]
    finished = run(main, "parity", *files, *common, "--embedding", somebody)
    assert finished.code == 2 and "takes no embedding; omit --embedding" in finished.err
    with pytest.raises(UserError, match="int8 \\[9\\]"):
        keeping(replace(personal.preset, speaker=replace(personal.preset.speaker, dimensions=9)),
                somebody)  # fmt: skip


def test_the_metadata_say_what_the_embedding_is(personal: Built, output: Built) -> None:
    wanted = {"dimensions": 8, "scale": 1 / 64, "zero_point": -128}
    assert describe(personal.model)["embedding"] == wanted
    assert "embedding" not in describe(output.model)


def rewire(kind: str, output: str, place: int, source: str) -> Callable[[Any], None]:
    """Make an operator read another tensor."""

    def apply(model: Any) -> None:
        found = operator(model, kind, output)
        found.inputs = np.array(found.inputs, np.int32)
        found.inputs[place] = index_of(model, source)

    return apply


def axis_of_join(model: Any) -> None:
    operator(model, "CONCATENATION", "block0.up/input").builtinOptions.axis = 1


def other_grid(name: str) -> Callable[[Any], None]:
    def apply(model: Any) -> None:
        grid = tensor(model, name).quantization
        grid.scale = np.array(grid.scale, np.float32) * np.float32(1.5)

    return apply


def forget(entry: Metadata) -> None:
    del entry["embedding"]


def shift(entry: Metadata) -> None:
    entry["embedding"]["zero_point"] = 0


BROKEN: list[tuple[str, Callable[[Any], None], str, str]] = [
    ("another block's", rewire("CONCATENATION", "block1.up/input", 1, "block0.input/embedding"),
     "not on the grid of what block1.up reads", "rescaled"),
    ("re-scaled", other_grid("block0.input/embedding"),
     "not on the grid of what block0.squeeze reads", "rescaled"),
    ("an input of another grid", other_grid("embedding"),
     "input embedding must have scale 1/64", "contract"),
    ("a quantised state", rewire("QUANTIZE", "block0.input/embedding", 0, "block0.squeezed"),
     "given by a QUANTIZE, is not the embedding", "requantised"),
    ("in time", axis_of_join, "is not beside its channels", "operator-geometry"),
    ("forgotten", with_metadata(forget), "embedding (None) is not that", "metadata-embedding"),
    ("moved", with_metadata(shift), "'zero_point': 0}) is not that", "metadata-embedding"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "message", "check"), [case[1:] for case in BROKEN],
                         ids=[case[0] for case in BROKEN])  # fmt: skip
def test_an_embedding_gone_astray_is_named(
    personal: Built, tmp_path: Path, edit: Callable[[Any], None], message: str, check: str
) -> None:
    """By the contract and by the audit."""
    assert message in refused(personal, tmp_path, edit)
    broken = edited(personal.tflite, tmp_path / "audited.tflite", edit)
    assert check in audit_file(broken, run=False).failed()


def test_a_personal_file_is_clear(personal: Built) -> None:
    report = audit_file(personal.tflite, run=True)
    assert report.exit_code == 0, list(report.lines())


def test_the_reference_kernels_start_with_everybody(personal: Built) -> None:
    """A rung that was told nothing must not start with bytes of -128."""
    told, untold = TfliteRung(personal.tflite), TfliteRung(personal.tflite)
    told.set_embedding(nobody(8))
    for features in personal.frames(5):
        np.testing.assert_array_equal(told.step(features)["mask"], untold.step(features)["mask"])
