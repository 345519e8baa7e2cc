"""A personalised network in integers: whom it keeps is in its biases, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dyncp.embedding import nobody, real
from dyncp.errors import UserError
from dyncp.network import GatedConvFSENet
from dyncp.preset import Preset
from quantize.agreement import compare_with_float
from quantize.arithmetic import Requantisation, quantise
from quantize.balance import balance
from quantize.calibrate import quantise_network, round_network
from quantize.clips import personalised, random_embedding
from quantize.integer_model import IntegerModel
from quantize.macs import dense_work, total
from quantize.model import QuantizedModel, load_model, save_model
from quantize.qat.network import FakeQuantNet
from quantize.qat.trainer import QatTrainer, Settings
from quantize.wiring import layer_specs
from tests.conftest import PERSONAL, tiny_preset
from tests.quantize.models import (
    audio_features,
    mixed_network,
    tiny_model,
    with_activation,
    with_layer,
)
from tests.quantize.plain import PlainNetwork

ALL = [*PERSONAL, (None, 1, 1, 8)]
each = pytest.mark.parametrize("preset", [tiny_preset(*s) for s in ALL], ids=lambda p: p.name)


def frames_of(model: QuantizedModel, frames: int) -> NDArray[np.int8]:
    grid = model.activations["features"]
    return quantise(audio_features(model.preset, frames, 8).T, grid.scale, grid.zero_point)


def without_speaker(model: QuantizedModel) -> QuantizedModel:
    """The network that is left when nobody's embedding is folded away."""
    preset = replace(model.preset, speaker=None)
    layers = {}
    for spec in layer_specs(preset):
        layer = model.layers[spec.name]
        columns = layer.weight[:, spec.inputs :].astype(np.int64)
        grids = (model.activations["embedding"], model.activations[spec.input])
        move = Requantisation(*((g.scale, g.zero_point) for g in grids))
        zero = int(move(np.zeros(1, np.int64))[0])
        bias = layer.bias + columns.sum(axis=1) * (zero - grids[1].zero_point)
        weight = layer.weight[:, : spec.inputs]
        layers[spec.name] = replace(layer, spec=spec, weight=weight, bias=bias.astype(np.int32))
    activations = {name: g for name, g in model.activations.items() if name != "embedding"}
    return QuantizedModel(preset, activations, layers, model.sigmoid_table, model.probes)


@each
def test_each_frame_is_what_plain_integers_give_for_whom_it_keeps(preset: Preset) -> None:
    """Somebody, somebody else, nobody and the ends of the bytes, while the rings go on."""
    model = tiny_model(preset)
    frames = frames_of(model, 14)
    embeddings = np.zeros((14, 8), np.int8)
    embeddings[:4] = random_embedding(8, 1)
    embeddings[4:8] = random_embedding(8, 2)
    embeddings[11:] = [127, -127] * 4
    runner = IntegerModel(model)
    expected = PlainNetwork(model).run(frames, embeddings)
    for frame, features in enumerate(frames):
        runner.set_embedding(embeddings[frame])
        for name, values in runner.step(features).items():
            np.testing.assert_array_equal(values, expected[name][frame], err_msg=name)
    everybody = IntegerModel(model).run(frames)
    somebody_counts = any((everybody[n] != values).any() for n, values in expected.items())
    assert somebody_counts


@each
def test_nobodys_embedding_is_the_network_without_one(preset: Preset) -> None:
    """To the byte: who never enrols hears what the unpersonalised network of these weights gives,
    whatever the embedding loses on the grids of the blocks' inputs."""
    model = tiny_model(preset)
    frames = frames_of(model, 40)
    stripped = without_speaker(model)
    plain = IntegerModel(stripped).run(frames)
    for name, values in IntegerModel(model).run(frames).items():
        np.testing.assert_array_equal(values, plain[name], err_msg=name)
    network = GatedConvFSENet(stripped.preset).eval()
    network.load_state_dict(mixed_network(preset).state_dict(), strict=False)
    grids = {name: grid for name, grid in model.activations.items() if name != "embedding"}
    for name, wanted in round_network(network, grids).layers.items():
        # Rows of other scales: those of the personalised network cover their columns, too.
        layers, scale = (stripped.layers[name], wanted), grids[wanted.spec.input].scale
        steps = [scale * layer.weight_scale.astype(np.float64) for layer in layers]
        biases = [layer.bias * step for layer, step in zip(layers, steps, strict=True)]
        assert (np.abs(biases[0] - biases[1]) <= sum(steps)).all(), name


