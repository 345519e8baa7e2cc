"""The page of exactness, written from the JSON files and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from quantize.evaluation.comparison import Interval, interval
from quantize.evaluation.page import table
from quantize.evaluation.ways import KINDS

AIMS = {"ptq": 0.995, "qat": 0.999}
"""Share of gate decisions equal to the float network's."""
MOST_PESQ = 0.02
MOST_ACCURACY = 0.005
"""What a probe's accuracy or R2 may lose."""

WAYS = {"ptq": "rounded", "qat": "trained through the rounding"}

Found = Mapping[str, Mapping[str, Any]]
"""By preset, then by way."""


def page(exactness: Found, ways: Mapping[str, Any], probes: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown. ``exactness``: of :func:`measure_exactness`; ``ways``: of
    :func:`compare_ways`, by preset; ``probes``: of :func:`judge_integer_probes`."""
    first = next(iter(next(iter(exactness.values())).values()))
    parts = [
        "# Exactness of int8",
        "Written by `make exactness`; nothing here is typed by hand. The integer model, which all "
        "later rungs equal byte for byte ([parity](parity.md)), against the float network on the "
        f"{first['clips']} clips of [results](results.md): {first['frames']} frames. How it is "
        "rounded: [quantisation](quantisation.md).",
        "`ptq`: rounded after training. `qat`: trained on through the rounding. Equal gates: "
        "decisions as in the network trained in float; weighted: each gate by the mean power "
        "that it lets through when open; own: as in the float network that was rounded, which "
        "`qat` has moved. Lost: float less int8, clip by clip, mean and 95 % interval.",
        main_table(exactness),
        "## Aims",
        aim_table(exactness, probes),
        "## Equal gates by block",
        block_table(exactness),
        "## How far from the threshold flips happen",
        "Decisions by the distance of the float logit from the threshold, in steps of its int8 "
        "scale: their share, and what part of them int8 takes otherwise.",
        margin_table(exactness),
        "## Probes",
        "The probes that ship, on 10 minutes of unseen speakers: float, and on the integer "
        "model's masks. Accuracy for voice activity, gender and noise; R2 for the others.",
        probe_table(probes),
        "## Ways to find ranges",
        "On a minute of held-out audio: equal gates and mask SNR. Balanced: the channels of a "
        "tensor brought together before it is rounded.",
        method_table(ways),
        "## Where 16 bits would pay",
        "As above, by the fake-quantised network: all activations in 8 bits, then one kind in 16. "
        "Nothing that is deployed has 16-bit activations.",
        wide_table(ways),
    ]
    return "\n\n".join(parts) + "\n"


def _lost(found: Mapping[str, Any], score: str) -> Interval:
    return interval(found["lost"][score])


def _rows(exactness: Found) -> list[tuple[str, str, Mapping[str, Any]]]:
    return [(name, way, found) for name, ways in exactness.items() for way, found in ways.items()]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.3%}".replace("%", " %")


def _signed(found: Interval, digits: int = 4) -> str:
    return f"{found.mean:+.{digits}f} [{found.low:+.{digits}f}, {found.high:+.{digits}f}]"


def main_table(exactness: Found) -> str:
    header = [
        "preset", "way", "equal gates", "weighted", "own", "mask SNR, dB",
        "PESQ lost", "ESTOI lost", "SI-SDR lost, dB",
    ]  # fmt: skip
    rows = []
    for name, way, found in _rows(exactness):
        gates = found["gates"] or {}
        rows.append(
            [
                f"`{name}`",
                way,
                *(_percent(gates.get(key)) for key in ("equal", "weighted", "own")),
                f"{found['mask_snr']:.2f}",
                _signed(_lost(found, "pesq")),
                _signed(_lost(found, "estoi")),
                _signed(_lost(found, "si_sdr"), 3),
            ]
        )
    return table(header, rows)


def aim_table(exactness: Found, probes: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, way, found in _rows(exactness):
        label = f"`{name}`, {way}"
        if found["gates"]:
            for key in ("equal", "weighted"):
                reached, aim = found["gates"][key], AIMS[way]
                rows.append(
                    [
                        f"{label}: {key} gates, at least",
                        _percent(aim),
                        _percent(reached),
                        _met(reached >= aim),
                    ]
                )
        lost = _lost(found, "pesq").mean
        rows.append(
            [f"{label}: PESQ lost, at most", f"{MOST_PESQ}", f"{lost:.4f}", _met(lost <= MOST_PESQ)]
        )
        judged = probes.get(name, {}).get(way)
        if judged:
            worst, task = max((_drop(row), row["task"]) for row in judged["results"])
            rows.append(
                [
                    f"{label}: a probe's accuracy or R2 lost, at most (most: {task})",
                    f"{MOST_ACCURACY}",
                    f"{worst:.4f}",
                    _met(worst <= MOST_ACCURACY),
                ]
            )
    return table(["aim", "", "reached", "met"], rows)


def _met(met: bool) -> str:
    return "yes" if met else "**no**"


def _drop(row: Mapping[str, Any]) -> float:
    return float(_value(row["float"]) - _value(row["int8"]))


def _value(judgement: Mapping[str, Any]) -> float:
    r2 = judgement.get("r2")
    return float(judgement["accuracy"] if r2 is None else r2)


def block_table(exactness: Found) -> str:
    gated = [row for row in _rows(exactness) if row[2]["gates"]]
    blocks = len(gated[0][2]["gates"]["equal_by_block"])
    header = ["", *(f"block {block}" for block in range(blocks))]
    return table(
        header,
        [
            [f"`{name}`, {way}", *(_percent(v) for v in found["gates"]["equal_by_block"])]
            for name, way, found in gated
        ],
    )


def margin_table(exactness: Found) -> str:
    gated = [row for row in _rows(exactness) if row[2]["gates"]]
    edges: Sequence[float | None] = gated[0][2]["gates"]["margins"]["edges"]
    header = ["steps"]
    for name, way, _ in gated:
        header += [f"`{name}`, {way}", "flip"]
    rows = []
    for index, (low, high) in enumerate(pairwise(edges)):
        row = [f"{low:g} to {high:g}" if high is not None else f"{low:g} and more"]
        for _, _, found in gated:
            margins = found["gates"]["margins"]
            count, flips = margins["decisions"][index], margins["flips"][index]
            row += [
                f"{count / sum(margins['decisions']):.2%}".replace("%", " %"),
                f"{flips / count:.2%}".replace("%", " %") if count else "",
            ]
        rows.append(row)
    return table(header, rows)


def probe_table(probes: Mapping[str, Mapping[str, Any]]) -> str:
    tasks = [row["task"] for row in next(iter(next(iter(probes.values())).values()))["results"]]
    rows = []
    for name, ways in probes.items():
        for way, judged in ways.items():
            for kind in ("float", "int8"):
                by_task = {row["task"]: _value(row[kind]) for row in judged["results"]}
                rows.append(
                    [f"`{name}`, {way}, {kind}", *(f"{by_task[task]:.4f}" for task in tasks)]
                )
    return table(["", *tasks], rows)


def method_table(ways: Mapping[str, Any]) -> str:
    header = ["ranges", "balanced", "compensated"]
    for name in ways:
        header += [f"`{name}`", "mask SNR, dB"]
    rows = []
    for index, first in enumerate(next(iter(ways.values()))["methods"]):
        row = [first["method"], *("yes" if first[x] else "no" for x in header[1:3])]
        for found in ways.values():
            values = found["methods"][index]
            row += [_percent(values["gates"]), f"{values['mask_snr']:.2f}"]
        rows.append(row)
    return table(header, rows)


def wide_table(ways: Mapping[str, Any]) -> str:
    header = ["16 bits"]
    for name in ways:
        header += [f"`{name}`", "mask SNR, dB"]
    kinds = [None, *(kind for kind in KINDS)]
    rows = []
    for kind in kinds:
        row = ["none" if kind is None else KINDS[kind]]
        for found in ways.values():
            values = next((v for v in found["wide"] if v.get("kind") == kind), None)
            row += [_percent(values["gates"]), f"{values['mask_snr']:.2f}"] if values else ["", ""]
        rows.append(row)
    return table(header, rows)
