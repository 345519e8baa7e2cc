"""How a layer's weights and constants lie in memory, for the kernels of a core."""

from targets.compiler.packing.packed import Packed
from targets.compiler.packing.select import layout_of, pack

__all__ = ["Packed", "layout_of", "pack"]
