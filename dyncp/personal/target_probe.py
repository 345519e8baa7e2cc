"""What the gates of a personalised network know of who speaks, against the trained pVAD.

Two probes, in the form of those of every checkpoint: ``target``, the target speaks, and
``vad``, somebody does. Where gates say it, a device has a personal VAD for a few additions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dyncp import audio
from dyncp.checkpoint import load_checkpoint
from dyncp.data.speakers import Split
from dyncp.data.speech import CACHE_FOLDER
from dyncp.errors import UserError
from dyncp.personal.checkpoints import load_encoder, load_pvad, save_enhancer_checkpoint
from dyncp.personal.enhancers import Enhancer
from dyncp.personal.enrolled import Enrolled
from dyncp.personal.pvad import PersonalVad, Speech, speech_labels
from dyncp.personal.scenes import Scenario, Scene, SceneSource
from dyncp.personal.settings import NetworkSettings, network_names
from dyncp.personal.settings import speeds as training_speeds
from dyncp.personal.speaker_encoder import SETTINGS
from dyncp.personal.voices import SPEEDS
from dyncp.probes.linear import LinearModel, fit
from dyncp.probes.shipped import SHIPPED_GATES, scores
from dyncp.probes.tasks import Task, judge

TARGET, ANYBODY = "target", "vad"
_YES = Task("vad", "yes")
_SHARES: dict[Scenario, float] = {"TS1": 0.5, "TS2": 0.2, "TS3": 0.3}
_SECONDS = 6.0
_STRIDE = 3
"""Probes are fitted on every third frame: neighbours are alike."""
_GATE_COUNTS = (16, 32, 64, 128, SHIPPED_GATES)
_TRAIN_SEED, _TEST_SEED = 41, 43


@dataclass(frozen=True)
class Seen:
    """``gates`` bool ``[frames, blocks * gates]``; ``speech`` int, of :class:`Speech`;
    ``vad`` float: the pVAD's probability of the target; ``scene`` int: which one."""

    gates: np.ndarray
    speech: np.ndarray
    vad: np.ndarray
    scene: np.ndarray

    def labels(self, probe: str) -> np.ndarray:
        """The truth of a probe, 0 or 1: float32 ``[frames]``."""
        return np.asarray(
            self.speech == Speech.TARGET if probe == TARGET else self.speech != Speech.NONE,
            np.float32,
        )


@torch.no_grad()
def observe_scenes(
    enhancer: Enhancer, vad: PersonalVad, enrolled: Enrolled, scenes: list[Scene]
) -> Seen:
    """What gates and pVAD say of every frame of the scenes."""
    parts = []
    for number, scene in enumerate(scenes):
        samples = len(scene.noisy) // SETTINGS.hop * SETTINGS.hop
        noisy = torch.from_numpy(scene.noisy[:samples])[None]
        embedding = enrolled.embeddings([scene])
        features = enhancer.transform.features(enhancer.transform.spectrum(noisy))
        logits = enhancer.network(features, embedding).logits
        gates = torch.cat([block[0] > 0 for block in logits]).T.numpy()
        probability = vad.target_probability(features, embedding)[0].numpy()
        speech = speech_labels(scene)[: len(gates)]
        parts.append((gates, speech, probability, np.full(len(gates), number)))
    return Seen(*(np.concatenate(column) for column in zip(*parts, strict=True)))


@torch.no_grad()
def target_probability(scene: Scene, enrolled: Enrolled, vad: PersonalVad) -> np.ndarray:
    """What the pVAD says of a scene: that its user speaks, float32 ``[frames]``, 0..1."""
    features = torch.from_numpy(audio.features(SETTINGS, scene.noisy))[None]
    found = vad.target_probability(features, enrolled.embeddings([scene]))
    return np.asarray(found[0].numpy())


def scenes_of(enrolled: Enrolled, count: int) -> list[Scene]:
    """The scenes that probes are fitted on, or, of other splits, chosen by and judged on."""
    seed = _TRAIN_SEED if enrolled.source.split == "train" else _TEST_SEED
    return enrolled.source.scenes((seed,), count, _SECONDS, _SHARES)


