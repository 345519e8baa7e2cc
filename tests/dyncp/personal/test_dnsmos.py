"""DNSMOS is the user's file: what it is given, and what becomes of its raw answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dyncp.errors import UserError
from dyncp.personal.dnsmos import open_dnsmos

WINDOW, STEP = 144160, 16000


def model(path: Path, samples: int = WINDOW, answers: int = 3) -> Path:
    """Answers the means of the window's first, middle and last thirds (or ``answers`` parts)."""
    weights = np.zeros((samples, answers), np.float32)
    part = samples // answers
    for answer in range(answers):
        weights[answer * part : (answer + 1) * part, answer] = 1 / part
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input_1", "weights"], ["mos"])],
        "thirds",
        [helper.make_tensor_value_info("input_1", TensorProto.FLOAT, [1, samples])],
        [helper.make_tensor_value_info("mos", TensorProto.FLOAT, [1, answers])],
        [numpy_helper.from_array(weights, "weights")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(made, path)
    return path


@pytest.fixture(scope="module")
def thirds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model(tmp_path_factory.mktemp("dnsmos") / "sig_bak_ovr.onnx")


def published(raw: np.ndarray) -> np.ndarray:
    """The polynomials as the DNS challenge writes them, highest power first: ``[windows, 3]``."""
    return np.stack(
        [
            np.polyval([-0.08397278, 1.22083953, 0.0052439], raw[:, 0]),
            np.polyval([-0.13166888, 1.60915514, -0.39604546], raw[:, 1]),
            np.polyval([-0.06766283, 1.11546468, 0.04602535], raw[:, 2]),
        ],
        axis=1,
    )


def thirds_of(window: np.ndarray) -> np.ndarray:
    part = WINDOW // 3
    return np.array([window[i * part : (i + 1) * part].mean(dtype=np.float64) for i in range(3)])


@pytest.mark.parametrize("scale", [1.0, 100.0])  # far out, the squares decide
def test_raw_answers_are_mapped_by_the_published_polynomials(thirds: Path, scale: float) -> None:
    part, raw = WINDOW // 3, scale * np.array([3.0, 2.0, 4.0])
    clip = np.repeat(raw, [part, part, WINDOW - 2 * part]).astype(np.float32)
    found = open_dnsmos(thirds)(clip)
    np.testing.assert_allclose(found, published(raw[None])[0], rtol=2e-5)
    assert (found.signal, found.background, found.overall) == found


@pytest.mark.parametrize("length", [1000, 50000, WINDOW - 1])
def test_a_short_clip_is_repeated(thirds: Path, length: int) -> None:
    clip = np.random.default_rng(1).uniform(1, 5, length).astype(np.float32)
    repeated = np.resize(clip, WINDOW)  # as often as it takes, from its start
    expected = published(thirds_of(repeated)[None])[0]
    np.testing.assert_allclose(open_dnsmos(thirds)(clip), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("extra", "windows"), [(0, 1), (STEP - 1, 1), (STEP, 2), (3 * STEP + 5, 4)]
)
def test_a_long_clip_is_the_mean_of_its_windows(thirds: Path, extra: int, windows: int) -> None:
    clip = np.linspace(1, 5, WINDOW + extra, dtype=np.float32)
    raw = [thirds_of(clip[n * STEP : n * STEP + WINDOW]) for n in range(windows)]
    expected = published(np.array(raw)).mean(axis=0)
    np.testing.assert_allclose(open_dnsmos(thirds)(clip), expected, rtol=1e-4)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such DNSMOS model: \S*mos\.onnx"):
        open_dnsmos(tmp_path / "mos.onnx")


@pytest.mark.parametrize(("samples", "answers"), [(16000, 3), (WINDOW, 1)])
def test_another_model_is_refused(tmp_path: Path, samples: int, answers: int) -> None:
    path = model(tmp_path / "other.onnx", samples, answers)
    with pytest.raises(UserError, match=r"other\.onnx is not a DNSMOS model") as caught:
        open_dnsmos(path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"not a model"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mos.onnx").write_bytes(content)
    with pytest.raises(UserError, match=r"mos\.onnx is not a DNSMOS model") as caught:
        open_dnsmos(tmp_path / "mos.onnx")
    assert len(str(caught.value).splitlines()) == 1
