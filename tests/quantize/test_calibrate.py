"""What calibration saw is what the integers cover, and every weight is its float, rounded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional as F

from dyncp.errors import UserError
from dyncp.preset import Preset
from quantize.arithmetic import dequantise, quantise, sigmoid_values
from quantize.calibrate import (
    activation,
    logit_activation,
    quantise_network,
    sigmoid_activation,
)
from quantize.checks import LOGIT_SHIFT, check_logit_scale
from quantize.integer_model import probe_score
from quantize.model import QuantizedModel
from quantize.ranges import Range, observe
from quantize.wiring import activation_names
from tests.conftest import tiny_preset
from tests.quantize.models import audio_features, mixed_network, probe_of, tiny_model

ranges = st.builds(Range, st.floats(-100, 0, width=32), st.floats(0, 100, width=32))


@torch.no_grad()
def extremes(preset: Preset, features: NDArray[np.float32]) -> dict[str, tuple[float, float]]:
    """Every activation of the float network, computed step by step."""
    network = mixed_network(preset)
    seen: dict[str, list[torch.Tensor]] = {"features": [torch.from_numpy(features)]}
    x = F.relu(network.front(torch.from_numpy(features)[None, :, :, None]))
    for index, block in enumerate(network.blocks):
        seen[f"block{index}.input"] = [x]
        openings = torch.ones(1, 1, x.shape[2], 1)
        if preset.gate:
            past = F.pad(x, (0, 0, preset.gate.pool_frames - 1, 0))
            pooled = past.unfold(2, preset.gate.pool_frames, 1).mean(dim=-1)
            squeezed = F.relu(block.gate.squeeze(pooled))
            logits = block.gate.score(squeezed)
            openings = (logits > 0).float().repeat_interleave(preset.gate.group, dim=1)
            seen[f"block{index}.squeezed"], seen[f"gate{index}_logits"] = [squeezed], [logits]
        site = preset.gate.site if preset.gate else None
        wide = F.relu(block.up_norm(block.up(x)))
        seen[f"block{index}.hidden"] = [wide]
        wide = wide * openings if site == "hidden" else wide
        filtered = block.depthwise(F.pad(wide, (0, 0, 2 * block.dilation, 0)))
        filtered = F.relu(block.depthwise_norm(filtered))
        seen[f"block{index}.filtered"] = [filtered]
        update = block.down(filtered * openings if site == "hidden" else filtered)
        seen[f"block{index}.update"] = [update]
        x = x + (update * openings if site == "output" else update)
    seen["back.input"], seen["mask_logits"] = [x], [network.back(x)]
    found = {
        name: (min(0.0, float(v.min())), max(0.0, float(v.max()))) for name, (v,) in seen.items()
    }
    if preset.speaker:  # bytes of -128 to 127, in steps of 1/64 from 0, fit beside every block
        found["embedding"] = (0.0, 255 / 64)
        for name in (f"block{index}.input" for index in range(preset.blocks)):
            found[name] = found[name][0], max(found[name][1], 255 / 64)
    return found


def test_the_ranges_are_those_of_the_network(any_tiny_preset: Preset) -> None:
    features = audio_features(any_tiny_preset, 300, seed=8)
    found = observe(mixed_network(any_tiny_preset), [features], "minmax")
    expected = extremes(any_tiny_preset, features)
    assert set(found) == set(expected) == set(activation_names(any_tiny_preset)) - {"mask"}
    for name, (low, high) in expected.items():
        assert found[name].low == pytest.approx(low, rel=1e-4, abs=1e-5), name
        assert found[name].high == pytest.approx(high, rel=1e-4, abs=1e-5), name


def test_several_clips_widen_the_ranges() -> None:
    preset = tiny_preset()
    network = mixed_network(preset)
    clips = [audio_features(preset, 100, seed) for seed in (7, 8)]
    both = observe(network, clips, "minmax")
    single = [observe(network, [clip], "minmax") for clip in clips]
    for name, seen in both.items():
        assert seen.low == min(one[name].low for one in single)
        assert seen.high == max(one[name].high for one in single)


@given(ranges, st.lists(st.floats(0, 1), min_size=1))
def test_a_grid_covers_its_range_and_holds_zero(seen: Range, places: list[float]) -> None:
    grid = activation(seen)
    assert -128 <= grid.zero_point <= 127
    assert dequantise(np.array([grid.zero_point], np.int8), grid.scale, grid.zero_point)[0] == 0
    values = np.array([seen.low + p * (seen.high - seen.low) for p in places], np.float32)
    back = dequantise(quantise(values, grid.scale, grid.zero_point), grid.scale, grid.zero_point)
    # The zero point is rounded, so one end may be half a step outside.
    assert np.abs(back - values).max() <= grid.scale * 1.001


@given(ranges)
def test_a_grid_wastes_no_steps(seen: Range) -> None:
    span = seen.high - seen.low
    if span > 1e-3:
        assert activation(seen).scale == pytest.approx(span / 255, rel=1e-6)


def test_a_tensor_that_never_woke_gets_a_grid() -> None:
    grid = activation(Range())
    assert grid.scale == np.float32(1e-3 / 255)
    assert grid.zero_point == -128


@given(ranges)
def test_logits_get_a_scale_that_the_gate_test_bears(seen: Range) -> None:
    grid = logit_activation(seen)
    check_logit_scale("gate0_logits", grid.scale)
    assert grid.scale == float(np.float32(grid.scale))
    # Open and closed both remain possible where both were seen by a step or more.
    assert seen.high < grid.scale or grid.zero_point < 127
    assert seen.low > -grid.scale or grid.zero_point > -128


def test_quiet_logits_get_the_least_scale() -> None:
    assert 0.002 <= logit_activation(Range(-1e-4, 1e-4)).scale < 0.0020001
    assert logit_activation(Range(-1, 1)).scale == pytest.approx(2 / 255)


def test_loud_logits_saturate_but_keep_their_sign() -> None:
    grid = logit_activation(Range(-1000, 2000))
    assert quantise(np.array([-1000, -0.6, 0.6, 2000]), grid.scale, grid.zero_point).tolist() == [
        -128, -1, 1, 127,
    ]  # fmt: skip


@given(ranges)
def test_no_entry_of_the_sigmoid_table_is_near_a_tie(seen: Range) -> None:
    plain, grid = activation(seen), sigmoid_activation(activation(seen))
    values = sigmoid_values(grid.scale, grid.zero_point)
    assert np.abs(values % 1.0 - 0.5).min() >= 1e-3
    assert plain.scale <= grid.scale < plain.scale * 1.5
    assert grid.zero_point == plain.zero_point


State = dict[str, NDArray[np.float64]]


def folded(state: State, layer: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Float weights ``[outputs, inputs]`` and bias of a layer, batch norm folded in."""
    if "." not in layer:
        weight = state[f"{layer}.weight"]
        return weight.reshape(len(weight), -1), state[f"{layer}.bias"]
    block, role = layer.removeprefix("block").split(".")
    inner = f"blocks.{block}." + ("gate." if role in ("squeeze", "score") else "")
    weight = state[f"{inner}{role}.weight"]
    weight = weight.reshape(len(weight), -1)
    if role not in ("up", "depthwise"):
        return weight, state[f"{inner}{role}.bias"]
    norm = {k: state[f"{inner}{role}_norm.{k}"] for k in ("weight", "bias")}
    mean, variance = (state[f"{inner}{role}_norm.running_{k}"] for k in ("mean", "var"))
    factor = norm["weight"] / np.sqrt(variance + 1e-5)
    return weight * factor[:, None], norm["bias"] - mean * factor


