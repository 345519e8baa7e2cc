"""``python -m convert``: exit codes that scripts can trust, and nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from convert.__main__ import main
from convert.rungs import RUNTIMES
from dyncp import audio
from quantize.model import save_model
from tests.convert.built import Built, edited, values, with_metadata
from tests.quantize.command import Finished, assert_refused, run
from tests.quantize.models import with_layer


def save_features(built: Built, folder: Path) -> Path:
    np.save(folder / "features.npy", built.features(30))
    return folder / "features.npy"


def parity(built: Built, folder: Path, **changes: object) -> Finished:
    """``parity`` over features of noisy speech; None leaves an argument out."""
    features = save_features(built, folder)
    arguments: dict[str, object] = {
        "quantized": built.quantized, "tflite": built.tflite, "features": features,
        "out": folder / "parity.json", **changes,
    }  # fmt: skip
    given = [part for k, v in arguments.items() if v is not None for part in (f"--{k}", v)]
    return run(main, "parity", *given)


def report_in(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "parity.json").read_text(encoding="utf-8"))


def test_parity_passes_and_writes_its_report(output: Built, tmp_path: Path) -> None:
    finished = parity(output, tmp_path, checkpoint=output.checkpoint, onnx=output.onnx)
    assert (finished.code, finished.err) == (0, "")
    content = report_in(tmp_path)
    assert content["passed"] is True
    assert content["preset"] == "tiny-output-1-5"
    assert content["model_hash"] == output.model.model_hash
    assert content["input"] == str(tmp_path / "features.npy")
    assert (content["frames"], content["reference"]) == (30, "float, torch")
    rungs = {rung["name"]: rung for rung in content["rungs"]}
    assert [(name, rung["kind"], rung["passed"]) for name, rung in rungs.items()] == [
        ("float, torch", "float", True),
        ("integer model", "exact", True),
        ("fake-quant, torch", "float", True),
        ("float, ONNX Runtime", "float", True),
        *((f"{runtime}, reference kernels", "exact", True) for runtime in RUNTIMES),
        ("ai-edge-litert, optimised kernels", "optimised", True),
    ]
    assert all(rung["gate_agreement"] > 0.7 for rung in list(rungs.values())[1:])
    assert finished.out.count("  equal\n") == 4
    total = sum(sequence["frames"] for sequence in content["sequences"])
    assert total > 30 and len(content["sequences"]) == 9
    assert {rung["frames"] for rung in rungs.values()} == {total}
    assert ElementTree.parse(tmp_path / "parity.xml").getroot()[0].get("failures") == "0"


def test_parity_takes_recordings_and_only_so_many_frames(static: Built, tmp_path: Path) -> None:
    pcm = audio.to_pcm(np.random.default_rng(1).normal(scale=0.1, size=1000))
    audio.save_wav(tmp_path / "x.wav", pcm, 16000)
    finished = parity(static, tmp_path, features=None, wav=tmp_path / "x.wav", frames=7)
    assert finished.code == 0
    assert (report_in(tmp_path)["input"], report_in(tmp_path)["frames"]) == (
        str(tmp_path / "x.wav"), 7,
    )  # fmt: skip
    assert report_in(tmp_path)["sequences"][0] == {
        "name": "x.wav", "adversarial": False, "frames": 7,
    }  # fmt: skip


def test_an_unequal_rung_exits_with_1_and_says_where(output: Built, tmp_path: Path) -> None:
    def flip(model: Any) -> None:
        values(model, "back/bias")[4 * 6 + 2] ^= 0x40  # channel 6 of the mask

    broken = edited(output.tflite, tmp_path / "broken.tflite", flip)
    finished = parity(output, tmp_path, tflite=broken)
    assert (finished.code, finished.err) == (1, "")
    assert "DIFFERS" in finished.out
    where = "differs at features.npy, frame 0, layer back, mask, channel 6: expected "
    assert where in finished.out
    content = report_in(tmp_path)
    assert content["passed"] is False
    assert [rung["passed"] for rung in content["rungs"]] == [True, False, False, False, True]
    for rung in content["rungs"][1:4]:
        first = rung["first_difference"]
        assert (first["frame"], first["tensor"], first["channel"]) == (0, "mask", 6)
        assert rung["mismatches"] > 0
    suite = ElementTree.parse(tmp_path / "parity.xml").getroot()[0]
    failures = [case.get("name") for case in suite if case.find("failure") is not None]
    assert {f"{runtime}, reference kernels: features.npy" for runtime in RUNTIMES} <= set(failures)


def test_a_broken_gate_entry_exits_with_1(output: Built, tmp_path: Path) -> None:
    def shift(entry: dict[str, Any]) -> None:
        entry["gates"][0]["logits"] = "gate1_logits"

    broken = edited(output.tflite, tmp_path / "broken.tflite", with_metadata(shift))
    assert parity(output, tmp_path, tflite=broken).code == 1
    assert report_in(tmp_path)["rungs"][1]["first_difference"]["tensor"] == "gate0_open"


def test_what_is_left_out_is_said_and_not_run(output: Built, tmp_path: Path) -> None:
    out = ("tensorflow", "ai-edge-litert")
    finished = run(
        main, "parity", "--quantized", output.quantized, "--tflite", output.tflite, "--features",
        save_features(output, tmp_path), "--out", tmp_path / "parity.json", "--no-adversarial",
        *(word for name in out for word in ("--without", name)),
    )  # fmt: skip
    assert (finished.code, finished.err) == (0, "")
    content = report_in(tmp_path)
    names = [rung["name"] for rung in content["rungs"]]
    assert names == ["integer model", "tflite-runtime, reference kernels"]
    assert len(content["left_out"]) == 3
    assert [sequence["name"] for sequence in content["sequences"]] == ["features.npy"]
    assert f"left out: {'; '.join(content['left_out'])}" in finished.out


@pytest.mark.parametrize("absent", ["tflite_runtime.interpreter", "onnxruntime"])
def test_a_missing_package_fails_the_ladder_and_the_rest_is_climbed(
    output: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absent: str
) -> None:
    """A rung that nobody ran must not be taken for one that passed."""
    monkeypatch.setitem(sys.modules, absent, None)  # as Python marks what cannot be imported
    finished = parity(output, tmp_path, onnx=output.onnx)
    assert (finished.code, finished.err) == (2, "")
    content = report_in(tmp_path)
    broken = [rung for rung in content["rungs"] if rung["error"]]
    assert len(broken) == 1 and not broken[0]["passed"]
    assert absent.partition(".")[0].replace("_", "-") in broken[0]["error"]
    assert "is not installed" in finished.out and "NOT RUN" in finished.out
    assert content["passed"] is False
    assert sum(rung["passed"] for rung in content["rungs"]) == 5


OWN = """
from convert.rung_list import FunctionRung
from convert.rungs import IntegerRung

