"""The order in which a frame computes its tensors, and which layer gives each.

From the tensors' names alone (docs/contracts.md), so that it holds for any rung.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

PROBES = "probes"
_KINDS = ("pool{}_out", "gate{}_logits", "gate{}_open", "taps{}_out")
_LAST = ("mask", PROBES)


@dataclass(frozen=True)
class Origin:
    """Where a tensor comes from.

    ``layer``: the layer of :mod:`quantize.wiring` that gives it; ``words``: all that lies
    between ``inputs``, the nearest tensors of the frame that can be seen, and it.
    """

    layer: str
    words: str
    inputs: tuple[str, ...]


def _parts(name: str) -> tuple[str, int]:
    """The kind of a tensor, and its block; -1 where it has none."""
    number = re.search(r"\d+", name)
    if number is None:
        return name, -1
    return re.sub(r"\d+", "{}", name, count=1), int(number.group())


def dataflow_order(tensors: Sequence[str]) -> list[str]:
    """Output tensors in the order in which a frame computes them.

    So the first difference of a frame is the one that caused the others.
    """

    def place(name: str) -> tuple[float, int]:
        kind, block = _parts(name)
        if kind in _KINDS:
            return block, _KINDS.index(kind)
        return float("inf"), _LAST.index(name) if name in _LAST else len(_LAST)

    return sorted(tensors, key=place)


def origin_of(tensor: str, tensors: Sequence[str]) -> Origin:
    """Where ``tensor`` comes from in a network that shows ``tensors``."""
    kind, block = _parts(tensor)
    before, unseen = _block_input(block, tensors)
    gate = f"gate{block}_open"
    if kind == "pool{}_out":
        before, words = _update(block, tensors)
        origin = Origin(f"block{block - 1}.down" if block else "front", words, before)
    elif kind == "gate{}_logits":
        words = f"{unseen}block {block}'s gate: moving average, squeeze, score"
        origin = Origin(f"block{block}.score", words, before)
    elif kind == "gate{}_open":
        words = f"block {block}'s gate test, q > zero point, and which channels each gate serves"
        origin = Origin(f"block{block}.score", words, (f"gate{block}_logits",))
    elif kind == "taps{}_out":
        words = f"{unseen}block {block}'s 1x1 up, ReLU"
        origin = Origin(f"block{block}.up", words, (*before, *_shown(tensors, gate)))
    elif tensor == "mask":
        blocks = 1 + max((_parts(name)[1] for name in tensors), default=-1)
        before, words = _update(blocks, tensors)
        origin = Origin("back", f"{words}, then back and sigmoid", before)
    elif tensor == PROBES:
        opened = tuple(name for name in tensors if name.endswith("_open"))
        origin = Origin(PROBES, "the probes: bias and the weights of the open gates", opened)
    else:
        origin = Origin(tensor, tensor, ())
    return origin


def _shown(tensors: Sequence[str], *names: str) -> tuple[str, ...]:
    return tuple(name for name in names if name in tensors)


def _block_input(block: int, tensors: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """What shows a block's input, and what lies unseen between that and it."""
    if f"pool{block}_out" in tensors:
        return (f"pool{block}_out",), ""
    before, words = _update(block, tensors)
    return before, f"{words}, "


def _update(block: int, tensors: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """The same of the input of block ``block``, as the one before it gives it."""
    if block <= 0:
        return ("features",), "front, ReLU"
    last = block - 1
    shown = _shown(tensors, f"pool{last}_out", f"gate{last}_open", f"taps{last}_out")
    gate = ", gate" if f"gate{last}_open" in shown else ""
    return shown, f"block {last}'s depthwise, 1x1 down{gate} and residual"
