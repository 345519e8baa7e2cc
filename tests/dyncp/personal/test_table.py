"""The table decides which recipe is recommended: its figures and its verdicts must be right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dyncp.errors import UserError
from dyncp.personal.results_page import page
from dyncp.personal.scenes import SCENARIOS
from dyncp.personal.scores import NOISY, SceneScore
from dyncp.personal.table import aims, interval, markdown, rows

NET = "e3net-small"


def scores(
    recipe: str, *, tsos: float, leakage: float, network: str = NET, **more: float
) -> Iterator[SceneScore]:
    """Four scenes of each scenario around the given means; TS2 is suppressed half as much."""
    for number, off in enumerate((-0.5, -0.25, 0.25, 0.5)):
        for scenario in SCENARIOS:
            if scenario == "TS3":
                values = {"leakage": leakage + off}
                values |= {"dnsmos": more["dnsmos"]} if "dnsmos" in more else {}
            else:
                share = 4 / 3 if scenario == "TS1" else 2 / 3
                values = {"tsos": tsos * share * (1 + off), "si_sdr": 10.0 + off, **more}
            yield SceneScore(network, recipe, scenario, number, **values)


def compared(recipe: str, tsos: float, leakage: float) -> list[dict]:
    """B1 suppresses 10 % of the frames, B3 takes 20 dB away; what comes of another recipe?"""
    table = rows(
        [
            *scores("B1", tsos=0.10, leakage=9.0),
            *scores("B3", tsos=0.30, leakage=20.0),
            *scores(recipe, tsos=tsos, leakage=leakage),
        ]
    )
    return aims(table)


def test_an_interval_holds_the_mean_and_narrows_with_more_scenes() -> None:
    values = list(np.random.default_rng(1).normal(5, 2, 400))
    mean, low, high = interval(values)
    assert mean == pytest.approx(np.mean(values))
    # 1.96 standard errors on each side.
    assert (high - low) == pytest.approx(2 * 1.96 * np.std(values) / 20, rel=0.15)
    _, few_low, few_high = interval(values[:25])
    assert low < mean < high and few_high - few_low > 2.5 * (high - low)
    assert interval(values) == (mean, low, high)


def test_scenes_without_the_measure_do_not_count() -> None:
    nan = float("nan")
    assert interval([2.0, nan, 2.0]) == (2.0, 2.0, 2.0)
    assert interval([3.0]) == (3.0, 3.0, 3.0)
    assert np.isnan(interval([])).all() and np.isnan(interval([nan])).all()
    mean, low, high = interval([1.0, nan, 3.0])
    assert (mean, low, high) == (2.0, 1.0, 3.0)


def test_rows_keep_scenarios_and_recipes_apart() -> None:
    table = rows([*scores("B1", tsos=0.1, leakage=9.0), *scores("S1", tsos=0.2, leakage=18.0)])
    assert [(row["network"], row["recipe"]) for row in table] == [(NET, "B1"), (NET, "S1")]
    one, other = (row["measures"] for row in table)
    assert one["TS1.tsos"][0] == pytest.approx(0.4 / 3)
    assert other["TS2.tsos"][0] == pytest.approx(0.4 / 3)
    assert (one["TS3.leakage"][0], other["TS3.leakage"][0]) == pytest.approx((9.0, 18.0))
    assert "TS3.tsos" not in one and "TS1.leakage" not in one and "TS1.pesq" not in one


@pytest.mark.parametrize(
    ("tsos", "leakage", "met"),
    [
        (0.10, 20.0, True),
        (0.05, 30.0, True),
        (0.109, 18.1, True),
        (0.111, 20.0, False),
        (0.10, 17.9, False),
        (0.30, 9.0, False),
    ],
)
def test_the_aim_is_met_within_a_tenth_of_the_best_of_both(
    tsos: float, leakage: float, met: bool
) -> None:
    (verdict,) = compared("S2", tsos, leakage)
    assert verdict["met"] is met
    assert (verdict["network"], verdict["recipe"]) == (NET, "S2")
    assert verdict["tsos_against_B1"] == pytest.approx(tsos / 0.10 - 1)
    assert verdict["leakage_against_B3"] == pytest.approx(leakage / 20 - 1)


def test_only_the_guided_recipes_are_judged_each_by_its_own_network() -> None:
    assert compared("B2", 0.1, 20.0) == []
    table = rows(
        [
            *scores("B1", tsos=0.1, leakage=9.0),
            *scores("B3", tsos=0.3, leakage=20.0),
            *scores("S1", tsos=0.1, leakage=20.0, network="personal"),
        ]
    )
    assert aims(table) == []  # nothing of that network to hold it against
    both = rows(
        [
            score
            for network, tsos in ((NET, 0.1), ("personal", 0.2))
            for recipe, share in (("B1", 1.0), ("B3", 2.0), ("S1", 1.05))
            for score in scores(recipe, tsos=tsos * share, leakage=20.0, network=network)
        ]
    )
    assert [(v["network"], v["recipe"]) for v in aims(both)] == [(NET, "S1"), ("personal", "S1")]
    assert [v["tsos_against_B1"] for v in aims(both)] == pytest.approx([0.05, 0.05])


def test_a_baseline_without_suppression_is_no_crash() -> None:
    """A share of 0 is what one hopes for: any other is infinitely more, the same is met."""
    for tsos, change, met in ((0.0, 0.0, True), (0.01, np.inf, False)):
        table = rows(
            [
                *scores("B1", tsos=0.0, leakage=9.0),
                *scores("B3", tsos=0.3, leakage=20.0),
                *scores("S1", tsos=tsos, leakage=20.0),
            ]
        )
        (verdict,) = aims(table)
        assert (verdict["tsos_against_B1"], verdict["met"]) == (change, met)
        assert ("**no**" in markdown(table, [verdict])) == (not met)


def test_a_network_that_makes_scenes_louder_is_not_praised_for_it() -> None:
    table = rows(
        [
            *scores("B1", tsos=0.1, leakage=-5.0),
            *scores("B3", tsos=0.1, leakage=-2.0),
            *scores("S1", tsos=0.1, leakage=-4.0),
        ]
    )
    (verdict,) = aims(table)
    assert verdict["leakage_against_B3"] == pytest.approx(-1.0) and not verdict["met"]


def test_a_recipe_that_was_not_heard_everywhere_has_no_verdict() -> None:
    silent = [SceneScore(NET, "S1", "TS3", 0, leakage=20.0)]
    table = rows(
        [
            *scores("B1", tsos=0.1, leakage=9.0),
            *scores("B3", tsos=0.3, leakage=20.0),
            *silent,
        ]
    )
    assert aims(table) == []


def test_the_table_names_the_columns_that_it_lacks_and_why() -> None:
    table = rows([*scores("", tsos=0.0, leakage=0.0, network=NOISY)])
    table += rows([*scores("B1", tsos=0.1, leakage=9.0)])
    text = markdown(table, [])
    header, rule, noisy, own, *rest = text.splitlines()
    columns = [cell.strip() for cell in header.strip("|").split("|")]
    assert columns == [
        "network", "recipe", "TS1 SI-SDR", "TS1 TSOS %", "TS2 SI-SDR", "TS2 TSOS %",
        "TS3 leakage dN, dB",
    ]  # fmt: skip
    assert rule.count("---") == len(columns)
    assert noisy.startswith("| the noisy input |  | 10.00 (")
    cells = [cell.strip() for cell in own.strip("|").split("|")]
    assert cells[:2] == [NET, "B1"] and cells[3].startswith("13.33 (")
    assert cells[6].startswith("9.0 (8.") and cells[6].endswith(")")
    assert "Columns are missing: no recogniser was named (RECOGNISER=pocketsphinx)." in rest
    assert "Columns are missing: no DNSMOS model was given (DNSMOS=sig_bak_ovr.onnx)." in rest
    assert sum(line.startswith("Columns") for line in rest) == 2


def test_measures_that_were_taken_are_not_called_missing() -> None:
    more = {"wer": 0.5, "deletions": 0.125, "dnsmos": 3.0}
    table = rows([*scores("B1", tsos=0.1, leakage=9.0, **more)])
    text = markdown(table, [])
    assert "missing" not in text
    assert "| 50.0 (50.0..50.0) | 12.5 (12.5..12.5) | 3.00 (3.00..3.00) |" in text


def test_verdicts_are_told_in_per_cent() -> None:
    text = markdown(rows([]), compared("S2", 0.105, 15.0))
    assert f"| {NET} | S2 | +5.0% | -25.0% | **no** |" in text


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """The records of what was trained, as they lie beside the weights."""
    for recipe, steps in (("stem", 2000), ("B1", 500), ("S1", 501)):
        record = {"identity": {"steps": steps}, "hours": 1.25, "audio_hours_seen": 6.5}
        (tmp_path / f"{NET}-{recipe}.json").write_text(json.dumps(record))
    return tmp_path


def made_page(shipped: Path) -> str:
    found = [
        *scores("", tsos=0.0, leakage=0.0, network=NOISY),
        *scores("B1", tsos=0.1, leakage=9.0),
        *scores("S1", tsos=0.1, leakage=9.0),
    ]
    return page(scenes=4, seconds=6.0, shipped=shipped, table=rows(found), verdicts=[])


def test_the_page_says_how_each_was_trained(trained: Path) -> None:
    text = made_page(trained)
    assert "the mean over 4 scenes of 6 s" in text
    assert markdown(rows([*scores("B1", tsos=0.1, leakage=9.0)]), []).splitlines()[2] in text
    assert f"| {NET} | stem | 0.5 / 0.5 / 0 | none | 2000 | 1.25 | 6.5 |" in text
    assert f"| {NET} | B1 | 0.5 / 0.5 / 0 | none | 500 | 1.25 | 6.5 |" in text
    assert f"| {NET} | S1 | 0.35 / 0.35 / 0.3 | exclude | 501 | 1.25 | 6.5 |" in text
    assert f"| {NOISY} " not in text


def test_a_record_that_is_not_there_is_named(trained: Path) -> None:
    (trained / f"{NET}-stem.json").unlink()
    with pytest.raises(UserError, match=r"no such record: \S*e3net-small-stem\.json"):
        made_page(trained)
