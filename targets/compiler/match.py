"""Recognising the network in a graph.

The walk goes from each tensor to the operator that gives it, from the mask back
to the features, so the order in which operators are stored does not matter. At
the end every operator has been accounted for: nothing is compiled by guess.
"""

from __future__ import annotations

import numpy as np

from dyncp.errors import UserError
from quantize.arithmetic import sigmoid_table
from quantize.checks import MASK_SCALE, MASK_ZERO_POINT
from targets.compiler.contract import Contract
from targets.compiler.layers import (
    activation_of,
    constant,
    convolution,
    layer_name,
    require_no_activation,
    require_same_quantisation,
    require_unit_steps,
    residual,
)
from targets.compiler.plan import BlockPlan, ConvolutionPlan, GatePlan, NetworkPlan
from targets.compiler.graph import Graph, Operator, Tensor

_SUPPORTED = {
    "ADD",
    "AVERAGE_POOL_2D",
    "CONCATENATION",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "GATHER",
    "GREATER",
    "LOGISTIC",
    "SELECT",
    "SELECT_V2",
}
_SELECT = ("SELECT_V2", "SELECT")
_TIME_AXIS, _CHANNEL_AXIS = 1, 3


def match_network(graph: Graph, contract: Contract) -> NetworkPlan:
    """The network's layers; raises :class:`UserError` naming what cannot be compiled."""
    for operator in graph.operators:
        if operator.kind not in _SUPPORTED:
            raise UserError(f"{graph.describe(operator)} cannot be compiled: unsupported operator")
    return _Matcher(graph, contract).network()