def columns_of(state: dict[str, NDArray[np.float64]], name: str) -> NDArray[np.float64]:
    """What a layer multiplies an embedding by, batch norm folded in."""
    block, role = name.removeprefix("block").split(".")
    if role == "squeeze":
        return state[f"blocks.{block}.gate.squeeze_speaker.weight"]
    norm = f"blocks.{block}.up_norm"
    factor = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"] + 1e-5)
    return state[f"blocks.{block}.up_speaker.weight"] * factor[:, None]


def test_every_weight_is_its_float_rounded(any_tiny_preset: Preset) -> None:
    model = tiny_model(any_tiny_preset)
    network = mixed_network(any_tiny_preset)
    state = {name: values.double().numpy() for name, values in network.state_dict().items()}
    for name, layer in model.layers.items():
        weight, bias = folded(state, name)
        if layer.spec.embedding:
            weight = np.concatenate([weight, columns_of(state, name)], axis=1)
        steps = layer.weight_scale.astype(np.float64)
        error = weight / steps[:, None] - layer.weight
        assert np.abs(error).max() <= 0.5 + 1e-3, name
        # Each channel has a scale of its own and uses all of it.
        assert np.abs(layer.weight.astype(int)).max(axis=1).tolist() == [127] * len(weight), name
        step = model.activations[layer.spec.input].scale * steps
        if layer.spec.embedding:
            # Nobody's embedding, 2 everywhere, gives with its columns the bias of everybody.
            grid = model.activations[layer.spec.input]
            nobodys = int(quantise(np.float32(2), grid.scale, grid.zero_point)) - grid.zero_point
            columns = layer.weight[:, layer.spec.inputs :].astype(int).sum(axis=1) * nobodys
            bias = bias - columns * step
        if layer.spec.role == "score":
            # So that any logit above 0 is above the zero point once it is rounded.
            bias = bias + model.activations[layer.spec.output].scale * LOGIT_SHIFT - step / 2
        assert np.abs(bias / step - layer.bias).max() <= 0.5 + 1e-5 * np.abs(layer.bias).max()


