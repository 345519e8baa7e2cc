"""What a personalised network is calibrated on: scenes, with the embeddings they go with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dyncp import audio
from dyncp.data.speech import CACHE_FOLDER
from dyncp.embedding import Embedding
from dyncp.personal.checkpoints import SHIPPED, load_encoder
from dyncp.personal.enrolled import Enrolled
from dyncp.personal.scenes import Scenario, SceneSource
from dyncp.personal.settings import encoder_settings
from dyncp.personal.speaker_encoder import SETTINGS
from dyncp.preset import Preset

_SHARES: dict[Scenario, float] = {"TS1": 0.4, "TS2": 0.3, "TS3": 0.3}
_SECONDS = 4.0
_UNENROLLED = 0.5
"""Of the TS2 scenes: those with nobody's embedding."""


def scenes_fit(preset: Preset) -> bool:
    """Whether the speaker encoder that ships gives what the preset takes, at its rate."""
    return (
        preset.speaker is not None
        and preset.speaker.dimensions == encoder_settings()[1]
        and preset.audio.sample_rate == SETTINGS.sample_rate
    )


def calibration_scenes(
    preset: Preset, seconds: float, seed: int, shipped: Path = SHIPPED
) -> list[tuple[np.ndarray, Embedding]]:
    """Training scenes, about ``seconds`` in all: features float32 ``[bins, frames]`` each, and
    int8 ``[dimensions]``, by the speaker encoder that ships."""
    enrolled = Enrolled(
        SceneSource(preset.audio.sample_rate, "train", CACHE_FOLDER), load_encoder(shipped)
    )
    count = max(1, round(seconds / _SECONDS))
    scenes = enrolled.source.scenes((13, seed), count, _SECONDS, _SHARES, _UNENROLLED)
    rng = np.random.default_rng([13, seed, 1])
    return [
        (audio.features(preset.audio, scene.noisy), enrolled.embedding(scene.voice, rng))
        for scene in scenes
    ]
