"""The families of checks, in the order in which they are run and reported."""

from __future__ import annotations

from convert.audit import (
    container,
    gates,
    identity,
    interpreter,
    layers,
    operators,
    quantisation,
    rescaling,
    shapes,
    signature,
    states,
    wiring,
)

FAMILIES = (
    container,
    wiring,
    operators,
    shapes,
    quantisation,
    rescaling,
    layers,
    signature,
    identity,
    gates,
    states,
    interpreter,
)
