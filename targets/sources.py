"""Where the C sources are that every target is built from, and how to compile them."""

from __future__ import annotations

from pathlib import Path

FIRMWARE_FOLDER = Path(__file__).parent / "firmware"

C_FLAGS = ("-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror")
"""What all our C is compiled with, on every core."""


def runtime_sources() -> list[Path]:
    """The C files of the library: runtime, audio front end and portable kernels."""
    return sorted(
        path
        for folder in ("runtime", "audio", "kernels")
        for path in (FIRMWARE_FOLDER / folder).glob("*.c")
    )


def include_folders() -> list[Path]:
    """Folders for ``-I``: the public header, and the root of the private ones."""
    return [FIRMWARE_FOLDER / "include", FIRMWARE_FOLDER]
