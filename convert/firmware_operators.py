"""The operators that the firmware has: one list for who writes, audits and compiles a model."""

from __future__ import annotations

INT8_VERSIONS = {
    "ADD": 2,
    "AVERAGE_POOL_2D": 2,
    "CONCATENATION": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "GATHER": 2,
    "GREATER": 2,
    "LOGISTIC": 2,
    "QUANTIZE": 1,
    "SELECT_V2": 1,
}
"""First version of each operator with int8 (``tools/versioning/op_version.cc``)."""

FIRMWARE_OPERATORS = frozenset(INT8_VERSIONS)
