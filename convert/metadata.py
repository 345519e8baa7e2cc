"""The ``sluice`` metadata entry of a .tflite: gates, states, probes, identity."""

from __future__ import annotations

import json
from typing import Any

from dyncp import embedding
from dyncp.errors import UserError
from dyncp.preset import DEPTHWISE_KERNEL, Preset, Training, parse_preset
from dyncp.state import has_pool_state
from quantize.model import QuantizedModel
from quantize.wiring import CLOSED_AXES

ENTRY = "sluice"
FORMAT = 1
SIGNATURE = "serving_default"

_UNTRAINED = Training(
    seed=0,
    steps=1,
    batch=1,
    crop_seconds=1.0,
    learning_rate=1.0,
    final_learning_rate=1.0,
    utilisation_weight=0.0,
    utilisation_ramp_steps=0,
    validate_every=1,
)
"""Stands for the training that a deployed model no longer knows."""


def describe(model: QuantizedModel) -> dict[str, Any]:
    """What the entry says of ``model``, as docs/contracts.md lays it out."""
    preset = model.preset
    return {
        "format": FORMAT,
        "model_hash": model.model_hash,
        "preset": {"name": preset.name, **preset.architecture()},
        "gates": gate_entries(preset),
        "states": state_entries(preset),
        **embedding_entry(preset),
        "probes": [
            {
                "name": probe.name,
                "weights": probe.weights.tolist(),
                "bias": probe.bias,
                "scale": probe.scale,
            }
            for probe in model.probes
        ],
    }


def gate_entries(preset: Preset) -> list[dict[str, Any]]:
    """Per block: which logits, and which channels of which layers they close."""
    if preset.gate is None:
        return []
    entries = []
    for block in range(preset.blocks):
        entries.append(
            {
                "logits": f"gate{block}_logits",
                "site": preset.gate.site,
                "group": preset.gate.group,
                "channels": preset.gated_channels,
                "closes": [
                    {"layer": f"block{block}.{role}", "axis": axis}
                    for role, axis in CLOSED_AXES[preset.gate.site].items()
                ],
            }
        )
    return entries


def state_entries(preset: Preset) -> list[dict[str, Any]]:
    """Per state input: the output that feeds it, and how many frames ago each tap was given."""
    entries = []
    for block, dilation in enumerate(preset.network.block_dilations):
        reads = [dilation * ago for ago in range(DEPTHWISE_KERNEL - 1, 0, -1)]
        entries.append({"input": f"taps{block}_in", "output": f"taps{block}_out", "reads": reads})
    if has_pool_state(preset):
        assert preset.gate
        reads = list(range(preset.gate.pool_frames - 1, 0, -1))
        entries += [
            {"input": f"pool{block}_in", "output": f"pool{block}_out", "reads": reads}
            for block in range(preset.blocks)
        ]
    return entries


def embedding_entry(preset: Preset) -> dict[str, Any]:
    """The key ``embedding`` of a personalised network: the input of that name."""
    if preset.speaker is None:
        return {}
    return {
        "embedding": {
            "dimensions": preset.speaker.dimensions,
            "scale": embedding.SCALE,
            "zero_point": embedding.ZERO_POINT,
        }
    }


def deployed_preset(values: dict[str, Any]) -> Preset:
    """The preset of an entry's ``preset``: its architecture; the rest is a stand-in.

    Raises :class:`UserError` naming the key that is wrong.
    """
    if not isinstance(values, dict) or "name" not in values:
        raise UserError(f"the '{ENTRY}' metadata's preset is not a table with a name")
    sections = {key: value for key, value in values.items() if key != "name" and value is not None}
    if "gate" in sections:
        sections["gate"] = {**sections["gate"], "utilisation": 1.0, "surrogate": "sigmoid"}
    sections["training"] = _UNTRAINED.to_dict()
    return parse_preset(str(values["name"]), sections, f"the '{ENTRY}' metadata's preset")


def encode(entry: dict[str, Any]) -> bytes:
    """The entry's bytes; equal entries give equal bytes."""
    return json.dumps(entry, separators=(",", ":")).encode("utf-8")