def fit_target_probes(seen: Seen, most: int = SHIPPED_GATES) -> list[dict[str, Any]]:
    """Rows for :attr:`dyncp.checkpoint.Checkpoint.probes`: ``target`` and ``vad``.

    They share the gates that matter most, ``most`` of them, as the probes of every checkpoint do.
    """
    gates = seen.gates[::_STRIDE]

    def fitted(name: str, columns: np.ndarray) -> LinearModel:
        return fit(_YES, gates[:, columns], seen.labels(name)[::_STRIDE], 2)

    names = (TARGET, ANYBODY)
    total = np.zeros(gates.shape[1])
    for name in names:
        importance = fitted(name, np.arange(gates.shape[1])).importance
        total += importance / max(importance.sum(), 1e-12)
    best = np.argsort(total, kind="stable")[::-1][:most]
    columns = np.sort(best[total[best] > 0])
    rows = []
    for name in names:
        model = fitted(name, columns)
        weights = np.zeros(gates.shape[1], np.float32)
        weights[columns] = model.weights[0]
        rows.append({"name": name, "weights": weights, "bias": float(model.bias[0])})
    return rows


def choose_target_probes(fitted_on: Seen, chosen_by: Seen) -> list[dict[str, Any]]:
    """The probes of as many gates as tell most of voices that they were not fitted on.

    Many gates know the training voices by heart; few say it of everybody.
    """

    def right(probes: list[dict[str, Any]]) -> float:
        said = scores(probes[0], chosen_by.gates) > 0
        return float((said == (chosen_by.labels(TARGET) > 0)).mean())

    return max((fit_target_probes(fitted_on, most) for most in _GATE_COUNTS), key=right)


def probe_checkpoint(path: Path, folder: Path, scenes: int, test_scenes: int) -> dict[str, Any]:
    """Fit the probes of a gated network's checkpoint and write them into it; give how they do.

    ``folder``: of the encoder and the pVAD. Fitted on ``scenes`` of training voices, chosen on
    a third as many of the validation's, judged on ``test_scenes``. The judgement goes into the
    record, too.
    """
    checkpoint = load_checkpoint(path)
    if checkpoint.preset.speaker is None or checkpoint.preset.gate is None:
        raise UserError(f"{path} is no gated network with a [speaker]")
    enhancer = Enhancer(NetworkSettings(checkpoint.preset.name, checkpoint.preset), 0)
    enhancer.network = checkpoint.network
    encoder, vad = load_encoder(folder), load_pvad(folder)
    name = checkpoint.preset.name
    speeds = training_speeds(name) if name in network_names() else SPEEDS
    seen = {}
    splits: tuple[tuple[Split, int], ...] = (
        ("train", scenes),
        ("validation", max(1, scenes // 3)),
        ("test", test_scenes),
    )
    for split, count in splits:
        source = SceneSource(SETTINGS.sample_rate, split, CACHE_FOLDER, speeds)
        enrolled = Enrolled(source, encoder)
        seen[split] = observe_scenes(enhancer, vad, enrolled, scenes_of(enrolled, count))
    checkpoint.probes = choose_target_probes(seen["train"], seen["validation"])
    judged = judge_target_probes(checkpoint.probes, seen["test"], vad)
    judged |= {"scenes": scenes, "test_scenes": test_scenes}
    checkpoint.record["target_probes"] = judged
    save_enhancer_checkpoint(path, checkpoint)
    return judged


def judge_target_probes(
    probes: list[dict[str, Any]], seen: Seen, vad: PersonalVad
) -> dict[str, Any]:
    """Accuracy of each probe and of the pVAD, with a 95 % interval over scenes; and the cost.

    ``operations`` a frame: additions of a probe (its weights of gates that are open), the
    pVAD's multiply-accumulates.
    """
    found: dict[str, Any] = {}
    for probe in probes:
        said = scores(probe, seen.gates)[:, None]
        judged = judge(_YES, said, seen.labels(probe["name"]), seen.scene).to_dict()
        opened = seen.gates[:, probe["weights"] != 0].sum(axis=1).mean()
        found[probe["name"]] = judged | {"operations": float(opened), "kind": "additions"}
    margin = (seen.vad - 0.5)[:, None]
    judged = judge(_YES, margin, seen.labels(TARGET), seen.scene).to_dict()
    found["pvad"] = judged | {"operations": float(vad.macs), "kind": "multiply-accumulates"}
    return found
