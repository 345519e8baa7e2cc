"""The page of results, written from the JSON files and from nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dyncp.data.labels import TaskName
from dyncp.preset import Preset
from dyncp.probes.features import FEATURES
from dyncp.probes.tasks import TASKS, Task
from quantize.evaluation.comparison import Interval, interval, relative_difference
from quantize.evaluation.costs import FrameCosts, frame_costs

REFERENCE = "static"
"""What the others are compared with, clip by clip."""
LONGER = "-longer"
"""Ends the names of the baselines that were trained on as the gated networks were refined."""

AIMS: dict[TaskName, float] = {"vad": 0.93, "noise": 0.84, "f0": 0.86}
"""On binary masks, after arXiv 2602.10666; accuracy, or R2."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; the first column is text, the others are numbers."""
    lines = [
        "| " + " | ".join(header) + " |",
        "|" + "|".join(["---"] + ["---:"] * (len(header) - 1)) + "|",
    ]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def costs_of(preset: Preset, clips: Sequence[dict[str, Any]]) -> FrameCosts:
    """Means over the clips."""
    return frame_costs(preset, open_by_block(clips))


def open_by_block(clips: Sequence[dict[str, Any]]) -> list[float]:
    """Mean share of open gates of each block over the clips."""
    shares = np.array([clip["open"] for clip in clips], np.float64)
    return [float(share) for share in shares.mean(axis=0)]


