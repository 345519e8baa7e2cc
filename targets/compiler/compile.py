"""From a `.tflite` to a plan: match the graph, place the buffers, make the tables."""

from __future__ import annotations

from pathlib import Path

from dyncp.errors import UserError
from targets.compiler.arena import Arena, Buffer, place_buffers
from targets.compiler.audio_tables import make_tables
from targets.compiler.contract import Contract, read_contract
from targets.compiler.graph import Graph, read_graph
from targets.compiler.layers import activation_of
from targets.compiler.match import match_network
from targets.compiler.plan import BlockPlan, NetworkPlan, Plan

_LAYER_COUNTERS_BYTES = 12
_BLOCK_STATE_BYTES = 8
_COMPLEX_BYTES = 8
"""Sizes of the runtime's structs; ``runtime/model.h`` asserts them."""


def compile_model(path: str | Path) -> Plan:
    """Compile ``model.tflite``; raises :class:`UserError` naming what cannot be."""
    graph = read_graph(path)
    try:
        return _compile(graph)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _compile(graph: Graph) -> Plan:
    contract = read_contract(graph)
    network = match_network(graph, contract)
    bins = contract.audio.bins
    if (network.front.inputs, network.back.outputs) != (bins, bins):
        raise UserError(
            f"the network maps {network.front.inputs} features to {network.back.outputs} gains; "
            f"its audio settings have {bins} bins"
        )
    features = activation_of(graph.inputs["features"])
    tensors = _tensor_names(graph, contract)
    return Plan(
        preset=contract.preset,
        model_hash=contract.model_hash,
        sample_rate=contract.audio.sample_rate,
        network=network,
        probes=contract.probes,
        tensors=tensors,
        audio=make_tables(contract.audio, features.scale, features.zero_point),
        arena=_arena(contract, network),
    )


def _tensor_names(graph: Graph, contract: Contract) -> tuple[str, ...]:
    """The outputs in order; the runtime finds them by their place."""
    blocks = range(contract.blocks)
    names = ["mask"]
    if contract.site != "none":
        names += [f"gate{block}_logits" for block in blocks]
    names += [f"taps{block}_out" for block in blocks]
    if "pool0_in" in contract.reads:
        names += [f"pool{block}_out" for block in blocks]
    if list(graph.outputs) != names:
        raise UserError(f"the signature's outputs are {list(graph.outputs)}, expected {names}")
    return tuple(names)


def _arena(contract: Contract, network: NetworkPlan) -> Arena:
    audio, layers = contract.audio, network.layers
    channels, hidden = network.front.outputs, network.blocks[0].up.outputs
    buffers = [
        Buffer("layer_counters", _LAYER_COUNTERS_BYTES * len(layers)),
        Buffer("block_states", _BLOCK_STATE_BYTES * len(network.blocks)),
        Buffer("features", audio.bins),
        Buffer("mask", audio.bins),
        Buffer("previous", 2 * audio.hop),
        Buffer("tail", 4 * audio.hop),
        Buffer("spectrum", _COMPLEX_BYTES * (audio.n_fft // 2 + 1), "analysis", "synthesis"),
        Buffer("x", channels, "front", "back"),
        Buffer("wide", 2 * max(layer.inputs for layer in layers), "front", "back"),
        Buffer("depthwise", hidden, "depthwise", "down"),
        Buffer("branch", channels, "down", "down"),
    ]
    gate = network.blocks[0].gate
    if gate:
        buffers += [
            Buffer("squeezed", gate.squeeze.outputs, "squeeze", "score"),
            Buffer("open_channels", 2 * contract.gated_channels, "score", "down"),
        ]
        if gate.pool_frames > 1:
            buffers.append(Buffer("average", channels, "squeeze", "squeeze"))
    for index, block in enumerate(network.blocks):
        buffers += _block_buffers(index, block)
    return place_buffers(buffers)


def _block_buffers(index: int, block: BlockPlan) -> list[Buffer]:
    """What one block keeps from frame to frame."""
    channels, hidden = block.up.inputs, block.up.outputs
    buffers = [Buffer(f"taps{index}", (2 * block.dilation + 1) * hidden)]
    if block.gate:
        gates = block.gate.score.outputs
        buffers.append(Buffer(f"logits{index}", gates))
        buffers.append(Buffer(f"bits{index}", (gates + 7) // 8))
        if block.gate.pool_frames > 1:
            buffers.append(Buffer(f"pool{index}", (block.gate.pool_frames - 1) * channels))
            buffers.append(Buffer(f"sums{index}", 2 * channels))
    return buffers
