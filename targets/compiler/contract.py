"""The ``sluice`` metadata of a `.tflite` (docs/contracts.md), read back and checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.metadata import ENTRY, FORMAT
from dyncp.errors import UserError
from dyncp.preset import DEPTHWISE_KERNEL, Audio
from targets.compiler.graph import Graph
from targets.compiler.plan import ProbePlan, Site

_CLOSES = {
    "output": [("down", "output")],
    "hidden": [("up", "output"), ("depthwise", "channel"), ("down", "input")],
}
"""What the gates of each site close: the runtime implements these two."""


@dataclass(frozen=True)
class Contract:
    """What the compiler needs of the metadata.

    ``gated_channels``: channels a block that gates can close, 0 in a static
    network. ``reads``: for each state input, how many frames ago its taps are.
    """

    preset: str
    model_hash: str
    audio: Audio
    blocks: int
    site: Site
    group: int
    gated_channels: int
    reads: dict[str, tuple[int, ...]]
    probes: tuple[ProbePlan, ...]

    def dilation(self, block: int) -> int:
        """Frames between the taps of a block's depthwise."""
        reads = self.reads[f"taps{block}_in"]
        dilation = reads[-1]
        if list(reads) != [dilation * ago for ago in range(DEPTHWISE_KERNEL - 1, 0, -1)]:
            raise UserError(f"taps{block}_in reads frames {list(reads)}, not 2d and d ago")
        return dilation

    def pool_frames(self, block: int) -> int:
        """Frames that a block's gate averages, the present one included."""
        reads = self.reads.get(f"pool{block}_in", ())
        if list(reads) != list(range(len(reads), 0, -1)):
            raise UserError(f"pool{block}_in must read every frame of its past, oldest first")
        return len(reads) + 1


def read_contract(graph: Graph) -> Contract:
    """Parse the metadata entry; raises :class:`UserError` naming what it lacks."""
    if ENTRY not in graph.metadata:
        raise UserError(
            f"the model has no '{ENTRY}' metadata; make it with `python -m convert`"
        )
    try:
        values = json.loads(graph.metadata[ENTRY])
        if values["format"] != FORMAT:
            raise UserError(
                f"the '{ENTRY}' metadata has format {values['format']}, expected {FORMAT}; "
                "convert the model anew"
            )
        return _contract(values)
    except KeyError as error:
        raise UserError(f"the '{ENTRY}' metadata lacks {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"the '{ENTRY}' metadata cannot be read: {error}") from error


def _contract(values: dict[str, Any]) -> Contract:
    reads = {entry["input"]: tuple(entry["reads"]) for entry in values["states"]}
    blocks = sum(name.startswith("taps") for name in reads)
    if blocks == 0:
        raise UserError(f"the '{ENTRY}' metadata names no taps, so no block")
    site, group, channels = _gates(values["gates"], blocks)
    bytes.fromhex(values["model_hash"])
    return Contract(
        str(values["preset"]["name"]),
        values["model_hash"],
        Audio(**values["preset"]["audio"]),
        blocks,
        site,
        group,
        channels,
        reads,
        tuple(_probe(entry, blocks * channels // group) for entry in values["probes"]),
    )


def _gates(entries: list[dict[str, Any]], blocks: int) -> tuple[Site, int, int]:
    """Site, group and gated channels, which every block must share."""
    if not entries:
        return "none", 1, 0
    if len(entries) != blocks:
        raise UserError(f"the metadata has {len(entries)} gates for {blocks} blocks")
    first = entries[0]
    site, group, channels = first["site"], first["group"], first["channels"]
    if site not in _CLOSES or group not in (1, 4, 8) or channels % group:
        raise UserError(f"gates at site {site!r} in groups of {group} cannot be compiled")
    for block, entry in enumerate(entries):
        if (entry["site"], entry["group"], entry["channels"]) != (site, group, channels):
            raise UserError(f"gate {block} differs from gate 0 in site, group or channels")
        if entry["logits"] != f"gate{block}_logits":
            raise UserError(f"gate {block} has the logits {entry['logits']!r}")
        closes = [(target["layer"], target["axis"]) for target in entry["closes"]]
        if closes != [(f"block{block}.{role}", axis) for role, axis in _CLOSES[site]]:
            raise UserError(f"gate {block} closes {closes}, which cannot be compiled")
    return site, group, channels


def _probe(entry: dict[str, Any], gates: int) -> ProbePlan:
    name, bias = str(entry["name"]), int(entry["bias"])
    weights = np.array(entry["weights"], np.int64)
    if weights.shape != (gates,):
        raise UserError(f"probe '{name}' has {weights.size} weights for {gates} gates")
    if np.abs(weights).max(initial=0) > 32767:
        raise UserError(f"probe '{name}' has a weight that does not fit 16 bits")
    if np.abs(weights).sum() + abs(bias) >= 1 << 31:
        raise UserError(f"probe '{name}' can overflow its 32-bit score")
    return ProbePlan(name, weights.astype(np.int16), bias)
