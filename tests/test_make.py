"""The commands that users type must refuse what cannot be, before anything is built."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKE_SECONDS = 120


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(
        ["make", "-C", str(ROOT), "--no-print-directory", *arguments],
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


def test_help_names_every_target_that_is_for_people() -> None:
    text = make("help").stdout
    for target in (
        "report",
        "measure",
        "parity",
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
