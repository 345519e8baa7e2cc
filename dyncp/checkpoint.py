"""The float checkpoint: weights, the preset they fit, probes, and how they were made."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dyncp.errors import UserError
from dyncp.files import write_bytes
from dyncp.network import GatedConvFSENet
from dyncp.preset import Preset, parse_preset

FORMAT = 1
SHIPPED_FOLDER = Path(__file__).parent / "checkpoints"


@dataclass
class Checkpoint:
    """A trained network. ``probes``: linear predictors on the gates, by task.

    A probe is ``{"name", "weights": float32 [blocks * gates], "bias": float}``;
    its score is the bias plus the weights of the open gates. ``grids``: scale and zero
    point of every activation, if the weights were trained through their rounding
    (quantisation-aware training); empty: they are to be calibrated.
    """

    preset: Preset
    network: GatedConvFSENet
    probes: list[dict[str, Any]] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    grids: dict[str, tuple[float, int]] = field(default_factory=dict)


def save_checkpoint(path: str | Path, checkpoint: Checkpoint, half: bool = False) -> None:
    """Write a checkpoint; ``half`` stores the weights as float16."""
    weights = {}
    for name, tensor in checkpoint.network.state_dict().items():
        if tensor.is_floating_point():
            weights[name] = tensor.detach().cpu().to(torch.float16 if half else torch.float32)
        elif not name.endswith("num_batches_tracked"):
            weights[name] = tensor.detach().cpu()
    content = {
        "format": FORMAT,
        "name": checkpoint.preset.name,
        "preset": checkpoint.preset.to_dict(),
        "weights": weights,
        "probes": [
            {**probe, "weights": torch.from_numpy(np.asarray(probe["weights"], np.float32))}
            for probe in checkpoint.probes
        ],
        "record": checkpoint.record,
        "grids": {name: list(grid) for name, grid in checkpoint.grids.items()},
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)  # to a file, it would refuse some names
    write_bytes(path, buffer.getvalue())


def load_checkpoint(path: str | Path, expect: Preset | None = None) -> Checkpoint:
    """Read a checkpoint; the network comes back in evaluation mode, float32.

    With ``expect``, raises :class:`UserError` naming the first setting in which
    the checkpoint's network differs from that preset.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such checkpoint: {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["format"] != FORMAT:
            raise UserError(f"{path}: checkpoint format {content['format']}, expected {FORMAT}")
        preset = parse_preset(content["name"], content["preset"], source=str(path))
        network = GatedConvFSENet(preset)
        weights = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in content["weights"].items()
        }
        missing, unexpected = network.load_state_dict(weights, strict=False)
        missing = [name for name in missing if not name.endswith("num_batches_tracked")]
        probes = [{**probe, "weights": probe["weights"].numpy()} for probe in content["probes"]]
        record = content["record"]
        grids = {
            str(name): (float(scale), int(zero_point))
            for name, (scale, zero_point) in content.get("grids", {}).items()
        }
    except UserError:
        raise
    except Exception as error:  # torch.load raises whatever its unpickler met
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        reason = re.sub(r"\x1b\[[0-9;]*m", "", line)
        raise UserError(f"{path} is not a checkpoint of this project: {reason}") from error
    if missing or unexpected:
        raise UserError(f"{path}: its weights do not fit its preset ({[*missing, *unexpected][0]})")
    if expect is not None:
        _check_same_architecture(path, preset, expect)
    return Checkpoint(preset, network.eval(), probes, record, grids)


def _check_same_architecture(path: Path, have: Preset, want: Preset) -> None:
    ours, theirs = have.architecture(), want.architecture()
    for section in {**ours, **theirs}:
        values = theirs.get(section)
        if (ours.get(section) is None) != (values is None):
            raise UserError(f"{path} and preset '{want.name}' differ in having a [{section}]")
        for key, value in (values or {}).items():
            if ours[section][key] != value:
                raise UserError(
                    f"{path} was trained with [{section}] {key} = {ours[section][key]}, preset "
                    f"'{want.name}' has {value}; run `make train PRESET={want.name}`"
                )
