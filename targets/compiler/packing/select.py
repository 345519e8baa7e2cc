"""Which layout a layer has on a core, and its packing."""

from __future__ import annotations

from quantize.macs import Layout
from targets.compiler.packing import dsp, helium
from targets.compiler.packing.packed import Packed, plain
from targets.compiler.plan import ConvolutionPlan, NetworkPlan
from targets.sources import Kernels


def layout_of(network: NetworkPlan, layer: ConvolutionPlan, kernels: Kernels) -> Layout:
    """The layout that ``kernels`` run a layer of ``network`` in."""
    if kernels == "dsp":
        return dsp.layout_of(network, layer)
    if kernels == "helium":
        return helium.layout_of(network, layer)
    return "plain"


def pack(layer: ConvolutionPlan, layout: Layout) -> Packed:
    """A layer as ``layout`` stores it."""
    if layout == "plain":
        return plain(layer)
    return {**dsp.PACKINGS, **helium.PACKINGS}[layout](layer)
