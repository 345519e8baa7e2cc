"""Whose voice a board kept, and what its gates said of who speaks, must be judged rightly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import firmware_bridge.personal as module
from dyncp.audio import to_pcm
from dyncp.personal.enrolled import Enrolled
from dyncp.personal.pvad import PersonalVad, Speech, speech_labels
from dyncp.personal.scenes import Scene, SceneSource
from dyncp.personal.speaker_encoder import SpeakerEncoder
from firmware_bridge.campaign import Probe
from firmware_bridge.personal import Heard, personal_figures, run_scenes
from firmware_bridge.personal_report import format_personal
from firmware_bridge.stream import Streamed
from tests.conftest import tiny_preset
from tests.firmware_bridge.conftest import BOARD, Built, assert_refused, run

PRESET = tiny_preset("output", 1, 5, speaker=8)
GATES = PRESET.blocks * PRESET.gates
MACS = 1234


@pytest.fixture(scope="module")
def enrolled() -> Enrolled:
    return Enrolled(SceneSource(16000, "validation"), SpeakerEncoder(8))


@pytest.fixture(scope="module")
def scenes(enrolled: Enrolled) -> list[Scene]:
    rng = np.random.default_rng(3)
    return [enrolled.source.scene(rng, 1.5, scenario) for scenario in ("TS1", "TS2", "TS3")]


def answered(scene: Scene, output: np.ndarray) -> Streamed:
    """A board whose first gate is open where the user speaks, the second where anybody does."""
    speech = speech_labels(scene)
    gates = np.zeros((len(speech), GATES), bool)
    gates[:, 0], gates[:, 1] = speech == Speech.TARGET, speech != Speech.NONE
    column = np.full(len(speech), MACS, np.int64)
    return Streamed(
        pcm=to_pcm(output),
        gates=gates.reshape(len(speech), PRESET.blocks, PRESET.gates),
        probes=np.where(gates[:, :2], 50, -50).astype(np.int32),
        executed_macs=column,
        weight_bytes=column,
        counts=column,
        analysis_counts=column,
        synthesis_counts=column,
        restarts=0,
    )


def probes() -> list[Probe]:
    rows = []
    for gate, name in enumerate(("target", "vad")):
        weights = np.zeros(GATES, np.int16)
        weights[gate] = 100
        rows.append(Probe(name, weights, -50, 0.01))
    return rows


def figures_of(heard: list[Heard], enrolled: Enrolled) -> dict[str, Any]:
    return personal_figures(heard, probes(), enrolled, PersonalVad(8, 4), PRESET)


def test_each_scene_is_heard_with_its_users_embedding_set_before(
    enrolled: Enrolled, scenes: list[Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    class Session:
        def set_embedding(self, embedding: np.ndarray) -> None:
            told.append(f"keep {embedding.tolist()}")

    def streamed(session: Session, pcm: np.ndarray, progress: object) -> Iterator[int]:
        told.append(f"hear {pcm.tolist()}")
        return iter(())

    monkeypatch.setattr(module, "stream", streamed)
    run_scenes(Session(), enrolled, scenes)  # type: ignore[arg-type]
    expected = []
    for scene in scenes:
        expected.append(f"keep {enrolled.embedding(scene.voice).tolist()}")
        expected.append(f"hear {to_pcm(scene.noisy).tolist()}")
    assert told == expected


def test_gates_that_know_who_speaks_are_right_in_every_frame(
    enrolled: Enrolled, scenes: list[Scene]
) -> None:
    heard = [Heard(scene, answered(scene, scene.target)) for scene in scenes]
    questions = figures_of(heard, enrolled)["questions"]
    speech = np.concatenate([speech_labels(scene) for scene in scenes])
    for name, truth in (("target", speech == Speech.TARGET), ("vad", speech != Speech.NONE)):
        assert questions[name]["accuracy"] == 1.0
        assert questions[name]["frames"] == len(speech)
        # A gate that is open is an addition.
        assert questions[name]["operations"] == pytest.approx(truth.mean())
    assert questions["pvad"]["operations"] == PersonalVad(8, 4).macs
    assert questions["pvad"]["accuracy"] < 1.0


def test_a_board_that_keeps_the_wrong_voice_is_seen(
    enrolled: Enrolled, scenes: list[Scene]
) -> None:
    right = figures_of([Heard(s, answered(s, s.target)) for s in scenes], enrolled)["kept"]
    wrong = figures_of([Heard(s, answered(s, s.interferer)) for s in scenes], enrolled)["kept"]
    assert right["TS1"]["si_sdr"] > 40
    assert wrong["TS1"]["si_sdr"] < 0
    assert right["TS1"]["tsos"] == 0 < wrong["TS1"]["tsos"]
    assert right["TS3"]["leakage"] > 60
    assert wrong["TS3"]["leakage"] < 20
    assert {kept["executed_macs"] for kept in right.values()} == {MACS}
    assert [kept["scenes"] for kept in right.values()] == [1, 1, 1]


def test_the_tables_have_what_was_measured(enrolled: Enrolled, scenes: list[Scene]) -> None:
    figures = figures_of([Heard(s, answered(s, s.target)) for s in scenes], enrolled)
    board = {"name": "b", "cpu": "c", "emulated": True, "counter": "SysTick"}
    text = format_personal(
        {
            "preset": "personal",
            "build_id": "0123",
            "board": board,
            "latency": {"unit": "instructions", "frame": {"p50": 1_000_000, "max": 2_000_000}},
            **figures,
        }
    )
    assert "`personal` on b (c, emulated), build 0123: 3 scenes" in text
    assert "| does the user speak? | the board's gates | 1.000 " in text
    assert f"{PersonalVad(8, 4).macs:,} multiply-accumulates" in text
    assert "1,000,000 instructions (p50; 2,000,000 at most), counted by SysTick" in text
    assert text.count("\n| TS") == 3 and f"{MACS:,} |" in text


def test_a_network_that_keeps_everybody_is_refused(built: Built, tmp_path: Path) -> None:
    out = tmp_path / "personal.json"
    result = run(
        "firmware_bridge", "personal", "--board", BOARD, "--firmware", built.firmware,
        "--model", built.model, "--checkpoint", built.checkpoint, "--out", out,
    )  # fmt: skip
    assert_refused(result, "keeps every voice")
    assert not out.exists()
