"""The commands that users type must refuse what cannot be, before anything is built."""

from __future__ import annotations

import os
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKE_SECONDS = 120


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(
        [
            "make",
            *([] if "-C" in arguments else ["-C", str(ROOT)]),
            "--no-print-directory",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=MAKE_SECONDS,
        check=False,
        env=environment,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["PRESET=nope"], ["unknown preset 'nope'", "paper"]),
        (["PRESET=nope.toml", "measure"], ["unknown preset 'nope.toml'"]),
        (["BOARD=nope"], ["unknown board 'nope'", "mps2-an386"]),
    ],
)
def test_an_unknown_name_is_refused_with_the_choices(
    arguments: list[str], words: list[str]
) -> None:
    result = make(*arguments)
    assert result.returncode == 2
    for word in words:
        assert word in result.stderr


def test_enhance_asks_for_the_file() -> None:
    result = make("-n", "enhance")
    assert "make WAV=noisy.wav enhance" in result.stdout


def test_hardware_in_the_loop_is_told_board_port_and_firmware() -> None:
    """With a port left out of the tests, an emulator would pass for the board on the desk."""
    command = make("-n", "hil", "BOARD=mps2-an386", "PORT=auto").stdout.splitlines()[-1]
    for words in ("pytest tests/hil", "--board mps2-an386 --port auto",
                  "--firmware build/paper/mps2-an386"):  # fmt: skip
        assert words in command
    assert "--port" not in make("-n", "hil", "BOARD=mps2-an386").stdout.splitlines()[-1]


def test_flash_finds_the_port_by_itself() -> None:
    command = make("-n", "flash", "BOARD=mps2-an386").stdout.splitlines()[-1]
    assert "--board mps2-an386 --port auto --image build/paper/mps2-an386/firmware.elf" in command
    command = make("-n", "flash", "BOARD=mps2-an386", "PORT=/dev/ttyACM0").stdout
    assert "--port /dev/ttyACM0 --image" in command.splitlines()[-1]


def test_help_names_every_target_that_is_for_people() -> None:
    text = make("help").stdout
    for target in (
        "report",
        "boards",
        "flash",
        "hil",
        "measure",
        "parity",
        "parity-nightly",
        "enhance",
        "bench",
        "train",
        "evaluate",
        "test",
        "lint",
    ):
        assert f"make {target}" in text


def test_missing_system_packages_are_named_in_one_line(tmp_path: Path) -> None:
    """A machine without apt-get: nothing is guessed, the list is printed."""
    for tool in ("bash", "id", "env"):
        found = shutil.which(tool)
        assert found
        (tmp_path / tool).symlink_to(found)
    result = subprocess.run(
        [tmp_path / "bash", ROOT / ".ci" / "system-packages"],
        capture_output=True,
        text=True,
        env={"PATH": str(tmp_path)},
        timeout=MAKE_SECONDS,
        check=False,
    )
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    for package in ("gcc-arm-none-eabi", "libnewlib-arm-none-eabi", "qemu-system-arm", "espeak-ng"):
        assert package in line


# The report of a failed climb must be there to be read, and must not be taken for done.

TOOLS = """#!/bin/sh
# Stands for Python: makes what each command would make, and notes the ladder's arguments.
out=; last=
for word; do
  case "$last" in --out|--noisy|--clean|--deployed) mkdir -p "$(dirname "$word")"; out="$word"
    case "$2 $3" in "targets "*) mkdir -p "$word" ;; *) : > "$word" ;; esac ;; esac
  last="$word"
done
case "$2 $3" in
  "targets host") : > "$out/libsluice.so" ;;
  "targets firmware") : > "$out/firmware.elf" ;;
  "firmware_bridge parity") echo "$@" >> climbs; echo report > "$out"; exit "$(cat exit-code)" ;;
esac
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A folder with the Makefile, and a Python that only makes empty files."""
    for folder in ("dyncp/presets", "dyncp/checkpoints", "targets/boards", "targets/firmware",
                   ".venv/bin", ".ci"):  # fmt: skip
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.lock", "pyproject.toml", ".ci/system-packages",
                 "dyncp/presets/paper.toml", "dyncp/checkpoints/paper.pt", "dyncp/__main__.py",
                 "convert/onnx_export.py", ".venv/.set-up"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in ("one", "two"):
        (tmp_path / f"targets/boards/{name}.toml").write_text("[emulator]\n", encoding="utf-8")
    (tmp_path / "targets/boards/real.toml").write_text("[flash]\n", encoding="utf-8")
    python = tmp_path / ".venv/bin/python"
    python.write_text(TOOLS, encoding="utf-8")
    python.chmod(0o755)
    return tmp_path


def climb(house: Path, code: int, *arguments: str) -> list[str]:
    """The ladder's command lines of one ``make``, whose ladder exits with ``code``."""
    (house / "climbs").unlink(missing_ok=True)
    (house / "exit-code").write_text(str(code), encoding="utf-8")
    result = make("-C", str(house), "BOARD=one", *arguments)
    assert (result.returncode == 0) is (code == 0), result.stderr
    found = house / "climbs"
    return found.read_text(encoding="utf-8").splitlines() if found.exists() else []


@pytest.mark.parametrize("code", [1, 2])
def test_a_failed_climb_leaves_its_report_and_is_climbed_again(house: Path, code: int) -> None:
    report = house / "build/paper/one/parity.json"
    assert len(climb(house, code, "parity")) == 1
    assert report.read_text(encoding="utf-8") == "report\n"
    assert len(climb(house, code, "report")) == 1, "make took the failed run for up to date"
    assert report.exists()
    assert len(climb(house, 0, "report")) == 1
    assert climb(house, 0, "report") == [], "make climbed again without a reason"
    assert len(climb(house, 0, "parity")) == 1, "make parity must always climb"
    assert len(climb(house, code, "parity")) == 1
    assert len(climb(house, 0, "report")) == 1, "a passed run before must not hide a failed one"
    passed = report.with_suffix(".passed")
    assert passed.exists()
    os.utime(house / "build/audio/stream.wav", (passed.stat().st_mtime + 5,) * 2)
    assert len(climb(house, code, "report")) == 1
    assert not passed.exists(), "it says of a failed report that it passed"


def test_boards_are_those_that_are_asked_for(house: Path) -> None:
    def boards(*arguments: str) -> list[str]:
        (line,) = climb(house, 0, "parity", *arguments)
        pairs = list(pairwise(line.split()))
        found = [after for word, after in pairs if word == "--board"]
        images = [after for word, after in pairs if word == "--firmware"]
        assert images == [f"build/paper/{name}/firmware.elf" for name in found]
        return found

    assert boards() == ["one"]
    assert boards("BOARDS=all") == ["one", "two"]
    assert boards("BOARDS=all", "BOARD=real", "PORT=/dev/ttyACM0") == ["real", "one", "two"]
    assert "--port" not in climb(house, 0, "parity", "BOARDS=two", "PORT=/dev/ttyACM0")[0]
    assert boards("BOARDS=two") == ["two"]
    assert boards("BOARDS=") == []


def test_the_nightly_climb_has_10000_frames_and_every_emulated_board(house: Path) -> None:
    (line,) = climb(house, 0, "parity-nightly")
    assert "--frames 10000" in line
    assert "--board one " in line and "--board two " in line and "real" not in line
    (line,) = climb(house, 0, "parity")
    assert "--frames 1000 " in line
