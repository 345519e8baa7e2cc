"""The network that ships must help on speakers and noises that it was not trained on."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from dyncp.checkpoint import SHIPPED_FOLDER, Checkpoint, load_checkpoint
from dyncp.data.labels import active_level, voice_activity
from dyncp.data.mixtures import MixtureSource
from dyncp.data.noise import HELD_OUT
from dyncp.data.noise_clips import noise_classes
from dyncp.data.streams import make_stream
from dyncp.enhance import enhance
from dyncp.metrics import si_sdr
from dyncp.preset import load_preset, preset_names
from dyncp.probes.shipped import scores

SHIPPED = sorted(path.stem for path in SHIPPED_FOLDER.glob("*.pt"))


@pytest.fixture(scope="module")
def shipped() -> Checkpoint:
    return load_checkpoint(SHIPPED_FOLDER / "paper.pt", expect=load_preset("paper"))


def gains(checkpoint: Checkpoint, noise: str) -> list[float]:
    """SI-SDR gained over the noisy input on unseen speakers, in dB, at 0, 5 and 10 dB."""
    rate = checkpoint.preset.audio.sample_rate
    source = MixtureSource(rate, "test")
    results = []
    for index, snr in enumerate((0.0, 5.0, 10.0)):
        rng = np.random.default_rng([31, index, sum(map(ord, noise))])
        mixture = source.mix(rng, 5.0, noise=noise, snr=snr, level=-26.0)
        output = enhance(checkpoint.network, mixture.noisy).samples
        results.append(si_sdr(output, mixture.clean) - si_sdr(mixture.noisy, mixture.clean))
    return results


def test_it_raises_si_sdr_for_unseen_speakers(shipped: Checkpoint) -> None:
    seen = [kind for kind in noise_classes("test") if kind not in HELD_OUT]
    assert np.mean([gains(shipped, kind) for kind in seen]) > 2.0


def test_it_raises_si_sdr_in_unseen_noises(shipped: Checkpoint) -> None:
    assert np.mean([gains(shipped, kind) for kind in HELD_OUT]) > 0.0


def test_its_gates_meet_the_utilisation_that_the_preset_asks_for(shipped: Checkpoint) -> None:
    mixture = MixtureSource(16000, "test").mix(np.random.default_rng(1), 20.0)
    gates = enhance(shipped.network, mixture.noisy).gates
    assert shipped.preset.gate
    assert abs(gates.mean() - shipped.preset.gate.utilisation) < 0.08
    # Gates that never change would be a smaller network, not a dynamic one.
    assert (gates.reshape(len(gates), -1).std(axis=0) > 0.05).mean() > 0.05


def test_its_masks_know_when_somebody_speaks(shipped: Checkpoint) -> None:
    """The probe that ships beats always saying the commoner answer, on unseen speakers."""
    settings, source = shipped.preset.audio, MixtureSource(16000, "test")
    (probe,) = (probe for probe in shipped.probes if probe["name"] == "vad")
    right, active = [], []
    for index in range(4):
        stream = make_stream(source, 5, index, noise_classes("train"))
        levels = np.array([active_level(segment.clean) for segment in stream.segments])
        level = levels[stream.segment_of_frames(settings.hop)]
        active.append(voice_activity(settings, stream.clean, level))
        gates = enhance(shipped.network, stream.noisy).gates
        right.append((scores(probe, gates.reshape(len(gates), -1)) > 0) == active[-1])
    accuracy, share = np.mean(right), np.mean(active)
    assert accuracy > max(share, 1 - share) + 0.03


@pytest.mark.parametrize("name", SHIPPED)
def test_its_record_says_how_it_was_made(name: str) -> None:
    checkpoint = load_checkpoint(SHIPPED_FOLDER / f"{name}.pt", expect=load_preset(name))
    record = json.loads((SHIPPED_FOLDER / f"{name}.json").read_text())
    assert record == checkpoint.record
    assert record["seed"] == checkpoint.preset.training.seed
    # The settings that ship are those that it was trained with, all of them.
    assert record["settings"] == load_preset(name).to_dict()
    assert record["best"]["step"] <= load_preset(name).total_steps
    assert record["torch"] == torch.__version__
    # Those with gates ship a probe; how much it heard is part of how it was made.
    assert bool(checkpoint.probes) == (checkpoint.preset.gate is not None)
    assert bool(checkpoint.probes) == (record.get("probe_minutes", 0) > 0)


def test_every_checkpoint_belongs_to_a_preset_and_is_small() -> None:
    assert "paper" in SHIPPED
    assert set(SHIPPED) <= set(preset_names())
    for name in SHIPPED:
        assert (SHIPPED_FOLDER / f"{name}.pt").stat().st_size < 2_000_000
