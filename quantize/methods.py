"""How a tensor's int8 range may be found from what calibration saw of it."""

from __future__ import annotations

from typing import Literal, get_args

Method = Literal["minmax", "percentile", "mse"]
METHODS: tuple[Method, ...] = get_args(Method)
DEFAULT_METHOD: Method = "mse"
"""`python -m quantize.evaluation ways` compares them on a checkpoint."""
