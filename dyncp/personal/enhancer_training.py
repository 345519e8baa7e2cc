"""Training of a personalised enhancer: its stages by B1, and from them every recipe."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dyncp.data.labels import active_level, voice_activity
from dyncp.metrics import si_sdr
from dyncp.network import GatedConvFSENet
from dyncp.personal.enhancers import Enhancer
from dyncp.personal.enrolled import Enrolled
from dyncp.personal.guide import TARGET_WEIGHT, Guide
from dyncp.personal.likeness import start_likeness
from dyncp.personal.losses import guided_loss
from dyncp.personal.pvad import PersonalVad
from dyncp.personal.run import Schedule
from dyncp.personal.scenes import Scenario, Scene, SceneSource
from dyncp.personal.settings import Recipe
from dyncp.personal.speaker_encoder import SETTINGS, SpeakerEncoder
from dyncp.personal.voices import SPEEDS
from dyncp.preset import Preset
from dyncp.training.loss import Transform, block_utilisation, utilisation_loss

_UNENROLLED = 0.3
"""Of the TS2 scenes: those without an embedding, where every voice is kept. A device starts so."""
_SILENT_SHARE = 0.25
"""Of a guided network's batch: scenes whose target is silent, for the guide alone. The
enhancement loss has the recipe's mix, whatever the guide hears."""
_VALIDATION: dict[Scenario, int] = {"TS1": 24, "TS2": 16, "TS3": 24}
_VALIDATION_SECONDS = 4.0
_SILENCE = 1e-6


class Material(NamedTuple):
    """Scenes as tensors: samples ``[B, N]``, ``level`` ``[B]``, ``active`` bool ``[B, T]``."""

    noisy: Tensor
    reference: Tensor
    level: Tensor
    embedding: Tensor
    active: Tensor
    """Where the reference has speech."""
    voice: Tensor
    """Whose embedding it is, int ``[B]``; -1 nobody's."""

    def first(self, count: int) -> Material:
        return Material(*(tensor[:count] for tensor in self))

    @property
    def target(self) -> Tensor:
        """Where somebody who enrolled speaks: bool ``[B, T]``."""
        return self.active & (self.voice >= 0)[:, None]


