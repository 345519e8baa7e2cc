"""MLPerf Tiny's runner on the emulated board: the host's results, and no quiet errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dyncp import audio
from firmware_bridge.emulator import EmulatorTransport
from firmware_bridge.errors import LinkError, LinkTimeout
from firmware_bridge.mlperf_client import (
    MlperfClient,
    Refused,
    expected_results,
    input_frames,
)
from firmware_bridge.mlperf_command import NOTICE
from firmware_bridge.transport import Deadline
from quantize.model import load_model
from targets.board import load_board
from targets.mlperf import results_of
from tests.firmware_bridge.conftest import BOARD, Built, assert_refused, run

BANNER = b"m-timestamp-mode-performance\r\nm-lap-us-0\r\nm-init-done\r\nm-ready\r\n"


@pytest.fixture(scope="module")
def image(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the runner, with voice activity as results."""
    folder = tmp_path_factory.mktemp("mlperf")
    result = run(
        "targets", "firmware", "--model", built.model, "--board", BOARD, "--out", folder,
        "--app", "mlperf", "--task", "vad",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return folder / "firmware.elf"


def command(built: Built, image: Path, *more: object) -> tuple[object, ...]:
    return (
        "firmware_bridge", "mlperf", "--board", BOARD, "--firmware", image,
        "--quantized", built.quantized, "--wav", built.noisy, "--task", "vad", *more,
    )  # fmt: skip


def test_the_command_gets_the_hosts_results_and_says_what_they_are_not(
    built: Built, image: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mlperf.json"
    result = run(*command(built, image, "--frames", 20, "--inferences", 1, "--out", out))
    assert result.returncode == 0, result.stderr
    assert "as the host computes it" in result.stdout and NOTICE in result.stdout
    content = json.loads(out.read_text())
    assert content["host_agrees"] is True and content["model"] == "paper-vad"
    assert content["microseconds"] > 0 and content["notice"] == NOTICE


def test_every_inference_starts_cold_and_costs_the_same(built: Built, image: Path) -> None:
    """States left over would change the second result; a clock that is off, the times."""
    model = load_model(built.quantized)
    rate = model.preset.audio.sample_rate
    features = audio.features(model.preset.audio, audio.load_wav(built.noisy, rate)[: 2 * rate])
    names, scales = [p.name for p in model.probes], [p.scale for p in model.probes]
    results = results_of(names, scales, "vad")
    texts = set()
    with EmulatorTransport(load_board(BOARD), image) as transport:
        client = MlperfClient(transport)
        for start in (0, 30, 60, 90):
            frames = input_frames(model, features[:, start:], 5)
            client.load(frames.tobytes())
            one, two = client.infer(1, 1), client.infer(2, 0)
            assert one.results == two.results == client.results()
            assert one.results == expected_results(model, results, frames)
            assert abs(two.microseconds - 2 * one.microseconds) < 0.001 * two.microseconds
            texts.add(one.results)
        before = client.timestamp()
        assert client.timestamp() > before > 0
    assert len(texts) > 1


def test_the_board_refuses_and_goes_on(built: Built, image: Path) -> None:
    with EmulatorTransport(load_board(BOARD), image) as transport:
        client = MlperfClient(transport)
        for words in ("infer 1 0", "bogus", "db 00", "db load 999999999"):
            with pytest.raises(Refused, match=r"refused '.*%': e-\["):
                client.command(words)
        assert client.profile()["model"] == "paper-vad"


def test_the_wrong_image_is_named(built: Built, image: Path, tmp_path: Path) -> None:
    ours = run(*command(built, built.firmware))
    assert_refused(ours, "--app link", "this needs --app mlperf")
    theirs = run(
        "firmware_bridge", "measure", "--board", BOARD, "--firmware", image, "--model",
        built.model, "--checkpoint", built.checkpoint, "--wav", built.noisy,
        "--enhanced", tmp_path / "e.wav", "--out", tmp_path / "m.json",
    )  # fmt: skip
    assert_refused(theirs, "--app mlperf", "this needs --app link")
    assert_refused(run(*command(built, image, "--frames", 65)), "--frames must be 1 to 64")


class Scripted:
    """A line whose other end answers as it is told; silent where it has no answer."""

    name = "the scripted board"

    def __init__(self, answer: Callable[[str], bytes], first: bytes = b"") -> None:
        self._answer, self._waiting = answer, first

    def write(self, data: bytes) -> None:
        self._waiting += self._answer(data.decode().removesuffix("%"))

    def read(self, seconds: float) -> bytes:
        data, self._waiting = self._waiting[:7], self._waiting[7:]
        return data

    def close(self) -> None: ...

    def reopen(self, deadline: Deadline) -> None: ...


def answers(**words: bytes) -> Callable[[str], bytes]:
    def answer(text: str) -> bytes:
        name = b"m-name-dut-[x]\r\nm-ready\r\n"
        return words.get(text.replace(" ", "_"), name if text == "name" else b"m-ready\r\n")

    return answer


def test_a_banner_that_comes_late_does_not_shift_the_replies() -> None:
    """The public runner stays one reply behind."""
    client = MlperfClient(Scripted(answers(timestamp=b"m-lap-us-7\r\nm-ready\r\n"), BANNER))
    assert client.name == "x"
    assert client.timestamp() == 7


@pytest.mark.parametrize("lost", [b"", b"e-[Unknown command: me]\r\nm-ready\r\n"])
def test_a_question_that_a_starting_board_lost_is_asked_again(
    lost: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And answers to both, should it only be slow, do not shift what follows."""
    monkeypatch.setattr("firmware_bridge.mlperf_client._AGAIN_SECONDS", 0.01)
    name = b"m-name-dut-[x]\r\nm-ready\r\n"
    rest = answers(timestamp=b"m-lap-us-7\r\nm-ready\r\n", results=b"m-results-[1]\r\nm-ready\r\n")
    for second in (name, name + name):
        names = [lost, BANNER + second]
        client = MlperfClient(Scripted(lambda t, n=names: n.pop(0) if t == "name" else rest(t)))  # type: ignore[misc]
        assert client.name == "x"
        assert client.results() == "m-results-[1]"


def test_data_that_arrived_otherwise_are_an_error() -> None:
    data = bytes(8)
    words = {
        "db_load_8": b"m-[Expecting 8 bytes]\r\nm-ready\r\n",
        f"db_{data.hex()}": b"m-load-done\r\nm-ready\r\n",
        "db_print": b"m-buffer-00-00-00-00-00-00-01-00\r\nm-ready\r\n",
    }
    with pytest.raises(LinkError, match="holds other data"):
        MlperfClient(Scripted(answers(**words))).load(data)
    words["db_print"] = b"m-buffer-00-00-00-00-00-00-00-00\r\nm-ready\r\n"
    MlperfClient(Scripted(answers(**words))).load(data)
    words[f"db_{data.hex()}"] = b"m-ready\r\n"
    with pytest.raises(LinkError, match="did not say that 8 bytes are there"):
        MlperfClient(Scripted(answers(**words))).load(data)


def test_silence_and_noise_end_in_an_error_that_says_what_to_check() -> None:
    with pytest.raises(LinkTimeout, match=r"did not give its name .* --app mlperf"):
        MlperfClient(Scripted(lambda _: b""), start_seconds=0.01)
    with pytest.raises(LinkError, match="sends no lines of text"):
        MlperfClient(Scripted(lambda _: b"\xff" * 5000))
    client = MlperfClient(Scripted(answers(infer_1_0=b"m-results-[1.000]\r\nm-ready\r\n")))
    with pytest.raises(LinkError, match="gave 0 timestamps, not 2"):
        client.infer(1, 0)


def test_scores_of_the_last_frame_are_what_counts(built: Built) -> None:
    model = load_model(built.quantized)
    bins = model.preset.audio.bins
    names, scales = [p.name for p in model.probes], [p.scale for p in model.probes]
    results = results_of(names, scales)
    frames = np.random.default_rng(1).integers(-128, 128, (6, bins)).astype(np.int8)
    said = {expected_results(model, results, frames[:count]) for count in range(1, 7)}
    assert len(said) > 1 and all(len(line.split(",")) == 10 for line in said)
