"""An embedding that was damaged on its way must not make a device keep the wrong voice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dyncp.embedding import (
    LARGEST,
    NEUTRAL,
    check,
    load_embedding,
    nobody,
    quantised,
    real,
    save_embedding,
)
from dyncp.errors import UserError


@given(arrays.arrays(np.int8, 12, elements=st.integers(-127, 127)))
def test_every_embedding_is_one_that_the_features_grid_can_hold(embedding: np.ndarray) -> None:
    values = real(embedding)
    assert values.dtype == np.float32 and values.min() >= 0 and values.max() < 4
    np.testing.assert_array_equal(np.rint(values * 64) - 128, embedding)


def test_nobody_is_neutral() -> None:
    np.testing.assert_array_equal(real(nobody(8)), np.full(8, NEUTRAL, np.float32))


def test_unit_vectors_fill_the_grid_and_do_not_wrap() -> None:
    alone = np.zeros(32)
    alone[3] = -1.0
    assert quantised(alone)[3] == -LARGEST
    level = np.full(32, 1 / np.sqrt(32))
    np.testing.assert_array_equal(quantised(level), np.full(32, 40))


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    embedding = np.arange(-4, 4).astype(np.int8)
    save_embedding(tmp_path / "me.json", embedding, "me")
    np.testing.assert_array_equal(load_embedding(tmp_path / "me.json", 8), embedding)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": [1, 2, 3]}, r"int8 \[4\], not int8 \[3\]"),
        ({"values": [1, 2, 3, 5]}, "checksum"),
        ({"values": [1, 2, 3, -128]}, "-127..127"),
        ({"values": [1, 2, 3, 4.0]}, "-127..127"),
        ({"values": "1234"}, "-127..127"),
        ({"format": 9}, "format 9"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "me.json"
    save_embedding(path, np.array([1, 2, 3, 4], np.int8), "me")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=message) as caught:
        load_embedding(path, 4)
    assert "me.json" in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "{}", "\x00", "null"])
def test_another_file_is_no_embedding(tmp_path: Path, content: str) -> None:
    path = tmp_path / "me.json"
    path.write_text(content)
    with pytest.raises(UserError, match="not an embedding"):
        load_embedding(path, 4)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read embedding"):
        load_embedding(tmp_path / "nobody.json", 4)


def test_the_byte_that_no_embedding_has_is_refused() -> None:
    with pytest.raises(UserError, match="-128"):
        check(np.array([-128, 0], np.int8), 2, "here")
