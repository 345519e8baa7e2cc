"""Recipes are compared scene by scene: all must be given the same ones, and cut alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dyncp.data.labels import active_level
from dyncp.personal import scores
from dyncp.personal.checkpoints import SHIPPED
from dyncp.personal.dnsmos import Dnsmos
from dyncp.personal.enhancers import Enhanced
from dyncp.personal.scenes import SCENARIOS, SceneSource
from dyncp.personal.scores import Exam, Judges, SceneScore, run_exam
from dyncp.personal.speaker_encoder import SETTINGS

HOP = SETTINGS.hop


@pytest.fixture
def exam(monkeypatch: pytest.MonkeyPatch, examined: SceneSource) -> Exam:
    monkeypatch.setattr(scores, "SceneSource", lambda rate, split, cache: examined)
    return Exam(2, 2.0, SHIPPED, Judges())


class Halves(nn.Module):
    """Gives half of what comes in, a hop shorter; a quarter of its gates is open."""

    def forward(self, noisy: torch.Tensor, embedding: torch.Tensor) -> Enhanced:
        self.embedding = embedding
        logits = torch.tensor([1.0, -1.0, 0.0, -1.0]).expand(1, 4)[..., None]
        return Enhanced(noisy[:, :-HOP] / 2, [logits, logits])


def test_every_network_hears_the_same_scenes(exam: Exam) -> None:
    for scenario in SCENARIOS:
        one, again, other = (exam.scene(scenario, number) for number in (0, 0, 1))
        assert one.noisy.tobytes() == again.noisy.tobytes() != other.noisy.tobytes()
        assert (one.voice, other.voice) == (0, 1) and one.scenario == scenario
        speech = one.interferer if scenario == "TS3" else one.target
        assert 20 * np.log10(active_level(speech)) == pytest.approx(-26, abs=0.05)


def test_the_noisy_input_is_the_line_to_beat(exam: Exam) -> None:
    away = exam.score(None, "noisy", "", "TS3", 0)
    assert away.leakage == 0.0 and np.isnan(away.tsos) and np.isnan(away.open)
    alone = exam.score(None, "noisy", "", "TS2", 0)
    # Noise is added: next to no frame has lost a tenth.
    assert alone.tsos < 0.05 and np.isnan(alone.leakage)
    assert alone.si_sdr == pytest.approx(exam.scene("TS2", 0).snr, abs=3.0)
    assert 1 < alone.pesq < 4.7 and 0 < alone.estoi < alone.stoi <= 1


def test_a_network_is_measured_on_what_it_gives(exam: Exam) -> None:
    halves: Any = Halves()
    away = exam.score(halves, "halves", "S1", "TS3", 1)
    assert away.leakage == pytest.approx(20 * np.log10(2))
    assert away.open == pytest.approx(0.25)
    scene = exam.scene("TS3", 1)
    np.testing.assert_array_equal(halves.embedding, exam._enrolled.embeddings([scene]))
    assert away.to_dict().keys() == {
        "network", "recipe", "scenario", "number", "leakage", "open",
    }  # fmt: skip


def test_what_is_heard_is_as_long_for_all(exam: Exam) -> None:
    scene = exam.scene("TS1", 0)
    halves: Any = Halves()
    noisy, enhanced = exam.samples(None, scene)[0], exam.samples(halves, scene)[0]
    assert len(noisy) == len(enhanced) == len(scene.noisy) // HOP * HOP - HOP
    np.testing.assert_array_equal(noisy, scene.noisy[: len(noisy)])


def test_words_are_held_against_those_of_the_target_alone(exam: Exam) -> None:
    heard: list[np.ndarray] = []

    def recognise(samples: np.ndarray) -> str:
        heard.append(samples)
        return "one two three four" if len(heard) == 1 else "one two three"

    exam.judges = Judges(recognise, lambda samples: Dnsmos(1.0, 2.0, 3.0))
    found = exam.score(None, "noisy", "", "TS1", 0)
    assert (found.wer, found.deletions, found.dnsmos) == (0.25, 0.25, 3.0)
    np.testing.assert_array_equal(heard[0], exam.scene("TS1", 0).target)
    exam.score(None, "noisy", "", "TS1", 0)
    assert len(heard) == 3  # the target's words are known by then
    away = exam.score(None, "noisy", "", "TS3", 0)
    assert np.isnan(away.wer) and away.dnsmos == 3.0 and len(heard) == 3


def test_the_exam_asks_every_network_every_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counted:
        scenes = 2

        def score(self, enhancer: Any, network: str, recipe: str, *scene: Any) -> SceneScore:
            assert enhancer == (None if network == "noisy" else (network, recipe))
            return SceneScore(network, recipe, *scene)

    monkeypatch.setattr(scores, "load_enhancer", lambda name, recipe, folder: (name, recipe))
    exam: Any = Counted()
    found = list(run_exam(exam, [("a", "B1"), ("b", "S1")], SHIPPED))
    assert [(s.network, s.recipe) for s in found[::6]] == [("noisy", ""), ("a", "B1"), ("b", "S1")]
    for start in (0, 6, 12):
        asked = {(s.scenario, s.number) for s in found[start : start + 6]}
        assert asked == {(scenario, number) for scenario in SCENARIOS for number in (0, 1)}
