"""Frames that no recording holds must reach what recordings do not."""

from __future__ import annotations

import numpy as np
import pytest

from convert.adversarial import adversarial_sequences, longest_ring, silent_frame
from convert.ladder import FrameSequence
from dyncp import audio
from dyncp.preset import Preset, load_preset
from quantize.arithmetic import quantise
from quantize.model import QuantizedModel
from tests.conftest import tiny_preset
from tests.quantize.models import tiny_model


@pytest.fixture(scope="module")
def model() -> QuantizedModel:
    return tiny_model(tiny_preset())


@pytest.fixture(scope="module")
def made(model: QuantizedModel) -> dict[str, FrameSequence]:
    return {sequence.name: sequence for sequence in adversarial_sequences(model)}


@pytest.mark.parametrize(
    ("preset", "ring"),
    [
        (load_preset("paper-grouped"), 42),
        (load_preset("static"), 8),
        (tiny_preset(pool_frames=1), 4),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_longest_ring_is_that_of_gates_or_taps(preset: Preset, ring: int) -> None:
    assert longest_ring(preset) == ring


def test_every_sequence_lets_the_rings_wrap_at_least_twice(
    model: QuantizedModel, made: dict[str, FrameSequence]
) -> None:
    """A ring that is read one frame too old shows only once it has wrapped."""
    for sequence in made.values():
        assert sequence.adversarial
        assert sequence.frames.dtype == np.int8
        assert sequence.frames.shape[1] == model.preset.audio.bins
        assert len(sequence.frames) > 2 * longest_ring(model.preset)


def test_the_extremes_are_there(made: dict[str, FrameSequence]) -> None:
    assert (made["full scale"].frames == 127).all()
    assert (made["lowest value"].frames == -128).all()
    turns = made["extremes in turn"].frames
    assert (turns[::2] == 127).all() and (turns[1::2] == -128).all()
    assert set(np.unique(made["random extremes"].frames)) == {-128, 127}
    spread = np.unique(made["random values"].frames)
    assert len(spread) > 200 and {-128, 127} <= set(spread)


def test_silence_is_what_a_silent_recording_gives(
    model: QuantizedModel, made: dict[str, FrameSequence]
) -> None:
    grid = model.activations["features"]
    silent = audio.features(model.preset.audio, np.zeros(1000))
    wanted = quantise(silent.T, grid.scale, grid.zero_point)
    frames = made["silence"].frames
    assert (frames == wanted[0]).all() and (wanted == wanted[0]).all()


def test_impulses_stand_alone_in_silence(
    model: QuantizedModel, made: dict[str, FrameSequence]
) -> None:
    silent = silent_frame(model)
    moving = made["an impulse in one bin"].frames
    assert ((moving != silent).sum(axis=1) == 1).all()
    bins = np.argmax(moving != silent, axis=1)
    assert (bins[0], bins[-1]) == (0, model.preset.audio.bins - 1)
    clicks = made["single full frames in silence"].frames
    full = (clicks == 127).all(axis=1)
    assert full[0] and not (full[1:] & full[:-1]).any()
    assert full.sum() >= 4 and (clicks[~full] == silent).all()


def test_the_seed_decides_the_random_ones_alone(
    model: QuantizedModel, made: dict[str, FrameSequence]
) -> None:
    """A difference that was found must be found again."""
    for again, same in (
        (adversarial_sequences(model, 0), True),
        (adversarial_sequences(model, 1), False),
    ):
        for sequence in again:
            equal = np.array_equal(sequence.frames, made[sequence.name].frames)
            assert equal is (same or not sequence.name.startswith("random"))
