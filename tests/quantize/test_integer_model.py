"""The specification must be the network, or everything downstream is exact and wrong."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dyncp.embedding import nobody, real
from dyncp.errors import UserError
from dyncp.preset import Preset
from dyncp.state import StateRings, input_shapes, output_shapes
from dyncp.streaming import StreamingNet
from quantize import integer_model
from quantize.agreement import signal_to_noise
from quantize.arithmetic import Addition, dequantise, quantise
from quantize.calibrate import round_network
from quantize.integer_model import IntegerModel, open_gates, probe_score
from quantize.model import QuantizedModel
from quantize.wiring import tensor_activation
from tests.conftest import tiny_preset
from tests.quantize.models import (
    audio_features,
    mixed_network,
    tiny_model,
    with_activation,
    with_layer,
)
from tests.quantize.plain import PlainNetwork


def frames_of(model: QuantizedModel, frames: int, seed: int = 8) -> NDArray[np.int8]:
    grid = model.activations["features"]
    return quantise(audio_features(model.preset, frames, seed).T, grid.scale, grid.zero_point)


def floats_of(model: QuantizedModel, outputs: dict[str, NDArray[np.int8]]) -> dict:
    """What the int8 output tensors stand for."""
    grids = {name: model.activations[tensor_activation(name)] for name in outputs}
    return {
        name: dequantise(values, grids[name].scale, grids[name].zero_point)
        for name, values in outputs.items()
    }


def test_every_tensor_is_what_plain_integers_give(any_tiny_preset: Preset) -> None:
    """From a cold start, past the length of every ring."""
    model = tiny_model(any_tiny_preset)
    frames = frames_of(model, 14)
    outputs = IntegerModel(model).run(frames)
    expected = PlainNetwork(model).run(frames)
    assert list(outputs) == list(output_shapes(any_tiny_preset))
    assert set(outputs) == set(expected)
    for name, values in expected.items():
        assert outputs[name].dtype == np.int8
        np.testing.assert_array_equal(outputs[name], values, err_msg=name)
    if any_tiny_preset.gate:
        assert 0.1 < np.mean(open_gates(model, outputs)) < 0.9


@torch.no_grad()
def test_it_follows_the_float_network(any_tiny_preset: Preset) -> None:
    """Frame by frame from equal states: nearly the same gates, and then nearly the same mask."""
    preset = any_tiny_preset
    model = tiny_model(preset)
    frames = frames_of(model, 200)
    outputs = IntegerModel(model).run(frames)
    ours = floats_of(model, outputs)
    rings = StateRings(preset, dict.fromkeys(input_shapes(preset), 0.0), np.float32)
    states: dict[str, list[NDArray[np.float32]]] = {name: [] for name in rings.inputs()}
    for frame in range(len(frames)):
        for name, values in rings.inputs().items():
            states[name].append(values)
        rings.push({name: v[frame].reshape(1, -1, 1, 1) for name, v in ours.items()})
    features = floats_of(model, {"features": frames})["features"]
    inputs = [features[:, :, None, None], *(np.concatenate(rows) for rows in states.values())]
    if preset.speaker:
        everybody = real(nobody(preset.speaker.dimensions))[None, :, None, None]
        inputs.append(np.repeat(everybody, len(frames), axis=0))
    values = StreamingNet(mixed_network(preset))(*(torch.from_numpy(rows) for rows in inputs))
    theirs = {n: v.numpy()[:, :, 0, 0] for n, v in zip(output_shapes(preset), values, strict=True)}
    calm = np.ones(len(frames), bool)
    for block, opened in enumerate(open_gates(model, outputs)):
        equal = opened == (theirs[f"gate{block}_logits"] > 0)
        assert equal.mean() > 0.8
        calm &= equal.all(axis=1)
    assert calm.mean() > 0.1  # else there is too little to compare below
    # A personalised block's input must have room for the embedding, which this network's needs.
    least = 30 if preset.speaker else 35
    assert signal_to_noise(theirs["mask"][calm], ours["mask"][calm]) > least


@pytest.mark.parametrize(("group", "pool_frames"), [(1, 5), (4, 1), (8, 5)])
def test_closed_hidden_channels_leave_their_zero_point(group: int, pool_frames: int) -> None:
    preset = tiny_preset("hidden", group, pool_frames)
    model = tiny_model(preset)
    outputs = IntegerModel(model).run(frames_of(model, 60, seed=7))
    for block, opened in enumerate(open_gates(model, outputs)):
        channels = np.repeat(opened, group, axis=1)
        taps = outputs[f"taps{block}_out"]
        zero = model.activations[f"block{block}.hidden"].zero_point
        assert not channels.all()
        assert (taps[~channels] == zero).all()
        assert (taps[channels] != zero).any()


def test_closed_output_channels_are_added_nothing(model: QuantizedModel) -> None:
    """The next block's input is this block's, brought to the new grid."""
    outputs = IntegerModel(model).run(frames_of(model, 60))
    opened = open_gates(model, outputs)[0]
    grids = (model.activations[f"block0.{part}"] for part in ("input", "update"))
    addition = Addition(
        *((grid.scale, grid.zero_point) for grid in (*grids, model.activations["block1.input"]))
    )
    before = outputs["pool0_out"].astype(np.int64)
    nothing = addition(before, np.int64(model.activations["block0.update"].zero_point))
    after = outputs["pool1_out"]
    assert not opened.all()
    np.testing.assert_array_equal(after[~opened], nothing[~opened])
    assert (after[opened] != nothing[opened]).any()


def test_what_a_closed_gate_skips_does_not_matter() -> None:
    """So a device may leave the weights of closed channels unread."""
    preset = tiny_preset("hidden", 4, 1)
    model = tiny_model(preset)
    bias = model.layers["block0.score"].bias.copy()
    bias[2] = -(2**24)
    shut = with_layer(model, "block0.score", bias=bias)
    rng = np.random.default_rng(1)
    other = shut
    for role, axis in (("up", 0), ("depthwise", 0), ("down", 1)):
        layer = shut.layers[f"block0.{role}"]
        weight = layer.weight.copy()
        skipped = (slice(None),) * axis + (slice(8, 12),)
        weight[skipped] = rng.integers(-127, 128, weight[skipped].shape)
        other = with_layer(other, layer.spec.name, weight=weight)
    frames = frames_of(model, 30)
    expected, got = (IntegerModel(each).run(frames) for each in (shut, other))
    for name, values in expected.items():
        np.testing.assert_array_equal(got[name], values, err_msg=name)
    reopened, changed = (
        IntegerModel(with_layer(each, "block0.score", bias=-bias)).run(frames)
        for each in (shut, other)
    )
    assert (reopened["taps0_out"] != changed["taps0_out"]).any()


def test_resetting_leaves_nothing_of_the_past(any_tiny_preset: Preset) -> None:
    model = tiny_model(any_tiny_preset)
    frames = frames_of(model, 12)
    runner = IntegerModel(model)
    first = runner.run(frames)
    for name, values in runner.run(frames).items():
        np.testing.assert_array_equal(values, first[name], err_msg=name)
    carried = runner.step(frames[0])
    runner.reset()
    cold = runner.step(frames[0])
    assert any((carried[name] != cold[name]).any() for name in cold)
    for name, values in cold.items():
        np.testing.assert_array_equal(values, first[name][0], err_msg=name)


def test_the_gate_test_is_strict(model: QuantizedModel) -> None:
    zero = model.activations["gate0_logits"].zero_point
    logits = np.array([[zero - 1, zero, zero + 1]], np.int8)
    other = np.full((1, 3), -128, np.int8)
    opened = open_gates(model, {"gate0_logits": logits, "gate1_logits": other})
    assert opened[0].tolist() == [[False, False, True]]


def test_a_static_network_has_no_gates() -> None:
    preset = tiny_preset(None)
    model = tiny_model(preset)
    assert open_gates(model, IntegerModel(model).run(frames_of(model, 2))) == []


def test_a_probe_adds_the_weights_of_open_gates(model: QuantizedModel) -> None:
    weights = np.arange(32, dtype=np.int16) * 1000
    probe = replace(model.probes[0], weights=weights, bias=-5)
    gates = [np.zeros(16, bool), np.zeros(16, bool)]
    assert probe_score(probe, gates) == -5
    gates[0][3] = gates[1][0] = gates[1][15] = True
    assert probe_score(probe, gates) == 3000 + 16000 + 31000 - 5  # more than int16 holds


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros(32, np.int8), r"must be int8 \[33\], not int8 \[32\]"),
        (np.zeros((1, 33), np.int8), r"not int8 \[1, 33\]"),
        (np.zeros(33, np.float32), r"not float32 \[33\]"),
    ],
)
def test_a_frame_of_another_kind_is_refused(
    model: QuantizedModel, frame: NDArray, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        IntegerModel(model).step(frame)


def test_no_frames_are_refused(model: QuantizedModel) -> None:
    with pytest.raises(UserError, match="no frames"):
        IntegerModel(model).run(np.zeros((0, 33), np.int8))


def test_a_saturated_sum_does_not_wrap(model: QuantizedModel) -> None:
    """The largest inputs and a bias at its limit end at the rail, with the right sign."""
    bias = np.full(33, 2**29, np.int32)
    bias[::2] *= -1
    loud = with_layer(with_activation(model, "back.input", zero_point=0), "back", bias=bias)
    frames = np.full((1, 33), 127, np.int8)
    mask = IntegerModel(loud).run(frames)["mask"][0]
    table = model.sigmoid_table
    assert mask[::2].tolist() == [table[0]] * 17
    assert mask[1::2].tolist() == [table[255]] * 16


@pytest.mark.parametrize("preset", [tiny_preset(), tiny_preset("hidden", 4, 1), tiny_preset(None)])
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_how_a_stream_is_cut_changes_no_byte(preset: Preset, data: st.DataObject) -> None:
    """Whole, frame by frame or in pieces, some shorter than the rings and some longer."""
    model = tiny_model(preset)
    frames = frames_of(model, 60)
    whole = IntegerModel(model).run(frames)
    cuts = sorted(data.draw(st.sets(st.integers(1, 59), max_size=12)))
    stream = IntegerModel(model)
    parts = []
    for start, stop in pairwise([0, *cuts, 60]):
        if data.draw(st.booleans()):
            rows = [stream.step(frame) for frame in frames[start:stop]]
            parts += [{name: values[None] for name, values in row.items()} for row in rows]
        else:
            parts.append(stream._advance(frames[start:stop]))
    for name, values in whole.items():
        np.testing.assert_array_equal(np.concatenate([p[name] for p in parts]), values, name)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 60])
def test_a_long_run_is_that_of_its_frames(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` takes some frames at once: at the seams the rings must hand over all they hold."""
    model = tiny_model(tiny_preset())
    frames = frames_of(model, 60)
    stream = IntegerModel(model)
    rows = [stream.step(frame) for frame in frames]
    monkeypatch.setattr(integer_model, "_CHUNK", chunk)
    outputs = stream.run(frames)
    for name, values in outputs.items():
        np.testing.assert_array_equal(values, [row[name] for row in rows], name)


