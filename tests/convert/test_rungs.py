"""The integer model, three runtimes' reference kernels, torch and ONNX on one ladder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.adversarial import adversarial_sequences
from convert.comparison import Difference, Outputs
from convert.fake_quant_rung import FakeQuantRung
from convert.ladder import FrameSequence, climb
from convert.people import changing_people, with_people
from convert.rungs import RUNTIMES, IntegerRung, OnnxRung, TfliteRung, TorchRung
from dyncp.embedding import nobody
from dyncp.errors import UserError
from dyncp.state import output_shapes
from quantize.integer_model import IntegerModel, open_gates
from quantize.model import QuantizedModel
from tests.convert.built import Built, Metadata, edited, values, with_metadata
from tests.quantize.models import with_layer

Edit = Callable[[Any], None]
FRAMES = 300


def speech(built: Built, frames: int, start: int = 0) -> list[FrameSequence]:
    """Noisy speech as the one sequence of a ladder."""
    return [FrameSequence("speech", built.frames(frames)[start:])]


def test_every_runtime_equals_the_integer_model(any_built: Built) -> None:
    """In every value of every tensor and probe, over noisy speech and adversarial frames."""
    frames = any_built.frames(FRAMES)
    sequences = [*speech(any_built, FRAMES), *adversarial_sequences(any_built.model)]
    if any_built.preset.speaker:
        sequences[0] = replace(sequences[0], embeddings={0: nobody(8)})
        sequences = with_people(sequences[1:], any_built.preset, 0) + sequences[:1]
        sequences.append(changing_people(sequences[-1], 0))
    total = sum(len(sequence.frames) for sequence in sequences)
    rungs = [IntegerRung(any_built.model)]
    rungs += [TfliteRung(any_built.tflite, runtime) for runtime in RUNTIMES]
    report = climb(rungs, sequences)
    preset = any_built.preset
    per_frame = sum(shape[1] for shape in output_shapes(preset).values())
    per_frame += preset.blocks * preset.gated_channels + len(any_built.model.probes)
    for result in report.rungs:
        assert result.exact
        assert (result.values, result.mismatches) == (total * per_frame, 0), result
    assert len({result.name for result in report.rungs}) == 4
    assert report.passed
    if preset.gate:
        opened = np.concatenate(
            open_gates(any_built.model, IntegerModel(any_built.model).run(frames))
        )
        assert 0.1 < opened.mean() < 0.9
        assert (opened.any(axis=0) & ~opened.all(axis=0)).mean() > 0.5  # they switch


def test_a_ladder_may_be_climbed_again(output: Built) -> None:
    """Nothing of the first climb is left in a rung's states."""
    rungs = [IntegerRung(output.model), TfliteRung(output.tflite)]
    climb(rungs, speech(output, 40))
    assert climb(rungs, speech(output, 40, start=10)).passed


def test_gates_are_told_by_channel(hidden: Built) -> None:
    for rung in (IntegerRung(hidden.model), TfliteRung(hidden.tflite)):
        outputs = [rung.step(frame) for frame in hidden.frames(20)]
        zero = hidden.model.activations["gate1_logits"].zero_point
        for frame in outputs:
            opened = [int(q > zero) for q in frame["gate1_logits"] for _ in range(8)]
            assert frame["gate1_open"].tolist() == opened
            assert frame["gate1_open"].dtype == np.uint8


def test_optimised_kernels_are_beside_the_ladder(output: Built) -> None:
    rung = TfliteRung(output.tflite, "ai-edge-litert", "optimised")
    assert rung.kind == "optimised"
    assert rung.name == "ai-edge-litert, optimised kernels"


def test_torch_and_onnx_agree_with_each_other_and_nearly_with_the_integers(
    any_built: Built,
) -> None:
    rungs = [IntegerRung(any_built.model), OnnxRung(any_built.onnx, any_built.model)]
    floating = TorchRung(any_built.network, any_built.model)
    torch, integer, onnx = climb(rungs, speech(any_built, 20), floating).rungs
    assert torch.kind == onnx.kind == "float"
    assert onnx.values is None
    assert onnx.mask_snr_db is None or onnx.mask_snr_db > 100
    assert integer.mask_snr_db is not None
    assert integer.mask_snr_db > 15
    if any_built.preset.gate is None:
        assert integer.gate_agreement is None
    else:
        assert onnx.gate_agreement == 1.0
        assert integer.gate_agreement is not None
        assert 0.75 < integer.gate_agreement <= 1.0


