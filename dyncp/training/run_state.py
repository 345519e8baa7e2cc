"""The file that a training run goes on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dyncp.errors import UserError
from dyncp.files import replacing
from dyncp.preset import Preset

TEACHES = "the checkpoint that teaches has"


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values, whole or not at all."""
    with replacing(path) as temporary:
        torch.save(state, temporary)


def read_state(
    path: Path,
    preset: Preset,
    teacher: str | None,
    device: torch.device,
    taught_by: str = TEACHES,
) -> dict[str, Any]:
    """Read what :func:`write_state` wrote for this preset and this teacher (its SHA-256).

    ``taught_by``: what that SHA-256 is of, with its verb, for the message.

    Raises :class:`UserError` where the run was another one, or the file is no such thing.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        same = state["preset"] == preset.to_dict() or _not_yet_refined(state, preset)
        taught = state.get("teacher")
    except Exception as error:  # torch.load raises whatever its unpickler met
        raise UserError(
            f"{path} is not the state of a training run; remove it to train anew"
        ) from error
    if not same:
        raise UserError(
            f"{path.parent} holds a run of another version of preset '{preset.name}'; "
            "remove that folder to train anew"
        )
    require_teacher(path, taught, teacher, taught_by)
    return state


def require_teacher(
    path: Path,
    began_with: str | None,
    teacher: str | None,
    taught_by: str = TEACHES,
) -> None:
    """Raise :class:`UserError` where the run in ``path``'s folder had another teacher."""
    if began_with != teacher:
        raise UserError(
            f"{taught_by} changed since the run in {path.parent} began; "
            "remove that folder to train anew"
        )


def _not_yet_refined(state: dict[str, Any], preset: Preset) -> bool:
    """The run ended its training, or did not yet, without the refinement that is now asked."""
    before, wanted = dict(state["preset"]), preset.to_dict()
    before.pop("refinement", None)
    wanted.pop("refinement", None)
    return before == wanted and state["step"] <= preset.training.steps
