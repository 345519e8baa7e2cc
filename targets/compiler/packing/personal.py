"""What an instance of a personalised network keeps of the embedding that is in force.

In one buffer: the embedding itself, then for each personalised layer its constants, as the
layer's layout has them, with the embedding in the start of each row's sum.
"""

from __future__ import annotations

from dataclasses import dataclass

from targets.compiler.arena import aligned
from targets.compiler.packing.select import layout_of, pack
from targets.compiler.plan import NetworkPlan
from targets.sources import Kernels

_WORD_BYTES = 4


@dataclass(frozen=True)
class PersonalPlace:
    """Where a layer's constants lie in the buffer: an offset in bytes, and how many words."""

    offset: int
    words: int


def personal_places(network: NetworkPlan, kernels: Kernels) -> tuple[dict[str, PersonalPlace], int]:
    """The place of each personalised layer, by name, and the bytes of all together."""
    places, end = {}, aligned(network.dimensions)
    for block in network.blocks:
        for layer in block.personal.values():
            words = len(pack(layer, layout_of(network, layer, kernels)).constants)
            places[layer.name] = PersonalPlace(end, words)
            end = aligned(end + _WORD_BYTES * words)
    return places, end
