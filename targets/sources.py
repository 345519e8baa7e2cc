"""Where the C sources are that every target is built from, and how to compile them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

FIRMWARE_FOLDER = Path(__file__).parent / "firmware"

C_FLAGS = (
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wpedantic",
    "-Wshadow",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Werror",
)
"""What all our C is compiled with, on every core."""


Kernels = Literal["portable", "dsp", "helium"]
"""The forms in which kernels exist: ``firmware/kernels/OPERATION_FORM.c``."""


def runtime_sources(kernels: Kernels = "portable") -> list[Path]:
    """The sources of the library: runtime, audio front end, and kernels.

    An operation that has no form of its own for these kernels runs the portable
    one; what every form can fall back on is in ``OPERATION_plain.c``.
    """
    folder = FIRMWARE_FOLDER / "kernels"
    own = [path for form in ("c", "S") for path in folder.glob(f"*_{kernels}.{form}")]
    operations = {path.stem.rpartition("_")[0] for path in own}
    common = [
        path
        for path in (*folder.glob("*_portable.c"), *folder.glob("*_plain.c"))
        if path.stem.endswith("_plain") or path.stem.rpartition("_")[0] not in operations
    ]
    rest = [path for name in ("runtime", "audio") for path in (FIRMWARE_FOLDER / name).glob("*.c")]
    return sorted({*own, *common, *rest})


def include_folders() -> list[Path]:
    """Folders for ``-I``: the public header, and the root of the private ones."""
    return [FIRMWARE_FOLDER / "include", FIRMWARE_FOLDER]
