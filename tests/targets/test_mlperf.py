"""MLPerf Tiny's commands in C: the words the runner waits for, and results equal to the host's."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dyncp.errors import UserError
from targets.board import load_board
from targets.firmware_build import build_firmware
from targets.host_library import SANITISERS
from targets.mlperf import FRAMES, Results, config_header, results_of
from targets.sources import C_FLAGS, FIRMWARE_FOLDER, include_folders
from targets.toolchain import run_tool
from tests.targets.built import Built

HERE = Path(__file__).parent
BINS = 16
SCALE = 0.00137
NOISE = Results("noise", ("car", "hum", "rain"), (2, 0, 1), SCALE)
VAD = Results("vad", ("no speech", "speech"), (-1, 1), SCALE)
SECONDS = 60

Say = Callable[[str], list[str]]


def build(folder: Path, results: Results) -> Path:
    folder.mkdir()
    (folder / "mlperf_config.h").write_text(config_header(results, "tiny"))
    (folder / "sluice_model.h").write_text(
        f'#include "sluice.h"\n#define SLUICE_BINS {BINS}\n#define SLUICE_PROBES 3\n'
    )
    includes = [f"-I{path}" for path in (*include_folders(), folder)]
    sources = [*(FIRMWARE_FOLDER / "mlperf").glob("*.c"), HERE / "mlperf_on_host.c"]
    program = folder / "mlperf"
    run_tool("gcc", [*C_FLAGS, "-O1", "-g", *SANITISERS, *includes, *sources, "-o", program])
    return program


def talk(program: Path, line: bytes) -> list[str]:
    """All lines that the board says to what comes over the line, its banner too."""
    done = subprocess.run([program], input=line, capture_output=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr.decode()
    text = done.stdout.decode()
    assert text.endswith("\r\n") and "\n" not in text.replace("\r\n", "")
    return text.split("\r\n")[:-1]


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("mlperf") / "noise", NOISE)


@pytest.fixture(scope="module")
def vad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("mlperf") / "vad", VAD)


@pytest.fixture
def say(noise: Path) -> Say:
    """What is answered to a line, without the banner."""
    return lambda line: talk(noise, line.encode())[len(BANNER) :]


BANNER = ["m-timestamp-mode-performance", "m-lap-us-5000000000", "m-init-done", "m-ready"]


def frame(*scores: int) -> bytes:
    return struct.pack("<3i", *scores).ljust(BINS, b"\0")


def loading(data: bytes) -> str:
    parts = [data[start : start + 31].hex() for start in range(0, len(data), 31)]
    return f"db load {len(data)}%" + "".join(f"db {part}%" for part in parts)


def test_the_words_that_the_runner_waits_for(noise: Path, say: Say) -> None:
    assert talk(noise, b"") == BANNER
    assert say("name%") == ["m-name-dut-[host]", "m-ready"]
    assert say("profile%") == [
        "m-profile-[ULPMark for tinyML Firmware V0.0.1]", "m-model-[tiny-noise]",
        "m-build-[0123]", "m-ready",
    ]  # fmt: skip
    assert say("timestamp%") == ["m-lap-us-5000000000", "m-ready"]


def test_a_whole_inference_as_the_runner_asks_for_it(say: Say) -> None:
    data = frame(300, -200, 100) + frame(400, 50, 0)
    said = say(loading(data) + "infer 3 2%results%")
    expected = NOISE.text(np.array([700, -150, 100]))
    assert said == [
        "m-[Expecting 32 bytes]", "m-ready", "m-ready", "m-load-done", "m-ready",
        "m-warmup-start-2", "m-warmup-done", "m-infer-start-3",
        "m-lap-us-5000004000", "m-lap-us-5000010000", "m-infer-done", expected, "m-ready",
        expected, "m-ready",
    ]  # fmt: skip


def test_an_inference_without_numbers_is_one_after_ten(say: Say) -> None:
    said = say(loading(frame(1, 2, 3)) + "infer%")
    assert "m-warmup-start-10" in said and "m-infer-start-1" in said


def test_what_was_loaded_can_be_read_back(say: Say) -> None:
    data = bytes(range(0xF0, 0x100)) + bytes(range(16))
    said = say(loading(data).upper().replace("DB", "db").replace("LOAD", "load") + "db print%")
    lines = [line for line in said if line.startswith("m-buffer-")]
    assert lines[0] == "m-buffer-f0-f1-f2-f3-f4-f5-f6-f7"
    assert "".join(line[9:].replace("-", "") for line in lines) == data.hex()


@pytest.mark.parametrize("model", ["noise", "vad"])
def test_probabilities_are_the_hosts_to_the_last_digit(
    model: str, request: pytest.FixtureRequest
) -> None:
    """For scores of every size, ties and the ends of int32 among them."""
    program, results = request.getfixturevalue(model), {"noise": NOISE, "vad": VAD}[model]
    rng = np.random.default_rng(3)
    ends = [-(2**31), 2**31 - 1, 0]
    cases = [[int(x) for x in rng.integers(-(10**e), 10**e, 3)] for e in range(1, 9) for _ in "ab"]
    cases += [[a, b, c] for a in ends for b in ends for c in ends] + [[5, 5, 5], [7, 7, -9]]
    line = "".join(loading(frame(*case)) + "infer 1 0%" for case in cases)
    said = [text for text in talk(program, line.encode()) if text.startswith("m-results")]
    assert said == [results.text(np.array(case)) for case in cases]


def test_probabilities_are_a_softmax_of_the_scores(vad: Path) -> None:
    """Equal on both sides would also be equally wrong."""
    rng = np.random.default_rng(4)
    for scores in rng.normal(scale=2000, size=(300, 3)).round().astype(np.int64):
        for results in (NOISE, VAD):
            own = np.array([scores[row] if row >= 0 else 0 for row in results.rows]) * SCALE
            exact = np.exp(own - own.max()) / np.exp(own - own.max()).sum()
            assert np.abs(np.array(results.thousandths(scores)) / 1000 - exact).max() < 0.0025


@pytest.mark.parametrize("scale", [1e-12, 1e-4, 0.37, 1.0, 300.0, 1e9])
def test_any_scale_that_a_probe_may_have_is_taken(scale: float) -> None:
    results = Results("vad", ("no speech", "speech"), (-1, 0), scale)
    assert results.thousandths(np.array([0])) == [500, 500]
    for score in (-(2**31), 2**31 - 1):
        exact = 1 / (1 + np.exp(-min(max(score * scale, -700), 700)))
        assert abs(results.thousandths(np.array([score]))[1] / 1000 - exact) < 0.0025


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("bogus 1 2%", "e-[Unknown command: bogus]"),
        ("%", "e-[Unknown command: ]"),
        ("names%", "e-[Unknown command: names]"),
        ("db%", "e-[Command 'db' requires a subcommand]"),
        ("db load%", "e-[Command 'db load' requires the # of bytes]"),
        ("db load 0%", "e-[Command 'db load' must be >0 bytes]"),
        ("db load -16%", "e-[Command 'db load' must be >0 bytes]"),
        ("db load 16x%", "e-[Command 'db load' must be >0 bytes]"),
        ("db load 99999999999999999999%", "e-[Command 'db load' must be >0 bytes]"),
        (f"db load {(FRAMES + 1) * BINS}%", f"e-[Too much data: there is room for {FRAMES * BINS}"),
        ("db load 17%", "e-[No whole frames: a frame has 16 bytes]"),
        ("db 00%", "e-[No data expected: 'db load' comes first]"),
        ("db load 16%db 0%", "e-[Insufficent number of hex digits]"),
        ("db load 16%db 0g%", "e-[Invalid hex digit '0g']"),
        (f"db load 16%db {'00' * 17}%", "e-[Too much data: 16 bytes were announced]"),
        (loading(bytes(16)) + "db 00%", "e-[Too much data: 16 bytes were announced]"),
        ("infer 1 0%", "e-[No data: 0 bytes are missing, 'db load' comes first]"),
        ("db load 32%db 0000%infer 1 0%", "e-[No data: 30 bytes are missing"),
        ("infer 0%", "e-[Inference iterations must be >0]"),
        ("infer 1 -1%", "e-[Inference warmup must be >=0]"),
        ("results%", "e-[No results: 'infer' comes first]"),
        ("x" * 81 + "%", "e-[Command longer than 80 characters]"),
        ("x" * 70000 + "%", "e-[Command longer than 80 characters]"),
    ],
)
def test_what_cannot_be_done_is_an_error_line_and_ready(line: str, error: str, say: Say) -> None:
    """Without the ready the runner would wait, and stay one reply behind."""
    said = say(line)
    assert said[-2].startswith(error)
    assert said[-1] == "m-ready"
    assert say(line + "name%")[-2:] == ["m-name-dut-[host]", "m-ready"]


@pytest.mark.parametrize(
    "spoiled", ["db load 16%db 0g%", "db load 16%\x01db 00%", loading(bytes(16)) + "db 00%"]
)
def test_data_that_were_spoiled_are_never_run(spoiled: str, say: Say) -> None:
    """A wrong byte would be a plausible result."""
    said = say(spoiled + "infer 1 0%")
    assert not [line for line in said if line.startswith(("m-infer", "m-results"))]


def test_a_lost_byte_is_told_and_the_command_not_obeyed(say: Say) -> None:
    said = say(loading(frame(1, 2, 3)) + "\x01na\x01me%name%infer 1 0%")
    assert "e-[Bytes lost on the way: 2; load again]" in said
    assert said.count("m-name-dut-[host]") == 1
    assert said[-2].startswith("e-[No data")


def test_the_first_task_that_the_model_has_is_taken() -> None:
    names, scales = ["f0", "noise/b", "noise/a", "vad"], [0.1, 0.2, 0.2, 0.3]
    assert results_of(names, scales) == Results("noise", ("a", "b"), (2, 1), 0.2)
    assert results_of(names, scales, "vad") == Results("vad", VAD.classes, (-1, 3), 0.3)
    with pytest.raises(UserError, match="no results for task 'noise'; choose one of vad"):
        results_of(["vad"], [1.0], "noise")
    with pytest.raises(UserError, match="has no probe for any of noise, vad"):
        results_of(["f0"], [1.0])


def test_a_model_without_probes_has_no_such_image(static: Built, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="would have no results"):
        build_firmware(static.tflite, load_board("mps2-an386"), tmp_path, app="mlperf")
    assert not list(tmp_path.glob("firmware.*"))


def test_an_image_of_our_own_link_holds_nothing_of_it(hidden: Built, tmp_path: Path) -> None:
    """Also where the folder had the other image before: it is the same build as elsewhere."""
    board = load_board("mps2-an386")
    other = build_firmware(hidden.tflite, board, tmp_path / "one", app="mlperf")
    again = build_firmware(hidden.tflite, board, tmp_path / "one")
    alone = build_firmware(hidden.tflite, board, tmp_path / "two")
    assert (other.app, again.app) == ("mlperf", "link")
    assert again == alone and other.build_id != again.build_id
    symbols = run_tool("arm-none-eabi-nm", [tmp_path / "one" / "firmware.elf"])
    assert not re.search(r"\bmlperf_", symbols)
