"""If gates say whether the target speaks, the probe must find which of them do."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dyncp.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dyncp.errors import UserError
from dyncp.network import GatedConvFSENet
from dyncp.personal import target_probe
from dyncp.personal.checkpoints import SHIPPED, enhancer_path, save_enhancer
from dyncp.personal.enhancers import Enhancer
from dyncp.personal.enrolled import Enrolled
from dyncp.personal.pvad import PersonalVad, Speech, speech_labels
from dyncp.personal.results_page import probe_table
from dyncp.personal.scenes import SceneSource
from dyncp.personal.settings import NetworkSettings
from dyncp.personal.speaker_encoder import SETTINGS, SpeakerEncoder
from dyncp.personal.target_probe import (
    Seen,
    choose_target_probes,
    fit_target_probes,
    judge_target_probes,
    observe_scenes,
    probe_checkpoint,
    scenes_of,
)
from dyncp.preset import parse_preset
from tests.conftest import tiny_preset, tiny_values

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


def test_gates_that_know_voices_by_heart_are_not_taken() -> None:
    """Gates that say it of the training's voices alone must not outvote the one that knows."""
    rng = np.random.default_rng(6)

    def with_learnt_gates(seen: Seen, learnt: bool) -> Seen:
        target = seen.speech == Speech.TARGET
        # A third of the time each is right by heart; of other voices they are noise.
        gates = rng.random((FRAMES, 100)) < 0.5
        if learnt:
            gates = np.where(rng.random((FRAMES, 100)) < 0.35, target[:, None], gates)
        weak = np.where(rng.random(FRAMES) < 0.85, target, ~target)
        known = seen.gates.copy()
        known[:, ANSWER] = weak
        return Seen(np.concatenate([known, gates], axis=1), seen.speech, seen.vad, seen.scene)

    train = with_learnt_gates(made_up(), True)
    unseen = with_learnt_gates(made_up(seed=2), False)
    chosen = choose_target_probes(train, unseen)
    few, many = np.count_nonzero(chosen[0]["weights"]), 120
    assert few < many
    judged = [
        judge_target_probes(probes, with_learnt_gates(made_up(seed=3), False), VAD)["target"]
        for probes in (chosen, fit_target_probes(train))
    ]
    assert judged[0]["accuracy"] > judged[1]["accuracy"]


@pytest.fixture(scope="module")
def enrolled(examined: SceneSource) -> Enrolled:
    torch.manual_seed(1)
    return Enrolled(examined, SpeakerEncoder(8))


def gated(dimensions: int) -> Enhancer:
    """Two blocks whose gates open here and there, and hear the embedding."""
    values = tiny_values()
    values["audio"].update(n_fft=512, hop=256, bins=257)
    values["speaker"] = {"dimensions": dimensions}
    preset = parse_preset("tiny-personal", values, "tiny-personal")
    torch.manual_seed(2)
    enhancer = Enhancer(NetworkSettings("tiny", preset), dimensions).eval()
    with torch.no_grad():
        for block in enhancer.network.blocks:  # type: ignore[union-attr]
            block.gate.score.bias.zero_()  # type: ignore[union-attr]
            block.gate.squeeze_speaker.weight.normal_()  # type: ignore[union-attr]
    return enhancer


def test_gates_labels_and_pvad_are_of_the_same_frames(enrolled: Enrolled) -> None:
    enhancer, vad = gated(8), PersonalVad(8, 4).eval()
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


def test_the_probes_are_written_into_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unseen: SceneSource, examined: SceneSource
) -> None:
    """Scenes of training voices to fit on, here those of the validation; the test's to judge."""
    sources = {"train": unseen, "validation": unseen, "test": examined}
    monkeypatch.setattr(
        target_probe, "SceneSource", lambda rate, split, cache, speeds: sources[split]
    )
    monkeypatch.setattr(target_probe, "_SECONDS", 1.0)
    monkeypatch.setattr(target_probe, "load_pvad", lambda folder: PersonalVad(32, 4).eval())
    path = enhancer_path(tmp_path, "personal", "S2")
    made = gated(32)
    save_enhancer(path, made, {"hours": 2.5})
    judged = probe_checkpoint(path, SHIPPED, 6, 4)
    checkpoint = load_checkpoint(path)
    assert [probe["name"] for probe in checkpoint.probes] == ["target", "vad"]
    assert all(probe["weights"].shape == (2 * 16,) for probe in checkpoint.probes)
    assert checkpoint.record["hours"] == 2.5 and checkpoint.record["target_probes"] == judged
    assert (judged["scenes"], judged["test_scenes"]) == (6, 4)
    assert judged["target"]["frames"] == judged["pvad"]["frames"] == 4 * (16000 // SETTINGS.hop)
    assert json.loads(path.with_suffix(".json").read_text())["target_probes"] == judged
    for name, weight in made.network.state_dict().items():
        if weight.is_floating_point():
            assert torch.equal(checkpoint.network.state_dict()[name], weight.half().float()), name
    table = "\n".join(probe_table(judged))
    assert "Frames of 4 scenes" in table and f"{judged['pvad']['accuracy']:.3f} (" in table


def test_a_network_without_gates_or_embedding_has_nothing_to_be_asked(tmp_path: Path) -> None:
    for preset in (tiny_preset(), tiny_preset(site=None, speaker=8)):
        path = tmp_path / f"{preset.name}.pt"
        save_checkpoint(path, Checkpoint(preset, GatedConvFSENet(preset)))
        with pytest.raises(UserError, match=rf"{preset.name}\.pt is no gated network with"):
            probe_checkpoint(path, SHIPPED, 1, 1)
