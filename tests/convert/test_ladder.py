"""A ladder that overlooks a difference, or blames the wrong tensor, is worse than none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from convert.comparison import Outputs
from convert.dataflow import dataflow_order, origin_of
from convert.ladder import FrameSequence, Kind, climb
from dyncp.errors import UserError

FRAMES = [FrameSequence("speech", np.zeros((6, 4), np.int8))]


class Recorded:
    """A rung that gives what it was told, frame by frame, the same after each reset."""

    def __init__(self, name: str, outputs: list[Outputs], kind: Kind = "exact") -> None:
        self.name, self.kind, self._outputs = name, kind, outputs
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
    for _ in range(6):
        frame = {name: rng.integers(-128, 128, n).astype(np.int8) for name, n in sizes.items()}
        for block in (0, 1):
            opened = np.repeat(frame[f"gate{block}_logits"] > 0, 2)
            frame[f"gate{block}_open"] = opened.astype(np.uint8)
        frame["probes"] = rng.integers(-(1 << 30), 1 << 30, 3).astype(np.int32)
        frames.append(frame)
    return frames


VALUES = 6 * (5 + 2 * (3 + 8 + 4 + 6) + 3)
ORDER = [
    "pool0_out", "gate0_logits", "gate0_open", "taps0_out",
    "pool1_out", "gate1_logits", "gate1_open", "taps1_out", "mask", "probes",
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
    assert first.sequence == "speech"
    assert f"speech, frame {frame}, layer " in str(first)
    assert f"{tensor}, channel {channel}: expected" in str(first)
    per_frame = [len(outputs()[0][name]) for name in ORDER]
    before = frame * sum(per_frame) + sum(per_frame[: ORDER.index(tensor)]) + channel
    assert first.values_before == before


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
        [Recorded("a", outputs()), Recorded("fast", outputs(1), kind="optimised")], FRAMES
    )
    result = report.rungs[1]
    assert report.passed
    assert report.exit_code == 0
    assert result.mismatches


def test_a_float_mask_is_not_counted_in_values() -> None:
    floats: list[Outputs] = [{"mask": np.full(5, 0.5, np.float32)} for _ in range(6)]
    report = climb([Recorded("a", outputs()), Recorded("float", floats, kind="float")], FRAMES)
    assert (report.rungs[1].values, report.rungs[1].mismatches) == (None, None)


def test_an_exact_rung_must_give_every_tensor() -> None:
    """One that leaves the probes out must not pass for equal in them."""
    floats: list[Outputs] = [{**f, "mask": f["mask"].astype(np.float32)} for f in outputs()]
    for name in ("taps1_out", "probes", "int8 mask"):
        lacking = [{k: v for k, v in frame.items() if k != name} for frame in outputs()]
        rung = Recorded("b", floats if name == "int8 mask" else lacking)
        report = climb([Recorded("a", outputs()), rung], FRAMES)
        assert report.rungs[1].error == f"speech, frame 0: it gives no {name}"
        assert (report.passed, report.exit_code, rung.closed) == (False, 2, 1)


class Breaking(Recorded):
    """A rung whose board goes away in the middle."""

    def step(self, features: NDArray[np.int8]) -> Outputs:
        if self._frame == 4:
            raise UserError("the board is gone")
        return super().step(features)


def test_a_rung_that_breaks_is_never_counted_as_passed_and_the_others_are_climbed() -> None:
    breaking, after = Breaking("b", outputs()), Recorded("c", outputs())
    two = [*FRAMES, FrameSequence("more", FRAMES[0].frames)]
    report = climb([Recorded("a", outputs()), breaking, after], two)
    broken, last = report.rungs[1:]
    assert broken.error == "speech, frame 4: the board is gone"
    assert (broken.frames, broken.mismatches, broken.passed) == (4, 0, False)
    assert last.passed and last.frames == 12
    assert report.exit_code == 2
    assert (breaking.closed, after.closed) == (1, 1)


def test_a_difference_outweighs_a_broken_rung() -> None:
    """Exit code 1 says that the network is wrong; it must not hide behind a missing package."""
    wrong = outputs()
    wrong[0]["mask"][0] ^= 1
    rungs = [Recorded("a", outputs()), Breaking("b", outputs()), Recorded("c", wrong)]
    assert climb(rungs, FRAMES).exit_code == 1


def test_a_difference_before_the_break_counts() -> None:
    wrong = outputs()
    wrong[1]["mask"][0] ^= 1
    report = climb([Recorded("a", outputs()), Breaking("b", wrong)], FRAMES)
    assert (report.exit_code, report.rungs[1].mismatches) == (1, 1)


def test_a_specification_that_breaks_is_an_error() -> None:
    with pytest.raises(UserError, match="a: speech, frame 4: the board is gone"):
        climb([Breaking("a", outputs())], FRAMES)


def test_rungs_are_closed_when_one_fails_by_a_mistake() -> None:
    """An emulator left behind would hold its port."""
    rungs = [Recorded("a", outputs()), Recorded("broken", outputs()[:2])]
    floating = Recorded("float", outputs(), kind="float")
    with pytest.raises(IndexError):
        climb(rungs, FRAMES, floating)
    assert [rung.closed for rung in [*rungs, floating]] == [1, 1, 1]


# Where a difference arose.


@pytest.mark.parametrize(
    ("tensor", "layer", "equal"),
    [
        ("pool0_out", "front", ("features",)),
        ("gate0_logits", "block0.score", ("pool0_out",)),
        ("gate0_open", "block0.score", ("gate0_logits",)),
        ("taps0_out", "block0.up", ("pool0_out", "gate0_open")),
        ("pool1_out", "block0.down", ("pool0_out", "gate0_open", "taps0_out")),
        ("taps1_out", "block1.up", ("pool1_out", "gate1_open")),
        ("mask", "back", ("pool1_out", "gate1_open", "taps1_out")),
        ("probes", "probes", ("gate0_open", "gate1_open")),
    ],
)
def test_a_difference_names_its_layer_and_the_equal_tensors_before_it(
    tensor: str, layer: str, equal: tuple[str, ...]
) -> None:
    wrong = outputs()
    # What comes later in the frame differs as well, as it would; that is not the cause.
    for name in ORDER[ORDER.index(tensor) :]:
        wrong[3][name] = wrong[3][name] ^ 1
    report = climb(
        [Recorded("a", outputs()), Recorded("b", wrong)], FRAMES, labels={"probes": "xyz"}
    )
    first = report.rungs[1].first_difference
    assert first is not None
    assert (first.frame, first.tensor, first.layer, first.equal) == (3, tensor, layer, equal)
    assert all(np.array_equal(wrong[3][name], outputs()[3][name]) for name in equal[1:])
    assert first.label == ("x" if tensor == "probes" else None)
    assert f"equal before it: {' and '.join(equal)} of this frame" in first.explanation()


def test_equal_tensors_come_before_what_is_computed_from_them() -> None:
    """Or a tensor that itself differs could be called equal."""
    for shown in (ORDER, [name for name in ORDER if not name.startswith("pool")]):
        order = dataflow_order(shown)
        for tensor in order:
            for name in origin_of(tensor, order).inputs:
                assert name == "features" or order.index(name) < order.index(tensor)


def test_without_a_pool_the_nearest_tensors_that_show_are_named() -> None:
    """A static network shows nothing but its taps and the mask."""
    static = ["mask", "taps0_out", "taps1_out"]
    origin = origin_of("taps1_out", static)
    assert (origin.layer, origin.inputs) == ("block1.up", ("taps0_out",))
    assert origin.words == "block 0's depthwise, 1x1 down and residual, block 1's 1x1 up, ReLU"
    assert origin_of("taps0_out", static).inputs == ("features",)
    assert origin_of("mask", static).inputs == ("taps1_out",)


# Sequences.


def test_results_are_kept_by_sequence_and_summed() -> None:
    more = [*FRAMES, FrameSequence("extremes", FRAMES[0].frames[:2], adversarial=True)]
    wrong = outputs()
    wrong[1]["mask"][0] ^= 1  # in both sequences
    wrong[3]["mask"][:2] ^= 1  # in the first alone
    rungs = [Recorded("a", outputs()), Recorded("b", wrong)]
    result = climb(rungs, more).rungs[1]
    assert [(p.name, p.frames, p.mismatches) for p in result.sequences] == [
        ("speech", 6, 3), ("extremes", 2, 1),
    ]  # fmt: skip
    assert (result.frames, result.mismatches) == (8, 4)
    assert result.values == VALUES * 8 / 6
    assert [rung.resets for rung in rungs] == [2, 2]
    assert [p.first_difference.frame for p in result.sequences if p.first_difference] == [1, 1]


def test_agreement_with_float_is_that_of_real_audio() -> None:
    """What gates do on random extremes says nothing about sound."""
    closed = [{**frame, "gate0_open": frame["gate0_open"] ^ 1} for frame in outputs()]

    class Opposed(Recorded):
        """As the float network in the first sequence, the opposite in the second."""

        def step(self, features: NDArray[np.int8]) -> Outputs:
            self._outputs = outputs() if self.resets == 1 else closed
            return super().step(features)

    more = [*FRAMES, FrameSequence("extremes", FRAMES[0].frames, adversarial=True)]
    floating = Recorded("f", outputs(), kind="float")
    result = climb([Opposed("a", outputs())], more, floating).rungs[1]
    assert result.gate_agreement == 1.0
    parts = result.to_json()["sequences"]
    assert [part["gate_agreement"] for part in parts] == [1.0, 0.5]


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
    floating = Recorded("float", truth, kind="float")
    result = climb([Recorded("a", outputs())], FRAMES, floating).rungs[1]
    assert result.gate_agreement == 10 / 12
    power = np.mean([np.square(frame["mask"]).mean() for frame in truth])
    assert result.mask_snr_db == pytest.approx(10 * np.log10(power / 1e-4), abs=0.01)
    assert floating.closed == 1


def test_a_static_network_has_no_gate_agreement_and_an_equal_mask_no_snr() -> None:
    still: list[Outputs] = [{"mask": np.full(5, 7, np.int8)} for _ in range(6)]
    result = climb([Recorded("a", still)], FRAMES, Recorded("f", still, kind="float")).rungs[1]
    assert (result.gate_agreement, result.mask_snr_db) == (None, None)


def test_progress_is_told_of_every_frame() -> None:
    told: list[tuple[str, int, int]] = []
    climb([Recorded(name, outputs()) for name in "ab"], FRAMES, None, lambda *t: told.append(t))
    assert told == [(name, done, 6) for name in "ab" for done in range(1, 7)]


def test_a_ladder_needs_a_specification_and_a_frame() -> None:
    with pytest.raises(UserError, match="needs an exact rung to start from"):
        climb([], FRAMES)
    with pytest.raises(UserError, match="needs an exact rung to start from"):
        climb([Recorded("float", outputs(), kind="float")], FRAMES)
    with pytest.raises(UserError, match="at least one frame"):
        climb([Recorded("a", outputs())], [])
    with pytest.raises(UserError, match="at least one frame"):
        climb([Recorded("a", outputs())], [FrameSequence("x", FRAMES[0].frames[:0])])
