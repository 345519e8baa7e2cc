"""The figures of int8's cost are those of the networks named; the page shows what was missed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dyncp import quality
from dyncp.checkpoint import Checkpoint, save_checkpoint
from dyncp.enhance import enhance as enhance_float
from dyncp.errors import UserError
from quantize.agreement import compare_with_float
from quantize.calibrate import round_trained
from quantize.enhance import enhance
from quantize.evaluation import exactness, ways
from quantize.evaluation.exactness import MARGINS, Measured, Networks, measure_exactness, summary
from quantize.evaluation.exactness_page import aim_table, page
from quantize.integer_model import IntegerModel
from quantize.model import save_model
from tests.conftest import tiny_preset
from tests.dyncp.quick_probes import InProcess
from tests.quantize.models import (
    audio_features,
    mixed_network,
    noisy_speech,
    probe_of,
    tiny_model,
)


def measured(**changes: Any) -> Measured:
    """A block of two gates over ten frames, the second of which flips once."""
    margins = np.zeros((2, len(MARGINS) - 1))
    margins[0, 3], margins[0, 0], margins[1, 0] = 19, 1, 1
    values: dict[str, Any] = {
        "frames": 10,
        "scores": {"pesq": 1.5, "estoi": 0.6, "si_sdr": 5.0},
        "equal": np.array([[10.0, 9.0]]),
        "equal_own": np.array([[10.0, 9.0]]),
        "opened": np.array([[4.0, 2.0]]),
        "power": np.array([[12.0, 2.0]]),
        "margins": margins,
        "mask_power": 100.0,
        "mask_error": 1.0,
    }
    return Measured(**{**values, **changes})


BEFORE = {"pesq": 1.6, "estoi": 0.65, "si_sdr": 5.5, "noise": "hum", "snr": 5.0}


def test_a_gate_that_lets_more_through_weighs_more() -> None:
    found = summary([measured(), measured()], [BEFORE, BEFORE])
    assert found["gates"]["equal"] == pytest.approx(0.95)
    # Of the power of a mean open frame, 3 + 1, the second gate has a quarter.
    assert found["gates"]["weighted"] == pytest.approx(1 - 0.1 / 4)
    assert found["gates"]["equal_by_block"] == [pytest.approx(0.95)]
    assert found["gates"]["margins"]["decisions"][0] == 2
    assert found["gates"]["margins"]["flips"][0] == 2
    assert found["mask_snr"] == pytest.approx(20.0)
    assert found["lost"]["pesq"] == [pytest.approx(0.1)] * 2
    assert found["frames"] == 20


def test_a_clip_without_a_score_is_left_out_and_not_made_up() -> None:
    silent = measured(scores={"pesq": float("nan"), "estoi": 0.6, "si_sdr": 5.0})
    found = summary([silent, measured()], [BEFORE, {**BEFORE, "estoi": None}])
    assert found["lost"]["pesq"] == [None, pytest.approx(0.1)]
    assert found["lost"]["estoi"] == [pytest.approx(0.05), None]
    json.dumps(found, allow_nan=False)


class Noisy:
    """What is heard in place of a mixture."""

    noisy = noisy_speech(16000, 1.6, 8)
    clean = (noisy * 0.5).astype(np.float32)


class OneClip:
    """In place of the test split's."""

    rate, noise, snr = 16000, "hum", 5.0

    def mix(self) -> type[Noisy]:
        return Noisy


@pytest.fixture
def one_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exactness, "recipes", lambda rate, data=None: [OneClip()])
    monkeypatch.setattr(exactness, "ProcessPoolExecutor", InProcess)
    monkeypatch.setattr(exactness, "pesq_wb", lambda *_: 1.5)
    exactness._integers.cache_clear()
    exactness._network.cache_clear()


@pytest.mark.parametrize("site", ["output", "hidden", None])
@pytest.mark.usefixtures("one_clip")
def test_what_is_measured_is_how_the_integers_follow_the_float_network(
    tmp_path: Path, site: str | None
) -> None:
    preset = tiny_preset(site, 4 if site else 1)
    model = tiny_model(preset)
    save_model(tmp_path / "q.npz", model)
    save_checkpoint(tmp_path / "f.pt", Checkpoint(preset, mixed_network(preset)))
    networks = Networks(tmp_path / "f.pt", tmp_path / "f.pt", tmp_path / "q.npz")
    found = measure_exactness(networks, [BEFORE])
    samples = noisy_speech(16000, 1.6, 8)
    features = enhance(IntegerModel(model), samples).features
    expected = compare_with_float(mixed_network(preset), model, features)
    assert found["frames"] == expected.frames
    assert found["mask_snr"] == pytest.approx(expected.mask_snr, abs=1e-3)
    if site is None:
        assert found["gates"] is None
        return
    gates = found["gates"]
    assert gates["equal"] == gates["own"] == pytest.approx(expected.gates)
    decisions, flips = gates["margins"]["decisions"], gates["margins"]["flips"]
    assert sum(decisions) == expected.frames * preset.blocks * preset.gates
    assert sum(flips) == round((1 - gates["equal"]) * sum(decisions))
    assert 0 < gates["weighted"] < 1
    assert gates["weighted"] != gates["equal"]


@pytest.mark.usefixtures("one_clip")
def test_a_network_that_was_trained_on_is_held_against_both(tmp_path: Path) -> None:
    """Its gates against those before, and against those of its own float network."""
    preset = tiny_preset()
    save_model(tmp_path / "q.npz", tiny_model(preset))
    save_checkpoint(tmp_path / "own.pt", Checkpoint(preset, mixed_network(preset)))
    before = mixed_network(preset)
    with torch.no_grad():
        before.blocks[0].gate.score.bias[:] = -1e6
    save_checkpoint(tmp_path / "before.pt", Checkpoint(preset, before))
    networks = Networks(tmp_path / "before.pt", tmp_path / "own.pt", tmp_path / "q.npz")
    gates = measure_exactness(networks, [BEFORE])["gates"]
    assert gates["own_by_block"][0] > 0.9
    assert gates["equal_by_block"][0] < 0.7


