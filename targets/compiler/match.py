"""Recognising the network in a graph whose contract has been checked.

The walk goes from each tensor to the operator that gives it, from the mask back
to the features, so the order in which operators are stored does not matter. At
the end every operator has been accounted for: nothing is compiled by guess.
"""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from convert.firmware_operators import FIRMWARE_OPERATORS
from convert.topology import Graph, Operator
from dyncp.errors import UserError
from dyncp.preset import DEPTHWISE_KERNEL, Preset
from quantize.arithmetic import Requantisation, sigmoid_table
from quantize.checks import LARGEST_LEFT_SHIFT
from quantize.wiring import PERSONAL_ROLES
from targets.compiler.layers import (
    convolution,
    describe,
    require_no_activation,
    require_unit_steps,
    residual,
)
from targets.compiler.plan import (
    BlockPlan,
    ConvolutionPlan,
    EmbeddingPlan,
    GatePlan,
    NetworkPlan,
)

_TIME_AXIS = 1


def match_network(graph: Graph, preset: Preset) -> NetworkPlan:
    """The network's layers; raises :class:`UserError` naming what cannot be compiled.

    ``graph`` must have passed :func:`convert.contract.check_contract`: what its
    gates test and close and how its states return is taken from there.
    """
    for operator in graph.operators:
        if operator.kind not in FIRMWARE_OPERATORS:
            raise UserError(f"{describe(graph, operator)} cannot be compiled: unsupported operator")
    return _Matcher(graph, preset).network()