def test_what_training_runs_is_the_integer_model_but_for_rare_roundings(any_built: Built) -> None:
    """Else quantisation-aware training would train for another device."""
    fake, integer = FakeQuantRung(any_built.network, any_built.model), IntegerRung(any_built.model)
    frames = any_built.frames(60)
    for rung in (fake, integer):
        rung.reset()
    fake.foresee(frames)
    opened, masks = [], []
    for frame in frames:
        ours, exact = fake.step(frame), integer.step(frame)
        gates = [name for name in exact if name.endswith("_open")]
        assert set(ours) == {"mask", *gates}
        opened += [ours[name] == exact[name] for name in gates]
        if not all(np.all(equal) for equal in opened):
            continue  # another channel runs: from here on, the masks are others
        masks.append(np.abs(np.rint(ours["mask"] * 256) - 128 - exact["mask"]))
    assert len(masks) >= 10
    # A personalised block's input has room for the embedding: this network's steps are coarse, and
    # one that is rounded apart shows in many bins.
    rare = 0.1 if any_built.preset.speaker else 0.02
    assert np.mean(np.stack(masks) > 0) < rare and np.max(masks) <= 2
    if opened:
        assert np.mean(np.concatenate(opened)) > 0.99


def test_a_rung_that_runs_a_sequence_whole_is_told_of_it(output: Built) -> None:
    report = climb(
        [IntegerRung(output.model), FakeQuantRung(output.network, output.model)],
        [*speech(output, 30), *speech(output, 20, start=5)],
        TorchRung(output.network, output.model),
    )
    (fake,) = [rung for rung in report.rungs if rung.name == FakeQuantRung.NAME]
    assert fake.error is None and report.passed
    assert [sequence.frames for sequence in fake.sequences] == [30, 15]
    untold = FakeQuantRung(output.network, output.model)
    untold.reset()
    with pytest.raises(UserError, match="was not told of this frame"):
        untold.step(output.frames(1)[0])
    untold.foresee(output.frames(3))
    with pytest.raises(UserError, match="was not told of this frame"):
        untold.step(output.frames(3)[2])


# What is broken is found where it is broken.


def located(built: Built, path: Path, frames: int = 60) -> Difference:
    report = climb([IntegerRung(built.model), TfliteRung(path)], speech(built, frames))
    assert not report.passed
    first = report.rungs[1].first_difference
    assert first is not None
    return first


def first_of(right: Outputs, wrong: Outputs, tensor: str) -> tuple[int, int] | None:
    """Frame and channel of the first difference in one tensor."""
    differing = np.argwhere(right[tensor] != wrong[tensor]).tolist()
    return tuple(differing[0]) if differing else None


def break_weight(built: Built, layer: str, row: int) -> tuple[QuantizedModel, Edit]:
    """The model with the sign bit of one of a row's weights flipped; and that edit of the .tflite.

    The first weight of the row that makes a difference; many meet inputs that are always 0.
    """
    spec, right = built.model.layers[layer].spec, IntegerModel(built.model).run(built.frames(60))
    for column in range(spec.inputs):
        weight = built.model.layers[layer].weight.copy()
        weight[row, column] ^= -128
        if weight[row, column] == -128:
            continue
        broken = with_layer(built.model, layer, weight=weight)
        wrong = IntegerModel(broken).run(built.frames(60))
        if any((right[name] != wrong[name]).any() for name in right):
            break
    place = column * spec.outputs + row if spec.depthwise else row * spec.inputs + column

    def edit(model: Any) -> None:
        values(model, f"{layer}/weight")[place] ^= 0x80

    return broken, edit