def summarise(
    preset: Preset,
    clips: Sequence[dict[str, Any]],
    reference: Sequence[dict[str, Any]] | None,
    longer: Sequence[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """One preset's figures, as plain values: means with 95 % intervals over its clips.

    ``reference`` and ``longer``: the clips of both static networks, in the same order.
    """

    def values(clips: Sequence[dict[str, Any]], name: str) -> list[float | None]:
        return [clip[name] for clip in clips]

    costs = costs_of(preset, clips)
    gain = [_difference(clip["si_sdr"], clip["si_sdr_noisy"]) for clip in clips]
    result: dict[str, Any] = {
        "pesq": vars(interval(values(clips, "pesq"))),
        "pesq_noisy": vars(interval(values(clips, "pesq_noisy"))),
        "estoi": vars(interval(values(clips, "estoi"))),
        "estoi_noisy": vars(interval(values(clips, "estoi_noisy"))),
        "si_sdr_gain": vars(interval(gain)),
        "macs_dense": costs.dense.macs,
        "macs_executed": costs.executed_macs,
        "macs_of_gates": costs.gate_macs,
        "macs_saved": costs.saved,
        "weight_bytes_dense": costs.dense.weight_bytes,
        "weight_bytes": costs.executed_bytes,
        "open_by_block": open_by_block(clips),
    }
    for name, seen in (("trained", True), ("untrained", False)):
        group = [clip for clip in clips if clip["seen"] is seen]
        if group:
            result[f"pesq_{name}_noises"] = vars(interval(values(group, "pesq")))
    for key, others in (("pesq_against_reference", reference), ("pesq_against_longer", longer)):
        if others is not None:
            result[key] = vars(relative_difference(values(clips, "pesq"), values(others, "pesq")))
    return result


def _difference(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def quality_table(summaries: dict[str, dict[str, Any]]) -> str:
    """Quality and cost, a row a preset, the noisy input first."""
    first = next(iter(summaries.values()))
    rows = [["noisy input", _pm(first["pesq_noisy"]), "", _pm(first["estoi_noisy"]), *[""] * 6]]
    for name, figures in summaries.items():
        against = figures.get("pesq_against_reference")
        rows.append(
            [
                f"`{name}`",
                _pm(figures["pesq"]),
                _percent(against) if against and name != REFERENCE else "",
                _pm(figures["estoi"]),
                _pm(figures["si_sdr_gain"], 2),
                f"{figures['macs_dense']:,}",
                f"{figures['macs_executed']:,.0f}",
                f"{100 * figures['macs_saved']:.1f} %",
                f"{figures['weight_bytes']:,.0f}",
                f"{100 * np.mean(figures['open_by_block']):.1f} %"
                if figures["open_by_block"]
                else "",
            ]
        )
    header = ("preset", "PESQ (wb)", f"against `{REFERENCE}`", "ESTOI", "SI-SDR gain, dB",
              "MACs dense", "executed", "saved, net", "weight bytes", "open")  # fmt: skip
    return table(header, rows)


def block_table(summaries: dict[str, dict[str, Any]]) -> str:
    """The share of open gates, block by block."""
    gated = {name: f["open_by_block"] for name, f in summaries.items() if f["open_by_block"]}
    blocks = max((len(shares) for shares in gated.values()), default=0)
    rows = [
        [f"`{name}`", *(f"{100 * share:.1f}" for share in shares)] for name, shares in gated.items()
    ]
    return table(["open, %", *(f"block {block}" for block in range(blocks))], rows)


def probe_table(study: dict[str, Any], dense_macs: int) -> str:
    """Every task on every set of features; accuracy or R2, with the cost of all tasks."""
    rows = []
    for features in FEATURES:
        results = {r["task"]: r for r in study["results"] if r["features"] == features.name}
        if not results:
            continue
        operations = sum(result["operations"] for result in results.values())
        unit = "additions" if features.binary else "MACs"
        rows.append(
            [
                features.title,
                *(_judged(task, results[task.name]) for task in TASKS),
                f"{operations:,.0f} {unit}",
                f"{100 * operations / dense_macs:.2f} %",
            ]
        )
    commoner = [r for r in study["results"] if r["features"] == study["results"][0]["features"]]
    rows.append(
        [
            "the commoner answer, the mean",
            *("0" if r.get("baseline") is None else f"{r['baseline']:.3f}" for r in commoner),
            "",
            "",
        ]
    )
    return table(["features", *(_measure(t) for t in TASKS), "cost", "of a frame's MACs"], rows)


def error_table(study: dict[str, Any]) -> str:
    """Mean absolute errors of the values, on every set of features."""
    tasks = [task for task in TASKS if task.kind == "value"]
    rows = []
    for features in FEATURES:
        results = {r["task"]: r for r in study["results"] if r["features"] == features.name}
        if results:
            rows.append(
                [
                    features.title,
                    *(
                        ""
                        if results[t.name].get("mae") is None
                        else f"{results[t.name]['mae']:.2f}"
                        for t in tasks
                    ),
                ]
            )
    return table(["mean absolute error", *(f"{t.name}, {t.unit}" for t in tasks)], rows)


def integer_table(judged: dict[str, Any], dense_macs: int) -> str:
    """The shipped probes on the masks of the float network and of the integer model."""
    rows = []
    for result in judged["results"]:
        task = next(task for task in TASKS if task.name == result["task"])
        rows.append(
            [
                _measure(task),
                _judged(task, result["float"]),
                _judged(task, result["int8"]),
                f"{result['operations']:,.0f}",
            ]
        )
    operations = sum(result["operations"] for result in judged["results"])
    rows.append(["all", "", "", f"{operations:,.0f} ({100 * operations / dense_macs:.2f} %)"])
    return table(["task", "float", "int8", "additions a frame"], rows)


def aim_lines(summaries: dict[str, dict[str, Any]], study: dict[str, Any] | None) -> str:
    """What was aimed at and what was reached, met or not."""
    rows = []
    narrow = {
        name: summaries[name]["pesq"]["mean"]
        for name in ("static-narrow", f"static-narrow{LONGER}")
        if name in summaries
    }
    for name, saved in (("paper", 0.29), ("hidden", 0.60)):
        figures = summaries.get(name)
        if not figures:
            continue
        rows.append(_aim(f"`{name}`: MACs saved, net", saved, figures["macs_saved"], percent=True))
        for other, least in narrow.items():
            rows.append(_aim(f"`{name}`: PESQ above `{other}`'s", least,
                             figures["pesq"]["mean"]))  # fmt: skip
    for key, other in (("reference", REFERENCE), ("longer", f"{REFERENCE}{LONGER}")):
        against = summaries.get("paper", {}).get(f"pesq_against_{key}")
        if against:
            rows.append(_aim(f"`paper`: PESQ against `{other}`'s", -0.0075, against["mean"],
                             percent=True))  # fmt: skip
    for result in study["results"] if study else ():
        if result["features"] == "binary" and result["task"] in AIMS:
            name = "accuracy" if result.get("r2") is None else "R2"
            reached = result["r2" if name == "R2" else "accuracy"]
            rows.append(_aim(f"`paper`: {result['task']} on binary masks, {name}",
                             AIMS[result["task"]], reached))  # fmt: skip
    return table(["aim", "at least", "reached", "met"], rows)


def _aim(what: str, least: float, reached: float, percent: bool = False) -> list[str]:
    def show(value: float) -> str:
        return f"{100 * value:.2f} %" if percent else f"{value:.3f}"

    return [what, show(least), show(reached), "yes" if reached >= least else "**no**"]


def _measure(task: Task) -> str:
    return f"{task.name}, {'R2' if task.kind == 'value' else 'accuracy'}"


def _judged(task: Task, result: dict[str, float]) -> str:
    value = result.get("r2" if task.kind == "value" else "accuracy")
    if value is None or "low" not in result:
        return "" if value is None else f"{value:.3f}"
    return f"{value:.3f} [{result['low']:.2f}, {result['high']:.2f}]"


def _pm(values: dict[str, float], digits: int = 3) -> str:
    spread = Interval(**values)
    return f"{spread.mean:.{digits}f} [{spread.low:.{digits}f}, {spread.high:.{digits}f}]"


def _percent(values: dict[str, float]) -> str:
    spread = Interval(**values)
    return f"{100 * spread.mean:+.2f} % [{100 * spread.low:+.2f}, {100 * spread.high:+.2f}]"
