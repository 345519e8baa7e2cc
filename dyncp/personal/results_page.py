"""The page of the table: what was compared, how, and the figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dyncp.errors import UserError
from dyncp.personal import settings
from dyncp.personal.checkpoints import enhancer_path
from dyncp.personal.table import markdown

_ABOUT = """# Personalised enhancement: the recipes compared

Written by `make personal`; [personal.md](personal.md) says what the words mean. Each figure is
the mean over {scenes} scenes of {seconds:g} s for each scenario, of speakers that no network was
trained with, and its 95 % interval in brackets (a bootstrap over scenes). TS1: the target with an
interferer and noise; TS2: with noise; TS3: the target is silent.
"""


def page(
    *,
    scenes: int,
    seconds: float,
    shipped: Path,
    table: Sequence[dict[str, Any]],
    verdicts: Sequence[dict[str, Any]],
) -> str:
    """Markdown; raises :class:`UserError` naming a record that is not there."""
    lines = [
        _ABOUT.format(scenes=scenes, seconds=seconds),
        markdown(table, verdicts),
        "## How they were trained",
        "",
        "| network | recipe | mix TS1 / TS2 / TS3 | guidance | steps | hours | audio heard, h |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["network"] for row in table):
        if name not in settings.network_names():
            continue
        own = [row["recipe"] for row in table if row["network"] == name]
        lines += [_trained(name, recipe, shipped) for recipe in [settings.STEM, *own]]
    return "\n".join(lines) + "\n"


def _trained(name: str, recipe: str, shipped: Path) -> str:
    shares = settings.recipe(recipe).shares
    mix = " / ".join(f"{shares.get(scenario, 0):g}" for scenario in ("TS1", "TS2", "TS3"))
    file = enhancer_path(shipped, name, recipe).with_suffix(".json")
    if not file.is_file():
        raise UserError(f"no such record: {file}; it belongs beside the weights")
    record = json.loads(file.read_text(encoding="utf-8"))
    return (
        f"| {name} | {recipe} | {mix} | {settings.recipe(recipe).guidance} | "
        f"{record['identity']['steps']} | {record['hours']} | {record['audio_hours_seen']} |"
    )
