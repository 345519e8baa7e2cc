"""Imports every family of checks, in the order in which they are reported."""

# ruff: noqa: I001
from convert.audit import container
from convert.audit import wiring
from convert.audit import operators
from convert.audit import shapes
from convert.audit import quantisation
from convert.audit import rescaling
from convert.audit import layers
from convert.audit import signature
from convert.audit import identity
from convert.audit import gates
from convert.audit import states
from convert.audit import interpreter

__all__ = [
    "container",
    "gates",
    "identity",
    "interpreter",
    "layers",
    "operators",
    "quantisation",
    "rescaling",
    "shapes",
    "signature",
    "states",
    "wiring",
]
