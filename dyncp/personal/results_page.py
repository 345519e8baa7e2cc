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
        lines += [_trained(name, recipe, shipped) for recipe in [*settings.stages(name), *own]]
    for name, recipe in dict.fromkeys((row["network"], row["recipe"]) for row in table):
        if name in settings.network_names():
            judged = _record(name, recipe, shipped).get("target_probes")
            if judged:
                lines += ["", f"## Who speaks, from the gates of {name} by {recipe}", ""]
                lines += probe_table(judged)
    return "\n".join(lines) + "\n"


def probe_table(judged: dict[str, Any]) -> list[str]:
    """Markdown of what :func:`dyncp.personal.target_probe.judge_target_probes` gives."""
    lines = [
        f"Frames of {judged['test_scenes']} scenes of 6 s of unseen speakers: half TS1, a fifth "
        "TS2, the rest TS3. Intervals by a bootstrap over scenes.",
        "",
        "| question | answered by | accuracy | commonest answer | operations a frame |",
        "|---|---|---|---|---|",
    ]
    for name, question, by in (
        ("target", "does the target speak?", "the gates"),
        ("pvad", "does the target speak?", "the personalised VAD"),
        ("vad", "does anybody speak?", "the gates"),
    ):
        row = judged[name]
        lines.append(
            f"| {question} | {by} | {row['accuracy']:.3f} ({row['low']:.3f}..{row['high']:.3f}) | "
            f"{row['baseline']:.3f} | {row['operations']:,.0f} {row['kind']} |"
        )
    return lines


def _record(name: str, recipe: str, shipped: Path) -> dict[str, Any]:
    file = enhancer_path(shipped, name, recipe).with_suffix(".json")
    if not file.is_file():
        raise UserError(f"no such record: {file}; it belongs beside the weights")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _trained(name: str, recipe: str, shipped: Path) -> str:
    shares = settings.recipe(recipe).shares
    mix = " / ".join(f"{shares.get(scenario, 0):g}" for scenario in ("TS1", "TS2", "TS3"))
    record = _record(name, recipe, shipped)
    return (
        f"| {name} | {recipe} | {mix} | {settings.recipe(recipe).guidance} | "
        f"{record['identity']['steps']} | {record['hours']} | {record['audio_hours_seen']} |"
    )
