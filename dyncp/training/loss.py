"""Training losses, on the STFT of the enhanced waveform."""

from __future__ import annotations

import torch
from torch import Tensor

from dyncp import audio
from dyncp.network import heaviside
from dyncp.preset import Audio, Gate, Surrogate, Training

_FLOOR = 1e-8


class Transform:
    """The differentiable STFT of :mod:`dyncp.audio`, batched: same frames, same lag."""

    def __init__(self, settings: Audio, device: torch.device) -> None:
        self.settings = settings
        window = audio.analysis_window(settings)
        self._analysis = torch.tensor(window, dtype=torch.float32, device=device)
        inverse = audio.synthesis_window(settings)
        self._synthesis = torch.tensor(inverse, dtype=torch.float32, device=device)

    def spectrum(self, samples: Tensor) -> Tensor:
        """``[B, samples]`` (whole hops) to complex ``[B, n_fft / 2 + 1, frames]``."""
        hop = self.settings.hop
        padded = torch.nn.functional.pad(samples, (hop, 0))
        frames = padded.unfold(1, self.settings.n_fft, hop)
        return torch.fft.rfft(frames * self._analysis, dim=2).transpose(1, 2)

    def features(self, spectrum: Tensor) -> Tensor:
        """The network's features of a spectrum: ``[B, bins, frames]``."""
        magnitude = spectrum[:, : self.settings.bins].abs()
        return (magnitude + self.settings.epsilon) ** self.settings.compression

    def resynthesise(self, spectrum: Tensor, mask: Tensor) -> Tensor:
        """Masked overlap-add, aligned with the input and one hop shorter."""
        hop = self.settings.hop
        seen = spectrum[:, : self.settings.bins] * mask
        missing = spectrum.shape[1] - seen.shape[1]
        masked = torch.nn.functional.pad(seen, (0, 0, 0, missing))
        frames = torch.fft.irfft(masked.transpose(1, 2), dim=2) * self._synthesis
        output = frames[:, 1:, :hop] + frames[:, :-1, hop:]
        return output.reshape(output.shape[0], -1)


def compressed(spectrum: Tensor, power: float) -> tuple[Tensor, Tensor]:
    """Compressed magnitude and the complex spectrum with that magnitude."""
    magnitude = (spectrum.real**2 + spectrum.imag**2 + _FLOOR).sqrt()
    factor = magnitude ** (power - 1)
    return magnitude**power, spectrum * factor


def enhancement_loss(
    transform: Transform, estimate: Tensor, clean: Tensor, level: Tensor
) -> Tensor:
    """0.7 MSE(|.|^0.3) + 0.3 MSE(complex ^0.3), both signals at unit speech level.

    ``estimate`` and ``clean`` are ``[B, samples]``; ``level`` ``[B]`` is the RMS of the
    clean active speech. The weights are those stated for the static Conv-FSENet.
    """
    scale = 1.0 / level.clamp_min(1e-4)[:, None]
    power = transform.settings.compression
    magnitude, complex_ = compressed(transform.spectrum(estimate * scale), power)
    target_magnitude, target_complex = compressed(transform.spectrum(clean * scale), power)
    magnitude_error = torch.mean((magnitude - target_magnitude) ** 2)
    difference = complex_ - target_complex
    complex_error = torch.mean(difference.real**2 + difference.imag**2)
    return 0.7 * magnitude_error + 0.3 * complex_error


def distillation_loss(
    transform: Transform, spectrum: Tensor, mask: Tensor, teacher_mask: Tensor, level: Tensor
) -> Tensor:
    """MSE of the compressed magnitudes of two masked versions of a spectrum.

    ``spectrum`` ``[B, n_fft / 2 + 1, frames]``, the masks ``[B, bins, frames]``, ``level``
    as in :func:`enhancement_loss`. Not on the masks' logits: those count a silent bin as
    much as a loud one, and most where the mask is shut or open and nothing can be heard of
    it. Both outputs have the phase of the input, so the complex error would say the same.
    """
    seen = spectrum[:, : transform.settings.bins] / level.clamp_min(1e-4)[:, None, None]
    power = transform.settings.compression
    magnitude = compressed(seen * mask, power)[0]
    target = compressed(seen * teacher_mask, power)[0]
    return torch.mean((magnitude - target) ** 2)


def block_utilisation(logits: list[Tensor], surrogate: Surrogate) -> Tensor:
    """Share of open gates in every block: ``[blocks]``, differentiable by the surrogate."""
    return torch.stack([heaviside(scores, surrogate).mean() for scores in logits])


def utilisation(logits: list[Tensor], surrogate: Surrogate) -> Tensor:
    """Share of open gates over all blocks and frames, differentiable by the surrogate."""
    return block_utilisation(logits, surrogate).mean()


def utilisation_loss(shares: Tensor, gate: Gate, training: Training) -> Tensor:
    """Squared distance of the shares ``[blocks]`` from their target, or their targets."""
    if training.block_utilisation:
        return torch.mean((shares - shares.new_tensor(training.block_utilisation)) ** 2)
    return (shares.mean() - gate.utilisation) ** 2