def test_a_reset_keeps_whom_it_was_told_to_keep_and_a_new_instance_keeps_everybody() -> None:
    model = tiny_model(tiny_preset(*PERSONAL[0]))
    frames = frames_of(model, 10)
    runner = IntegerModel(model)
    everybody = runner.run(frames)["mask"]
    runner.set_embedding(random_embedding(8, 3))
    somebody = runner.run(frames)["mask"]
    assert (somebody != everybody).any()
    runner.reset()
    np.testing.assert_array_equal(np.stack([runner.step(f)["mask"] for f in frames]), somebody)
    runner.set_embedding(nobody(8))
    np.testing.assert_array_equal(runner.run(frames)["mask"], everybody)


@pytest.mark.parametrize("embedding", [
    np.zeros(7, np.int8), np.zeros((1, 8), np.int8), np.zeros(8, np.int16),
    np.array([0, -128, *[0] * 6], np.int8),
])  # fmt: skip
def test_what_is_no_embedding_is_refused_and_the_old_one_stays(embedding: NDArray) -> None:
    model = tiny_model(tiny_preset(*PERSONAL[0]))
    runner = IntegerModel(model)
    runner.set_embedding(random_embedding(8, 3))
    before = runner.run(frames_of(model, 5))["mask"]
    with pytest.raises(UserError, match="embedding"):
        runner.set_embedding(embedding)
    np.testing.assert_array_equal(runner.run(frames_of(model, 5))["mask"], before)


def test_a_network_that_keeps_everybody_takes_no_embedding(model: QuantizedModel) -> None:
    with pytest.raises(UserError, match="'tiny-output-1-5' takes no embedding"):
        IntegerModel(model).set_embedding(nobody(8))


def test_an_embedding_costs_no_multiply_accumulate_of_a_frame() -> None:
    """It stands still: who compares two models by their MACs must not be misled."""
    common, personal = tiny_preset("output"), tiny_preset("output", speaker=8)
    assert total(dense_work(personal)) == total(dense_work(common))


def test_the_integers_survive_the_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model = tiny_model(tiny_preset(*PERSONAL[0]))
    save_model(tmp_path / "quantized.npz", model)
    again = load_model(tmp_path / "quantized.npz")
    assert again.model_hash == model.model_hash
    assert again.layers["block0.up"].weight.shape == (32, 16 + 8)
    assert again.layers["block1.squeeze"].weight.shape == (4, 16 + 8)
    assert again.layers["block1.down"].weight.shape == (16, 32)


def test_the_columns_of_an_embedding_count_for_overflow() -> None:
    """A sum that only somebody's voice overflows would wrap on a device without a word."""
    model = tiny_model(tiny_preset(*PERSONAL[0]))
    layer = model.layers["block0.up"]
    bias = layer.bias.copy()
    own = np.abs(layer.weight[0, :16].astype(int)).sum() * 255
    both = np.abs(layer.weight[0].astype(int)).sum() * 255
    _, shift = model.multipliers("block0.up")
    room = (1 << 30) >> max(int(shift[0]), 0)
    bias[0] = room - (own + both) // 2
    with pytest.raises(UserError, match=r"block0\.up channel 0 can overflow"):
        with_layer(model, "block0.up", bias=bias)


def test_an_embedding_on_another_grid_is_refused() -> None:
    model = tiny_model(tiny_preset(*PERSONAL[0]))
    with pytest.raises(UserError, match="activation embedding must have scale 1/64"):
        with_activation(model, "embedding", zero_point=-127)


