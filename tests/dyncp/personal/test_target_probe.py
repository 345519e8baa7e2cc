"""If gates say whether the target speaks, the probe must find which of them do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dyncp.personal.enhancers import Enhancer
from dyncp.personal.enrolled import Enrolled
from dyncp.personal.pvad import PersonalVad, Speech, speech_labels
from dyncp.personal.scenes import SceneSource
from dyncp.personal.settings import NetworkSettings
from dyncp.personal.speaker_encoder import SETTINGS, SpeakerEncoder
from dyncp.personal.target_probe import (
    Seen,
    fit_target_probes,
    judge_target_probes,
    observe_scenes,
    scenes_of,
)
from dyncp.preset import parse_preset
from tests.conftest import tiny_values

ANSWER, SPOKEN, GATES, FRAMES = 7, 11, 20, 1200


def made_up(right: float = 1.0, seed: int = 1) -> Seen:
    """Gate 7 is open where the target speaks, 11 where anybody does; the others by chance."""
    rng = np.random.default_rng(seed)
    speech = rng.integers(0, 3, FRAMES)
    gates = rng.random((FRAMES, GATES)) < 0.3
    gates[:, ANSWER] = speech == Speech.TARGET
    gates[:, SPOKEN] = speech != Speech.NONE
    sure = np.where(speech == Speech.TARGET, 0.9, 0.1)
    wrong = rng.random(FRAMES) > right
    vad = np.where(wrong, 1 - sure, sure)
    return Seen(gates, speech, vad, np.repeat(np.arange(FRAMES // 100), 100))


VAD = PersonalVad(4, 3)


def test_the_probe_finds_the_gate_that_is_the_answer() -> None:
    probes = fit_target_probes(made_up())
    assert [probe["name"] for probe in probes] == ["target", "vad"]
    for probe, gate in zip(probes, (ANSWER, SPOKEN), strict=True):
        assert probe["weights"].shape == (GATES,) and probe["weights"].dtype == np.float32
        weights = np.abs(probe["weights"])
        assert weights.argmax() == gate and weights[gate] > 3 * np.delete(weights, gate).max()
    found = judge_target_probes(probes, made_up(seed=2), VAD)
    assert found["target"]["accuracy"] == found["vad"]["accuracy"] == 1.0


def test_where_gates_know_nothing_the_probe_is_no_better_than_a_guess() -> None:
    def blind(seed: int) -> Seen:
        seen = made_up(seed=seed)
        gates = np.random.default_rng(seed + 9).random((FRAMES, GATES)) < 0.3
        return Seen(gates, seen.speech, seen.vad, seen.scene)

    found = judge_target_probes(fit_target_probes(blind(1)), blind(2), VAD)["target"]
    assert found["accuracy"] <= found["baseline"] + 0.02


def test_the_cost_is_the_additions_of_open_gates_that_are_weighed() -> None:
    seen = made_up(seed=3)
    weights = np.zeros(GATES, np.float32)
    weights[[2, 5]] = 1.0, -1.0
    found = judge_target_probes([{"name": "target", "weights": weights, "bias": 0.0}], seen, VAD)
    expected = (seen.gates[:, 2].sum() + seen.gates[:, 5].sum()) / FRAMES
    assert found["target"]["operations"] == pytest.approx(expected)
    assert found["target"]["kind"] == "additions"


def test_the_pvad_is_judged_beside_it_on_the_same_frames() -> None:
    found = judge_target_probes(fit_target_probes(made_up()), made_up(0.8, seed=4), VAD)
    vad = found["pvad"]
    assert vad["accuracy"] == pytest.approx(0.8, abs=0.03) and vad["frames"] == FRAMES
    assert vad["low"] < vad["accuracy"] < vad["high"]
    assert (vad["operations"], vad["kind"]) == (VAD.macs, "multiply-accumulates")
    assert vad["baseline"] == found["target"]["baseline"]


def test_probes_share_the_gates_that_a_device_looks_at() -> None:
    rng = np.random.default_rng(5)
    seen = made_up()
    wide = np.concatenate([seen.gates, rng.random((FRAMES, 400)) < 0.5], axis=1)
    probes = fit_target_probes(Seen(wide, seen.speech, seen.vad, seen.scene))
    used = [set(np.flatnonzero(probe["weights"])) for probe in probes]
    assert len(used[0] | used[1]) <= 256 and {ANSWER, SPOKEN} <= used[0] & used[1]


@pytest.fixture(scope="module")
def enrolled(examined: SceneSource) -> Enrolled:
    torch.manual_seed(1)
    return Enrolled(examined, SpeakerEncoder(8))


def test_gates_labels_and_pvad_are_of_the_same_frames(enrolled: Enrolled) -> None:
    values = tiny_values()
    values["audio"].update(n_fft=512, hop=256, bins=257)
    values["speaker"] = {"dimensions": 8}
    preset = parse_preset("tiny-personal", values, "tiny-personal")
    torch.manual_seed(2)
    enhancer = Enhancer(NetworkSettings("tiny", preset), 8).eval()
    vad = PersonalVad(8, 4).eval()
    with torch.no_grad():
        for block in enhancer.network.blocks:  # type: ignore[union-attr]
            block.gate.score.bias.zero_()  # type: ignore[union-attr]
            block.gate.squeeze_speaker.weight.normal_()  # type: ignore[union-attr]
    scenes = [enrolled.source.scene(np.random.default_rng(n), 1.0, "TS1") for n in (1, 2)]
    seen = observe_scenes(enhancer, vad, enrolled, scenes)
    frames = 16000 // SETTINGS.hop
    assert seen.gates.shape == (2 * frames, 2 * 16) and seen.gates.dtype == bool
    np.testing.assert_array_equal(seen.scene, np.repeat([0, 1], frames))
    np.testing.assert_array_equal(
        seen.speech, np.concatenate([speech_labels(scene)[:frames] for scene in scenes])
    )
    for number, scene in enumerate(scenes):
        noisy = torch.from_numpy(scene.noisy[: frames * SETTINGS.hop])[None]
        wanted = enrolled.embeddings([scene])
        with torch.no_grad():
            features = enhancer.transform.features(enhancer.transform.spectrum(noisy))
            logits = enhancer(noisy, wanted).logits
            probability = vad.target_probability(features, wanted)[0]
        rows = slice(number * frames, (number + 1) * frames)
        np.testing.assert_array_equal(seen.vad[rows], probability)
        for block, scores in enumerate(logits):
            np.testing.assert_array_equal(
                seen.gates[rows, 16 * block : 16 * block + 16], scores[0].T.numpy() > 0
            )
    assert 0.05 < seen.gates.mean() < 0.95


def test_probes_are_judged_on_other_scenes_than_they_are_fitted_on() -> None:
    asked: list[Any] = []
    for split in ("train", "test"):
        source = SimpleNamespace(split=split, scenes=lambda *given: asked.append(given) or [])
        enrolled: Any = SimpleNamespace(source=source)
        assert scenes_of(enrolled, 5) == []
    (fitted, *same), (judged, *also) = asked
    assert fitted != judged and same == also and same[0] == 5
    assert set(same[2]) == {"TS1", "TS2", "TS3"}
