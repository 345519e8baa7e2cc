"""The table of the recipes: means with their intervals, and whether the aim is met."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from dyncp.personal.scenes import SCENARIOS, Scenario
from dyncp.personal.scores import NOISY, SceneScore

_MARGIN = 0.10
"""The paper's pattern: TSOS at most this above B1's, leakage at most this below B3's."""
_DECIBELS, _SHARE = "{:.1f}", "{:.3f}"


@dataclass(frozen=True)
class _Column:
    title: str
    measure: str
    scenario: Scenario
    form: str
    percent: bool = False


_COLUMNS = (
    *(
        _Column(f"{scenario} {title}", measure, scenario, form, percent)
        for scenario in SCENARIOS[:2]
        for title, measure, form, percent in (
            ("SI-SDR", "si_sdr", "{:.2f}", False),
            ("PESQ", "pesq", _SHARE, False),
            ("STOI", "stoi", _SHARE, False),
            ("ESTOI", "estoi", _SHARE, False),
            ("TSOS %", "tsos", "{:.2f}", True),
            ("WER %", "wer", _DECIBELS, True),
            ("DEL %", "deletions", _DECIBELS, True),
            ("DNSMOS", "dnsmos", "{:.2f}", False),
        )
    ),
    _Column("TS3 leakage dN, dB", "leakage", "TS3", _DECIBELS),
    _Column("TS3 DNSMOS", "dnsmos", "TS3", "{:.2f}"),
    *(_Column(f"{scenario} open %", "open", scenario, _DECIBELS, True) for scenario in SCENARIOS),
)
ABSENT = {
    "wer": "no recogniser was named (RECOGNISER=pocketsphinx)",
    "deletions": "no recogniser was named (RECOGNISER=pocketsphinx)",
    "dnsmos": "no DNSMOS model was given (DNSMOS=sig_bak_ovr.onnx)",
}
"""Why a column is empty, by measure."""


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of the known values and its 95 % interval, by a bootstrap over scenes; or NaN."""
    known = np.array([value for value in values if not np.isnan(value)])
    if len(known) == 0:
        return float("nan"), float("nan"), float("nan")
    mean = float(known.mean())
    if len(known) == 1 or np.ptp(known) == 0:
        return mean, mean, mean
    found = bootstrap(
        (known,), np.mean, n_resamples=1000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    return mean, float(found.low), float(found.high)


def rows(scores: Sequence[SceneScore]) -> list[dict[str, Any]]:
    """One for each network and recipe; ``measures``: mean, low, high by ``SCENARIO.measure``."""
    found = []
    for network, recipe in dict.fromkeys((s.network, s.recipe) for s in scores):
        own = [s for s in scores if (s.network, s.recipe) == (network, recipe)]
        measures = {}
        for column in _COLUMNS:
            of = [getattr(s, column.measure) for s in own if s.scenario == column.scenario]
            mean, low, high = interval(of)
            if not np.isnan(mean):
                measures[f"{column.scenario}.{column.measure}"] = [mean, low, high]
        found.append({"network": network, "recipe": recipe, "measures": measures})
    return found


def _change(value: float, base: float) -> float:
    """Relative, upwards positive also from a negative ``base``."""
    if value == base:
        return 0.0
    return (value - base) / abs(base) if base else math.copysign(math.inf, value)


def aims(table: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each S recipe: TSOS (mean of TS1 and TS2) against B1's, leakage against B3's.

    Both as a relative change, infinite from 0; ``met`` where neither is worse by more than
    10 %. No row where a network lacks one of the figures.
    """

    def measured(network: str, recipe: str) -> tuple[float, float] | None:
        for row in table:
            if (row["network"], row["recipe"]) == (network, recipe):
                found = row["measures"]
                if not {"TS1.tsos", "TS2.tsos", "TS3.leakage"} <= set(found):
                    return None
                tsos = (found["TS1.tsos"][0] + found["TS2.tsos"][0]) / 2
                return tsos, found["TS3.leakage"][0]
        return None

    verdicts = []
    for network in dict.fromkeys(row["network"] for row in table):
        least, best = measured(network, "B1"), measured(network, "B3")
        if least is None or best is None:
            continue
        for row in table:
            if row["network"] != network or not row["recipe"].startswith("S"):
                continue
            own = measured(network, row["recipe"])
            if own is None:
                continue
            tsos, leakage = _change(own[0], least[0]), _change(own[1], best[1])
            verdicts.append(
                {
                    "network": network,
                    "recipe": row["recipe"],
                    "tsos_against_B1": tsos,
                    "leakage_against_B3": leakage,
                    "met": bool(tsos <= _MARGIN and leakage >= -_MARGIN),
                }
            )
    return verdicts


def markdown(table: Sequence[dict[str, Any]], verdicts: Sequence[dict[str, Any]]) -> str:
    """Both as Markdown, with a line for every column that is absent."""
    seen = {key for row in table for key in row["measures"]}
    columns = [c for c in _COLUMNS if f"{c.scenario}.{c.measure}" in seen]
    lines = [
        "| network | recipe | " + " | ".join(c.title for c in columns) + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    for row in table:
        cells = []
        for column in columns:
            found = row["measures"].get(f"{column.scenario}.{column.measure}")
            scale = 100 if column.percent else 1
            cells.append(
                ""
                if found is None
                else "{} ({}..{})".format(*(column.form.format(value * scale) for value in found))
            )
        name = "the noisy input" if row["network"] == NOISY else row["network"]
        lines.append(f"| {name} | {row['recipe']} | " + " | ".join(cells) + " |")
    missing = dict.fromkeys(
        ABSENT[c.measure] for c in _COLUMNS if c not in columns and c.measure in ABSENT
    )
    lines += ["", *(f"Columns are missing: {reason}." for reason in missing)]
    if verdicts:
        lines += [
            "",
            "| network | recipe | TSOS against B1 | leakage against B3 | within 10 % |",
            "|---|---|---|---|---|",
            *(
                f"| {v['network']} | {v['recipe']} | {v['tsos_against_B1']:+.1%} | "
                f"{v['leakage_against_B3']:+.1%} | {'yes' if v['met'] else '**no**'} |"
                for v in verdicts
            ),
        ]
    return "\n".join(lines) + "\n"
