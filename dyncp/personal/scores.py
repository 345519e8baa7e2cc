"""The test: every network by every recipe over TS1 to TS3, on speakers that are new to all.

Scenes depend on the scenario and their number alone, so that recipes are compared scene by
scene. A speaker is enrolled by sentences that are in no scene.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from dyncp.data.speech import CACHE_FOLDER
from dyncp.metrics import pesq_wb, si_sdr, stoi
from dyncp.personal.checkpoints import load_encoder, load_enhancer
from dyncp.personal.dnsmos import Dnsmos
from dyncp.personal.enhancers import Enhancer
from dyncp.personal.enrolled import Enrolled
from dyncp.personal.measures import leakage_reduction, over_suppression
from dyncp.personal.recogniser import Recogniser, word_errors
from dyncp.personal.scenes import SCENARIOS, Scenario, Scene, SceneSource
from dyncp.personal.speaker_encoder import SETTINGS

NOISY = "noisy"
"""In the place of a network: what comes in."""
_SEED = 37
_LEVEL = -26.0


@dataclass(frozen=True)
class Judges:
    """What the user supplies, or None."""

    recognise: Recogniser | None = None
    dnsmos: Callable[[np.ndarray], Dnsmos] | None = None


@dataclass(frozen=True)
class SceneScore:
    """One scene through one network; what does not apply is NaN.

    ``si_sdr`` and ``leakage`` in dB, ``pesq`` and ``dnsmos`` (overall) in MOS, ``stoi``,
    ``estoi``, ``tsos``, ``wer`` and ``deletions`` as shares; ``open``: of the gates.
    """

    network: str
    recipe: str
    scenario: Scenario
    number: int
    si_sdr: float = float("nan")
    pesq: float = float("nan")
    stoi: float = float("nan")
    estoi: float = float("nan")
    tsos: float = float("nan")
    leakage: float = float("nan")
    wer: float = float("nan")
    deletions: float = float("nan")
    dnsmos: float = float("nan")
    open: float = float("nan")

    def to_dict(self) -> dict[str, Any]:
        """As plain values, without what does not apply."""
        return {
            name: value
            for name, value in asdict(self).items()
            if not (isinstance(value, float) and np.isnan(value))
        }


class Exam:
    """The scenes of the test and whatever is asked of each of them more than once."""

    def __init__(self, scenes: int, seconds: float, shipped: Path, judges: Judges) -> None:
        self.scenes, self.seconds, self.judges = scenes, seconds, judges
        source = SceneSource(SETTINGS.sample_rate, "test", CACHE_FOLDER)
        self._enrolled = Enrolled(source, load_encoder(shipped))
        self._words = cache(self._words_of)

    def scene(self, scenario: Scenario, number: int) -> Scene:
        """A scene; voices take turns as the target, SNR and SIR go through their ranges."""
        rng = np.random.default_rng([_SEED, SCENARIOS.index(scenario), number])
        return self._enrolled.source.scene(
            rng,
            self.seconds,
            scenario,
            voice=number % len(self._enrolled.source.voices),
            level=_LEVEL,
        )

    def _words_of(self, scenario: Scenario, number: int) -> str:
        assert self.judges.recognise
        return self.judges.recognise(self.scene(scenario, number).target)

    def samples(self, enhancer: Enhancer | None, scene: Scene) -> tuple[np.ndarray, float]:
        """What the network gives, float32, one hop shorter; and the share of open gates."""
        length = len(scene.noisy) // SETTINGS.hop * SETTINGS.hop
        noisy = scene.noisy[:length]
        if enhancer is None:
            return noisy[: length - SETTINGS.hop], float("nan")
        with torch.no_grad():
            wanted = self._enrolled.embeddings([scene])
            output = enhancer(torch.from_numpy(noisy)[None], wanted)
        opened = [float((scores > 0).float().mean()) for scores in output.logits]
        return output.samples[0].numpy(), float(np.mean(opened)) if opened else float("nan")

    def score(
        self, enhancer: Enhancer | None, network: str, recipe: str, scenario: Scenario, number: int
    ) -> SceneScore:
        """One scene through one network (None: as it came in), measured."""
        scene = self.scene(scenario, number)
        heard, opened = self.samples(enhancer, scene)
        rate, length = SETTINGS.sample_rate, len(heard)
        values: dict[str, float] = {"open": opened}
        if scenario == "TS3":
            values["leakage"] = leakage_reduction(scene.noisy[:length], heard)
        else:
            target = scene.target[:length]
            values |= {
                "si_sdr": si_sdr(heard, target),
                "pesq": pesq_wb(heard, target, rate),
                "stoi": stoi(heard, target, rate),
                "estoi": stoi(heard, target, rate, extended=True),
                "tsos": over_suppression(target, heard),
            }
            if self.judges.recognise:
                said = self._words(scenario, number)
                values["wer"], values["deletions"] = word_errors(said, self.judges.recognise(heard))
        if self.judges.dnsmos:
            values["dnsmos"] = self.judges.dnsmos(heard).overall
        return SceneScore(network, recipe, scenario, number, **values)


def run_exam(exam: Exam, chosen: Sequence[tuple[str, str]], shipped: Path) -> Iterator[SceneScore]:
    """Every scene through every network and recipe, the noisy input first, with progress."""
    jobs = [(NOISY, ""), *chosen]
    total = len(jobs) * len(SCENARIOS) * exam.scenes
    with tqdm(total=total, desc="score", disable=not sys.stderr.isatty()) as bar:
        for network, recipe in jobs:
            enhancer = None if network == NOISY else load_enhancer(network, recipe, shipped)
            for scenario in SCENARIOS:
                for number in range(exam.scenes):
                    yield exam.score(enhancer, network, recipe, scenario, number)
                    bar.update()
