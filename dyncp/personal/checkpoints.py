"""The files of this room: the encoder, the personalised VAD, the enhancers by recipe.

A gated network's is a float checkpoint like every other (:mod:`dyncp.checkpoint`), so that it
can be quantised; the others are weights in float16 beside the settings that they were trained
with. What a recipe shares with its stem is in the stem's file alone.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dyncp.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dyncp.errors import UserError
from dyncp.files import write_bytes, write_text
from dyncp.network import GatedConvFSENet
from dyncp.personal import settings
from dyncp.personal.enhancers import Enhancer
from dyncp.personal.guide import Guide
from dyncp.personal.pvad import PersonalVad
from dyncp.personal.settings import STEM, encoder_settings, network, pvad_settings
from dyncp.personal.speaker_encoder import SpeakerEncoder

SHIPPED = Path(__file__).parent / "checkpoints"
_FORMAT = 1


def enhancer_path(folder: Path, name: str, recipe: str) -> Path:
    return folder / f"{name}-{recipe}.pt"


def guide_path(folder: Path, name: str, stage: str) -> Path:
    return folder / f"{name}-{stage}-guide.pt"


def save_module(path: Path, module: nn.Module, record: dict[str, Any] | None = None) -> None:
    """Write the weights that are trained, as float16, and the record beside them as JSON."""
    trained = {name for name, weight in module.named_parameters() if weight.requires_grad}
    trained |= {name for name, _ in module.named_buffers()}
    weights = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in module.state_dict().items()
        if name in trained
    }
    buffer = io.BytesIO()
    torch.save({"format": _FORMAT, "weights": weights}, buffer)
    write_bytes(path, buffer.getvalue())
    if record is not None:
        _write_record(path, record)


def save_enhancer(path: Path, enhancer: Enhancer, record: dict[str, Any]) -> None:
    """Write an enhancer in the form that its kind has, and its record."""
    if isinstance(enhancer.network, GatedConvFSENet):
        assert enhancer.preset
        save_enhancer_checkpoint(path, Checkpoint(enhancer.preset, enhancer.network, record=record))
    else:
        save_module(path, enhancer.network, record)


def save_enhancer_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a gated network's checkpoint in float16, and its record beside it."""
    save_checkpoint(path, checkpoint, half=True)
    _write_record(path, checkpoint.record)


def _write_record(path: Path, record: dict[str, Any]) -> None:
    write_text(path.with_suffix(".json"), json.dumps(record, indent=1) + "\n")


def _load_weights(path: Path, module: nn.Module, base: Path | None = None) -> None:
    """Weights from ``path`` over those of ``base``; every one must be in one of them."""
    found: dict[str, torch.Tensor] = {}
    for file in (base, path):
        if file is None:
            continue
        if not file.is_file():
            raise UserError(
                f"no such checkpoint: {file}; `python -m dyncp.personal train` makes it"
            )
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
            version = content["format"]
            weights = {
                name: tensor.float() if tensor.is_floating_point() else tensor
                for name, tensor in content["weights"].items()
            }
        except Exception as error:  # torch.load raises whatever its unpickler met
            line = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(f"{file} is not a checkpoint of this project: {line}") from error
        if version != _FORMAT:
            raise UserError(f"{file}: checkpoint format {version}, expected {_FORMAT}")
        found |= weights
    try:
        module.load_state_dict(found)
    except RuntimeError as error:
        raise UserError(
            f"{path}: its weights do not fit settings.toml ({str(error).splitlines()[-1].strip()})"
        ) from error
    module.eval()


def load_encoder(folder: Path = SHIPPED) -> SpeakerEncoder:
    """The speaker encoder of a folder of checkpoints, in evaluation mode."""
    encoder = SpeakerEncoder(encoder_settings()[1])
    _load_weights(folder / "encoder.pt", encoder)
    return encoder


def load_pvad(folder: Path = SHIPPED) -> PersonalVad:
    """The personalised VAD of a folder of checkpoints, in evaluation mode."""
    vad = PersonalVad(encoder_settings()[1], pvad_settings()[1])
    _load_weights(folder / "pvad.pt", vad)
    return vad


def load_guide(name: str, stage: str, enhancer: Enhancer, folder: Path = SHIPPED) -> Guide | None:
    """The heads that guided a stage of a gated network; None for other networks."""
    if not isinstance(enhancer.network, GatedConvFSENet):
        return None
    guide = Guide(enhancer.network, encoder_settings()[1])
    _load_weights(guide_path(folder, name, stage), guide)
    return guide


def load_enhancer(name: str, recipe: str, folder: Path = SHIPPED) -> Enhancer:
    """A network trained by a recipe, in evaluation mode; raises :class:`UserError` naming the
    file that is missing or does not fit."""
    enhancer = Enhancer(network(name), encoder_settings()[1])
    path = enhancer_path(folder, name, settings.recipe(recipe).name)
    if isinstance(enhancer.network, GatedConvFSENet):
        enhancer.network = load_checkpoint(path, expect=enhancer.preset).network
    else:
        base = None if recipe == STEM else enhancer_path(folder, name, STEM)
        _load_weights(path, enhancer.network, base)
    return enhancer.eval()
