"""Weights and targets from a checkpoint that ships: where a run starts, who teaches it."""

from __future__ import annotations

import hashlib
from typing import Any

from dyncp.checkpoint import SHIPPED_FOLDER, load_checkpoint
from dyncp.errors import UserError
from dyncp.network import GatedConvFSENet
from dyncp.preset import Preset, load_preset


def load_shipped(name: str, key: str) -> tuple[GatedConvFSENet, str]:
    """The network that ships for a preset, in evaluation mode, and its file's SHA-256.

    Raises :class:`UserError` that names the key asking for it, as in ``"[training] start"``.
    """
    try:
        preset = load_preset(name)
        path = SHIPPED_FOLDER / f"{preset.name}.pt"
        if not path.is_file():
            raise UserError(
                f"preset '{name}' has no checkpoint; run `make train PRESET={name}` first"
            )
        network = load_checkpoint(path, expect=preset).network
    except UserError as error:
        raise UserError(f"{key}: {error}") from error
    return network, hashlib.sha256(path.read_bytes()).hexdigest()


def start_from(network: GatedConvFSENet, source: GatedConvFSENet) -> None:
    """Copy all weights and statistics but the gates', which stay as they were drawn."""
    _require_same(network.preset, source.preset, "[training] start", ("audio", "network"))
    backbone = {
        name: tensor for name, tensor in source.state_dict().items() if ".gate." not in name
    }
    network.load_state_dict(backbone, strict=False)


def check_teacher(preset: Preset, teacher: GatedConvFSENet, key: str) -> None:
    """A teacher may be of any width; it must hear what its student hears."""
    _require_same(preset, teacher.preset, key, ("audio",))


def _require_same(ours: Preset, theirs: Preset, key: str, sections: tuple[str, ...]) -> None:
    wanted, given = ours.architecture(), theirs.architecture()
    for section in sections:
        for setting, value in wanted[section].items():
            other: Any = given[section][setting]
            if other != value:
                raise UserError(
                    f"{key}: preset '{theirs.name}' has [{section}] {setting} = "
                    f"{other}, '{ours.name}' has {value}; choose a preset that agrees"
                )
