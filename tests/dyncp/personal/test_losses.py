"""What the personalised VAD changes in the loss must be the frames that it was fooled in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from dyncp.personal.losses import Guidance, frame_losses, guided_loss
from dyncp.personal.speaker_encoder import SETTINGS
from dyncp.training.loss import Transform

FRAMES, HOP = 16, SETTINGS.hop
TRANSFORM = Transform(SETTINGS, torch.device("cpu"))
FOOLED = slice(5, 11)
"""Frames without the target that the personalised VAD takes for the target's."""


def spectra(seed: int, shape: tuple[int, ...] = (2, 9, 5)) -> Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=torch.manual_seed(seed))


def test_a_perfect_estimate_costs_nothing_and_its_gradient_is_finite() -> None:
    wanted = spectra(1)
    wanted[0, 3] = 0  # digital silence
    heard = wanted.clone().requires_grad_()
    losses = frame_losses(heard, wanted)
    assert losses.shape == (2, 5)
    assert not losses.any()
    losses.sum().backward()
    assert heard.grad is not None and torch.isfinite(torch.view_as_real(heard.grad)).all()


def test_the_loss_is_the_published_sum() -> None:
    heard, wanted = spectra(1), spectra(2)
    x, s = heard.numpy().astype(np.complex128), wanted.numpy().astype(np.complex128)
    missing = np.abs(s) ** 0.3 - np.abs(x) ** 0.3
    phase = np.abs(s * np.abs(s) ** -0.7 - x * np.abs(x) ** -0.7)
    expected = 0.5 * missing**2 + 0.5 * phase**2 + np.maximum(missing, 0) ** 2
    np.testing.assert_allclose(frame_losses(heard, wanted), expected.mean(axis=1), rtol=1e-4)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_suppressing_a_voice_costs_more_than_leaking_as_much(share: float) -> None:
    wanted = spectra(3)
    compressed = wanted.abs() ** 0.3
    phase = wanted / wanted.abs()
    leaked = phase * (compressed * (1 + share)) ** (1 / 0.3)
    suppressed = phase * (compressed * (1 - share)) ** (1 / 0.3)
    leaks, misses = frame_losses(leaked, wanted), frame_losses(suppressed, wanted)
    torch.testing.assert_close(misses, 2 * leaks, rtol=2e-3, atol=0)


class Case:
    """Sixteen frames: the target speaks in the last four, the VAD is fooled in six others."""

    def __init__(self) -> None:
        generator = torch.manual_seed(4)
        self.estimate, self.noisy, self.reference = (
            0.1 * torch.randn(2, FRAMES * HOP, generator=generator) for _ in range(3)
        )
        self.level = torch.tensor([0.1, 0.05])
        self.active = torch.zeros(2, FRAMES, dtype=torch.bool)
        self.active[:, 12:] = True
        self.probability = torch.full((2, FRAMES), 0.2)
        self.probability[:, FOOLED] = 0.9
        self.probability[0, 13] = 0.7  # right: the target does speak

    @property
    def fooled(self) -> Tensor:
        found = torch.zeros(2, FRAMES, dtype=torch.bool)
        found[:, FOOLED] = True
        return found

    def loss(self, guidance: Guidance, estimate: Tensor | None = None) -> Tensor:
        return guided_loss(
            TRANSFORM,
            self.estimate if estimate is None else estimate,
            noisy=self.noisy,
            reference=self.reference,
            level=self.level,
            guidance=guidance,
            probability=self.probability,
            target_active=self.active,
        )

    def frames(self, reference: Tensor | None = None) -> Tensor:
        """The loss of every frame alone, against the reference or another one's spectrum."""
        scale = 1 / self.level[:, None]
        wanted = TRANSFORM.spectrum(self.reference * scale) if reference is None else reference
        return frame_losses(TRANSFORM.spectrum(self.estimate * scale), wanted)

    def gradient(self, guidance: Guidance) -> Tensor:
        """By hop: ``[B, FRAMES, HOP]``. Hop h is in the frames h and h + 1."""
        estimate = self.estimate.clone().requires_grad_()
        self.loss(guidance, estimate).backward()
        assert estimate.grad is not None
        return estimate.grad.reshape(2, FRAMES, HOP)


