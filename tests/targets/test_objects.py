"""What the compiled C consists of: no state of its own, no libm, no float, no malloc."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from targets.compiler.emit import SOURCE, write_c
from targets.host_library import LIBRARY
from targets.sources import (
    C_FLAGS,
    FIRMWARE_FOLDER,
    Kernels,
    include_folders,
    runtime_sources,
)
from targets.toolchain import run_tool
from tests.targets.built import Built

INCLUDES = [f"-I{folder}" for folder in include_folders()]
BUILDS: dict[str, tuple[str, Kernels, list[str]]] = {
    "host": ("gcc", "portable", ["-fno-pie"]),  # relocated constants would look writable
    # Without floating point in hardware any float shows as a call to a library.
    "m3": ("arm-none-eabi-gcc", "portable", ["-mcpu=cortex-m3", "-mthumb", "-mfloat-abi=soft"]),
    "m4": ("arm-none-eabi-gcc", "dsp", ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=soft"]),
    "m55": ("arm-none-eabi-gcc", "helium", ["-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard"]),
}
"""A core and its compiler for each form of the kernels: a new form is a new line."""

ALLOWED = {"memcpy", "memset"}
WRITABLE = set("bBdDCsSgG")
PUBLIC = ("sluice.h", "sluice_model.h")


def link_sources() -> list[Path]:
    return sorted((FIRMWARE_FOLDER / "link").glob("*.c"))


@pytest.fixture(scope="module", params=BUILDS)
def symbols(
    request: pytest.FixtureRequest, hidden: Built, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[tuple[str, str]]]:
    """Type and name of every symbol, by source; all compiled with the project's flags."""
    compiler, kernels, core = BUILDS[request.param]
    folder = tmp_path_factory.mktemp("objects")
    found = {}
    flags = [*core, *C_FLAGS, "-O2", *INCLUDES, f"-I{hidden.c_folder}"]
    write_c(replace(hidden.plan, kernels=kernels), folder)
    for source in [*runtime_sources(kernels), folder / SOURCE, *link_sources()]:
        output = folder / f"{source.name}.o"
        run_tool(compiler, [*flags, "-c", source, "-o", output])
        lines = [line.split() for line in run_tool("nm", [output]).splitlines()]
        found[str(source.name)] = [(words[-2], words[-1]) for words in lines]
    return found


def test_every_form_of_the_kernels_is_looked_at() -> None:
    assert {kernels for _, kernels, _ in BUILDS.values()} == set(get_args(Kernels))


def test_no_file_keeps_writable_state(symbols: dict[str, list[tuple[str, str]]]) -> None:
    """Two instances would share it, and a reset would not reach it."""
    assert len(symbols) > 15
    for source, entries in symbols.items():
        writable = [name for kind, name in entries if kind in WRITABLE]
        assert not writable, f"{source}: {writable}"


def test_nothing_is_needed_but_memory_copies(symbols: dict[str, list[tuple[str, str]]]) -> None:
    """No malloc, no libm, no float helpers: only what the sources define themselves."""
    defined = {name for entries in symbols.values() for kind, name in entries if kind in "TRD"}
    for source, entries in symbols.items():
        needed = {name for kind, name in entries if kind == "U"}
        strange = needed - defined - ALLOWED - ({"strlen"} if source == "commands.c" else set())
        assert not {name for name in strange if name != "_GLOBAL_OFFSET_TABLE_"}, source


def test_public_names_are_the_projects_own(symbols: dict[str, list[tuple[str, str]]]) -> None:
    """A library that anybody can link must not take common names."""
    for source, entries in symbols.items():
        names = [name for kind, name in entries if kind in "TR"]
        assert all(name.startswith(("sluice_", "link_")) for name in names), f"{source}: {names}"


def test_the_public_headers_serve_cpp(hidden: Built, tmp_path: Path) -> None:
    """Firmware is often C++; names must not be mangled."""
    source, program = tmp_path / "main.cpp", tmp_path / "main"
    source.write_text(
        '#include "sluice.h"\n#include "sluice_model.h"\n'
        "static sluice_t instance;\n"
        "alignas(16) static unsigned char arena[SLUICE_ARENA_BYTES];\n"
        "int main() { return sluice_init(&instance, &sluice_model, arena, sizeof arena); }\n"
    )
    library = hidden.c_folder / LIBRARY
    flags = ["-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", *INCLUDES]
    command = ["g++", *flags, f"-I{hidden.c_folder}", source, library, "-o", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert subprocess.run([program], check=False).returncode == 0


@pytest.mark.parametrize("folder", ["include", "runtime", "audio", "kernels", "link", "ports"])
def test_every_header_includes_what_it_needs(folder: str, tmp_path: Path) -> None:
    """Else the order of a host's includes decides whether its build works."""
    headers = sorted((FIRMWARE_FOLDER / folder).glob("*.h"))
    assert headers
    source = tmp_path / "alone.c"
    for header in headers:
        # Twice: the include guard must hold too.
        source.write_text(f'#include "{folder}/{header.name}"\n' * 2)
        run_tool("gcc", [*C_FLAGS, *INCLUDES, "-fsyntax-only", source])
