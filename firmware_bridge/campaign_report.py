"""A campaign as tables for the terminal."""

from __future__ import annotations

from typing import Any

from dyncp.probes.tasks import TASKS
from firmware_bridge.report import deadline_words, energy_words, table


def format_campaign(figures: dict[str, Any]) -> str:
    """The whole result."""
    board, source = figures["board"], figures["input"]
    kind = "emulated" if board["emulated"] else "hardware"
    parts = [
        f"preset {figures['preset']} on {board['name']} ({board['cpu']}, {kind}): "
        f"{source['frames']} frames, {source['minutes']:.1f} minutes of {source['data']} in "
        f"{source['streams']} streams",
        _work(figures),
        _latency(figures),
        _probes(figures["probes"]),
        _quality(figures["quality"]),
        _memory(figures["memory"]),
    ]
    if "energy" in figures:
        parts.append(energy_words(figures["energy"]))
    return "\n\n".join(parts)


def _work(figures: dict[str, Any]) -> str:
    rows = []
    for name, key in (("MACs a frame", "macs"), ("weight bytes a frame", "weight_bytes")):
        work = figures[key]
        rows.append(
            [
                name,
                f"{work['dense']:,}",
                f"{work['executed']:,.0f}",
                f"{100 * work['executed'] / work['dense']:.1f} %",
                "yes" if work["host_agrees"] else "NO",
            ]
        )
    header = ["work", "dense", "executed", "share", "host agrees"]
    masks = figures["masks"]
    opened = (
        f"{100 * masks['open_gates'] / masks['gates']:.1f} % of {masks['gates']} gates open"
        if masks["gates"]
        else "a static network"
    )
    return f"{table(header, rows)}\n  ({opened})"


def _latency(figures: dict[str, Any]) -> str:
    latency = figures["latency"]
    if latency["unit"] == "none":
        return "  The board has no counter, so there is no latency."
    statistics = ("p50", "p95", "p99", "max")
    rows = [
        [part, *(f"{latency[part][statistic]:,}" for statistic in statistics)]
        for part in ("frame", "network", "analysis", "synthesis")
    ]
    board = figures["board"]
    counted = f"counted by {board['counter']} at {board['tick_hz'] / 1e6:g} MHz"
    header = [latency["unit"], *statistics]
    return f"{table(header, rows)}\n  ({counted})\n  {deadline_words(latency)}"


def _probes(probes: dict[str, Any] | None) -> str:
    if probes is None:
        return "  The model has no probes."
    units = {task.name: task.unit for task in TASKS}
    rows = []
    for task, judged in probes["tasks"].items():
        if "accuracy" in judged:
            value, beside = judged["accuracy"], f"commoner answer {judged['baseline']:.3f}"
            figure = f"accuracy {value:.3f}"
        elif "mae" in judged:
            figure = f"R2 {judged['r2']:.3f}" if "r2" in judged else "R2 -"
            beside = f"MAE {judged['mae']:.2f} {units[task]}"
        else:
            figure, beside = "no labels", ""
        rows.append([task, figure, beside, f"{judged['frames']:,}"])
    agree = "yes" if probes["host_agrees"] else "NO"
    return (
        table(["probe", "on the board", "", "frames"], rows)
        + f"\n  (scores are those of the reported gates in all frames: {agree})"
    )


def _quality(quality: dict[str, Any]) -> str:
    def cell(value: float | None, digits: int) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    rows = [
        [name, cell(q["pesq"], 2), cell(q["estoi"], 3), cell(q["si_sdr"], 2), str(q["segments"])]
        for name, q in quality.items()
    ]
    return table(["quality", "PESQ (wb)", "ESTOI", "SI-SDR dB", "segments"], rows)


def _memory(memory: dict[str, int]) -> str:
    rows = [[name.removesuffix("_bytes"), f"{value:,}"] for name, value in memory.items()]
    return table(["memory", "bytes"], rows)