@pytest.mark.usefixtures("one_clip")
def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    preset = tiny_preset()
    save_model(tmp_path / "q.npz", tiny_model(preset))
    save_checkpoint(tmp_path / "f.pt", Checkpoint(preset, mixed_network(preset)))
    other = tiny_preset("hidden", 4)
    save_checkpoint(tmp_path / "o.pt", Checkpoint(other, mixed_network(other)))
    right, wrong = tmp_path / "f.pt", tmp_path / "o.pt"
    for floating, deployed in ((wrong, right), (right, wrong)):
        with pytest.raises(UserError, match=r"o\.pt is of another network than .*q\.npz"):
            measure_exactness(Networks(floating, deployed, tmp_path / "q.npz"), [BEFORE])
    with pytest.raises(UserError, match="other clips; run: make evaluate"):
        networks = Networks(right, right, tmp_path / "q.npz")
        measure_exactness(networks, [{**BEFORE, "noise": "rain"}])


def test_int8_audio_is_nearly_that_of_the_float_network(any_tiny_preset: Any) -> None:
    """Aligned with it, and as long."""
    samples = noisy_speech(16000, 1.6, 8)[:20011]
    ours = enhance(IntegerModel(tiny_model(any_tiny_preset)), samples)
    theirs = enhance_float(mixed_network(any_tiny_preset), samples)
    assert ours.samples.shape == theirs.samples.shape == samples.shape
    noise = np.square(ours.samples - theirs.samples).sum() / np.square(theirs.samples).sum()
    assert noise < 0.2


def test_ways_are_compared_and_more_bits_never_counted_as_deployed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    preset = tiny_preset()
    monkeypatch.setattr(
        ways, "calibration_features", lambda p, seconds, seed: [audio_features(p, 200, seed + 6)]
    )
    found = ways.compare_ways(Checkpoint(preset, mixed_network(preset)))
    assert [(r["method"], r["balanced"], r["compensated"]) for r in found["methods"]] == [
        (method, *done)
        for method in ("minmax", "percentile", "mse")
        for done in ((False, False), (True, False), (True, True))
    ]
    assert all(row["gates"] > 0.8 for row in found["methods"])
    kinds = [row.get("kind") for row in found["wide"]]
    assert kinds == [None, *ways.KINDS]
    by_kind = {row.get("kind"): row["mask_snr"] for row in found["wide"]}
    assert by_kind["input"] > by_kind[None]


def results(lost: float, equal: float) -> dict[str, Any]:
    found = summary([measured(), measured()], [BEFORE, BEFORE])
    found["lost"]["pesq"] = [lost, lost]
    found["gates"] |= {"equal": equal, "weighted": equal}
    return found


def judged(drop: float) -> dict[str, Any]:
    rows = []
    for task, key in (("vad", "accuracy"), ("f0", "r2")):
        row: dict[str, Any] = {"task": task}
        for kind, value in (("float", 0.9), ("int8", 0.9 - drop)):
            row[kind] = {"accuracy": None, "r2": None, key: value}
        rows.append(row)
    return {"results": rows, "minutes": 10.0}


def test_the_page_says_which_aims_are_missed() -> None:
    found = {"paper": {"ptq": results(0.019, 0.9951), "qat": results(0.021, 0.9989)}}
    probes = {"paper": {"ptq": judged(0.004), "qat": judged(0.006)}}
    rows = {line.split("|")[1].strip(): line for line in aim_table(found, probes).splitlines()[2:]}
    verdicts = {name: "**no**" not in line for name, line in rows.items()}
    assert verdicts == {
        "`paper`, ptq: equal gates, at least": True,
        "`paper`, ptq: weighted gates, at least": True,
        "`paper`, ptq: PESQ lost, at most": True,
        "`paper`, ptq: a probe's accuracy or R2 lost, at most (most: vad)": True,
        "`paper`, qat: equal gates, at least": False,
        "`paper`, qat: weighted gates, at least": False,
        "`paper`, qat: PESQ lost, at most": False,
        "`paper`, qat: a probe's accuracy or R2 lost, at most (most: vad)": False,
    }
    row = {"method": "mse", "balanced": True, "compensated": False}
    methods = [row | {"gates": 0.99, "mask_snr": 20.0}]
    wide = [{"gates": 0.98, "mask_snr": 19.0}, {"kind": "input", "gates": 0.99, "mask_snr": 25.0}]
    text = page(found, {"paper": {"methods": methods, "wide": wide}}, probes)
    for shown in (
        "99.890 %",
        "+0.0190 [+0.0190, +0.0190]",
        "| mse | yes | no | 99.000 % | 20.00 |",
        "| the residual (block inputs) | 99.000 % | 25.00 |",
        "| 0 to 0.5 | 5.00 % | 100.00 %",
    ):
        assert shown in text


def test_a_checkpoint_without_all_grids_is_no_trained_one() -> None:
    preset = tiny_preset()
    checkpoint = Checkpoint(preset, mixed_network(preset), [probe_of(preset)])
    checkpoint.grids = {"features": (0.1, -128)}
    with pytest.raises(UserError, match=r"grids lack block0\.input"):
        round_trained(checkpoint, [])


def test_the_clips_are_those_of_the_float_scores() -> None:
    made = quality.recipes(16000)
    assert len(made) == 78
    assert len({(recipe.noise, recipe.snr, recipe.number) for recipe in made}) == 78