class _Matcher:
    def __init__(self, graph: Graph, contract: Contract) -> None:
        self._graph = graph
        self._contract = contract
        self._taken: set[int] = set()

    def network(self) -> NetworkPlan:
        mask = self._output("mask")
        sigmoid = self._take(mask, "LOGISTIC")
        logits = activation_of(self._input(sigmoid))
        self._check_mask(mask)
        back, x = self._convolution(self._input(sigmoid), "CONV_2D", "back")
        blocks: list[BlockPlan] = []
        for index in reversed(range(self._contract.blocks)):
            block, x = self._block(index, x)
            blocks.insert(0, block)
        self._check_widths(blocks)
        front, features = self._convolution(x, "CONV_2D", "front")
        self._require_is(features, self._graph_input("features"), "front reads")
        for operator in self._graph.operators:
            if id(operator) not in self._taken:
                raise UserError(
                    f"{self._graph.describe(operator)} is no part of a network of this kind"
                )
        return NetworkPlan(
            front,
            tuple(blocks),
            back,
            sigmoid_table(logits.scale, logits.zero_point),
            self._contract.site,
            self._contract.group,
        )

    def _block(self, index: int, output: Tensor) -> tuple[BlockPlan, Tensor]:
        """The block that gives ``output``, and the tensor that it takes."""
        inner = f"block{index}."
        add = self._take(output, "ADD")
        branch = self._branch(add, f"{inner}down")
        site = self._contract.site
        selected = self._ungated(branch, index) if site == "output" else branch
        down, y = self._convolution(selected, "CONV_2D", f"{inner}down")
        if site == "hidden":
            y = self._ungated(y, index)
        depthwise, window = self._convolution(y, "DEPTHWISE_CONV_2D", f"{inner}depthwise")
        hidden, dilation = self._tapped(window, index)
        up_output = self._ungated(hidden, index) if site == "hidden" else hidden
        up, x = self._convolution(up_output, "CONV_2D", f"{inner}up")
        others = [tensor for tensor in self._inputs(add) if tensor.index != branch.index]
        self._require_is(x, others[0] if others else branch, f"{inner}up and the residual read")
        gate = self._gate(index, x) if site != "none" else None
        plan = residual(self._graph, add, x, branch)
        return BlockPlan(gate, up, depthwise, down, plan, dilation), x

    def _check_widths(self, blocks: list[BlockPlan]) -> None:
        """Blocks share their scratch memory, and gates must cover what they close."""
        for number, block in enumerate(blocks):
            for layer, first in zip(block.layers, blocks[0].layers, strict=True):
                if layer.weights.shape != first.weights.shape:
                    raise UserError(
                        f"{layer.name} has {list(layer.weights.shape)} weights, block 0 "
                        f"{list(first.weights.shape)}; all blocks must be of one size"
                    )
            closed = block.up if self._contract.site == "hidden" else block.down
            if block.gate and closed.outputs != self._contract.gated_channels:
                raise UserError(
                    f"gate {number} closes {self._contract.gated_channels} channels, "
                    f"{closed.name} has {closed.outputs}"
                )

    def _branch(self, add: Operator, down: str) -> Tensor:
        """The operand of a block's ADD that comes from its layer ``down``."""
        for tensor in self._inputs(add):
            operator = self._graph.producers.get(tensor.index)
            if operator is not None and operator.kind in _SELECT:
                operator = self._graph.producers.get(operator.inputs[1])
            if (
                operator is not None
                and operator.kind == "CONV_2D"
                and layer_name(self._graph, operator) == down
            ):
                return tensor
        raise UserError(f"{self._graph.describe(add)} does not add the output of {down}")

    def _tapped(self, window: Tensor, index: int) -> tuple[Tensor, int]:
        """The hidden frame at the end of a depthwise's window, and its dilation."""
        name = f"taps{index}"
        hidden = self._window(window, self._graph_input(f"{name}_in"))
        self._require_is(hidden, self._output(f"{name}_out"), "the depthwise reads")
        return hidden, self._contract.dilation(index)

    def _gate(self, index: int, x: Tensor) -> GatePlan:
        logits = self._output(f"gate{index}_logits")
        score, squeezed = self._convolution(logits, "CONV_2D", f"block{index}.score")
        squeeze, source = self._convolution(squeezed, "CONV_2D", f"block{index}.squeeze")
        frames = self._contract.pool_frames(index)
        if frames > 1:
            pool = self._take(source, "AVERAGE_POOL_2D")
            self._check_pool(pool, frames)
            newest = self._window(self._input(pool), self._graph_input(f"pool{index}_in"))
            self._require_is(newest, x, f"the average of gate {index} reads")
            self._require_is(x, self._output(f"pool{index}_out"), "the state keeps")
        else:
            self._require_is(source, x, f"gate {index} reads")
        expected = self._contract.gated_channels // self._contract.group
        if score.outputs != expected:
            raise UserError(f"gate {index} has {score.outputs} logits, its contract {expected}")
        return GatePlan(squeeze, score, frames)

    def _check_pool(self, pool: Operator, frames: int) -> None:
        where, options = self._graph.describe(pool), pool.options
        require_unit_steps(self._graph, pool)
        require_no_activation(self._graph, pool)
        window = self._input(pool)
        if (options.filterHeight, options.filterWidth, window.shape[1]) != (frames, 1, frames):
            raise UserError(f"{where} must average {frames} frames, the whole of its window")
        source = self._graph.tensors[pool.outputs[0]]
        require_same_quantisation(window, source, "an average must keep them")

    def _window(self, window: Tensor, state: Tensor) -> Tensor:
        """The newest frame of a window that joins a state's frames and it."""
        join = self._take(window, "CONCATENATION")
        require_no_activation(self._graph, join)
        tensors = self._inputs(join)
        if join.options.axis not in (_TIME_AXIS, _TIME_AXIS - 4) or len(tensors) != 2:
            raise UserError(f"{self._graph.describe(join)} must join a state and a frame in time")
        self._require_is(tensors[0], state, f"{self._graph.describe(join)} reads")
        for tensor in tensors:
            require_same_quantisation(tensor, window, "states are never re-quantised")
        return tensors[1]

    def _ungated(self, selected: Tensor, index: int) -> Tensor:
        """What a gate's SELECT lets through, the SELECT checked to be exactly that."""
        select = self._take(selected, *_SELECT)
        condition, value, zero = self._inputs(select)
        require_same_quantisation(value, selected, "a gate must keep them")
        closed = activation_of(value).zero_point
        require_same_quantisation(zero, value, "a closed channel is the zero point")
        self._require_filled(zero, closed, "a closed channel")
        greater = self._take(condition, "GREATER")
        scores, threshold = self._inputs(greater)
        logits = self._output(f"gate{index}_logits")
        require_same_quantisation(scores, logits, "a gate is open when q > zero point")
        require_same_quantisation(threshold, logits, "a gate is open when q > zero point")
        self._require_filled(threshold, activation_of(logits).zero_point, "the gate's threshold")
        if self._contract.group > 1:
            gather = self._take(scores, "GATHER")
            scores, indices = self._inputs(gather)
            found = constant(self._graph, indices.index, indices.dtype)
            wanted = np.arange(self._contract.gated_channels) // self._contract.group
            if gather.options.axis not in (_CHANNEL_AXIS, -1) or not np.array_equal(found, wanted):
                raise UserError(
                    f"{self._graph.describe(gather)} must give each gate's logit to "
                    f"{self._contract.group} channels"
                )
        self._require_is(scores, logits, f"{self._graph.describe(greater)} compares")
        return value

    def _require_filled(self, tensor: Tensor, value: int, what: str) -> None:
        if not (constant(self._graph, tensor.index, "int8") == value).all():
            raise UserError(f"'{tensor.name}' must hold {value}, the zero point, for {what}")

    def _check_mask(self, mask: Tensor) -> None:
        found = activation_of(mask)
        if (found.scale, found.zero_point) != (MASK_SCALE, MASK_ZERO_POINT):
            raise UserError(f"'{mask.name}' must have scale 1/256 and zero point -128")

    def _convolution(
        self, output: Tensor, kind: str, name: str
    ) -> tuple[ConvolutionPlan, Tensor]:
        """The layer that gives ``output``, and what it reads."""
        operator = self._take(output, kind)
        return convolution(self._graph, operator, name), self._input(operator)

    def _take(self, tensor: Tensor, *kinds: str) -> Operator:
        """The operator that gives ``tensor``, which must be one of ``kinds``."""
        operator = self._graph.producers.get(tensor.index)
        if operator is None:
            raise UserError(f"nothing gives the tensor '{tensor.name}'; expected {kinds[0]}")
        if operator.kind not in kinds:
            raise UserError(f"{self._graph.describe(operator)}: expected {kinds[0]} here")
        self._taken.add(id(operator))
        return operator

    def _inputs(self, operator: Operator) -> list[Tensor]:
        return [self._graph.tensors[index] for index in operator.inputs]

    def _input(self, operator: Operator) -> Tensor:
        return self._graph.tensors[operator.inputs[0]]

    def _graph_input(self, name: str) -> Tensor:
        if name not in self._graph.inputs:
            raise UserError(f"the signature lacks the input '{name}'")
        return self._graph.inputs[name]

    def _output(self, name: str) -> Tensor:
        if name not in self._graph.outputs:
            raise UserError(f"the signature lacks the output '{name}'")
        return self._graph.outputs[name]

    def _require_is(self, found: Tensor, wanted: Tensor, what: str) -> None:
        if found.index != wanted.index:
            raise UserError(f"{what} '{found.name}' where '{wanted.name}' is expected")