def test_calibration_hears_the_people_that_it_is_given() -> None:
    """Somebody may drive the hidden channels further than nobody does."""
    preset = tiny_preset(*PERSONAL[0])
    clips = [audio_features(preset, 60, seed) for seed in (7, 8)]
    loud = np.full(8, 127, np.int8)
    network = mixed_network(preset)
    grids = [
        quantise_network(network, each).activations
        for each in (clips, [(clip, loud) for clip in clips])
    ]
    assert grids[0]["block0.input"] == grids[1]["block0.input"]  # before the first embedding
    assert grids[0]["block0.hidden"] != grids[1]["block0.hidden"]
    chosen = personalised(preset, clips * 3, [loud])
    assert [int(clip[1][0]) for clip in chosen] == [127, 127, 127, 0, 127, 127]
    assert len({clip[1].tobytes() for clip in personalised(preset, clips * 3)}) == 6


@each
def test_balancing_leaves_what_an_embedding_does(preset: Preset) -> None:
    network = mixed_network(preset)
    clips = personalised(preset, [audio_features(preset, 60, seed) for seed in (7, 8)])
    features = torch.from_numpy(audio_features(preset, 60, 9))[None]
    somebody = torch.from_numpy(real(random_embedding(8, 4)))[None]
    with torch.inference_mode():
        masks = [n(features, somebody).mask for n in (network, balance(network, clips))]
    torch.testing.assert_close(*masks, rtol=0, atol=1e-4)


@pytest.mark.parametrize("compensated", [False, True])
def test_the_integers_follow_the_float_network_for_somebody(compensated: bool) -> None:
    """Whom calibration has not heard is kept as well as nobody is."""
    preset = tiny_preset(None, speaker=8)
    network = mixed_network(preset)
    clips = personalised(preset, [audio_features(preset, 120, seed) for seed in (5, 6, 7, 4)])
    model = quantise_network(network, clips, compensated=compensated)
    held_out = audio_features(preset, 120, 8)
    for embedding in (None, random_embedding(8, 77), random_embedding(8, 78)):
        assert compare_with_float(network, model, held_out, embedding).mask_snr > 30


def test_the_torch_form_follows_the_integers_through_a_change_of_whom_to_keep() -> None:
    for settings in PERSONAL:
        preset = tiny_preset(*settings)
        network, model = mixed_network(preset), tiny_model(preset)
        features = audio_features(preset, 120, 8)
        embeddings = np.repeat([random_embedding(8, 1), random_embedding(8, 2)], 60, axis=0)
        net = FakeQuantNet(network, model.activations, layers=model.layers)
        with torch.inference_mode():
            mask, logits = net(torch.from_numpy(features)[None], embeddings)
        runner = IntegerModel(model)
        rows = []
        for frame, embedding in zip(frames_of_features(model, features), embeddings, strict=True):
            runner.set_embedding(embedding)
            rows.append(runner.step(frame))
        zero = model.activations["gate0_logits"].zero_point
        opened = np.stack([row["gate0_logits"] for row in rows]) > zero
        assert ((logits[0][0].numpy().T > 0) == opened).mean() > 0.99
        gains = (np.stack([row["mask"] for row in rows]).astype(float) + 128) / 256
        assert np.median(np.abs(mask[0].numpy().T - gains) * 256) < 0.5


def frames_of_features(model: QuantizedModel, features: NDArray) -> NDArray[np.int8]:
    grid = model.activations["features"]
    return quantise(features.T, grid.scale, grid.zero_point)


def test_training_through_the_rounding_refuses_a_personalised_network(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from dyncp.checkpoint import Checkpoint

    preset = tiny_preset(*PERSONAL[0])
    checkpoint = Checkpoint(preset, mixed_network(preset))
    with pytest.raises(UserError, match="not know yet; use `python -m quantize ptq`"):
        QatTrainer(checkpoint, tiny_model(preset), [], tmp_path, settings=Settings(steps=1))
