"""The streaming network as ONNX, with the input and output names of the contract."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from dyncp.errors import UserError
from dyncp.files import replacing
from dyncp.network import GatedConvFSENet
from dyncp.preset import Preset
from dyncp.state import input_shapes, output_shapes
from dyncp.streaming import StreamingNet
from quantize.wiring import layer_specs

OPSET = 17


def export_onnx(path: str | Path, network: GatedConvFSENet) -> None:
    """Write the streaming form of ``network``, float32, batch 1, one frame."""
    preset = network.preset
    inputs = input_shapes(preset)
    example = tuple(torch.zeros(shape) for shape in inputs.values())
    with replacing(path) as temporary, warnings.catch_warnings():
        # Torch would rather use its newer exporter, which takes 20 times as long
        # and names nodes and weights less like the modules they come from.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            StreamingNet(network),
            example,
            temporary,
            input_names=list(inputs),
            output_names=list(output_shapes(preset)),
            opset_version=OPSET,
            dynamo=False,
        )


def layer_weights(path: str | Path, preset: Preset) -> dict[str, NDArray[np.float32]]:
    """The float weights of every layer in an exported ONNX file, ``[outputs, inputs]``.

    Raises :class:`UserError` naming the first layer that is missing or has
    another shape than ``preset`` gives it.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such ONNX file: {path}")
    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # protobuf's DecodeError, or whatever a foreign file provokes
        raise UserError(f"{path} is not an ONNX file: {error}") from error
    stored = {tensor.name: tensor for tensor in graph.initializer}
    weights = {}
    for spec in layer_specs(preset):
        prefix = "" if spec.block is None else f"blocks.{spec.block}."
        tensor = stored.get(f"{prefix}{spec.role}.weight")
        if tensor is None:
            raise UserError(f"{path} has no weights of the layer {spec.name}")
        values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
        if values.size != spec.outputs * spec.columns or values.shape[0] != spec.outputs:
            raise UserError(
                f"{path}: layer {spec.name} has weights {list(values.shape)}, preset "
                f"'{preset.name}' has {spec.outputs} x {spec.columns}"
            )
        weights[spec.name] = values.reshape(spec.outputs, spec.columns)
    return weights
