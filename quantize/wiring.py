"""Which layers the deployed network has, and between which activations they stand.

An activation is a set of int8 tensors that share a scale and a zero point:

    features            the input
    embedding           whom a personalised network keeps, on the grid of dyncp.embedding
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

from dyncp.preset import DEPTHWISE_KERNEL, GateSite, Preset

CLOSED_AXES: dict[GateSite, dict[str, str]] = {
    "output": {"down": "output"},
    "hidden": {"up": "output", "depthwise": "channel", "down": "input"},
}
"""For each site, the layers (by role) of which a closed gate leaves something out, and what:
output rows, depthwise channels or input columns."""

PERSONAL_ROLES = ("squeeze", "up")
"""The layers of each block that read the embedding of a personalised network."""


@dataclass(frozen=True)
class LayerSpec:
    """One convolution: a 1x1 (``outputs x inputs`` weights) or a depthwise.

    ``inputs`` of a depthwise is the taps of its kernel. ``block`` is None for
    ``front`` and ``back``; ``role`` is the name without the block. ``input``
    and ``output`` are activations. ``embedding``: values of the embedding that it reads
    behind its inputs; they stand still, so a frame has no multiply-accumulate of them.
    """

    name: str
    role: str
    block: int | None
    outputs: int
    inputs: int
    input: str
    output: str
    relu: bool
    embedding: int = 0

    @property
    def columns(self) -> int:
        """Weights of a row: those of the inputs, then those of the embedding."""
        return self.inputs + self.embedding

    @property
    def depthwise(self) -> bool:
        return self.role == "depthwise"

    @property
    def macs(self) -> int:
        """Multiply-accumulates a frame with nothing skipped."""
        return self.outputs * self.inputs


def block_input(preset: Preset, block: int) -> str:
    """The activation that enters block ``block``; ``preset.blocks`` means ``back``."""
    return f"block{block}.input" if block < preset.blocks else "back.input"


def layer_specs(preset: Preset) -> list[LayerSpec]:
    """Every layer, in the order of docs/contracts.md."""
    channels, bins = preset.network.channels, preset.audio.bins
    first, last = block_input(preset, 0), block_input(preset, preset.blocks)
    specs = [LayerSpec("front", "front", None, channels, bins, "features", first, True)]
    for block in range(preset.blocks):
        specs += _block_specs(preset, block)
    specs.append(LayerSpec("back", "back", None, bins, channels, last, "mask_logits", False))
    return specs


def _block_specs(preset: Preset, block: int) -> list[LayerSpec]:
    channels, hidden = preset.network.channels, preset.network.hidden
    x, inner = block_input(preset, block), f"block{block}."
    wide, filtered = f"{inner}hidden", f"{inner}filtered"
    rows: list[tuple[str, int, int, str, str, bool]] = []
    if preset.gate:
        narrow, squeezed = preset.gate.hidden, f"{inner}squeezed"
        rows = [
            ("squeeze", narrow, channels, x, squeezed, True),
            ("score", preset.gates, narrow, squeezed, f"gate{block}_logits", False),
        ]
    rows += [
        ("up", hidden, channels, x, wide, True),
        ("depthwise", hidden, DEPTHWISE_KERNEL, wide, filtered, True),
        ("down", channels, hidden, filtered, f"{inner}update", False),
    ]
    dimensions = preset.speaker.dimensions if preset.speaker else 0
    return [
        LayerSpec(
            f"{inner}{row[0]}", row[0], block, *row[1:],
            embedding=dimensions if row[0] in PERSONAL_ROLES else 0,
        )
        for row in rows
    ]  # fmt: skip


def activation_names(preset: Preset) -> list[str]:
    """Every activation, in the order in which a frame meets them."""
    names = ["features", *(["embedding"] if preset.speaker else [])]
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
    return int(state[len("taps") :].split("_", maxsplit=1)[0])