@pytest.mark.parametrize(
    ("layer", "tensor"),
    [
        ("front", "pool0_out"),
        ("block0.score", "gate0_logits"),
        ("block0.up", "taps0_out"),
        ("block0.down", "pool1_out"),  # the residual is the next block's input
        ("block1.up", "taps1_out"),
        ("back", "mask"),
    ],
)
def test_a_broken_weight_is_located(output: Built, tmp_path: Path, layer: str, tensor: str) -> None:
    """At the layer by name, its own tensor and channel, in the first frame in which it shows."""
    right = IntegerModel(output.model).run(output.frames(60))
    channel = int(np.argmax(right[tensor].std(axis=0)))
    broken, edit = break_weight(output, layer, channel)
    wrong = IntegerModel(broken).run(output.frames(60))
    found = located(output, edited(output.tflite, tmp_path / "x.tflite", edit))
    assert found.channel == channel
    assert (found.frame, found.tensor) == (first_of(right, wrong, tensor)[0], tensor)
    assert found.layer == layer
    for name in found.equal:
        if name in right:
            np.testing.assert_array_equal(
                right[name][: found.frame + 1], wrong[name][: found.frame + 1]
            )
    assert found.expected == right[tensor][found.frame, channel]
    assert found.got == wrong[tensor][found.frame, channel]


def test_a_broken_weight_behind_the_last_output_shows_in_the_mask(
    output: Built, tmp_path: Path
) -> None:
    """`block1.down` has no output of its own, and only an open gate lets it through."""
    right = IntegerModel(output.model).run(output.frames(60))
    opened = open_gates(output.model, right)[1]
    row = int(np.argmin(np.abs(opened.mean(axis=0) - 0.5)))
    broken, edit = break_weight(output, "block1.down", row)
    wrong = IntegerModel(broken).run(output.frames(60))
    found = located(output, edited(output.tflite, tmp_path / "x.tflite", edit))
    assert found.tensor == "mask"
    assert (found.frame, found.channel) == first_of(right, wrong, "mask")
    assert opened[found.frame, row]


def test_a_broken_depthwise_weight_waits_for_its_tap(static: Built, tmp_path: Path) -> None:
    """The oldest tap of the second block is zero activation for four frames."""
    right = IntegerModel(static.model).run(static.frames(60))
    row = int(np.argmax(right["taps1_out"].std(axis=0)))
    broken, edit = break_weight(static, "block1.depthwise", row)
    wrong = IntegerModel(broken).run(static.frames(60))
    found = located(static, edited(static.tflite, tmp_path / "x.tflite", edit))
    assert found.tensor == "mask"
    assert found.frame >= 4
    assert (found.frame, found.channel) == first_of(right, wrong, "mask")


def test_a_broken_group_is_located(hidden: Built, tmp_path: Path) -> None:
    """A gate that is told to serve 4 channels instead of 8."""

    def smaller(entry: Metadata) -> None:
        entry["gates"][1]["group"] = 4

    path = edited(hidden.tflite, tmp_path / "x.tflite", with_metadata(smaller))
    opened = open_gates(hidden.model, IntegerModel(hidden.model).run(hidden.frames(1)))[1][0]
    wide, narrow = np.repeat(opened, 8), np.repeat(opened, 4)
    # Channels 16 to 31 have no gate any more; one below them may differ before.
    channel = next((c for c in range(16) if wide[c] != narrow[c]), 16)
    found = located(hidden, path)
    assert (found.frame, found.tensor, found.channel) == (0, "gate1_open", channel)
    assert found.expected == int(wide[channel])
    assert found.got == (int(narrow[channel]) if channel < 16 else None)


def test_exchanged_gates_are_located(output: Built, tmp_path: Path) -> None:
    def exchange(entry: Metadata) -> None:
        first, second = entry["gates"]
        first["logits"], second["logits"] = second["logits"], first["logits"]

    path = edited(output.tflite, tmp_path / "x.tflite", with_metadata(exchange))
    outputs = IntegerModel(output.model).run(output.frames(60))
    first, second = open_gates(output.model, outputs)
    frame, channel = np.argwhere(first != second)[0].tolist()
    found = located(output, path)
    assert (found.frame, found.tensor, found.channel) == (frame, "gate0_open", channel)
    assert (found.expected, found.got) == (first[frame, channel], second[frame, channel])


