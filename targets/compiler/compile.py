"""From a `.tflite` to a plan: check the contract, match the graph, place the buffers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from convert.contract import check_contract
from convert.metadata import deployed_preset
from convert.topology import read_graph
from dyncp.errors import UserError
from dyncp.preset import Preset
from dyncp.state import has_pool_state, output_shapes
from quantize.macs import LARGEST_MULTIPLE
from targets.compiler.arena import Arena, Buffer, place_buffers
from targets.compiler.audio_tables import make_tables
from targets.compiler.match import match_network
from targets.compiler.packing.personal import personal_places
from targets.compiler.packing.probes import WORD_BYTES, gate_words
from targets.compiler.plan import NetworkPlan, Plan, ProbePlan
from targets.sources import Kernels

_LAYER_COUNTERS_BYTES = 12
_BLOCK_STATE_BYTES = 8
_COMPLEX_BYTES = 8
"""Sizes of the runtime's structs; ``runtime/model.h`` asserts them."""


def compile_model(path: str | Path, kernels: Kernels = "portable") -> Plan:
    """Compile ``model.tflite`` for ``kernels``; raises :class:`UserError` naming what cannot be."""
    metadata = check_contract(path)
    graph = read_graph(path)
    try:
        preset = deployed_preset(metadata["preset"])
        network = match_network(graph, preset)
        return Plan(
            preset=preset.name,
            model_hash=_model_hash(metadata),
            sample_rate=preset.audio.sample_rate,
            network=network,
            probes=tuple(_probe(entry) for entry in metadata["probes"]),
            tensors=tuple(output_shapes(preset)),
            audio=make_tables(preset.audio, *graph.grid(graph.inputs[0])),
            arena=make_arena(preset, network, kernels),
            kernels=kernels,
        )
    except (IndexError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _model_hash(metadata: dict[str, Any]) -> str:
    digest = str(metadata["model_hash"])
    if re.fullmatch("[0-9a-f]{64}", digest) is None:
        raise UserError("the metadata's model_hash is not a sha256 in hex")
    return digest


def _probe(entry: dict[str, Any]) -> ProbePlan:
    """The contract has checked that its weights fit int16 and its score int32."""
    weights = np.array(entry["weights"], np.int16)
    return ProbePlan(str(entry["name"]), weights, entry["bias"], float(entry["scale"]))


def make_arena(preset: Preset, network: NetworkPlan, kernels: Kernels = "portable") -> Arena:
    """Where an instance of ``network`` keeps what, laid out for ``kernels``."""
    audio, layers = preset.audio, network.layers
    channels, hidden = preset.network.channels, preset.network.hidden
    widest = max(network.dimensions, *(layer.inputs for layer in layers))
    buffers = [
        Buffer("layer_counters", _LAYER_COUNTERS_BYTES * len(layers)),
        Buffer("block_states", _BLOCK_STATE_BYTES * preset.blocks),
        Buffer("features", audio.bins),
        Buffer("mask", audio.bins),
        Buffer("previous", 2 * audio.hop),
        Buffer("tail", 4 * audio.hop),
        Buffer("spectrum", _COMPLEX_BYTES * (audio.n_fft // 2 + 1), "analysis", "synthesis"),
        Buffer("x", channels, "front", "back"),
        Buffer("wide", 2 * (widest + LARGEST_MULTIPLE - 1), "front", "back"),
        Buffer("depthwise", hidden, "depthwise", "down"),
        Buffer("branch", channels, "down", "down"),
    ]
    if preset.gate:
        buffers += [
            Buffer("squeezed", preset.gate.hidden, "squeeze", "score"),
            Buffer("open_channels", 2 * preset.gated_channels, "score", "down"),
            Buffer("bits", WORD_BYTES * gate_words(preset.gates) * preset.blocks),
        ]
    if has_pool_state(preset):
        buffers.append(Buffer("average", channels, "squeeze", "squeeze"))
    if network.dimensions:
        buffers.append(Buffer("personal", personal_places(network, kernels)[1]))
    for block in range(preset.blocks):
        buffers += _block_buffers(preset, block)
    return place_buffers(buffers)


def _block_buffers(preset: Preset, block: int) -> list[Buffer]:
    """What one block keeps from frame to frame."""
    channels, hidden = preset.network.channels, preset.network.hidden
    # One frame more than the depthwise looks back, so that `up` writes in place.
    taps_frames = 2 * preset.network.block_dilations[block] + 1
    buffers = [Buffer(f"taps{block}", taps_frames * hidden)]
    if preset.gate:
        buffers.append(Buffer(f"logits{block}", preset.gates))
    if preset.gate and has_pool_state(preset):
        buffers.append(Buffer(f"pool{block}", (preset.gate.pool_frames - 1) * channels))
        buffers.append(Buffer(f"sums{block}", 2 * channels))
    return buffers
