"""Linear predictors on the gate masks: what the masks know about the sound.

With binary masks a prediction is a bias plus the weights of the open gates
(arXiv 2602.10666). Gates that hardly ever change (std below 0.005) are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from dyncp.data.labels import voice_activity
from dyncp.data.open import open_source
from dyncp.data.speakers import Split
from dyncp.enhance import enhance
from dyncp.network import GatedConvFSENet

_MINIMUM_STD = 0.005
_TIKHONOV = 0.01
_STREAM_SECONDS = 30.0
STREAM_PAUSE = 1.5
"""Mean pause between sentences, in s: about a third of a labelled stream is not speech."""


def labelled_gates(
    network: GatedConvFSENet, split: Split, minutes: float, seed: int, data: Path | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Gates ``[frames, blocks * gates]`` of noisy streams and their voice activity ``[frames]``.

    ``data`` as in :func:`dyncp.data.open.open_source`.
    """
    preset = network.preset
    source = open_source(data, preset.audio.sample_rate, split)
    rng = np.random.default_rng([17, seed])
    gates, active = [], []
    for _ in range(max(1, round(minutes * 60 / _STREAM_SECONDS))):
        mixture = source.mix(rng, _STREAM_SECONDS, pause=STREAM_PAUSE)
        frames = enhance(network, mixture.noisy).gates
        gates.append(frames.reshape(len(frames), -1))
        active.append(voice_activity(preset.audio, mixture.clean))
    return np.concatenate(gates), np.concatenate(active)


def fit_vad(gates: np.ndarray, active: np.ndarray) -> dict[str, Any]:
    """Fit a voice-activity probe: logistic regression with Tikhonov alpha 0.01.

    Gives ``{"name": "vad", "weights": float32 [gates], "bias": float}``; a score
    above 0 says "speech". Where no gate ever changes, or one answer is always
    right, the bias alone gives the commoner answer.
    """
    used = gates.std(axis=0) > _MINIMUM_STD
    if not used.any() or active.all() or not active.any():
        share = np.clip(active.mean(), 1e-3, 1 - 1e-3)
        nothing = np.zeros(gates.shape[1], np.float32)
        return {"name": "vad", "weights": nothing, "bias": float(np.log(share / (1 - share)))}
    scaler = StandardScaler()
    features = scaler.fit_transform(gates[:, used].astype(np.float32))
    model = LogisticRegression(C=1.0 / (_TIKHONOV * len(features)), max_iter=500)
    model.fit(features, active)
    weights = np.zeros(gates.shape[1])
    weights[used] = model.coef_[0] / scaler.scale_
    bias = float(model.intercept_[0] - (model.coef_[0] * scaler.mean_ / scaler.scale_).sum())
    return {"name": "vad", "weights": weights.astype(np.float32), "bias": bias}


def scores(probe: dict[str, Any], gates: np.ndarray) -> np.ndarray:
    """A probe's score for every frame of ``[frames, blocks * gates]``."""
    return np.asarray(gates @ probe["weights"] + probe["bias"])