def test_a_dead_channel_and_a_loud_bias_are_borne() -> None:
    preset = tiny_preset()
    network = mixed_network(preset)
    with torch.no_grad():
        network.back.weight[3] = 0
        network.back.bias[3] = 4.0
        network.front.weight[5] = 1e-12
        network.front.bias[5] = 0
    model = quantise_network(network, [audio_features(preset, 200, seed=7)])
    back = model.layers["back"]
    assert not back.weight[3].any()
    step = model.activations["back.input"].scale * float(back.weight_scale[3])
    assert int(back.bias[3]) * step == pytest.approx(4.0, rel=1e-6)
    assert abs(int(back.bias[3])) <= 2**28 * (1 + 1e-6)  # the scale is a float32
    assert not model.layers["front"].bias[5]


def test_a_probe_keeps_its_score(model: QuantizedModel) -> None:
    probe, floating = model.probes[0], probe_of(model.preset)
    rng = np.random.default_rng(3)
    for _ in range(20):
        gates = list(rng.random((2, 16)) < 0.5)
        score = floating["bias"] + floating["weights"][np.concatenate(gates)].sum()
        assert probe_score(probe, gates) * probe.scale == pytest.approx(score, abs=33 * probe.scale)
    assert np.abs(probe.weights.astype(int)).max() == 32767


def test_rows_of_one_task_share_a_scale() -> None:
    """The device compares their integers: at other scales another class would win."""
    preset = tiny_preset()
    rng = np.random.default_rng(4)
    rows = [
        {"name": name, "weights": size * rng.normal(size=32), "bias": bias}
        for name, size, bias in (
            ("noise/a", 0.01, 0.3), ("snr", 9.0, 2.0), ("noise/b", 2.0, -0.1), ("noise/c", 0.3, 0.2)
        )
    ]  # fmt: skip
    model = quantise_network(mixed_network(preset), [audio_features(preset, 50, seed=7)], rows)
    a, snr, b, c = model.probes
    assert a.scale == b.scale == c.scale != snr.scale
    assert np.abs(b.weights.astype(int)).max() == np.abs(snr.weights.astype(int)).max() == 32767
    for probe, row in zip(model.probes, rows, strict=True):
        np.testing.assert_allclose(probe.weights * probe.scale, row["weights"], atol=probe.scale)
        assert probe.bias * probe.scale == pytest.approx(row["bias"], abs=probe.scale)


@pytest.mark.parametrize("part", ["weights", "bias"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_probe_that_is_not_finite_is_named(part: str, value: float) -> None:
    preset = tiny_preset()
    probe = probe_of(preset)
    probe[part] = probe["weights"] * value if part == "weights" else value
    with pytest.raises(UserError, match="probe 'vad' holds a number that is not finite"):
        quantise_network(mixed_network(preset), [audio_features(preset, 50, seed=7)], [probe])


def test_an_empty_probe_and_one_that_is_all_bias() -> None:
    preset = tiny_preset()
    probes = [
        {"name": "none", "weights": np.zeros(32, np.float32), "bias": 0.0},
        {"name": "bias", "weights": np.full(32, 1e-9, np.float32), "bias": -1e6},
    ]
    model = quantise_network(mixed_network(preset), [audio_features(preset, 50, seed=7)], probes)
    none, bias = model.probes
    assert (none.bias, none.weights.any()) == (0, False)
    assert bias.bias * bias.scale == pytest.approx(-1e6)


def test_calibration_without_a_frame_is_refused() -> None:
    network = mixed_network(tiny_preset())
    with pytest.raises(UserError, match="needs at least one frame"):
        quantise_network(network, [])
    with pytest.raises(UserError, match="needs at least one frame"):
        quantise_network(network, [np.zeros((33, 0), np.float32)])


def test_features_that_are_not_finite_are_refused() -> None:
    features = np.zeros((33, 4), np.float32)
    features[3, 2] = np.nan
    network = mixed_network(tiny_preset())
    with pytest.raises(UserError, match="not finite"):
        quantise_network(network, [features])
    assert not network.front._forward_hooks  # a failure leaves no hooks behind


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", ["weight", "bias"])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_network_that_diverged_is_refused_where_it_did(value: float, part: str) -> None:
    """It must not become a model, nor a page of numpy's warnings."""
    preset = tiny_preset()
    network = mixed_network(preset)
    with torch.no_grad():
        getattr(network.blocks[1].down, part)[2] = value
    with pytest.raises(UserError, match=r"block1\.update is not finite.*diverged"):
        quantise_network(network, [audio_features(preset, 20, seed=7)])


def test_silence_calibrates() -> None:
    """Features of digital silence are a constant; every grid must still be sound."""
    preset = tiny_preset()
    model = quantise_network(mixed_network(preset), [np.full((33, 20), 0.03, np.float32)])
    assert all(grid.scale > 0 for grid in model.activations.values())
