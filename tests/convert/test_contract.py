"""Metadata that says other than the graph does, or than docs/contracts.md asks, is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convert.contract import check_contract, read_metadata
from convert.metadata import describe
from dyncp.errors import UserError
from tests.convert.built import Built, Edit, Metadata, refused, with_metadata


def test_what_is_built_keeps_the_contract(any_built: Built) -> None:
    assert check_contract(any_built.tflite) == describe(any_built.model)
    assert read_metadata(any_built.tflite) == describe(any_built.model)


def gate(block: int, **changes: Any) -> Edit:
    return with_metadata(lambda entry: entry["gates"][block].update(changes))


def state(place: int, **changes: Any) -> Edit:
    return with_metadata(lambda entry: entry["states"][place].update(changes))


def probe(**changes: Any) -> Edit:
    return with_metadata(lambda entry: entry["probes"][0].update(changes))


def rows(*names: Any, scale: float) -> Edit:
    """Probes of these names, the first at scale 1, the others at ``scale``."""
    return entry(
        probes=[
            {"name": name, "weights": [1] * 32, "bias": 0, "scale": scale if index else 1.0}
            for index, name in enumerate(names)
        ]
    )


def entry(**changes: Any) -> Edit:
    return with_metadata(lambda entry: entry.update(changes))


def section(name: str, **changes: Any) -> Edit:
    return with_metadata(lambda entry: entry["preset"][name].update(changes))


def drop(*path: Any) -> Edit:
    def edit(values: Metadata) -> None:
        for key in path[:-1]:
            values = values[key]
        values.pop(path[-1])

    return with_metadata(edit)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (gate(1, logits="gate0_logits"), "gate 1: the metadata gives logits as 'gate0_logits'"),
        (gate(0, logits="zap"), "gate 0: the metadata gives logits as 'zap'"),
        (
            gate(0, site="hidden"),
            "gate 0: the metadata gives site as 'hidden', the preset 'output'",
        ),
        (gate(0, group=3), "gate 0: the metadata gives group as 3, the preset 1"),
        (gate(0, channels=32), "gate 0: the metadata gives channels as 32, the preset 16"),
        (
            gate(0, closes=[{"layer": "block1.down", "axis": "output"}]),
            "gate 0: the metadata gives closes as [{'layer': 'block1.down'",
        ),
        (
            gate(1, closes=[{"layer": "block1.down", "axis": "input"}]),
            "gate 1: the metadata gives closes as [{'layer': 'block1.down', 'axis': 'input'}]",
        ),
        (gate(0, closes=[]), "gate 0: the metadata gives closes as []"),
        (drop("gates", 1), "the metadata names 1 gates for 2 blocks"),
        (drop("gates", 0, "group"), "gate 0: the metadata gives group as None"),
        (section("gate", group=3), "[gate] group must be 1, 4 or 8, not 3"),
        (section("gate", group=8), "gate0_logits has shape [1, 1, 1, 16], expected [1, 1, 1, 2]"),
        (section("gate", site="hidden"), "gate0_logits has shape [1, 1, 1, 16], expected"),
        (section("network", hidden=64), "taps0_in has shape [1, 2, 1, 32], expected [1, 2, 1, 64]"),
        (section("network", dilations=[1, 2, 4]), "input 3 must be taps2_in, but is pool0_in"),
        (section("network", dilations=[1, 4]), "the metadata's states"),
        (section("audio", bins=32), "features has shape [1, 1, 1, 33], expected [1, 1, 1, 32]"),
        (
            section("gate", pool_frames=6),
            "pool0_in has shape [1, 4, 1, 16], expected [1, 5, 1, 16]",
        ),
        (section("gate", pool_frames=1), "there is an input too many, pool0_in"),
        (entry(preset=None), "preset is not a table with a name"),
        (drop("preset", "audio"), "section [audio] is missing"),
        (state(0, output="taps1_out"), "the metadata's states"),
        (state(2, reads=[1, 2, 3, 4]), "the metadata's states"),
        (drop("states", 3), "the metadata's states"),
        (probe(weights=[1] * 31), "probe 'vad' has 31 weights for 32 gates"),
        (probe(weights=[]), "probe 'vad' has 0 weights for 32 gates"),
        (probe(weights=[0.5] * 32), "probe 'vad' has a weight that is not a 16-bit integer"),
        (probe(weights=[1 << 15] * 32), "probe 'vad' has a weight that is not a 16-bit integer"),
        (probe(bias=0.5), "probe 'vad' has a bias that is not an integer"),
        (probe(bias=1 << 31), "probe 'vad' has a bias that is not an integer, or can overflow"),
        (probe(scale=0), "probe 'vad': scale 0 is not a positive number"),
        *(
            (rows(*names, scale=scale), message)
            for names, scale, message in (
                (["vad", "vad"], 1.0, "two probes are named 'vad'"),
                (["noise/a", "noise/b"], 2.0, "probe 'noise/b' has scale 2, 'noise/a' of"),
                (["noise/a", "noise"], 1.0, "probe 'noise' beside 'noise/a'"),
                (["vad", "noise/a"], 1.0, "probe 'noise/a' is the only class of its task"),
                (["vad", "Noise"], 1.0, "probe 'Noise': a name is TASK or TASK/CLASS"),
                (["a" * 256], 1.0, "probe 'aaaaaaaaaaaaaaaaaaaa...': its name has 256 characters"),
                ([5], 1.0, "is damaged: TypeError"),
            )
        ),
        (drop("probes", 0, "bias"), "KeyError: 'bias'"),
        (drop("probes", 0, "scale"), "KeyError: 'scale'"),
        (entry(probes=5), "is damaged: TypeError"),
        (entry(gates=5), "is damaged: TypeError"),
        (entry(gates=[1, 2]), "is damaged: AttributeError"),
        (entry(states=[1]), "is damaged: AttributeError"),
        (entry(format=2), "the 'sluice' metadata has another format than 1"),
        *(
            (drop(key), f"the 'sluice' metadata lacks '{key}'")
            for key in ("model_hash", "preset", "gates", "states", "probes")
        ),
    ],
)
def test_metadata_that_is_wrong_is_named(
    output: Built, tmp_path: Path, edit: Edit, message: str
) -> None:
    assert message in refused(output, tmp_path, edit)


def test_metadata_that_is_missing_or_no_json_is_said(output: Built, tmp_path: Path) -> None:
    def lose(model: Any) -> None:
        model.metadata = None

    def rename(model: Any) -> None:
        model.metadata[0].name = b"other"

    def scramble(model: Any) -> None:
        model.buffers[model.metadata[0].buffer].data = np.frombuffer(b"{'a'", np.uint8)

    def listed(model: Any) -> None:
        model.buffers[model.metadata[0].buffer].data = np.frombuffer(b"[]", np.uint8)

    for edit in (lose, rename):
        assert "there is no 'sluice' metadata" in refused(output, tmp_path, edit)
    assert "the 'sluice' metadata is not JSON" in refused(output, tmp_path, scramble)
    assert "has another format" in refused(output, tmp_path, listed)
    with pytest.raises(UserError, match=r"broken\.tflite: the 'sluice' metadata has another"):
        read_metadata(tmp_path / "broken.tflite")


def test_a_group_that_the_graph_does_not_have_is_named(hidden: Built, tmp_path: Path) -> None:
    """Metadata and preset agree with each other, but not with the graph."""

    def smaller(entry: Metadata) -> None:
        entry["preset"]["gate"]["group"] = 4
        for gate in entry["gates"]:
            gate["group"] = 4

    message = refused(hidden, tmp_path, with_metadata(smaller))
    assert "gate0_logits has shape [1, 1, 1, 4], expected [1, 1, 1, 8]" in message


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), whole=st.booleans())
def test_a_damaged_file_is_refused_or_keeps_the_contract(
    output: Built, tmp_path: Path, place: float, byte: int, whole: bool
) -> None:
    """Never a traceback: a flipped byte is a weight, or it is refused in one line."""
    data = bytearray(output.tflite.read_bytes())
    start = 0 if whole else data.index(b'{"format"')
    data[start + int(place * (len(data) - start))] = byte
    path = tmp_path / "damaged.tflite"
    path.write_bytes(data)
    try:
        check_contract(path)
    except UserError as error:
        assert "\n" not in str(error)
        assert str(path) in str(error)
