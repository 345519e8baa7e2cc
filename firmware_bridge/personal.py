"""Scenes of several speakers through a board that is told whose voice to keep.

Each scene has a user of its own; the board has the embedding before the scene's first hop. What
it answers is judged as the float network is (:mod:`dyncp.personal`): the voice that is kept,
what leaks while the user is silent, and whether its gates know who speaks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dyncp import audio
from dyncp.metrics import pesq_wb, si_sdr
from dyncp.personal.enrolled import Enrolled
from dyncp.personal.measures import leakage_reduction, over_suppression
from dyncp.personal.pvad import PersonalVad, Speech, speech_labels
from dyncp.personal.scenes import Scene
from dyncp.personal.target_probe import ANYBODY, TARGET, target_probability
from dyncp.preset import Preset
from dyncp.probes.tasks import Task, judge
from firmware_bridge.campaign import Probe
from firmware_bridge.session import Board
from firmware_bridge.stream import Streamed, stream

_YES = Task("vad", "yes")


@dataclass(frozen=True)
class Heard:
    """What a board made of a scene, whose embedding it had."""

    scene: Scene
    streamed: Streamed


def run_scenes(
    session: Board,
    enrolled: Enrolled,
    scenes: Sequence[Scene],
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Heard]:
    """Every scene through the board, cold each, its user's embedding set before."""
    heard = []
    for number, scene in enumerate(scenes, 1):
        title = f"scene {number} of {len(scenes)}"

        def told(done: int, total: int, title: str = title) -> None:
            if progress:
                progress(title, done, total)

        session.set_embedding(enrolled.embedding(scene.voice))
        heard.append(Heard(scene, stream(session, audio.to_pcm(scene.noisy), told)))
    return heard


def personal_figures(
    heard: Sequence[Heard],
    probes: Sequence[Probe],
    enrolled: Enrolled,
    vad: PersonalVad,
    preset: Preset,
) -> dict[str, Any]:
    """Who speaks and what is kept, by the board's answers; the pVAD's, in float, beside them."""
    speech = np.concatenate([speech_labels(one.scene) for one in heard])
    scene = np.concatenate(
        [np.full(len(one.streamed.gates), number) for number, one in enumerate(heard)]
    )
    gates = np.concatenate([one.streamed.gates for one in heard]).reshape(len(scene), -1)
    answers = np.concatenate([one.streamed.probes for one in heard])
    questions: dict[str, Any] = {}
    for column, probe in enumerate(probes):
        if probe.name in (TARGET, ANYBODY):
            truth = speech == Speech.TARGET if probe.name == TARGET else speech != Speech.NONE
            judged = _judge(answers[:, column] * probe.scale, truth, scene)
            opened = gates[:, probe.weights != 0].sum(axis=1)
            questions[probe.name] = judged | {
                "operations": float(opened.mean()),
                "kind": "additions",
            }
    said = np.concatenate([target_probability(one.scene, enrolled, vad) for one in heard])
    questions["pvad"] = _judge(said - 0.5, speech == Speech.TARGET, scene) | {
        "operations": float(vad.macs),
        "kind": "multiply-accumulates",
    }
    return {
        "scenes": len(heard),
        "frames": len(scene),
        "questions": questions,
        "kept": _kept(heard, preset),
    }


def _judge(score: NDArray, truth: NDArray[np.bool_], scene: NDArray) -> dict[str, Any]:
    labels = truth.astype(np.float32)
    return judge(_YES, score[:, None], labels, scene).to_dict()


def _kept(heard: Sequence[Heard], preset: Preset) -> dict[str, dict[str, float]]:
    """By scenario, means over its scenes of the board's audio."""
    found: dict[str, dict[str, list[float]]] = {}
    for one in heard:
        scene, output = one.scene, audio.from_pcm(one.streamed.pcm)
        row = found.setdefault(scene.scenario, {})
        if scene.scenario == "TS3":
            values = {"leakage": leakage_reduction(scene.noisy, output)}
        else:
            values = {
                "si_sdr_noisy": si_sdr(scene.noisy, scene.target),
                "si_sdr": si_sdr(output, scene.target),
                "pesq": pesq_wb(output, scene.target, preset.audio.sample_rate),
                "tsos": over_suppression(scene.target, output),
            }
        values["executed_macs"] = float(one.streamed.executed_macs.mean())
        for name, value in values.items():
            row.setdefault(name, []).append(value)
    kept: dict[str, dict[str, float]] = {}
    for scenario, row in sorted(found.items()):
        # PESQ has no value where it finds no speech.
        known = {name: [v for v in values if not np.isnan(v)] for name, values in row.items()}
        kept[scenario] = {name: float(np.mean(values)) for name, values in known.items() if values}
        kept[scenario]["scenes"] = len(row["executed_macs"])
    return kept
