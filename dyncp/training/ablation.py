"""Ablation: a preset trained again and again with one setting changed, on the same data."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dyncp.errors import UserError
from dyncp.preset import Preset, parse_preset
from dyncp.training.trainer import Trainer


@dataclass(frozen=True)
class Variant:
    """A preset and the settings that set it apart: ``"gate.surrogate=triangle"``."""

    changes: tuple[str, ...]
    preset: Preset

    @property
    def name(self) -> str:
        return " ".join(self.changes) or "as it is"

    @property
    def folder(self) -> str:
        return ",".join(self.changes).replace("/", "_") or "as-it-is"


def parse_setting(text: str) -> tuple[str, list[Any]]:
    """``"gate.pool_frames=43,9"`` to ``("gate.pool_frames", [43, 9])``; values as in TOML,
    where words need no quotes. Raises :class:`UserError`.
    """
    key, equals, listed = text.partition("=")
    if not equals or key.count(".") != 1 or not listed:
        raise UserError(f"setting '{text}' is not SECTION.KEY=VALUE,VALUE")
    try:
        return key, tomllib.loads(f"values = [{listed}]")["values"]
    except tomllib.TOMLDecodeError:
        return key, [_word(item) for item in listed.split(",")]


def _word(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def shortened(preset: Preset, steps: int) -> dict[str, Any]:
    """The preset's values for a run of ``steps`` steps: the ramp in proportion, one validation,
    no refinement."""
    values = preset.to_dict()
    values.pop("refinement", None)
    training = values["training"]
    ramp = training["utilisation_ramp_steps"] * steps / training["steps"]
    training.update(steps=steps, utilisation_ramp_steps=round(ramp), validate_every=steps)
    return values


def variants(preset: Preset, settings: Sequence[str], steps: int, grid: bool) -> list[Variant]:
    """The preset as it is, then each value of each setting; with ``grid``, all combinations.

    A value that the preset has already is no variant of its own. Raises :class:`UserError`
    that names the setting which makes no valid preset.
    """
    parsed = [parse_setting(text) for text in settings]
    if grid:
        chosen = list(itertools.product(*([(key, value) for value in vs] for key, vs in parsed)))
    else:
        chosen = [(), *(((key, value),) for key, values in parsed for value in values)]
    found: dict[tuple[str, ...], Variant] = {}
    for combination in chosen:
        values = shortened(preset, steps)
        changes = []
        for key, value in combination:
            section, name = key.split(".")
            have = values.get(section, {})
            if have.get(name) != value:
                changes.append(f"{key}={value}".replace(" ", ""))
                values[section] = {**have, name: value}
        variant = Variant(
            tuple(changes),
            parse_preset(preset.name, values, source=" ".join([preset.name, *changes])),
        )
        found.setdefault(variant.changes, variant)
    return list(found.values())


def train_variant(variant: Variant, folder: Path, threads: int | None) -> dict[str, Any]:
    """Train to the end, or go on to it, and give the row for the table.

    ``seconds_per_step`` counts all of a run's time: data, validation and saving too.
    """
    trainer = Trainer(variant.preset, folder / variant.folder, threads)
    trainer.resume()
    trainer.run()
    last = trainer.history[-1]
    return {
        "variant": variant.name,
        "changes": list(variant.changes),
        **vars(last),
        "seconds_per_step": trainer.seconds / trainer.step,
        "settings": variant.preset.to_dict(),
    }


def format_rows(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a table for the terminal."""
    width = max(len(row["variant"]) for row in rows) + 2
    lines = [
        f"{'variant':<{width}}{'step':>7}{'validation loss':>17}{'SI-SDR gain':>13}"
        f"{'open':>8}{'s/step':>9}"
    ]
    for row in rows:
        lines.append(
            f"{row['variant']:<{width}}{row['step']:>7}{row['loss']:>17.5f}"
            f"{row['si_sdr_gain']:>+10.2f} dB{row['utilisation']:>8.3f}"
            f"{row['seconds_per_step']:>9.3f}"
        )
    return "\n".join(lines)
