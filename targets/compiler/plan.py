"""What the compiler decides before it writes a line of C. All integers are final."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dyncp.preset import GateSite
from targets.compiler.arena import Arena
from targets.compiler.audio_tables import AudioTables
from targets.sources import Kernels


@dataclass(frozen=True, eq=False)
class ConvolutionPlan:
    """A 1x1 or a depthwise convolution.

    ``weights``: int8 ``[outputs, inputs]``; a depthwise has its three taps as
    inputs, oldest first. ``bias``, ``multiplier``, ``shift``: ``[outputs]``, int32
    values. The output is limited to ``lowest .. 127``. ``columns``: int8
    ``[outputs, dimensions]``, what a personalised layer multiplies the embedding by.
    """

    name: str
    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]
    input_zero_point: int
    output_zero_point: int
    lowest: int
    columns: NDArray[np.int8] | None = None

    @property
    def largest_bias(self) -> NDArray[np.int64]:
        """The largest magnitude of the bias with any embedding in it, ``[outputs]``."""
        bias = np.abs(self.bias.astype(np.int64))
        if self.columns is None:
            return bias
        largest = max(127 - self.input_zero_point, self.input_zero_point + 128)
        return bias + largest * np.abs(self.columns.astype(np.int64)).sum(axis=1)

    @property
    def outputs(self) -> int:
        return int(self.weights.shape[0])

    @property
    def inputs(self) -> int:
        return int(self.weights.shape[1])

    @property
    def macs(self) -> int:
        """Multiply-accumulates a frame with every channel open."""
        return int(self.weights.size)


@dataclass(frozen=True)
class EmbeddingPlan:
    """How the embedding comes to the grid of a block's input: a factor as multiplier and shift."""

    multiplier: int
    shift: int


@dataclass(frozen=True)
class ResidualSide:
    """One operand or the sum of an ADD: its factor as multiplier and shift."""

    multiplier: int
    shift: int
    zero_point: int


@dataclass(frozen=True)
class ResidualPlan:
    """An int8 ADD: the block's input, what its branch adds, the sum."""

    x: ResidualSide
    branch: ResidualSide
    sum: ResidualSide


@dataclass(frozen=True, eq=False)
class GatePlan:
    """The gate's own two layers and the frames that it averages (1: none but the present)."""

    squeeze: ConvolutionPlan
    score: ConvolutionPlan
    pool_frames: int


@dataclass(frozen=True, eq=False)
class BlockPlan:
    """One block; ``gate`` is None in a static network, ``embedding`` in one that takes none."""

    gate: GatePlan | None
    up: ConvolutionPlan
    depthwise: ConvolutionPlan
    down: ConvolutionPlan
    residual: ResidualPlan
    dilation: int
    embedding: EmbeddingPlan | None = None

    @property
    def personal(self) -> dict[str, ConvolutionPlan]:
        """The layers that read the embedding, by role."""
        found = {"squeeze": self.gate.squeeze} if self.gate else {}
        return {**found, "up": self.up} if self.embedding else {}

    @property
    def layers(self) -> list[ConvolutionPlan]:
        """In the order of execution."""
        own = [self.gate.squeeze, self.gate.score] if self.gate else []
        return [*own, self.up, self.depthwise, self.down]


@dataclass(frozen=True, eq=False)
class ProbePlan:
    """``bias`` plus the weights, int16 ``[blocks * gates]``, of the open gates.

    ``scale`` turns the score into the predictor's unit.
    """

    name: str
    weights: NDArray[np.int16]
    bias: int
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class NetworkPlan:
    """The layers and what the gates close; ``site`` is None in a static network.

    ``sigmoid``: LOGISTIC of the 256 int8 inputs. ``group``: channels a gate.
    """

    front: ConvolutionPlan
    blocks: Sequence[BlockPlan]
    back: ConvolutionPlan
    sigmoid: NDArray[np.int8]
    site: GateSite | None
    group: int

    @property
    def layers(self) -> list[ConvolutionPlan]:
        """Every layer in the order of execution."""
        inner = [layer for block in self.blocks for layer in block.layers]
        return [self.front, *inner, self.back]

    @property
    def dimensions(self) -> int:
        """Values of the embedding; 0 of a network that takes none."""
        columns = self.blocks[0].up.columns
        return 0 if columns is None else int(columns.shape[1])

    @property
    def gates(self) -> int:
        """Gates a block; 0 in a static network."""
        gate = self.blocks[0].gate
        return gate.score.outputs if gate else 0


@dataclass(frozen=True, eq=False)
class Plan:
    """A compiled network: what ``emit`` writes as C.

    ``tensors`` are the names of the outputs, in the signature's order;
    ``model_hash`` is the hex sha256 of the quantised model. ``kernels``: those that
    the weights are laid out for.
    """

    preset: str
    model_hash: str
    sample_rate: int
    network: NetworkPlan
    probes: tuple[ProbePlan, ...]
    tensors: tuple[str, ...]
    audio: AudioTables
    arena: Arena
    kernels: Kernels = "portable"
