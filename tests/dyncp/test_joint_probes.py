"""Probes that are trained along must push the gates towards the labels, and nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from dyncp.data.labels import fundamental_frequency, level_ratios, voice_activity
from dyncp.data.listing import Person
from dyncp.data.mixtures import Mixture, MixtureSource
from dyncp.data.noise_clips import noise_classes
from dyncp.network import GatedConvFSENet
from dyncp.preset import Preset, parse_preset
from dyncp.training import joint_probes
from dyncp.training.joint_probes import JointProbes
from tests.conftest import tiny_values

CLASSES = noise_classes("train")
FRAMES = 500


def preset() -> Preset:
    values = tiny_values()
    values["training"]["probe_weight"] = 1.0
    return parse_preset("tiny", values, "tiny")


@pytest.fixture(scope="module")
def mixtures() -> list[Mixture]:
    """Four seconds by four speakers, with pauses."""
    source = MixtureSource(16000, "validation")
    rng = np.random.default_rng(3)
    return [
        source.mix(rng, 1.0, noise=kind, pause=0.3, room=False)
        for kind in ("hum", "rain", "babble", "white")
    ]


def probes_with_weights() -> JointProbes:
    torch.manual_seed(1)
    return JointProbes(preset(), CLASSES)


def random_logits(requires_grad: bool = False) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(4, 16, FRAMES, generator=generator).requires_grad_(requires_grad)
        for _ in range(2)
    ]


def test_the_gradient_goes_into_the_gates_of_every_block(mixtures: list[Mixture]) -> None:
    network = GatedConvFSENet(preset())
    logits = network(torch.rand(4, 33, FRAMES)).logits
    probes_with_weights().loss(logits, mixtures).backward()
    for block in network.blocks:
        assert block.gate.score.weight.grad.abs().max() > 0


def test_gates_that_are_the_labels_leave_no_loss(
    mixtures: list[Mixture], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few steps must find it, else the labels are not those of their frames."""
    settings = preset().audio
    logits = torch.full((4, 32, FRAMES), -1.0)
    for row, mixture in enumerate(mixtures):
        active = voice_activity(settings, mixture.clean)
        logits[row, 0] = torch.from_numpy(active * 2.0 - 1)
        logits[row, 1 + CLASSES.index(mixture.noise)] = 1.0
        logits[row, 20] = 1.0 if mixture.speaker.gender == "f" else -1.0
    # One SNR and one pitch for all frames: a bias can say those, gates are too coarse.
    even = [dataclasses.replace(m, noisy=m.clean * np.float32(1.1)) for m in mixtures]
    pitch = np.full(FRAMES, 200.0, np.float32)
    monkeypatch.setattr(joint_probes, "fundamental_frequency", lambda settings, clean: pitch)
    probes = probes_with_weights()
    labels = probes._labels(even, FRAMES)
    monkeypatch.setattr(probes, "_labels", lambda mixtures, frames: labels)
    optimiser = torch.optim.Adam(probes.parameters(), lr=0.4)
    for _ in range(80):
        optimiser.zero_grad()
        loss = probes.loss([logits[:, :16], logits[:, 16:]], even)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.05


def test_the_loss_is_the_sum_of_five_means_over_labelled_frames(mixtures: list[Mixture]) -> None:
    """Counted again frame by frame, in numpy."""
    settings, probes = preset().audio, probes_with_weights()
    logits = random_logits()
    gates = (torch.cat(logits, dim=1) > 0).float()
    with torch.no_grad():
        loss = probes.loss(logits, mixtures).item()
        voice = probes.voice(gates)[:, 0].double().numpy()
        noise = torch.log_softmax(probes.noise(gates), dim=1).double().numpy()
        gender, snr, f0 = (probes.values(gates)[:, n].double().numpy() for n in range(3))
    terms: dict[str, list[float]] = {name: [] for name in ("vad", "noise", "gender", "snr", "f0")}
    for row, mixture in enumerate(mixtures):
        active = voice_activity(settings, mixture.clean)
        ratios = level_ratios(settings, mixture.noisy, mixture.clean)[0]
        pitch = fundamental_frequency(settings, mixture.clean)
        for t in range(FRAMES):
            terms["vad"].append(np.log1p(np.exp(voice[row, t] * (-1 if active[t] else 1))))
            terms["noise"].append(-noise[row, CLASSES.index(mixture.noise), t])
            if not active[t]:
                continue
            sign = -1 if mixture.speaker.gender == "f" else 1
            terms["gender"].append(np.log1p(np.exp(gender[row, t] * sign)))
            terms["snr"].append((snr[row, t] - ratios[t] / 8) ** 2)
            if row < 2 and not np.isnan(pitch[t]):
                terms["f0"].append((f0[row, t] - (pitch[t] - 160) / 65) ** 2)
    assert all(terms.values())
    assert len(terms["gender"]) < len(terms["vad"])
    assert loss == pytest.approx(sum(np.mean(values) for values in terms.values()), rel=1e-4)


def test_frames_without_a_label_ask_nothing_of_the_gates(mixtures: list[Mixture]) -> None:
    """Of a speaker of no known gender, in a noise that is no class, while nobody speaks:
    voice activity alone is asked for."""
    silent = [
        dataclasses.replace(
            mixture, clean=np.zeros_like(mixture.clean), noise="siren", speaker=Person("x")
        )
        for mixture in mixtures
    ]
    probes, logits = probes_with_weights(), random_logits(requires_grad=True)
    loss = probes.loss(logits, silent)
    loss.backward()
    assert torch.isfinite(loss)
    for layer in (probes.noise, probes.values):
        assert not layer.weight.grad.any() and not layer.bias.grad.any()
    assert probes.voice.weight.grad.any()
    assert all(torch.isfinite(block.grad).all() and block.grad.any() for block in logits)


def test_gender_is_asked_of_those_alone_whose_gender_is_known(mixtures: list[Mixture]) -> None:
    unknown = [mixtures[0], *(dataclasses.replace(m, speaker=Person("x")) for m in mixtures[1:])]
    active = voice_activity(preset().audio, mixtures[0].clean)
    assert 0 < active.sum() < FRAMES
    probes, logits = probes_with_weights(), random_logits(requires_grad=True)
    with torch.no_grad():
        for layer in (probes.voice, probes.noise, probes.values):
            layer.weight.zero_()
        probes.values.weight[0] = 1.0
    probes.loss(logits, unknown).backward()
    for block in logits:
        asked = block.grad.abs().amax(dim=1) > 0
        assert not asked[1:].any()
        np.testing.assert_array_equal(asked[0].numpy(), active)


def test_a_noise_that_is_no_class_changes_nothing_of_the_noises_loss(
    mixtures: list[Mixture],
) -> None:
    strange = [dataclasses.replace(m, noise="siren") for m in mixtures[:2]] + mixtures[2:]
    gradients = []
    for batch, rows in ((strange, slice(0, 4)), (mixtures[2:], slice(2, 4))):
        probes = probes_with_weights()
        probes.loss([block[rows] for block in random_logits()], batch).backward()
        gradients.append(probes.noise.weight.grad)
    torch.testing.assert_close(*gradients)