class _Matcher:
    """Tensors are indices; operators that have been used are in ``_taken``."""

    def __init__(self, graph: Graph, preset: Preset) -> None:
        self._graph = graph
        self._preset = preset
        self._site = preset.gate.site if preset.gate else None
        self._named = {graph.name(index): index for index in (*graph.inputs, *graph.outputs)}
        self._taken: set[int] = set()

    def network(self) -> NetworkPlan:
        sigmoid = self._take(self._named["mask"], "LOGISTIC")
        back, x = self._convolution(sigmoid.inputs[0], "CONV_2D", "back")
        blocks: list[BlockPlan] = []
        for index in reversed(range(self._preset.blocks)):
            block, x = self._block(index, x)
            blocks.insert(0, block)
        front, features = self._convolution(x, "CONV_2D", "front")
        self._require_is(features, self._named["features"], "front reads")
        for operator in self._graph.operators:
            if id(operator) not in self._taken:
                raise UserError(
                    f"{describe(self._graph, operator)} is no part of a network of this kind"
                )
        table = sigmoid_table(*self._graph.grid(sigmoid.inputs[0]))
        gate = self._preset.gate
        plan = NetworkPlan(front, tuple(blocks), back, table, self._site, gate.group if gate else 1)
        self._check_shapes(plan)
        return plan

    def _block(self, index: int, output: int) -> tuple[BlockPlan, int]:
        """The block that gives the tensor ``output``, and the tensor that it takes."""
        inner = f"block{index}."
        add = self._take(output, "ADD")
        branch = self._branch(add, f"{inner}down")
        down, y = self._convolution(self._ungated(branch, "output"), "CONV_2D", f"{inner}down")
        depthwise, window = self._convolution(
            self._ungated(y, "hidden"), "DEPTHWISE_CONV_2D", f"{inner}depthwise"
        )
        hidden = self._newest(window)
        self._require_is(hidden, self._named[f"taps{index}_out"], f"{inner}depthwise reads")
        hidden = self._ungated(hidden, "hidden")
        up, x = self._personal(*self._convolution(hidden, "CONV_2D", f"{inner}up"))
        self._require_is(x, self._other_operand(add, branch), f"{inner}up and the residual read")
        plan = residual(self._graph, add, x, branch)
        gate = self._gate(index, x)
        dilation = self._preset.network.block_dilations[index]
        return BlockPlan(gate, up, depthwise, down, plan, dilation, self._embedding(x)), x

    def _branch(self, add: Operator, down: str) -> int:
        """The operand of a block's ADD that comes from its layer ``down``."""
        for tensor in add.inputs:
            operator = self._graph.producers.get(tensor)
            if operator is not None and operator.kind == "SELECT_V2":
                operator = self._graph.producers.get(operator.inputs[1])
            if self._graph.layer(operator) == down:
                return tensor
        raise UserError(f"{describe(self._graph, add)} does not add the output of {down}")

    def _other_operand(self, add: Operator, operand: int) -> int:
        first, second = add.inputs
        return first if operand == second else second

    def _gate(self, index: int, x: int) -> GatePlan | None:
        if self._preset.gate is None:
            return None
        logits, frames = self._named[f"gate{index}_logits"], self._preset.gate.pool_frames
        score, squeezed = self._convolution(logits, "CONV_2D", f"block{index}.score")
        squeeze, source = self._personal(
            *self._convolution(squeezed, "CONV_2D", f"block{index}.squeeze")
        )
        if frames > 1:
            pool = self._take(source, "AVERAGE_POOL_2D")
            self._check_pool(pool, frames)
            source = self._newest(pool.inputs[0])
            self._require_is(x, self._named[f"pool{index}_out"], f"block{index}.up reads")
        self._require_is(source, x, f"gate {index} reads")
        return GatePlan(squeeze, score, frames)

    def _personal(self, layer: ConvolutionPlan, tensor: int) -> tuple[ConvolutionPlan, int]:
        """A layer, and its own input where an embedding lies beside that."""
        if self._preset.speaker is None:
            return layer, tensor
        join = self._take(tensor, "CONCATENATION")
        require_no_activation(self._graph, join)
        move = self._take(join.inputs[1], "QUANTIZE")
        self._require_is(move.inputs[0], self._named["embedding"], f"{layer.name} reads")
        return layer, join.inputs[0]

    def _embedding(self, x: int) -> EmbeddingPlan | None:
        """How the embedding comes to the grid of a block's input ``x``."""
        if self._preset.speaker is None:
            return None
        grids = self._graph.grid(self._named["embedding"]), self._graph.grid(x)
        move = Requantisation(*grids)
        if move.shift > LARGEST_LEFT_SHIFT:
            raise UserError(f"'{self._graph.name(x)}' has too small a scale for the embedding")
        return EmbeddingPlan(move.multiplier, move.shift)

    def _check_pool(self, pool: Operator, frames: int) -> None:
        require_unit_steps(self._graph, pool)
        require_no_activation(self._graph, pool)
        length = self._graph.shape(pool.inputs[0])[_TIME_AXIS]
        window = pool.options.filterHeight, pool.options.filterWidth
        if pool.options.padding != schema.Padding.VALID:
            raise UserError(f"{describe(self._graph, pool)} must have padding VALID")
        if window != (frames, 1) or length != frames:
            raise UserError(
                f"{describe(self._graph, pool)} averages {list(window)} of {length} frames, "
                f"not the {frames} of its window"
            )
        self._require_same_grid(pool.inputs[0], pool.output)

    def _newest(self, window: int) -> int:
        """The present frame, at the end of the window that a state's frames begin."""
        join = self._take(window, "CONCATENATION")
        require_no_activation(self._graph, join)
        if join.options.axis not in (_TIME_AXIS, _TIME_AXIS - 4):
            raise UserError(f"{describe(self._graph, join)} must join its frames in time")
        self._require_same_grid(join.inputs[1], window)
        return join.inputs[1]

    def _ungated(self, tensor: int, site: str) -> int:
        """What a gate at ``site`` lets through to ``tensor``; itself if there is none."""
        if self._site != site:
            return tensor
        select = self._take(tensor, "SELECT_V2")
        test = self._take(select.inputs[0], "GREATER")
        gather = self._graph.producers.get(test.inputs[0])
        if gather is not None and gather.kind == "GATHER":
            if gather.options.batchDims != 0:
                raise UserError(f"{describe(self._graph, gather)} must have no batch dimensions")
            self._taken.add(id(gather))
        return select.inputs[1]

    def _check_shapes(self, plan: NetworkPlan) -> None:
        """The runtime has one size of each buffer for all blocks."""
        audio, network, gate = self._preset.audio, self._preset.network, self._preset.gate
        channels, hidden = network.channels, network.hidden
        narrow = gate.hidden if gate else 0
        shapes = {
            "front": (channels, audio.bins),
            "back": (audio.bins, channels),
            "squeeze": (narrow, channels),
            "score": (self._preset.gates, narrow),
            "up": (hidden, channels),
            "depthwise": (hidden, DEPTHWISE_KERNEL),
            "down": (channels, hidden),
        }
        for layer in plan.layers:
            expected = shapes[layer.name.split(".")[-1]]
            if layer.weights.shape != expected:
                raise UserError(
                    f"{layer.name} has {list(layer.weights.shape)} weights, "
                    f"its preset {list(expected)}"
                )

    def _convolution(self, output: int, kind: str, name: str) -> tuple[ConvolutionPlan, int]:
        """The layer that gives the tensor ``output``, and the tensor that it reads."""
        operator = self._take(output, kind)
        speaker, role = self._preset.speaker, name.rsplit(".", maxsplit=1)[-1]
        dimensions = speaker.dimensions if speaker and role in PERSONAL_ROLES else 0
        return convolution(self._graph, operator, name, dimensions), operator.inputs[0]

    def _take(self, tensor: int, kind: str) -> Operator:
        """The operator that gives ``tensor``, which must be a ``kind``."""
        operator = self._graph.producers.get(tensor)
        if operator is None:
            raise UserError(f"nothing gives '{self._graph.name(tensor)}'; expected {kind}")
        if operator.kind != kind:
            raise UserError(f"{describe(self._graph, operator)}: expected {kind} here")
        self._taken.add(id(operator))
        return operator

    def _require_is(self, found: int, wanted: int, what: str) -> None:
        if found != wanted:
            names = self._graph.name(found), self._graph.name(wanted)
            raise UserError(f"{what} '{names[0]}' where '{names[1]}' is expected")

    def _require_same_grid(self, first: int, second: int) -> None:
        if self._graph.grid(first) != self._graph.grid(second):
            names = self._graph.name(first), self._graph.name(second)
            raise UserError(f"'{names[0]}' and '{names[1]}' differ in scale or zero point")