def test_more_frames_than_are_taken_at_once(model: QuantizedModel) -> None:
    frames = np.tile(frames_of(model, 60), (18, 1))
    assert len(frames) > 2 * integer_model._CHUNK
    stream = IntegerModel(model)
    outputs = stream.run(frames)
    stream.reset()
    for start in (0, 300, 900):
        stop = {0: 300, 300: 900, 900: len(frames)}[start]
        for name, values in stream._advance(frames[start:stop]).items():
            np.testing.assert_array_equal(values, outputs[name][start:stop], name)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros(33, np.int8), r"must be int8 \[T, 33\], not int8 \[33\]"),
        (np.zeros((5, 32), np.int8), r"must be int8 \[T, 33\], not int8 \[5, 32\]"),
        (np.zeros((33, 5), np.int8), r"not int8 \[33, 5\]"),
        (np.zeros((1, 5, 33), np.int8), r"not int8 \[1, 5, 33\]"),
        (np.zeros((5, 33), np.float32), r"not float32 \[5, 33\]"),
        (np.zeros((5, 33), np.uint8), r"not uint8 \[5, 33\]"),
    ],
)
def test_frames_of_another_kind_are_refused(
    model: QuantizedModel, frames: NDArray, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        IntegerModel(model).run(frames)


def score_layer(model: QuantizedModel, accumulators: NDArray[np.int64]) -> NDArray[np.int64]:
    """The logits, above their zero point, of a score layer whose bias is all it adds."""
    name = "block0.score"
    zero_point = model.activations[model.layers[name].spec.input].zero_point
    scores = []
    for row in accumulators.reshape(-1, 16):
        layer = integer_model._Layer(with_layer(model, name, bias=row.astype(np.int32)), name)
        scores.append(layer(np.full((1, 4), zero_point))[0])
    return np.concatenate(scores) - model.activations["gate0_logits"].zero_point


def test_a_gate_is_open_exactly_where_its_logit_is_above_0(model: QuantizedModel) -> None:
    """Without the half step all logits of up to half an int8 step would be closed."""
    name = "block0.score"
    layer, grids = model.layers[name], model.activations
    step = grids[layer.spec.input].scale * layer.weight_scale.astype(np.float64)
    half_step = grids["gate0_logits"].scale / 2
    rng = np.random.default_rng(5)
    rows = 200
    # Logits of the float network within one int8 step of the threshold, and at its edge.
    logits = rng.uniform(-1, 1, (rows, 16)) * 2 * half_step
    logits[::2] *= 0.1
    accumulators = np.rint((logits + half_step) / step).astype(np.int64)
    opened = score_layer(model, accumulators).reshape(rows, 16) > 0
    held = accumulators * step - half_step
    # The multiplier has 31 bits, of which the first rounding keeps units of 2 ** -shift.
    sure = abs(held) > 2 * step
    assert sure.mean() > 0.9
    np.testing.assert_array_equal(opened[sure], held[sure] > 0)


def test_gates_have_no_bias_towards_closed(model: QuantizedModel) -> None:
    name = "block0.score"
    layer, grids = model.layers[name], model.activations
    step = grids[layer.spec.input].scale * layer.weight_scale.astype(np.float64)
    scale = grids["gate0_logits"].scale
    logits = np.random.default_rng(6).uniform(-scale, scale, (400, 16))
    shifted = np.rint((logits + scale / 2) / step).astype(np.int64)
    opened = score_layer(model, shifted) > 0
    assert abs(opened.mean() - (logits > 0).mean()) < 0.005
    # What the shift is there for: without it a quarter is lost.
    plain = score_layer(model, np.rint(logits / step).astype(np.int64)) > 0
    assert plain.mean() < 0.3


def test_the_score_of_a_rounded_network_carries_the_half_step() -> None:
    """From float weights to the gate: logits a tenth of a step above 0 open, others close."""
    preset = tiny_preset()
    for sign in (1, -1, 0):
        network = mixed_network(preset)
        scale = tiny_model(preset).activations["gate0_logits"].scale
        with torch.no_grad():
            network.blocks[0].gate.score.weight.zero_()
            network.blocks[0].gate.score.bias.fill_(sign * 0.1 * scale)
        model = round_network(network, tiny_model(preset).activations)
        outputs = IntegerModel(model).run(frames_of(model, 5))
        assert open_gates(model, outputs)[0].all() == (sign > 0)
        assert open_gates(model, outputs)[0].any() == (sign > 0), "a dead gate is 0, so closed"