def test_a_state_of_another_age_is_located(output: Built, tmp_path: Path) -> None:
    """Block 1's taps a frame too young: block 1 differs first, and block 0 never."""

    def younger(entry: Metadata) -> None:
        entry["states"][1]["reads"] = [3, 1]

    path = edited(output.tflite, tmp_path / "x.tflite", with_metadata(younger))
    rung = TfliteRung(path)
    right = IntegerModel(output.model).run(output.frames(60))
    rung.reset()
    got: list[Outputs] = [rung.step(frame) for frame in output.frames(60)]
    for name in ("pool0_out", "gate0_logits", "taps0_out", "pool1_out", "gate1_logits"):
        np.testing.assert_array_equal(right[name], np.stack([frame[name] for frame in got]))
    found = located(output, path)
    assert found.tensor == "mask"
    assert found.frame >= 1


def test_a_broken_probe_is_located_by_its_name(output: Built, tmp_path: Path) -> None:
    """The network is equal, and what it says of the sound is not."""

    def shift(entry: Metadata) -> None:
        entry["probes"][0]["bias"] += 1

    path = edited(output.tflite, tmp_path / "x.tflite", with_metadata(shift))
    name = output.model.probes[0].name
    rungs = [IntegerRung(output.model), TfliteRung(path)]
    result = climb(rungs, speech(output, 20), labels={"probes": [name]}).rungs[1]
    found = result.first_difference
    assert found is not None
    assert (found.frame, found.tensor, found.channel, found.label) == (0, "probes", 0, name)
    assert (found.got or 0) - (found.expected or 0) == 1
    assert result.mismatches == 20
    assert found.equal == ("gate0_open", "gate1_open")


# What cannot be loaded is said in one line.


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda e: e["gates"][0].update(logits="zap"), "metadata names zap, the signature does"),
        (lambda e: e["states"][1].update(input="zap"), "metadata names zap, the signature does"),
        (lambda e: e["states"][1].update(output="zap"), "metadata names zap, the signature does"),
        (lambda e: e["states"][0].update(reads=[3, 2, 1]), "taps0_in has 2 taps, the metadata 3"),
        (lambda e: e["states"][0].update(reads=[]), "taps0_in has 2 taps, the metadata 0"),
        (lambda e: e["states"][0].update(reads=["a", "b"]), "no frame can be run"),
        (lambda e: e["states"].pop(), "no frame can be run"),
        (lambda e: e["gates"][0].pop("group"), "no frame can be run"),
        (lambda e: e["gates"][0].update(group=-1), "no frame can be run"),
        (lambda e: e.update(gates=5), "no frame can be run"),
        (lambda e: e["probes"][0]["weights"].pop(), "no frame can be run"),
        (lambda e: e["probes"][0].pop("bias"), "no frame can be run"),
        (lambda e: e.pop("states"), "lacks 'states'"),
    ],
)
@pytest.mark.parametrize("runtime", ["tflite-runtime", "ai-edge-litert"])
def test_metadata_that_no_frame_can_be_run_by_is_refused(
    output: Built, tmp_path: Path, runtime: str, edit: Any, message: str
) -> None:
    path = edited(output.tflite, tmp_path / "x.tflite", with_metadata(edit))
    with pytest.raises(UserError, match=message) as error:
        TfliteRung(path, runtime)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("runtime", ["tflite-runtime", "ai-edge-litert"])
def test_a_graph_that_no_runtime_loads_is_refused(
    output: Built, tmp_path: Path, runtime: str
) -> None:
    def ancient(model: Any) -> None:
        model.operatorCodes[0].version = 99

    path = edited(output.tflite, tmp_path / "x.tflite", ancient)
    with pytest.raises(UserError, match=f"{runtime} cannot load .*x.tflite") as error:
        TfliteRung(path, runtime)
    assert "\n" not in str(error.value)


def test_an_onnx_file_of_another_network_is_refused(
    output: Built, hidden: Built, static: Built, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"another network.*pool0_in should be .* is missing"):
        OnnxRung(static.onnx, output.model)
    with pytest.raises(UserError, match=r"gate0_logits should be \[1, 16, 1, 1\], but is \[1, 4,"):
        OnnxRung(hidden.onnx, output.model)
    with pytest.raises(UserError, match="no such ONNX file"):
        OnnxRung(tmp_path / "none.onnx", output.model)
    (tmp_path / "x.onnx").write_bytes(b"not protobuf at all")
    with pytest.raises(UserError, match=r"ONNX Runtime cannot load .*x\.onnx") as error:
        OnnxRung(tmp_path / "x.onnx", output.model)
    assert "\n" not in str(error.value)
