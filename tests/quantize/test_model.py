"""``quantized.npz``: nothing lost, nothing foreign read, and a name that changes with a bit."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dyncp.errors import UserError
from dyncp.preset import Preset, parse_preset
from quantize.model import Activation, QuantizedModel, load_model, save_model
from tests.conftest import tiny_values
from tests.quantize.models import tiny_model, with_activation, with_layer

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def stored(model: QuantizedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "quantized.npz"
    save_model(path, model)
    return path


def test_a_model_round_trips_byte_for_byte(any_tiny_preset: Preset, tmp_path: Path) -> None:
    model = tiny_model(any_tiny_preset)
    save_model(tmp_path / "first.npz", model)
    loaded = load_model(tmp_path / "first.npz")
    save_model(tmp_path / "second.npz", loaded)
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()
    assert loaded.preset == model.preset
    assert loaded.activations == model.activations
    assert loaded.model_hash == model.model_hash
    np.testing.assert_array_equal(loaded.sigmoid_table, model.sigmoid_table)
    assert list(loaded.layers) == list(model.layers)
    for name, layer in model.layers.items():
        for part in ("weight", "weight_scale", "bias"):
            ours, theirs = getattr(layer, part), getattr(loaded.layers[name], part)
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(model.probes, loaded.probes, strict=True):
        assert (ours.name, ours.bias, ours.scale) == (theirs.name, theirs.bias, theirs.scale)
        np.testing.assert_array_equal(ours.weights, theirs.weights)


def test_the_file_does_not_tell_when_it_was_written(stored: Path) -> None:
    with zipfile.ZipFile(stored) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_numpy_reads_the_arrays_that_the_contract_names(
    stored: Path, model: QuantizedModel
) -> None:
    with np.load(stored) as arrays:
        front = arrays["layer/front/weight"]
        assert (front.dtype, front.shape) == (np.int8, (16, 33))
        assert arrays["layer/block1.depthwise/weight"].shape == (32, 3)
        assert arrays["layer/block0.score/bias"].dtype == np.int32
        assert arrays["activation/mask"].tolist() == [1 / 256, -128]
        assert arrays["probe/vad/weights"].dtype == np.int16
        assert arrays["sigmoid_table"].shape == (256,)


def changed(array: np.ndarray, place: int) -> np.ndarray:
    """A copy with one element moved by the least that keeps a model sound."""
    other = array.copy()
    value = other.flat[place]
    if array.dtype == np.float32:
        other.flat[place] = np.nextafter(value, np.float32(0))
    else:
        other.flat[place] += -1 if value > 0 else 1
    return other


def test_the_hash_changes_with_every_number(model: QuantizedModel) -> None:
    others = []
    for name, grid in model.activations.items():
        if name == "mask":
            continue
        smaller = float(np.nextafter(np.float32(grid.scale), np.float32(1)))
        others.append(with_activation(model, name, scale=smaller))
        moved = grid.zero_point + (1 if grid.zero_point < 0 else -1)
        others.append(with_activation(model, name, zero_point=moved))
    for name, layer in model.layers.items():
        for part in ("weight", "weight_scale", "bias"):
            array = getattr(layer, part)
            for place in (0, array.size // 2, array.size - 1):
                others.append(with_layer(model, name, **{part: changed(array, place)}))
    others += [replace(model, sigmoid_table=changed(model.sigmoid_table, p)) for p in (0, 255)]
    probe = model.probes[0]
    probes: list[tuple] = [
        (replace(probe, weights=changed(probe.weights, 31)),),
        (replace(probe, bias=probe.bias + 1),),
        (replace(probe, scale=probe.scale * 2),),
        (replace(probe, name="vat"),),
        (),
    ]
    others += [replace(model, probes=each) for each in probes]
    assert len({model.model_hash, *(other.model_hash for other in others)}) == 1 + len(others)


def test_every_single_bias_is_in_the_hash(model: QuantizedModel) -> None:
    hashes = {model.model_hash}
    bias = model.layers["block0.down"].bias
    for channel in range(len(bias)):
        other = bias.copy()
        other[channel] ^= 1
        hashes.add(with_layer(model, "block0.down", bias=other).model_hash)
    assert len(hashes) == 1 + len(bias)


def test_the_hash_is_of_the_architecture_not_of_name_and_training(model: QuantizedModel) -> None:
    renamed = replace(model, preset=replace(model.preset, name="other"))
    assert renamed.model_hash == model.model_hash
    values = tiny_values()
    values["training"]["seed"] = 9
    values["gate"]["utilisation"] = 0.5
    trained = replace(model, preset=parse_preset("tiny", values, "tiny"))
    assert trained.model_hash == model.model_hash
    values["network"]["dilations"] = [2, 1]
    rewired = replace(model, preset=parse_preset("tiny", values, "tiny"))
    assert rewired.model_hash != model.model_hash


def refused(path: Path) -> str:
    """The message with which ``path`` is refused: one line that names it."""
    with pytest.raises(UserError) as error:
        load_model(path)
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_truncated_file_is_refused(stored: Path, tmp_path: Path) -> None:
    data = stored.read_bytes()
    for length in [*range(0, len(data), 397), len(data) - 1]:
        path = tmp_path / "cut.npz"
        path.write_bytes(data[:length])
        assert "not a readable quantised model" in refused(path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_a_damaged_file_is_refused_or_harmless(
    stored: Path, model: QuantizedModel, tmp_path: Path, position: float, bits: int
) -> None:
    data = bytearray(stored.read_bytes())
    data[int(position * len(data))] ^= bits
    path = tmp_path / "damaged.npz"
    path.write_bytes(data)
    try:
        loaded = load_model(path)
    except UserError as error:
        assert "\n" not in str(error)
    else:  # a date or a flag of the archive
        assert loaded.model_hash == model.model_hash
        assert loaded.preset == model.preset


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    assert "no such quantised model" in refused(tmp_path / "none.npz")
    assert "no such quantised model" in refused(tmp_path)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b"RIFF____WAVE, not a model at all"),
        lambda path: np.save(path.open("wb"), np.zeros(3)),
        lambda path: np.savez(path, a=np.array([{}], object)),
        lambda path: zipfile.ZipFile(path, "w").close(),
    ],
    ids=["text", "npy", "pickle", "empty zip"],
)
def test_a_foreign_file_is_refused(write: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "foreign.npz"
    write(path)
    refused(path)


def without(name: str) -> Callable[[Arrays], Any]:
    return lambda arrays: arrays.pop(name)


def having(name: str, value: Any) -> Callable[[Arrays], Any]:
    return lambda arrays: arrays.update({name: np.asarray(value)})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (without("layer/block1.up/bias"), "lacks the array 'layer/block1.up/bias'"),
        (without("preset"), "lacks the array 'preset'"),
        (without("activation/back.input"), "lacks the array 'activation/back.input'"),
        (without("probe/vad/scale"), "lacks the array 'probe/vad/scale'"),
        (having("layer/block2.up/bias", 0), "'layer/block2.up/bias' belongs to no part"),
        (having("preset", 5), "not a quantised model"),
        (having("preset", "[]"), "not a quantised model"),
        (having("preset", "{"), "not a quantised model"),
        (having("preset", '{"name": "x", "audio": {}}'), r"\[audio\] lacks the key"),
        (having("activation/features", [0.5]), "not a quantised model"),
        (having("activation/features", [0.5, 1.5]), "zero point 1.5 is not an int8 value"),
        (having("activation/features", [0.5, np.inf]), "not a quantised model"),
        (having("activation/features", ["a", "b"]), "not a quantised model"),
        (having("probe/vad/bias", np.inf), "not a quantised model"),
        (having("layer/front/weight", np.zeros((33, 16), np.int8)), r"expected int8 \[16, 33\]"),
        (having("sigmoid_table", np.zeros(256)), r"sigmoid_table is float64 \[256\]"),
    ],
)
def test_what_is_wrong_with_an_array_is_named(
    stored: Path, tmp_path: Path, edit: Callable[[Arrays], Any], message: str
) -> None:
    with np.load(stored) as archive:
        arrays = {name: archive[name] for name in archive.files}
    edit(arrays)
    path = tmp_path / "edited.npz"
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=message):
        load_model(path)
    refused(path)


def test_probes_of_classes_survive_the_file(model: QuantizedModel, tmp_path: Path) -> None:
    """Their names hold a slash, as the archive's own do."""
    names = ["noise/babble", "noise/car", "vad"]
    named = replace(model, probes=tuple(replace(model.probes[0], name=name) for name in names))
    save_model(tmp_path / "m.npz", named)
    assert [probe.name for probe in load_model(tmp_path / "m.npz").probes] == names


def test_multipliers_are_those_of_the_scales(model: QuantizedModel) -> None:
    layer = model.layers["block0.down"]
    multiplier, shift = model.multipliers("block0.down")
    source, target = (model.activations[f"block0.{part}"].scale for part in ("filtered", "update"))
    real = source * layer.weight_scale.astype(np.float64) / target
    np.testing.assert_allclose(multiplier * 2.0 ** (shift - 31), real, rtol=2.0**-31)


def test_a_grid_is_compared_by_value() -> None:
    assert Activation(0.5, 3) == Activation(0.5, 3) != Activation(0.5, 4)
