"""Constants replaced in an image that is built: the right bytes, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from dyncp.errors import UserError
from targets.board import load_board
from targets.elf import overwrite
from targets.kernel_image import build_kernel_image
from targets.toolchain import run_tool

ARRAY = "vector_table"


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_kernel_image(load_board("mps2-an505"), tmp_path_factory.mktemp("image"))


def flashed(elf: Path, folder: Path) -> bytes:
    run_tool("arm-none-eabi-objcopy", ["-O", "binary", elf, folder / "image.bin"])
    return (folder / "image.bin").read_bytes()


def size_of(elf: Path) -> int:
    rows = [line.split() for line in run_tool("nm", ["-S", elf]).splitlines()]
    (size,) = (int(row[1], 16) for row in rows if row[-1] == ARRAY and len(row) == 4)
    return size


def test_the_bytes_of_that_constant_change_alone(elf: Path, tmp_path: Path) -> None:
    before, size = flashed(elf, tmp_path), size_of(elf)
    value = bytes(index % 251 for index in range(size))
    overwrite(elf, tmp_path / "other.elf", {ARRAY: value})
    assert flashed(tmp_path / "other.elf", tmp_path) == value + before[size:]


@pytest.mark.parametrize(("name", "excess"), [(ARRAY, 1), ("nothing_of_this_name", 0)])
def test_another_size_or_name_is_refused(elf: Path, tmp_path: Path, name: str, excess: int) -> None:
    with pytest.raises(UserError, match=name):
        overwrite(elf, tmp_path / "other.elf", {name: b"\0" * (size_of(elf) + excess)})
    assert not (tmp_path / "other.elf").exists()
