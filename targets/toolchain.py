"""Finding compilers, and running them so that a failure says what to do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from dyncp.errors import UserError

PACKAGES = {
    "gcc": "gcc libc6-dev",
    "clang": "clang libc6-dev",
    "cppcheck": "cppcheck",
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


class ToolFailure(UserError):
    """A tool that ended with an error; ``output`` is all that it said of it."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


def run_tool(name: str, arguments: Sequence[str | Path]) -> str:
    """Run a tool to its end and give its standard output.

    Raises :class:`ToolFailure` with the first line of its complaint if it fails.
    """
    command = [str(find_tool(name)), *map(str, arguments)]
    english = {**os.environ, "LC_ALL": "C"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=english)
    if result.returncode != 0:
        raise ToolFailure(
            f"{name} failed with exit code {result.returncode}: {_complaint(result.stderr)}",
            result.stderr,
        )
    return result.stdout


def _complaint(output: str) -> str:
    """The line that says why: the first error, else the first line."""
    # The linker gives its reason between a line that says where and one of gcc's own.
    noise = re.compile(r"^collect2:|: in function `[^']*':$|^$")
    lines = [line for line in output.splitlines() if not noise.search(line)]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["it said nothing"])[0]