class EnhancerTask:
    """One network by one recipe; ``start`` is the stage before, None for the first.

    The network's own weights are what the module holds, beside the heads of a
    :class:`dyncp.personal.guide.Guide` where the network is a gated one; ``start_guide`` are
    its heads, and ``likeness`` says that the first block of the second stack is to begin with
    likenesses to the embedding. Training voices are heard at ``speeds``.
    """

    def __init__(
        self,
        enhancer: Enhancer,
        recipe: Recipe,
        schedule: Schedule,
        *,
        encoder: SpeakerEncoder,
        vad: PersonalVad,
        cache: Path,
        start: Enhancer | None,
        start_guide: Mapping[str, Tensor] | None = None,
        likeness: bool = False,
        speeds: Sequence[int] = SPEEDS,
    ) -> None:
        torch.manual_seed(schedule.seed)
        self.name = f"{enhancer.settings.name} by {recipe.name}"
        self.recipe, self.schedule = recipe, schedule
        self.enhancer, self._vad = enhancer, vad.eval().requires_grad_(False)
        if start is None:
            enhancer.start()
        else:
            enhancer.load_state_dict(start.state_dict())
            enhancer.hold_basis()
        self.module = nn.ModuleDict({"enhancer": enhancer})
        self.guide = None
        if isinstance(enhancer.network, GatedConvFSENet):
            self.guide = Guide(enhancer.network, encoder.dimensions)
            self.module["guide"] = self.guide
            if start_guide is not None:
                self.guide.load_state_dict(start_guide)
        self._start_guide = _digest(self.guide) if self.guide else None
        self._train = Enrolled(SceneSource(SETTINGS.sample_rate, "train", cache, speeds), encoder)
        if likeness and self.guide and isinstance(enhancer.network, GatedConvFSENet):
            second_stack = len(enhancer.network.preset.network.dilations)
            start_likeness(enhancer.network, second_stack, self.guide.voice, self._hear_some)
        self._start = _digest(enhancer)
        unseen = Enrolled(SceneSource(SETTINGS.sample_rate, "validation", cache), encoder)
        self._transform = Transform(SETTINGS, torch.device("cpu"))
        self._validation = {
            scenario: _material(
                unseen,
                unseen.source.scenes(
                    (schedule.seed, 1), count, _VALIDATION_SECONDS, {scenario: 1.0}
                ),
                None,
            )
            for scenario, count in _VALIDATION.items()
        }

    def _hear_some(self) -> None:
        shares: dict[Scenario, float] = {"TS1": 0.5, "TS3": 0.5}
        seconds, count = self.schedule.crop_seconds, 4 * self.schedule.batch
        scenes = self._train.source.scenes((self.schedule.seed, 3), count, seconds, shares)
        material = _material(self._train, scenes, None)
        self.enhancer(material.noisy, material.embedding)

    @property
    def identity(self) -> dict[str, Any]:
        shape = self.enhancer.settings.shape
        return {
            "network": shape.to_dict() if isinstance(shape, Preset) else asdict(shape),
            "recipe": self.recipe.name,
            "shares": dict(self.recipe.shares),
            "guidance": self.recipe.guidance,
            "start": self._start,
            "vad": _digest(self._vad) if self.guide or self.recipe.guidance != "none" else None,
            "guide": self._start_guide,
            "embeddings": self._train.key,
            **asdict(self.schedule),
        }

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        schedule, recipe = self.schedule, self.recipe
        seed = (schedule.seed, 0, step)
        draw, seconds = self._train.source.scenes, schedule.crop_seconds
        silent = int(_SILENT_SHARE * schedule.batch) if self.guide else 0
        mixed = schedule.batch - silent
        scenes = draw(seed, mixed, seconds, recipe.shares, _UNENROLLED)
        scenes += draw([*seed, 2], silent, seconds, {"TS3": 1.0})
        material = _material(self._train, scenes, np.random.default_rng([*seed, 1]))
        output = self.enhancer(material.noisy, material.embedding)
        loss = self._guided(output.samples[:mixed], material.first(mixed))
        extras = {"enhancement_loss": loss.item()}
        preset = self.enhancer.preset
        if preset is not None and preset.gate:
            shares = block_utilisation(output.logits, preset.gate.surrogate)
            extras["utilisation"] = shares.mean().item()
            off = utilisation_loss(shares, preset.gate, preset.training)
            loss = loss + preset.training.utilisation_weight * off
        if self.guide:
            features = self._transform.features(self._transform.spectrum(material.noisy))
            told, more = self.guide.loss(self._vad, features, output.logits, material.target)
            loss, extras = loss + told, extras | more
        return loss, extras

    def _guided(self, samples: Tensor, material: Material) -> Tensor:
        length = samples.shape[1]
        frames = length // SETTINGS.hop
        probability = None
        if self.recipe.guidance != "none":
            with torch.no_grad():
                features = self._transform.features(self._transform.spectrum(material.noisy))
                probability = self._vad.target_probability(features, material.embedding)
                probability = probability[:, :frames]
        return guided_loss(
            self._transform,
            samples,
            noisy=material.noisy[:, :length],
            reference=material.reference[:, :length],
            level=material.level,
            guidance=self.recipe.guidance,
            probability=probability,
            target_active=material.active[:, :frames],
        )

    def validate(self) -> dict[str, float]:
        """The unguided loss, weighted as the recipe mixes; by scenario what there is to gain.

        ``loss`` is of the recipe's scenarios alone. TS1 and TS2: SI-SDR gain in dB; TS3: by how
        many dB the output is below the input. Of a guided network the share of frames, 0..1, in
        which the gates know whether the target speaks; its ``loss`` has what they are unsure of.
        """
        losses, found = {}, {}
        unsure = []
        for scenario, material in self._validation.items():
            output = self.enhancer(material.noisy, material.embedding)
            length = output.samples.shape[1]
            losses[scenario] = guided_loss(
                self._transform,
                output.samples,
                noisy=material.noisy[:, :length],
                reference=material.reference[:, :length],
                level=material.level,
            ).item()
            if scenario == "TS3":
                power = (output.samples**2).mean(dim=1).clamp_min(_SILENCE**2)
                before = (material.noisy[:, :length] ** 2).mean(dim=1)
                found["TS3_decibels_down"] = (10 * (before / power).log10()).mean().item()
            else:
                found[f"{scenario}_si_sdr_gain"] = _gain(output.samples, material)
            if self.guide:
                right, entropy = self.guide.judge(output.logits, material.target)
                found[f"{scenario}_target_accuracy"] = right
                unsure.append(TARGET_WEIGHT * entropy)
            if output.logits:
                opened = torch.stack([(scores > 0).float().mean() for scores in output.logits])
                found[f"{scenario}_open"] = opened.mean().item()
        shares = self.recipe.shares
        total = sum(shares.values())
        loss = sum(losses[name] * share for name, share in shares.items()) / total
        return {"loss": loss + (float(np.mean(unsure)) if unsure else 0.0), **found}


def _material(
    enrolled: Enrolled, scenes: Sequence[Scene], rng: np.random.Generator | None
) -> Material:
    samples = len(scenes[0].noisy) // SETTINGS.hop * SETTINGS.hop
    references = [scene.reference[:samples] for scene in scenes]
    active = [voice_activity(SETTINGS, x, active_level(x)) for x in references]
    return Material(
        noisy=torch.from_numpy(np.stack([scene.noisy[:samples] for scene in scenes])),
        reference=torch.from_numpy(np.stack(references).astype(np.float32)),
        level=torch.tensor([scene.level for scene in scenes]),
        embedding=enrolled.embeddings(scenes, rng),
        active=torch.from_numpy(np.stack(active)),
        voice=torch.tensor([scene.voice for scene in scenes]),
    )


def _gain(samples: Tensor, material: Material) -> float:
    gains = []
    length = samples.shape[1]
    for after, before, target in zip(samples, material.noisy, material.reference, strict=True):
        wanted = target[:length].numpy()
        if wanted.any():
            gains.append(si_sdr(after.numpy(), wanted) - si_sdr(before[:length].numpy(), wanted))
    return float(np.mean(gains))


def _digest(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()[:16]
