"""A ladder that overlooks a difference, or blames the wrong tensor, is worse than none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from convert.ladder import LadderReport, Outputs, climb, dataflow_order
from dyncp.errors import UserError

FRAMES = np.zeros((6, 4), np.int8)


class Recorded:
    """A rung that gives what it was told, frame by frame."""

    def __init__(self, name: str, outputs: list[Outputs], exact: bool = True) -> None:
        self.name, self.exact, self._outputs = name, exact, outputs
        self.resets = self.closed = 0
        self._frame = 99

    def reset(self) -> None:
        self.resets += 1
        self._frame = 0

    def step(self, features: NDArray[np.int8]) -> Outputs:
        assert features.shape == (4,)
        self._frame += 1
        return self._outputs[self._frame - 1]

    def close(self) -> None:
        self.closed += 1


def outputs(seed: int = 0) -> list[Outputs]:
    """Six frames of every kind of tensor, of two blocks."""
    rng = np.random.default_rng(seed)
    sizes = {"mask": 5, "gate0_logits": 3, "gate1_logits": 3, "taps0_out": 8, "taps1_out": 8,
             "pool0_out": 4, "pool1_out": 4}  # fmt: skip
    frames = []
    for _ in FRAMES:
        frame = {name: rng.integers(-128, 128, n).astype(np.int8) for name, n in sizes.items()}
        for block in (0, 1):
            opened = np.repeat(frame[f"gate{block}_logits"] > 0, 2)
            frame[f"gate{block}_open"] = opened.astype(np.uint8)
        frames.append(frame)
    return frames


VALUES = 6 * (5 + 2 * (3 + 8 + 4 + 6))
ORDER = [
    "pool0_out", "gate0_logits", "gate0_open", "taps0_out",
    "pool1_out", "gate1_logits", "gate1_open", "taps1_out", "mask",
]  # fmt: skip


def test_equal_rungs_pass() -> None:
    rungs = [Recorded(name, outputs()) for name in "abc"]
    report = climb(rungs, FRAMES)
    assert report.passed
    assert [(r.name, r.frames, r.values, r.mismatches) for r in report.rungs] == [
        (name, 6, VALUES, 0) for name in "abc"
    ]
    assert all(r.first_difference is None and r.passed for r in report.rungs)
    assert [(rung.resets, rung.closed) for rung in rungs] == [(1, 1)] * 3


@given(
    places=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(ORDER), st.integers(0, 2)),
        min_size=1, max_size=6, unique=True,
    )
)  # fmt: skip
def test_the_first_difference_is_that_of_the_earliest_frame_tensor_and_channel(
    places: list[tuple[int, str, int]],
) -> None:
    """Within a frame, the tensor that is computed first: it caused the others."""
    wrong = outputs()
    for frame, tensor, channel in places:
        wrong[frame][tensor] = wrong[frame][tensor].copy()
        wrong[frame][tensor][channel] ^= 1
    right = Recorded("right", outputs())
    report = climb([right, Recorded("wrong", wrong)], FRAMES)
    assert not report.passed
    result = report.rungs[1]
    assert not result.passed
    assert result.mismatches == len(places)
    frame, tensor, channel = min(places, key=lambda p: (p[0], ORDER.index(p[1]), p[2]))
    first = result.first_difference
    assert first is not None
    assert (first.frame, first.tensor, first.channel) == (frame, tensor, channel)
    assert first.expected == outputs()[frame][tensor][channel]
    assert first.got == wrong[frame][tensor][channel]
    assert f"frame {frame}, {tensor}, channel {channel}: expected" in str(first)


def test_tensors_are_ordered_as_a_frame_meets_them() -> None:
    assert dataflow_order(sorted(ORDER)) == ORDER
    many = ["mask", "taps10_out", "taps9_out", "gate2_logits", "gate10_open", "pool10_out"]
    assert dataflow_order(many) == [
        "gate2_logits", "taps9_out", "pool10_out", "gate10_open", "taps10_out", "mask",
    ]  # fmt: skip


@pytest.mark.parametrize(("size", "channel", "expected", "got"), [(3, 3, 7, None), (6, 5, None, 7)])
def test_channels_that_only_one_side_has_differ(
    size: int, channel: int, expected: int | None, got: int | None
) -> None:
    """A gate that serves too few or too many channels must not pass for equal."""
    right, wrong = outputs(), outputs()
    for frame in right:
        frame["mask"] = np.full(5, 7, np.int8)
    for frame in wrong:
        frame["mask"] = np.full(size, 7, np.int8)
    first = climb([Recorded("a", right), Recorded("b", wrong)], FRAMES).rungs[1].first_difference
    assert first is not None
    assert (first.frame, first.tensor, first.channel) == (0, "mask", channel)
    assert (first.expected, first.got) == (expected, got)


def test_an_inexact_rung_is_reported_but_never_fails() -> None:
    report = climb(
        [Recorded("a", outputs()), Recorded("optimised", outputs(1), exact=False)], FRAMES
    )
    result = report.rungs[1]
    assert report.passed
    assert result.mismatches
    assert "reported" in result.line()
    assert not any("first at" in line for line in report.lines())


def test_a_float_mask_is_not_counted_in_values() -> None:
    floats: list[Outputs] = [{"mask": np.full(5, 0.5, np.float32)} for _ in FRAMES]
    report = climb([Recorded("a", outputs()), Recorded("float", floats, exact=False)], FRAMES)
    assert (report.rungs[1].values, report.rungs[1].mismatches) == (None, None)


def test_an_exact_rung_must_give_every_tensor() -> None:
    lacking = [{k: v for k, v in frame.items() if k != "taps1_out"} for frame in outputs()]
    rungs = [Recorded("a", outputs()), Recorded("b", lacking)]
    with pytest.raises(UserError, match="the rung 'b' gives no taps1_out"):
        climb(rungs, FRAMES)
    assert [rung.closed for rung in rungs] == [1, 1]
    floats = [{**frame, "mask": frame["mask"].astype(np.float32)} for frame in outputs()]
    with pytest.raises(UserError, match="the rung 'c' gives no int8 mask"):
        climb([Recorded("a", outputs()), Recorded("c", floats)], FRAMES)


def test_rungs_are_closed_when_one_breaks() -> None:
    """An emulator left behind would hold its port."""
    rungs = [Recorded("a", outputs()), Recorded("broken", outputs()[:2])]
    floating = Recorded("float", outputs(), exact=False)
    with pytest.raises(IndexError):
        climb(rungs, FRAMES, floating)
    assert [rung.closed for rung in [*rungs, floating]] == [1, 1, 1]


def test_gate_agreement_and_mask_snr_refer_to_the_float_network() -> None:
    rng = np.random.default_rng(3)
    truth: list[Outputs] = []
    for frame in outputs():
        flipped = frame["gate0_open"].copy()
        flipped[:2] ^= 1
        gains = (frame["mask"].astype(np.float64) + 128) / 256
        truth.append(
            {
                "mask": (gains + rng.choice([-0.01, 0.01], 5)).astype(np.float32),
                "gate0_open": flipped,
                "gate1_open": frame["gate1_open"],
            }
        )
    floating = Recorded("float", truth, exact=False)
    result = climb([Recorded("a", outputs())], FRAMES, floating).rungs[0]
    assert result.gate_agreement == 10 / 12
    power = np.mean([np.square(frame["mask"]).mean() for frame in truth])
    assert result.mask_snr_db == pytest.approx(10 * np.log10(power / 1e-4), abs=0.01)
    assert floating.closed == 1
    assert "gates as in float 83.333%" in result.line()


def test_a_static_network_has_no_gate_agreement_and_an_equal_mask_no_snr() -> None:
    still: list[Outputs] = [{"mask": np.full(5, 7, np.int8)} for _ in FRAMES]
    result = climb([Recorded("a", still)], FRAMES, Recorded("f", still, exact=False)).rungs[0]
    assert (result.gate_agreement, result.mask_snr_db) == (None, None)


def test_progress_is_told_of_every_frame() -> None:
    told: list[tuple[str, int, int]] = []
    climb([Recorded(name, outputs()) for name in "ab"], FRAMES, None, lambda *t: told.append(t))
    assert told == [(name, done, 6) for name in "ab" for done in range(1, 7)]


def test_a_ladder_needs_a_specification_and_a_frame() -> None:
    with pytest.raises(UserError, match="needs an exact rung to start from"):
        climb([], FRAMES)
    with pytest.raises(UserError, match="needs an exact rung to start from"):
        climb([Recorded("float", outputs(), exact=False)], FRAMES)
    with pytest.raises(UserError, match="at least one frame"):
        climb([Recorded("a", outputs())], FRAMES[:0])


def report_with_a_difference() -> LadderReport:
    wrong = outputs()
    wrong[2]["pool1_out"][3] = 5
    right = outputs()
    right[2]["pool1_out"][3] = -7
    return climb([Recorded("a", right), Recorded("b", wrong)], FRAMES)


def test_the_report_says_where_to_machines(tmp_path: Path) -> None:
    report = report_with_a_difference()
    report.write(tmp_path / "parity.json", {"preset": "tiny", "frames": 6})
    content = json.loads((tmp_path / "parity.json").read_text())
    assert {k: content[k] for k in ("format", "preset", "frames", "passed")} == {
        "format": 1, "preset": "tiny", "frames": 6, "passed": False,
    }  # fmt: skip
    first, second = content["rungs"]
    assert (first["name"], first["passed"], first["first_difference"]) == ("a", True, None)
    assert (second["name"], second["passed"], second["mismatches"]) == ("b", False, 1)
    assert second["values"] == VALUES
    assert second["first_difference"] == {
        "frame": 2, "tensor": "pool1_out", "channel": 3, "expected": -7, "got": 5,
    }  # fmt: skip


def test_the_report_says_where_to_people() -> None:
    lines = report_with_a_difference().lines()
    assert "equal" in lines[0]
    assert "DIFFERS" in lines[1]
    assert lines[2].strip() == "first at frame 2, pool1_out, channel 3: expected -7, got 5"
