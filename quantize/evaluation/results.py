"""From the files of every preset to one page, its JSON and a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dyncp.errors import UserError
from dyncp.files import write_text
from dyncp.preset import load_preset
from quantize.evaluation import page

DEFAULT = "paper"
"""The preset whose probes are told of in full."""


def read_json(path: Path, how: str) -> Any:
    """Read a file that another command writes."""
    if not path.is_file():
        raise UserError(f"{path} is missing; run: {how}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not JSON ({error}); remove it and run: {how}") from error


def collect(build: Path, presets: Sequence[str], suffix: str = "") -> dict[str, Any]:
    """What `make evaluate` left in ``build/PRESET/``: quality, studies and integer probes.

    Raises :class:`UserError` naming a file that is missing and how to make it, or presets
    that were not scored on the same clips.
    """
    how = "make evaluate"
    clips = {
        name: read_json(build / name / f"quality{suffix}.json", how)["clips"] for name in presets
    }
    first = presets[0]
    for name in presets:
        if [(c["noise"], c["snr"]) for c in clips[name]] != [
            (c["noise"], c["snr"]) for c in clips[first]
        ]:
            raise UserError(
                f"'{name}' and '{first}' were scored on other clips; remove "
                f"{build}/*/quality{suffix}.json and run: {how}"
            )
    baselines = [clips.get(f"{page.REFERENCE}{kind}") for kind in ("", page.LONGER)]
    gated = [name for name in presets if load_preset(name).gate]
    return {
        "clips": len(clips[first]),
        "presets": {
            name: page.summarise(load_preset(name), clips[name], *baselines) for name in presets
        },
        "studies": {name: read_json(build / name / f"study{suffix}.json", how) for name in gated},
        "integer_probes": {
            name: read_json(build / name / f"integer{suffix}.json", how) for name in gated
        },
    }


def write_page(results: dict[str, Any], path: Path) -> str:
    """Write the page; give what of it belongs on the terminal."""
    presets = results["presets"]
    study = results["studies"].get(DEFAULT)
    short = [
        "## Quality and cost",
        f"Over {results['clips']} clips of speakers that no network has heard, at 0, 5 and 10 dB, "
        "in noises trained with and not; mean and 95 % interval (bootstrap over clips; "
        "differences clip by clip).\nMACs and bytes of int8 weights are a frame's, the gates' "
        "own included.",
        page.quality_table(presets),
        "What a gated network gained by its `[refinement]`, more steps and more voices, a static "
        f"one might gain too: those that end in `{page.LONGER}` were trained on by as many steps.",
        "### Aims",
        page.aim_lines(presets, study),
        "### Open gates by block",
        page.block_table(presets),
    ]
    parts = [
        "# Results",
        "Written by `make evaluate` from the checkpoints that ship; nothing here is typed by "
        "hand. The data are synthetic ([data](data.md)), "
        "the labels those of `dyncp/data/labels.py`.",
        "![Quality against executed MACs](pictures/quality.png)",
        *short,
    ]
    for name, found in results["studies"].items():
        dense = presets[name]["macs_dense"]
        parts += [
            f"## What the masks of `{name}` know",
            f"Linear models, fitted on {found['minutes']:g} minutes of the training split and "
            f"judged on {found['minutes']:g} of the test split, frame by frame, unseen speakers; "
            "95 % intervals over speakers.",
            page.probe_table(found, dense),
            page.error_table(found),
            f"The probes that ship, on {results['integer_probes'][name]['minutes']:g} minutes of "
            "the test split:",
            page.integer_table(results["integer_probes"][name], dense),
        ]
    write_text(path, "\n\n".join(parts) + "\n")
    return "\n\n".join(short)


def draw(results: dict[str, Any], path: Path) -> None:
    """The picture of quality against executed MACs."""
    from dyncp.pictures.trade_off import QualityPoint, quality_against_macs

    points = [
        QualityPoint(
            name=name,
            executed_macs=figures["macs_executed"],
            dense_macs=figures["macs_dense"],
            pesq=figures["pesq"]["mean"],
            low=figures["pesq"]["low"],
            high=figures["pesq"]["high"],
        )
        for name, figures in results["presets"].items()
    ]
    noisy = next(iter(results["presets"].values()))["pesq_noisy"]["mean"]
    quality_against_macs(points, path, noisy_pesq=noisy)
