"""The rungs of the parity ladder that need no device: the integer model, TFLite, float."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from convert.comparison import Outputs
from convert.contract import read_metadata
from convert.dataflow import PROBES
from convert.ladder import Kind
from convert.metadata import SIGNATURE
from dyncp.embedding import nobody, real
from dyncp.errors import UserError
from dyncp.state import StateRings, input_shapes, output_shapes
from quantize.arithmetic import dequantise
from quantize.integer_model import IntegerModel
from quantize.model import QuantizedModel
from quantize.probes import probe_scores

if TYPE_CHECKING:
    from dyncp.network import GatedConvFSENet

Int8 = NDArray[np.int8]
Kernels = Literal["reference", "optimised"]

RUNTIMES = {
    "tflite-runtime": "tflite_runtime.interpreter",
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
}
"""The packages that bring a TFLite interpreter, and where each has it."""


class RungUnavailable(UserError):
    """What a rung runs on is not installed."""


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what the runtimes' native code says of itself off the terminal."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nothing, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            os.dup2(nothing.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _one_line(error: Exception) -> str:
    """What an exception says, without its line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


class IntegerRung:
    """The specification; its gates' channels come from the preset."""

    name = "integer model"
    kind: Kind = "exact"

    def __init__(self, model: QuantizedModel) -> None:
        self._runner = IntegerModel(model)
        self._probes = [(probe.weights, probe.bias) for probe in model.probes]
        self._zero_points = [
            model.activations[name].zero_point
            for name in output_shapes(model.preset)
            if name.endswith("_logits")
        ]
        self._group = model.preset.gate.group if model.preset.gate else 1

    def reset(self) -> None:
        self._runner.reset()

    def set_embedding(self, embedding: Int8) -> None:
        self._runner.set_embedding(embedding)

    def step(self, features: Int8) -> Outputs:
        outputs: Outputs = dict(self._runner.step(features))
        gates = [
            outputs[f"gate{block}_logits"] > zero_point
            for block, zero_point in enumerate(self._zero_points)
        ]
        for block, is_open in enumerate(gates):
            outputs[f"gate{block}_open"] = np.repeat(is_open, self._group).astype(np.uint8)
        if self._probes:
            outputs[PROBES] = probe_scores(self._probes, gates)
        return outputs

    def close(self) -> None:
        """Nothing is held."""


class TfliteRung:
    """A .tflite on one runtime's reference or optimised kernels.

    It takes everything from the file: tensors by the signature, states, gates and
    probes by the ``sluice`` metadata, a cold start by the zero points. The
    optimised kernels (XNNPACK) round differently, so they are not exact. Raises
    :class:`RungUnavailable` if the runtime is not installed.
    """

    def __init__(
        self, path: str | Path, runtime: str = "ai-edge-litert", kernels: Kernels = "reference"
    ) -> None:
        self.name = tflite_name(runtime, kernels)
        self.kind: Kind = "exact" if kernels == "reference" else "optimised"
        metadata = read_metadata(path)
        self._gates, self._states = metadata["gates"], metadata["states"]
        self._probes = metadata["probes"]
        self._personal: dict[str, Int8] = {}
        if "embedding" in metadata:
            self.set_embedding(nobody(metadata["embedding"]["dimensions"]))
        module = _runtime(runtime)
        try:
            with _silence():
                resolvers = module.OpResolverType
                reference = kernels == "reference"
                resolver = resolvers.BUILTIN_REF if reference else resolvers.AUTO
                interpreter = module.Interpreter(
                    model_path=str(path), experimental_op_resolver_type=resolver
                )
                interpreter.allocate_tensors()
                self._network = interpreter.get_signature_runner(SIGNATURE)
        except (RuntimeError, ValueError) as error:
            raise UserError(f"{runtime} cannot load {path}: {_one_line(error)}") from error
        self._inputs = self._network.get_input_details()
        self._outputs = self._network.get_output_details()
        self._try_frame(path)
        self.reset()

    def _try_frame(self, path: str | Path) -> None:
        """Raise unless a frame runs with the states and gates of the metadata."""
        try:
            self._check_names(path)
            self._probe_rows = [
                (np.asarray(probe["weights"], np.int64), int(probe["bias"]))
                for probe in self._probes
            ]
            self.reset()
            self.step(np.zeros(self._inputs["features"]["shape"][3], np.int8))
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(
                f"{path}: no frame can be run as its metadata says ({_one_line(error)}); "
                "`python -m convert check` finds out why"
            ) from error

    def _check_names(self, path: str | Path) -> None:
        wanted = [(gate["logits"], self._outputs) for gate in self._gates]
        for state in self._states:
            wanted += [(state["input"], self._inputs), (state["output"], self._outputs)]
        wanted += [(name, self._inputs) for name in self._personal]
        for name, details in wanted:
            if name not in details:
                raise UserError(f"{path}: the metadata names {name}, the signature does not")
        for state in self._states:
            taps = int(self._inputs[state["input"]]["shape"][1])
            if len(state["reads"]) != taps:
                raise UserError(
                    f"{path}: {state['input']} has {taps} taps, the metadata {len(state['reads'])}"
                )

    def reset(self) -> None:
        self._history: dict[str, deque[Int8]] = {}
        for state in self._states:
            details = self._inputs[state["input"]]
            frame = np.full((1, 1, 1, details["shape"][3]), details["quantization"][1], np.int8)
            depth = max(state["reads"])
            self._history[state["input"]] = deque([frame] * depth, maxlen=depth)

    def set_embedding(self, embedding: Int8) -> None:
        self._personal = {"embedding": embedding.reshape(1, 1, 1, -1)}

    def step(self, features: Int8) -> Outputs:
        states = dict(self._personal)
        for state in self._states:
            past = self._history[state["input"]]
            states[state["input"]] = np.concatenate([past[-ago] for ago in state["reads"]], axis=1)
        tensors = self._network(features=features.reshape(1, 1, 1, -1), **states)
        for state in self._states:
            self._history[state["input"]].append(tensors[state["output"]])
        outputs: Outputs = {name: values.reshape(-1) for name, values in tensors.items()}
        gates = [
            outputs[gate["logits"]] > self._outputs[gate["logits"]]["quantization"][1]
            for gate in self._gates
        ]
        for index, (gate, is_open) in enumerate(zip(self._gates, gates, strict=True)):
            outputs[f"gate{index}_open"] = np.repeat(is_open, gate["group"]).astype(np.uint8)
        if self._probe_rows:
            outputs[PROBES] = probe_scores(self._probe_rows, gates)
        return outputs

    def close(self) -> None:
        """The interpreter goes with this object."""