def mine(model, tflite):
    def start():
        rung = IntegerRung(model)
        return rung.step
    return FunctionRung("mine", "exact", start)

def off(model, tflite):
    def start():
        rung = IntegerRung(model)
        def step(features):
            outputs = rung.step(features)
            outputs["gate1_logits"][2] ^= 1
            return outputs
        return step
    return FunctionRung("off", "exact", start)

def nothing(model, tflite):
    return 5
"""


def test_a_rung_of_ones_own_is_climbed(
    output: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "own_rungs.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    assert parity(output, tmp_path, rung="own_rungs:mine").code == 0
    assert report_in(tmp_path)["rungs"][-1]["name"] == "mine"
    finished = parity(output, tmp_path, rung="own_rungs:off")
    assert finished.code == 1
    assert "off first differs at features.npy, frame 0, layer block1.score" in finished.out
    left = ("features.npy", "modules", "parity.json", "parity.xml")
    for name, message in (
        ("nothing", "no 'name', so it is no rung"),
        ("none", "no such function"),
    ):
        finished = parity(output, tmp_path, rung=f"own_rungs:{name}")
        assert_refused(finished, message, tmp_path, *left)
    assert_refused(parity(output, tmp_path, rung="no_module"), "MODULE:FUNCTION", tmp_path, *left)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"without": "nope"}, "--without nope: no such rung; there are: integer model; tflite"),
        ({"without": "integer model"}, "cannot be left out"),
        ({"seed": -1}, "--seed must not be negative"),
    ],
)
def test_choices_that_cannot_be(
    output: Built, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    assert_refused(parity(output, tmp_path, **changes), message, tmp_path, "features.npy")


def test_the_report_must_be_json(output: Built, tmp_path: Path) -> None:
    """JUnit goes beside it under the same name; parity.xml would be written twice."""
    finished = parity(output, tmp_path, out=tmp_path / "parity.xml")
    assert_refused(finished, "--out must end in .json", tmp_path, "features.npy")


def write_bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def write_array(array: np.ndarray) -> Callable[[Path], object]:
    return lambda path: np.save(path, array)


def archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, features=np.zeros((33, 4)))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "cannot read features from"),
        (write_bytes(b""), "cannot read features from"),
        (write_bytes(b"not numpy"), "cannot read features from"),
        (write_bytes(b"PK\x03\x04 cut"), "cannot read features from"),
        (archive, "must hold float features [33, frames]"),
        (write_array(np.zeros((32, 5))), "must hold float features [33, frames]"),
        (write_array(np.zeros((5, 33))), "must hold float features [33, frames]"),
        (write_array(np.zeros(33)), "must hold float features [33, frames]"),
        (write_array(np.zeros((1, 33, 5))), "must hold float features [33, frames]"),
        (write_array(np.zeros((33, 0))), "at least one frame"),
        (write_array(np.zeros((33, 5), int)), "floating-point numbers, not int64"),
        (write_array(np.zeros((33, 5), complex)), "floating-point numbers, not complex128"),
        (write_array(np.full((33, 5), np.nan)), "no finite float32 numbers"),
        (write_array(np.full((33, 5), 1e300)), "no finite float32 numbers"),
    ],
)
def test_features_of_another_kind(
    output: Built, tmp_path: Path, write: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "x.npy"
    write(path)
    left = {path.name for path in tmp_path.iterdir()} | {"features.npy"}
    assert_refused(parity(output, tmp_path, features=path), message, tmp_path, *left)


@pytest.mark.parametrize(("content", "message"), [("", "is empty"), ("no", "holds no samples")])
def test_a_recording_of_nothing(output: Built, tmp_path: Path, content: str, message: str) -> None:
    wav = tmp_path / "x.wav"
    wav.touch()
    if content:
        audio.save_wav(wav, np.zeros(0, np.int16), 16000)
    finished = parity(output, tmp_path, features=None, wav=wav)
    assert_refused(finished, message, tmp_path, "features.npy", "x.wav")


def test_files_that_are_missing(output: Built, tmp_path: Path) -> None:
    for name in ("quantized", "tflite", "onnx", "checkpoint"):
        finished = parity(output, tmp_path, **{name: tmp_path / "none"})
        assert_refused(finished, "no such", tmp_path, "features.npy")


def test_files_that_are_cut_or_foreign(output: Built, tmp_path: Path) -> None:
    for name in ("quantized", "tflite", "onnx", "checkpoint"):
        data = getattr(output, name).read_bytes()
        for content in (b"", b"hello", data[: len(data) // 2]):
            (tmp_path / "bad").write_bytes(content)
            finished = parity(output, tmp_path, **{name: tmp_path / "bad"})
            assert_refused(finished, "bad", tmp_path, "features.npy", "bad")


def test_files_of_another_network(output: Built, hidden: Built, tmp_path: Path) -> None:
    other = "was made from another quantised model"
    for changes, message in (
        ({"tflite": hidden.tflite}, other),
        ({"quantized": hidden.quantized}, other),
        ({"onnx": hidden.onnx}, "is of another network than 'tiny-output-1-5'"),
        ({"checkpoint": hidden.checkpoint}, "was trained with [gate] site = hidden"),
    ):
        finished = parity(output, tmp_path, **changes)
        assert_refused(finished, message, tmp_path, "features.npy")


def test_a_model_that_was_calibrated_anew_does_not_pass_for_the_old(
    output: Built, tmp_path: Path
) -> None:
    """One bias more or less is another model."""
    bias = output.model.layers["front"].bias.copy()
    bias[0] += 1
    save_model(tmp_path / "new.npz", with_layer(output.model, "front", bias=bias))
    finished = parity(output, tmp_path, quantized=tmp_path / "new.npz")
    assert_refused(finished, "another quantised model", tmp_path, "features.npy", "new.npz")


def test_an_absurd_number_of_frames(output: Built, tmp_path: Path) -> None:
    for frames in (0, -5):
        finished = parity(output, tmp_path, frames=frames)
        assert_refused(finished, "--frames must be at least 1", tmp_path, "features.npy")


def test_a_failure_leaves_an_old_report_alone(output: Built, tmp_path: Path) -> None:
    (tmp_path / "parity.json").write_text("old")
    assert parity(output, tmp_path, tflite=tmp_path / "none").code == 2
    assert (tmp_path / "parity.json").read_text() == "old"


def test_check_says_what_it_found_or_what_is_wrong(
    output: Built, static: Built, tmp_path: Path
) -> None:
    finished = run(main, "check", output.tflite)
    assert finished.code == 0
    assert "2 gates and 4 states as contracted" in finished.out
    assert "0 gates and 2 states" in run(main, "check", static.tflite).out
    lost = with_metadata(lambda entry: entry["gates"].pop())
    broken = edited(output.tflite, tmp_path / "broken.tflite", lost)
    finished = run(main, "check", broken)
    assert_refused(finished, "names 1 gates for 2 blocks", tmp_path, "broken.tflite")
    for content in (b"", b"hello", output.tflite.read_bytes()[:5000]):
        broken.write_bytes(content)
        assert_refused(run(main, "check", broken), "broken.tflite", tmp_path, "broken.tflite")
    assert_refused(run(main, "check", tmp_path / "none"), "no such", tmp_path, "broken.tflite")


def test_onnx_is_written_from_a_checkpoint_or_not_at_all(output: Built, tmp_path: Path) -> None:
    finished = run(main, "onnx", "--checkpoint", output.checkpoint, "--out", tmp_path / "m.onnx")
    assert finished.code == 0
    assert (tmp_path / "m.onnx").read_bytes() == output.onnx.read_bytes()
    (tmp_path / "m.onnx").unlink()
    (tmp_path / "bad.pt").write_bytes(output.checkpoint.read_bytes()[:999])
    for name, message in (("bad.pt", "is not a checkpoint"), ("none.pt", "no such checkpoint")):
        finished = run(main, "onnx", "--checkpoint", tmp_path / name, "--out", tmp_path / "m.onnx")
        assert_refused(finished, message, tmp_path, "bad.pt")


def test_tflite_takes_only_files_that_belong_together(
    output: Built, hidden: Built, static: Built, tmp_path: Path
) -> None:
    weight = -output.model.layers["block0.up"].weight
    save_model(tmp_path / "other.npz", with_layer(output.model, "block0.up", weight=weight))
    (tmp_path / "cut.onnx").write_bytes(output.onnx.read_bytes()[:5000])
    (tmp_path / "cut.npz").write_bytes(output.quantized.read_bytes()[:5000])
    here = {path.name for path in tmp_path.iterdir()}
    for onnx, quantized, message in (
        (output.onnx, tmp_path / "other.npz", "different networks: block0.up differs by"),
        (output.onnx, static.quantized, "different networks"),
        (static.onnx, output.quantized, "no weights of the layer block0.squeeze"),
        (hidden.onnx, output.quantized, "layer block0.score has weights"),
        (tmp_path / "cut.onnx", output.quantized, "cut.onnx is not an ONNX file"),
        (output.onnx, tmp_path / "cut.npz", "cut.npz is not a readable quantised model"),
        (tmp_path / "none.onnx", output.quantized, "no such ONNX file"),
        (output.onnx, tmp_path / "none.npz", "no such quantised model"),
    ):
        arguments = ("--onnx", onnx, "--quantized", quantized, "--out", tmp_path / "m.tflite")
        assert_refused(run(main, "tflite", *arguments), message, tmp_path, *here)


def test_the_command_itself_exits_with_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "convert", "check", tmp_path / "none.tflite"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: no such model: {tmp_path / 'none.tflite'}\n"


@pytest.mark.slow
def test_tflite_is_written_by_the_command_as_by_hand(output: Built, tmp_path: Path) -> None:
    """Converting twice gives the same bytes, whatever onnx2tf does in between."""
    finished = run(
        main, "tflite", "--onnx", output.onnx, "--quantized", output.quantized,
        "--out", tmp_path / "model.tflite",
    )  # fmt: skip
    assert (finished.code, finished.err) == (0, "")
    assert (tmp_path / "model.tflite").read_bytes() == output.tflite.read_bytes()
    assert output.model.model_hash[:12] in finished.out
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]


@pytest.mark.slow
def test_the_terminal_stays_clean_while_runtimes_load(output: Built, tmp_path: Path) -> None:
    """TensorFlow and XNNPACK write to the process's own standard error."""
    np.save(tmp_path / "f.npy", output.features(5))
    done = subprocess.run(
        [sys.executable, "-m", "convert", "parity", "--quantized", output.quantized,
         "--tflite", output.tflite, "--features", tmp_path / "f.npy",
         "--out", tmp_path / "parity.json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("  equal\n") == 4
