"""What a board made of the scenes of several speakers, as Markdown."""

from __future__ import annotations

from typing import Any

from dyncp.personal.target_probe import ANYBODY, TARGET

_QUESTIONS = (
    (TARGET, "does the user speak?", "the board's gates"),
    ("pvad", "does the user speak?", "the personalised VAD, float, on the host"),
    (ANYBODY, "does anybody speak?", "the board's gates"),
)
_KEPT = (
    ("si_sdr_noisy", "SI-SDR in, dB", "{:.2f}"),
    ("si_sdr", "SI-SDR out, dB", "{:.2f}"),
    ("pesq", "PESQ", "{:.3f}"),
    ("tsos", "TSOS", "{:.3f}"),
    ("leakage", "leakage dN, dB", "{:.1f}"),
    ("executed_macs", "MACs a frame", "{:,.0f}"),
)


def format_personal(figures: dict[str, Any]) -> str:
    """The whole result: where it ran, who speaks, what is kept, what a frame costs."""
    board, latency = figures["board"], figures["latency"]
    kind = "emulated" if board["emulated"] else "hardware"
    lines = [
        f"`{figures['preset']}` on {board['name']} ({board['cpu']}, {kind}), build "
        f"{figures['build_id']}: {figures['scenes']} scenes, {figures['frames']:,} frames.",
        "",
        "| question | answered by | accuracy | commonest answer | operations a frame |",
        "|---|---|---|---|---|",
    ]
    for name, question, by in _QUESTIONS:
        row = figures["questions"].get(name)
        if row is None:
            continue
        spread = f" ({row['low']:.3f}..{row['high']:.3f})" if "low" in row else ""
        lines.append(
            f"| {question} | {by} | {row['accuracy']:.3f}{spread} | {row['baseline']:.3f} | "
            f"{row['operations']:,.0f} {row['kind']} |"
        )
    lines += [
        "",
        "| scenario | scenes | " + " | ".join(title for _, title, _ in _KEPT) + " |",
        "|---|---|" + "---|" * len(_KEPT),
    ]
    for scenario, kept in figures["kept"].items():
        cells = [form.format(kept[name]) if name in kept else "" for name, _, form in _KEPT]
        lines.append(f"| {scenario} | {kept['scenes']} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"A frame takes {latency['frame']['p50']:,} {latency['unit']} (p50; "
        f"{latency['frame']['max']:,} at most), counted by {board['counter']}. An embedding is set "
        "once for each scene; it costs nothing in a frame.",
    ]
    return "\n".join(lines) + "\n"
