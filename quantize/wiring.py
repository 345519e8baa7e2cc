"""Which layers the deployed network has, and between which activations they stand.

An activation is a set of int8 tensors that share a scale and a zero point:

    features            the input
    block{i}.input      the block's input x_i: pool{i}_in, pool{i}_out, their average
    block{i}.squeezed   inside the gate
    gate{i}_logits
    block{i}.hidden     after `up`: taps{i}_in, taps{i}_out
    block{i}.filtered   after `depthwise`
    block{i}.update     after `down`, what the residual adds
    back.input          the last block's output
    mask_logits, mask
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dyncp.preset import DEPTHWISE_KERNEL, Preset

LayerKind = Literal["pointwise", "depthwise"]

RECTIFIED = ("input", "squeezed", "hidden", "filtered")


@dataclass(frozen=True)
class LayerSpec:
    """One convolution: a 1x1 (``outputs x inputs`` weights) or a depthwise.

    ``inputs`` of a depthwise is the taps of its kernel. ``block`` is None for
    ``front`` and ``back``; ``role`` is the name without the block.
    """

    name: str
    role: str
    block: int | None
    kind: LayerKind
    outputs: int
    inputs: int
    input: str
    output: str
    relu: bool

    @property
    def macs(self) -> int:
        """Multiply-accumulates a frame with nothing skipped."""
        return self.outputs * self.inputs


def block_input(preset: Preset, block: int) -> str:
    """The activation that enters block ``block``; ``preset.blocks`` means ``back``."""
    return f"block{block}.input" if block < preset.blocks else "back.input"


def layer_specs(preset: Preset) -> list[LayerSpec]:
    """Every layer, in the order of docs/contracts.md."""
    network, gate, bins = preset.network, preset.gate, preset.audio.bins
    channels, hidden = network.channels, network.hidden
    first = block_input(preset, 0)
    specs = [
        LayerSpec("front", "front", None, "pointwise", channels, bins, "features", first, True)
    ]
    for block in range(preset.blocks):
        x = block_input(preset, block)
        inner = f"block{block}."

        def add(
            role: str,
            kind: LayerKind,
            shape: tuple[int, int],
            ends: tuple[str, str],
            relu: bool,
            block: int = block,
        ) -> None:
            name = f"block{block}.{role}"
            specs.append(LayerSpec(name, role, block, kind, *shape, *ends, relu))

        if gate:
            squeezed, logits = f"{inner}squeezed", f"gate{block}_logits"
            add("squeeze", "pointwise", (gate.hidden, channels), (x, squeezed), True)
            add("score", "pointwise", (preset.gates, gate.hidden), (squeezed, logits), False)
        wide, filtered, update = f"{inner}hidden", f"{inner}filtered", f"{inner}update"
        add("up", "pointwise", (hidden, channels), (x, wide), True)
        add("depthwise", "depthwise", (hidden, DEPTHWISE_KERNEL), (wide, filtered), True)
        add("down", "pointwise", (channels, hidden), (filtered, update), False)
    last = block_input(preset, preset.blocks)
    specs.append(
        LayerSpec("back", "back", None, "pointwise", bins, channels, last, "mask_logits", False)
    )
    return specs


def activation_names(preset: Preset) -> list[str]:
    """Every activation, in the order in which a frame meets them."""
    names = ["features"]
    for block in range(preset.blocks):
        inner = f"block{block}."
        names.append(f"{inner}input")
        if preset.gate:
            names += [f"{inner}squeezed", f"gate{block}_logits"]
        names += [f"{inner}hidden", f"{inner}filtered", f"{inner}update"]
    return [*names, "back.input", "mask_logits", "mask"]


def tensor_activation(tensor: str) -> str:
    """The activation of an input or output tensor (the names of ``dyncp.state``)."""
    if tensor.startswith("taps"):
        return f"block{_block_of(tensor)}.hidden"
    if tensor.startswith("pool"):
        return f"block{_block_of(tensor)}.input"
    return tensor


def _block_of(state: str) -> int:
    return int(state[len("taps") :].split("_")[0])