def tflite_name(runtime: str, kernels: Kernels) -> str:
    """The name of a :class:`TfliteRung`."""
    return f"{runtime}, {kernels} kernels"


def _runtime(name: str) -> Any:
    try:
        with _silence():
            return importlib.import_module(RUNTIMES[name])
    except ImportError as error:
        raise RungUnavailable(
            f"{name} is not installed ({_one_line(error)}); run: make set-up"
        ) from error


class _FloatRung:
    """The float network behind the deployed model's own input grid; never exact.

    Its features are those int8 values, as the float32 numbers that they stand
    for, so that what is left is the rounding inside the network.
    """

    kind: Kind = "float"

    def __init__(self, name: str, model: QuantizedModel) -> None:
        self.name = name
        self._preset = model.preset
        self._grid = model.activations["features"]
        self._personal: dict[str, NDArray[np.float32]] = {}
        if model.preset.speaker:
            self.set_embedding(nobody(model.preset.speaker.dimensions))
        self.reset()

    def reset(self) -> None:
        cold = dict.fromkeys(input_shapes(self._preset), 0.0)
        self._rings = StateRings(self._preset, cold, np.float32)

    def set_embedding(self, embedding: Int8) -> None:
        self._personal = {"embedding": real(embedding).reshape(1, -1, 1, 1)}

    def step(self, features: Int8) -> Outputs:
        frame = dequantise(features, self._grid.scale, self._grid.zero_point)
        tensors = self._infer(
            {
                "features": frame.reshape(1, -1, 1, 1),
                **self._rings.inputs(),
                **self._personal,
            }
        )
        self._rings.push(tensors)
        outputs: Outputs = {"mask": tensors["mask"].reshape(-1)}
        if self._preset.gate:
            for block in range(self._preset.blocks):
                is_open = tensors[f"gate{block}_logits"].reshape(-1) > 0
                channels = np.repeat(is_open, self._preset.gate.group)
                outputs[f"gate{block}_open"] = channels.astype(np.uint8)
        return outputs

    def close(self) -> None:
        """Nothing is held."""

    def _infer(self, inputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        raise NotImplementedError


class TorchRung(_FloatRung):
    """The float network in torch, streaming."""

    NAME = "float, torch"

    def __init__(self, network: GatedConvFSENet, model: QuantizedModel) -> None:
        from dyncp.streaming import StreamingNet

        self._streaming = StreamingNet(network)
        super().__init__(self.NAME, model)

    def _infer(self, inputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        import torch

        with torch.inference_mode():
            tensors = self._streaming(*(torch.from_numpy(values) for values in inputs.values()))
        names = output_shapes(self._preset)
        return {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}


class OnnxRung(_FloatRung):
    """The exported ONNX file in ONNX Runtime, float32."""

    NAME = "float, ONNX Runtime"

    def __init__(self, path: str | Path, model: QuantizedModel) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise RungUnavailable(
                f"onnxruntime is not installed ({_one_line(error)}); run: make set-up"
            ) from error
        if not Path(path).is_file():
            raise UserError(f"no such ONNX file: {path}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's own exceptions have no common base
            raise UserError(f"ONNX Runtime cannot load {path}: {_one_line(error)}") from error
        ends = (
            (input_shapes(model.preset), self._session.get_inputs()),
            (output_shapes(model.preset), self._session.get_outputs()),
        )
        for wanted, found in ends:
            have = {end.name: tuple(end.shape) for end in found}
            for name, shape in wanted.items():
                if have.get(name) != shape:
                    raise UserError(
                        f"{path} is of another network than '{model.preset.name}': {name} should "
                        f"be {list(shape)}, but is {list(have.get(name, ())) or 'missing'}"
                    )
        super().__init__(self.NAME, model)

    def _infer(self, inputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        names = list(output_shapes(self._preset))
        tensors: list[Any] = self._session.run(names, inputs)
        return dict(zip(names, tensors, strict=True))