def test_without_guidance_every_frame_counts_alike() -> None:
    case = Case()
    torch.testing.assert_close(case.loss("none"), case.frames().mean())
    quiet = Case()
    quiet.estimate, quiet.noisy, quiet.reference, quiet.level = (
        x / 4 for x in (case.estimate, case.noisy, case.reference, case.level)
    )
    torch.testing.assert_close(quiet.loss("none"), case.loss("none"))


def test_excluded_frames_teach_nothing_and_the_others_the_same() -> None:
    case = Case()
    plain, excluded = case.gradient("none"), case.gradient("exclude")
    assert not excluded[:, 5:10].any()
    assert plain[:, 5:10].abs().amax(dim=2).all()
    kept = 2 * FRAMES - int(case.fooled.sum())
    for hops in (slice(0, 4), slice(11, FRAMES)):
        torch.testing.assert_close(excluded[:, hops] * kept, plain[:, hops] * 2 * FRAMES)
    torch.testing.assert_close(case.loss("exclude"), case.frames()[~case.fooled].mean())


def test_a_frame_of_the_target_is_never_left_out() -> None:
    """The VAD is sure of the target where it does speak: that is no mistake."""
    case = Case()
    case.probability[:] = case.active.float()
    for guidance in ("exclude", "noisy"):
        torch.testing.assert_close(case.loss(guidance), case.loss("none"))  # type: ignore[arg-type]


def test_fooled_frames_have_the_noisy_signal_as_reference() -> None:
    case = Case()
    scale = 1 / case.level[:, None]
    clean, noisy = (TRANSFORM.spectrum(x * scale) for x in (case.reference, case.noisy))
    expected = case.frames(torch.where(case.fooled[:, None], noisy, clean)).mean()
    torch.testing.assert_close(case.loss("noisy"), expected)
    assert abs(expected - case.loss("none")) > 1e-3


def test_leaving_the_noisy_signal_is_right_where_the_vad_is_fooled_everywhere() -> None:
    case = Case()
    case.reference[:] = 0
    case.active[:] = False
    case.probability[:] = 0.8
    assert case.loss("noisy", case.noisy) < 1e-9 < case.loss("none", case.noisy)


def test_the_probability_weights_frames_without_the_target_alone() -> None:
    case = Case()
    weights = torch.ones(2, FRAMES)
    weights[:, :12] = 0.8
    weights[:, FOOLED] = 0.1
    expected = (weights * case.frames()).sum() / weights.sum()
    torch.testing.assert_close(case.loss("weight"), expected)
    before = case.loss("weight")
    case.probability[:, 12:] = 0.99
    torch.testing.assert_close(case.loss("weight"), before)


def test_the_soft_reference_is_as_noisy_as_the_vad_is_sure() -> None:
    case = Case()
    scale = 1 / case.level[:, None]
    clean, noisy = (TRANSFORM.spectrum(x * scale) for x in (case.reference, case.noisy))
    share = torch.zeros(2, FRAMES)
    share[:, :12] = 0.2
    share[:, FOOLED] = 0.9
    mixed = (1 - share)[:, None] * clean + share[:, None] * noisy
    torch.testing.assert_close(case.loss("noisy-soft"), case.frames(mixed).mean())


@pytest.mark.parametrize("guidance", ["exclude", "weight"])
def test_a_batch_of_fooled_frames_alone_is_no_loss_and_no_nan(guidance: Guidance) -> None:
    case = Case()
    case.active[:] = False
    case.probability[:] = 1.0
    assert case.loss(guidance) == 0
    assert not case.gradient(guidance).any()


@pytest.mark.parametrize("guidance", ["none", "exclude", "noisy", "weight", "noisy-soft"])
def test_silence_everywhere_is_no_nan(guidance: Guidance) -> None:
    case = Case()
    case.estimate[:], case.noisy[:], case.reference[:], case.level[:] = 0, 0, 0, 0
    assert torch.isfinite(case.loss(guidance))
    assert torch.isfinite(case.gradient(guidance)).all()
