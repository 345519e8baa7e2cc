"""The integer model in torch, op by op, so that its rounding can be trained through.

Values are what the int8 tensors stand for; every op rounds where the integer model
(:mod:`quantize.integer_model`) rounds, with the straight-through estimator for a gradient
(Bengio et al., arXiv 1308.3432). Scales are learned (LSQ, Esser et al., arXiv 1902.08153);
zero points stay. What differs from the integers is the double rounding of requantisation
and float32's own: rarely a value, then by one step.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from dyncp.network import Block, GatedConvFSENet, NetworkOutput, heaviside, moving_average
from quantize.arithmetic import INT8_MAX, INT8_MIN, Requantisation
from quantize.calibrate import sigmoid_activation
from quantize.checks import LOGIT_SHIFT, WEIGHT_LIMIT
from quantize.model import Activation, QuantizedLayer
from quantize.wiring import block_input, layer_specs

_SMALLEST_WEIGHT_SCALE = 1e-8
_WIDE = 256
"""Steps of 16 bits in one of 8."""


def rounded(x: Tensor) -> Tensor:
    """To the nearest integer; the gradient passes as if nothing had been done."""
    return x + (torch.round(x) - x).detach()


class FakeQuantNet(nn.Module):
    """A float network behind the grids of a quantised model.

    It trains ``network`` itself: its weights, the affine part of its batch norms (their
    statistics stay, and are folded in), and the scales of the activations between. The
    grids of the input, the mask and the gates' logits stay as they are given.
    """

    def __init__(
        self,
        network: GatedConvFSENet,
        activations: Mapping[str, Activation],
        wide: Collection[str] = (),
        layers: Mapping[str, QuantizedLayer] | None = None,
    ) -> None:
        """``wide``: activations to hold in 16 bits, at 1/256 of their scale.

        Nothing that is deployed does: it is to find out what that would give. ``layers``: the
        integers to run in place of the network's weights, which are then no more trained.
        """
        super().__init__()
        self._wide = frozenset(wide)
        self._layers = layers
        self._embeddings: NDArray[np.int8] | None = None
        self.network = network.eval()
        self.preset = network.preset
        self._given = dict(activations)
        self._sources = {spec.name: spec.input for spec in layer_specs(network.preset)}
        self._zero_points = {name: grid.zero_point for name, grid in activations.items()}
        # Logarithms of factors on the given scales, so that all start at 0.
        self._factors = nn.ParameterDict(
            {
                _key(name): nn.Parameter(torch.zeros(()))
                for name in activations
                if name not in ("features", "mask") and not name.startswith("gate")
            }
        )

    def train(self, mode: bool = True) -> FakeQuantNet:
        """As ever, but for the batch norms: their statistics are folded, so they stay."""
        super().train(mode)
        self.network.eval()
        return self

    @property
    def scales(self) -> list[nn.Parameter]:
        """What is learned of the scales: the logarithms of factors on those given."""
        return list(self._factors.values())

    @property
    def activations(self) -> dict[str, Activation]:
        """Every grid as it stands now, fit for a quantised model."""
        found = {
            name: Activation(float(self._scale(name).detach()), zero_point)
            for name, zero_point in self._zero_points.items()
        }
        return found | {"mask_logits": sigmoid_activation(found["mask_logits"])}

    def _scale(self, name: str) -> Tensor:
        scale = torch.tensor(self._given[name].scale)
        return scale * self._factors[_key(name)].exp() if _key(name) in self._factors else scale

    def _on_grid(self, x: Tensor, name: str) -> Tensor:
        """The nearest value of the activation's grid."""
        scale, zero_point = self._scale(name), self._zero_points[name]
        low, high = float(INT8_MIN - zero_point), float(INT8_MAX - zero_point)
        if name in self._wide:
            scale = scale / _WIDE
            low, high = low * _WIDE, high * _WIDE
        return rounded(x / scale).clamp(low, high) * scale

    def _rounded_layer(
        self, name: str, weight: Tensor, bias: Tensor, shift: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Weights ``[outputs, ...]`` and bias as int8 and int32 hold them."""
        if self._layers is not None:
            return self._integers(self._layers[name], weight.shape)
        largest = weight.detach().abs().flatten(1).amax(dim=1)
        steps = (largest / WEIGHT_LIMIT).clamp_min(_SMALLEST_WEIGHT_SCALE)
        shaped = steps.reshape(-1, *[1] * (weight.dim() - 1))
        bias_steps = steps * self._scale(self._sources[name])
        steps_of_bias = (bias + shift) / bias_steps - (0.5 if shift else 0.0)  # see calibrate.py
        return rounded(weight / shaped) * shaped, rounded(steps_of_bias) * bias_steps

    def _integers(self, layer: QuantizedLayer, shape: torch.Size) -> tuple[Tensor, Tensor]:
        steps = torch.from_numpy(layer.weight_scale).double()
        weight = torch.from_numpy(layer.weight[:, : layer.spec.inputs]).double() * steps[:, None]
        bias = torch.from_numpy(layer.bias).double() * steps * self._scale(layer.spec.input)
        return weight.reshape(shape).float(), bias.float()

    def _convolve(self, x: Tensor, conv: nn.Conv2d, name: str, shift: float = 0.0) -> Tensor:
        assert conv.bias is not None
        return F.conv2d(x, *self._rounded_layer(name, conv.weight, conv.bias, shift))

    def _of_embedding(self, name: str) -> Tensor:
        """What the embeddings add to the layer's sums, ``[1, outputs, frames, 1]``; or 0."""
        if self._embeddings is None:
            return torch.zeros(())
        assert self._layers is not None
        layer = self._layers[name]
        source, given = self._given[layer.spec.input], self._given["embedding"]
        move = Requantisation((given.scale, given.zero_point), (source.scale, source.zero_point))
        columns = layer.weight[:, layer.spec.inputs :].astype(np.int64)
        total = columns @ (move(self._embeddings.astype(np.int64)) - source.zero_point).T
        steps = layer.weight_scale.astype(np.float64)[:, None] * source.scale
        return torch.from_numpy((total * steps).astype(np.float32))[None, :, :, None]

    def forward(
        self, features: Tensor, embeddings: NDArray[np.int8] | None = None
    ) -> NetworkOutput:
        """As :meth:`dyncp.network.GatedConvFSENet.forward`, rounded.

        ``embeddings``: of a personalised network with ``layers`` given, whom it keeps in each
        frame, int8 ``[frames, dimensions]``.

        A logit is the integer's distance from its zero point, in the logit's unit: a gate is
        open where it is above 0.
        """
        if (embeddings is None) != (self.preset.speaker is None):
            raise ValueError("embeddings go with a personalised network, and with no other")
        self._embeddings = embeddings
        first = block_input(self.preset, 0)
        x = self._on_grid(features.unsqueeze(3), "features")
        x = self._on_grid(F.relu(self._convolve(x, self.network.front, "front")), first)
        logits = []
        for index, block in enumerate(self.network.blocks):
            assert isinstance(block, Block)
            x, scores = self._block(x, block, index)
            if scores is not None:
                logits.append(scores.squeeze(3))
        y = self._on_grid(self._convolve(x, self.network.back, "back"), "mask_logits")
        return NetworkOutput(self._on_grid(torch.sigmoid(y), "mask").squeeze(3), logits)

    def _block(self, x: Tensor, block: Block, index: int) -> tuple[Tensor, Tensor | None]:
        source, target = (block_input(self.preset, i) for i in (index, index + 1))
        inner = f"block{index}."
        logits = openings = None
        if block.gate is not None:
            pooled = self._on_grid(moving_average(x, block.gate.pool_frames), source)
            squeezed = self._convolve(pooled, block.gate.squeeze, f"{inner}squeeze")
            squeezed = F.relu(squeezed + self._of_embedding(f"{inner}squeeze"))
            squeezed = self._on_grid(squeezed, f"{inner}squeezed")
            name = f"gate{index}_logits"
            step = self._given[name].scale / (_WIDE if name in self._wide else 1)
            shift = step * LOGIT_SHIFT
            scores = self._convolve(squeezed, block.gate.score, f"{inner}score", shift)
            logits = self._on_grid(scores, name)
            openings = heaviside(logits, block.surrogate).repeat_interleave(block.group, dim=1)
        hidden = F.conv2d(x, *self._folded(f"{inner}up", block.up, block.up_norm))
        hidden = hidden + self._of_embedding(f"{inner}up")
        hidden = self._on_grid(F.relu(hidden), f"{inner}hidden")
        if openings is not None and block.site == "hidden":
            hidden = hidden * openings
        weight, bias = self._folded(f"{inner}depthwise", block.depthwise, block.depthwise_norm)
        y = block.causal_depthwise(hidden, weight[:, 0]) + bias.reshape(1, -1, 1, 1)
        y = self._on_grid(F.relu(y), f"{inner}filtered")
        if openings is not None and block.site == "hidden":
            y = y * openings
        y = self._on_grid(self._convolve(y, block.down, f"{inner}down"), f"{inner}update")
        if openings is not None and block.site == "output":
            y = y * openings
        return self._on_grid(x + y, target), logits

    def _folded(self, name: str, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
        assert norm.running_mean is not None and norm.running_var is not None
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        bias = norm.bias - norm.running_mean * factor
        return self._rounded_layer(name, conv.weight * factor.reshape(-1, 1, 1, 1), bias)


def _key(activation: str) -> str:
    """A name that torch takes for a parameter's."""
    return activation.replace(".", "-")
