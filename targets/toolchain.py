"""Finding compilers, and running them so that a failure says what to do."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from dyncp.errors import UserError

PACKAGES = {
    "gcc": "gcc libc6-dev",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "arm-none-eabi-objcopy": "binutils-arm-none-eabi",
    "arm-none-eabi-size": "binutils-arm-none-eabi",
    "nm": "binutils",
    "qemu-system-arm": "qemu-system-arm",
}
"""The Debian packages that hold each tool."""


def find_tool(name: str) -> Path:
    """The path of a tool; raises :class:`UserError` with the line that installs it."""
    found = shutil.which(name)
    if found is None:
        packages = PACKAGES.get(name, name)
        raise UserError(
            f"{name} is not installed; run: apt-get update && "
            f"apt-get install -y --no-install-recommends {packages}"
        )
    return Path(found)


def run_tool(name: str, arguments: Sequence[str | Path]) -> str:
    """Run a tool to its end and give its standard output.

    Raises :class:`UserError` with the first line of its complaint if it fails.
    """
    command = [str(find_tool(name)), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        lines = [line for line in result.stderr.splitlines() if "error" in line.lower()]
        first = (lines or result.stderr.splitlines() or ["it said nothing"])[0]
        raise UserError(f"{name} failed with exit code {result.returncode}: {first}")
    return result.stdout
