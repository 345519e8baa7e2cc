"""A file that is gone on with must be as if nothing had happened: enough is sent again."""

from __future__ import annotations

import numpy as np
import pytest

from dyncp.preset import Preset
from firmware_bridge.stream import history_hops
from quantize.arithmetic import quantise
from quantize.integer_model import IntegerModel
from tests.conftest import tiny_preset
from tests.quantize.models import audio_features, tiny_model

STEP = 3


@pytest.mark.parametrize(
    "preset",
    [tiny_preset("hidden", 8, 5), tiny_preset("hidden", 8, 1), tiny_preset("output", 1, 5)],
    ids=lambda preset: preset.name,
)
def test_a_frame_depends_on_no_older_one_than_the_history(preset: Preset) -> None:
    """Also by gates that closed what is in the rings: those of the hidden site."""
    model = tiny_model(preset)
    grid = model.activations["features"]
    features = audio_features(preset, 400, 3)
    frames = quantise(features.T, grid.scale, grid.zero_point)
    runner = IntegerModel(model)
    whole = runner.run(frames)["mask"]
    # Of the history one hop is the output's other frame, one the first frame's other hop.
    before = history_hops(preset) - 2
    for frame in range(before, len(frames), STEP):
        late = runner.run(frames[frame - before : frame + 1])["mask"]
        np.testing.assert_array_equal(late[-1], whole[frame], err_msg=f"frame {frame}")
