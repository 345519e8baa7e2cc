"""The quantised model: every integer and scale of the deployed network.

``quantized.npz`` is read and written here alone. Its arrays are:

    preset                     JSON: name and :meth:`dyncp.preset.Preset.to_dict`
    activation/NAME            float64 [2]: scale (a float32 value) and zero point
    layer/NAME/weight          int8 [outputs, inputs] in -127..127; of a personalised network's
                               `up` and `squeeze` [outputs, inputs + dimensions]
    layer/NAME/weight_scale    float32 [outputs]
    layer/NAME/bias            int32 [outputs], in steps of input scale x weight scale
    sigmoid_table              int8 [256], the input -128 first
    probe/NAME/weights         int16 [blocks * gates]
    probe/NAME/bias            int32
    probe/NAME/scale           float64

Layers and activations are those of :mod:`quantize.wiring`.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dyncp.errors import UserError
from dyncp.files import write_bytes
from dyncp.preset import Preset, parse_preset
from quantize.arithmetic import Integers, layer_multipliers
from quantize.checks import check_model
from quantize.wiring import LayerSpec, activation_names, layer_specs

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Activation:
    """Scale (a float32 value) and zero point of a set of int8 tensors."""

    scale: float
    zero_point: int


@dataclass(frozen=True, eq=False)
class QuantizedLayer:
    """The integers of one convolution; shapes as in the module's docstring."""

    spec: LayerSpec
    weight: NDArray[np.int8]
    weight_scale: NDArray[np.float32]
    bias: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class QuantizedProbe:
    """A linear predictor on the gates: ``bias`` plus the weights of the open ones.

    ``scale`` turns the int32 score into the predictor's unit.
    """

    name: str
    weights: NDArray[np.int16]
    bias: int
    scale: float


@dataclass(frozen=True, eq=False)
class QuantizedModel:
    """What the integer model executes and every later stage is made from.

    Raises :class:`UserError` on construction if a part is missing, has the
    wrong shape or could overflow the int32 arithmetic.
    """

    preset: Preset
    activations: Mapping[str, Activation]
    layers: Mapping[str, QuantizedLayer]
    sigmoid_table: NDArray[np.int8]
    probes: tuple[QuantizedProbe, ...] = ()

    def __post_init__(self) -> None:
        check_model(self)

    def multipliers(self, layer: str) -> tuple[Integers, Integers]:
        """Requantisation constants of a layer: multiplier and shift ``[outputs]``."""
        spec = self.layers[layer].spec
        return layer_multipliers(
            self.activations[spec.input].scale,
            self.layers[layer].weight_scale,
            self.activations[spec.output].scale,
        )

    @cached_property
    def model_hash(self) -> str:
        """sha256, hex, of the architecture and of every integer and scale; not of the name."""
        digest = hashlib.sha256()
        digest.update(json.dumps(self.preset.architecture(), sort_keys=True).encode())
        for name, array in sorted(_arrays(self).items()):
            little_endian = array.astype(array.dtype.newbyteorder("<"))
            digest.update(f"\n{name} {array.dtype.name} {array.shape}\n".encode())
            digest.update(little_endian.tobytes())
        return digest.hexdigest()


def _arrays(model: QuantizedModel) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {"sigmoid_table": model.sigmoid_table}
    for name, activation in model.activations.items():
        arrays[f"activation/{name}"] = np.array([activation.scale, activation.zero_point])
    for name, layer in model.layers.items():
        arrays[f"layer/{name}/weight"] = layer.weight
        arrays[f"layer/{name}/weight_scale"] = layer.weight_scale
        arrays[f"layer/{name}/bias"] = layer.bias
    for probe in model.probes:
        arrays[f"probe/{probe.name}/weights"] = probe.weights
        arrays[f"probe/{probe.name}/bias"] = np.array(probe.bias, np.int32)
        arrays[f"probe/{probe.name}/scale"] = np.array(probe.scale)
    return arrays


def save_model(path: str | Path, model: QuantizedModel) -> None:
    """Write ``quantized.npz`` atomically; equal models give equal bytes."""
    preset = json.dumps({"name": model.preset.name, **model.preset.to_dict()}, sort_keys=True)
    arrays = {"preset": np.array(preset), **_arrays(model)}
    buffer = io.BytesIO()
    # numpy.savez stamps the time of writing into the archive; this does not.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in sorted(arrays.items()):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", _ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, member.getvalue())
    write_bytes(path, buffer.getvalue())


def load_model(path: str | Path) -> QuantizedModel:
    """Read ``quantized.npz``; raises :class:`UserError` naming what is wrong with it."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such quantised model: {path}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # zip, zlib and numpy each raise their own on damaged bytes
        raise UserError(
            f"{path} is not a readable quantised model ({error}); make it anew with "
            "`python -m quantize`"
        ) from error
    try:
        return _from_arrays(arrays, str(path))
    except KeyError as error:
        raise UserError(f"{path} lacks the array {error}; it is not a quantised model") from error
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(f"{path} is not a quantised model: {error}") from error
    except UserError as error:
        message = str(error)
        raise UserError(message if str(path) in message else f"{path}: {message}") from error


def _from_arrays(arrays: dict[str, NDArray[Any]], source: str) -> QuantizedModel:
    values = json.loads(str(arrays["preset"]))
    preset = parse_preset(str(values.pop("name")), values, source)
    layers = {
        spec.name: QuantizedLayer(
            spec,
            arrays[f"layer/{spec.name}/weight"],
            arrays[f"layer/{spec.name}/weight_scale"],
            arrays[f"layer/{spec.name}/bias"],
        )
        for spec in layer_specs(preset)
    }
    activations = {}
    for name in activation_names(preset):
        scale, zero_point = arrays[f"activation/{name}"].tolist()
        if zero_point != int(zero_point):
            raise UserError(f"activation {name}: zero point {zero_point:g} is not an int8 value")
        activations[name] = Activation(scale, int(zero_point))
    names = [
        key.removeprefix("probe/").removesuffix("/weights")
        for key in arrays
        if key.startswith("probe/") and key.endswith("/weights")
    ]
    probes = tuple(
        QuantizedProbe(
            name,
            arrays[f"probe/{name}/weights"],
            int(arrays[f"probe/{name}/bias"]),
            float(arrays[f"probe/{name}/scale"]),
        )
        for name in names
    )
    model = QuantizedModel(preset, activations, layers, arrays["sigmoid_table"], probes)
    strangers = sorted(set(arrays) - set(_arrays(model)) - {"preset"})
    if strangers:
        raise UserError(f"the array '{strangers[0]}' belongs to no part of preset '{preset.name}'")
    return model
