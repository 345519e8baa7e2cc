"""Probes by task: what a host shows, tunes or routes by must be what the scores say."""

from __future__ import annotations

import numpy as np
import pytest

from dyncp.errors import UserError
from quantize.probes import NAME_LIMIT, check_rows, read_scores

NAMES = ["f0", "gender", "noise/white", "noise/car", "noise/babble", "snr", "vad"]
SCALES = [0.01, 0.5, 0.3, 0.3, 0.3, 0.1, 0.2]


def test_a_frames_scores_say_what_they_mean() -> None:
    said = read_scores(NAMES, np.array([18000, 7, -5, 900, 20, 123, 1], np.int32), SCALES)
    assert said == {
        "f0": pytest.approx(180.0),
        "gender": "f",
        "noise": "car",
        "snr": pytest.approx(12.3),
        "vad": True,
    }


def test_frames_are_read_one_by_one() -> None:
    """A measurement reads thousands at once; each must get its own answer."""
    scores = np.random.default_rng(2).integers(-2000, 2000, (50, len(NAMES)))
    said = read_scores(NAMES, scores, SCALES)
    for index, row in enumerate(scores):
        assert read_scores(NAMES, row, SCALES) == {task: of[index] for task, of in said.items()}
    assert said["vad"].dtype == np.bool_ and said["snr"].dtype == np.float64
    assert {*said["gender"]} == {"f", "m"} and {*said["noise"]} == {"white", "car", "babble"}
    assert {values.shape for values in said.values()} == {(50,)}


def test_a_score_of_zero_is_neither_speech_nor_a_woman() -> None:
    """As in training: only what is above 0 is."""
    for score, speech, gender in ((0, False, "m"), (1, True, "f"), (-1, False, "m")):
        said = read_scores(["vad", "gender"], np.array([score, score]), [1.0, 1.0])
        assert said == {"vad": speech, "gender": gender}


@pytest.mark.parametrize("order", [["b", "a", "c"], ["c", "b", "a"], ["a", "b", "c"]])
def test_of_equal_classes_the_first_in_the_alphabet_wins(order: list[str]) -> None:
    """Files sort the rows by name: the answer must not hang on their order."""
    names = [f"noise/{kind}" for kind in order]
    scores = np.array([{"a": 5, "b": 5, "c": 4}[kind] for kind in order])
    assert read_scores(names, scores, [1.0] * 3) == {"noise": "a"}


def test_large_scores_are_compared_as_the_integers_that_they_are() -> None:
    """As float32, which a probe's scale might invite, these two would be equal."""
    scores = np.array([2**31 - 2, 2**31 - 1], np.int32)
    assert read_scores(["noise/a", "noise/b"], scores, [0.1, 0.1]) == {"noise": "b"}


def test_rows_that_go_together_are_let_pass() -> None:
    check_rows(NAMES, SCALES)
    check_rows([], [])
    check_rows(["a" * NAME_LIMIT, "noise/air-con_2", "noise/2"], [1.0, 2.0, 2.0])


@pytest.mark.parametrize(
    ("names", "scales", "message"),
    [
        (["noise/a", "noise/b"], [0.1, 0.2], "'noise/b' has scale 0.2, 'noise/a' of the same"),
        (["noise/a", "noise/b", "noise"], [0.1] * 3, "'noise' beside 'noise/a'"),
        (["noise", "noise/a", "noise/b"], [0.1] * 3, "'noise/a' beside 'noise'"),
        (["vad", "noise/a"], [0.1, 0.1], "'noise/a' is the only class of its task"),
        (["vad", "snr", "vad"], [0.1] * 3, "two probes are named 'vad'"),
        (["noise/a", "noise/a"], [0.1] * 2, "two probes are named 'noise/a'"),
        ([""], [1.0], "probe '': a name is TASK or TASK/CLASS"),
        (["Vad"], [1.0], "probe 'Vad': a name is TASK"),
        (["voice activity"], [1.0], "probe 'voice activity': a name is"),
        (["bruit/métro"], [1.0], "probe 'bruit/métro': a name is"),
        (["vad\n"], [1.0], r"probe 'vad\\n': a name is"),
        (["noise/a/b"], [1.0], "probe 'noise/a/b': a name is"),
        (["noise/"], [1.0], "probe 'noise/': a name is"),
        (["/a"], [1.0], "probe '/a': a name is"),
        (["2nd"], [1.0], "probe '2nd': a name is"),
        (["a" * (NAME_LIMIT + 1)], [1.0], "probe 'aaaaaaaaaaaaaaaaaaaa...': its name has 256"),
    ],
)
def test_rows_that_do_not_go_together_are_named(
    names: list[str], scales: list[float], message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        check_rows(names, scales)
    assert "\n" not in str(error.value)
