"""The library as others take it: its example, its page, its names, and tools that find fault."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from dyncp.errors import UserError
from targets.compiler.emit import SOURCE, write_c
from targets.host_library import compile_flags
from targets.sources import C_FLAGS, FIRMWARE_FOLDER, include_folders, runtime_sources
from targets.toolchain import ToolFailure, run_tool
from tests.targets.built import Built, noisy_pcm

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "c-library.md"
EXAMPLE = ROOT / "docs" / "example" / "enhance.c"
EXAMPLE_LINES = 40
HOPS = 60
COMPILERS = ("gcc", "clang")


def page_command(compiler: str, built: Built, program: Path) -> str:
    """The page's own command line, with another compiler and other paths."""
    (found,) = re.findall(r"^gcc (?:.*\\\n)*.*", PAGE.read_text(), re.MULTILINE)
    command: str = found.replace("gcc ", f"{compiler} {' '.join(C_FLAGS)} ", 1)
    for theirs, ours in (("build/paper/c", built.c_folder), ("build/enhance", program)):
        assert theirs in command
        command = command.replace(theirs, str(ours))
    return command


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("name", ["hidden", "static"])
def test_the_pages_command_builds_the_example_which_enhances(
    compiler: str, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """It is the first thing that anybody tries."""
    built: Built = request.getfixturevalue(name)
    program, pcm = tmp_path / "enhance", noisy_pcm(built.preset, HOPS)
    command = page_command(compiler, built, program)
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    rest = b"\x01\x02\x03"  # shorter than a hop
    done = subprocess.run([program], input=pcm.tobytes() + rest, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    library, macs = built.library(), 0
    expected = []
    for hop in pcm:
        expected.append(library.process_hop(hop))
        macs += library.counters().executed_macs
    assert np.array_equal(np.frombuffer(done.stdout, "<i2").reshape(HOPS, -1), expected)
    said = dict(line.split() for line in done.stderr.decode().splitlines())
    scores = {probe: str(score) for probe, score in library.probes().items()}
    assert said == {"hops": str(HOPS), "macs": str(macs), **scores}


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= EXAMPLE_LINES


@pytest.mark.parametrize("cpu", ["cortex-m3", "cortex-m4", "cortex-m33", "cortex-m55"])
def test_the_example_is_c_for_a_microcontroller(cpu: str, hidden: Built, tmp_path: Path) -> None:
    flags = [f"-mcpu={cpu}", "-mthumb", *compile_flags(hidden.c_folder)]
    run_tool("arm-none-eabi-gcc", [*flags, "-c", EXAMPLE, "-o", tmp_path / "enhance.o"])


@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_compiler_has_a_word_to_say(compiler: str, hidden: Built, tmp_path: Path) -> None:
    """What warns in somebody's build will not be linked into their product."""
    link = sorted((FIRMWARE_FOLDER / "link").glob("*.c"))
    sources = [*runtime_sources(), *link, hidden.c_folder / SOURCE, EXAMPLE]
    flags = [*compile_flags(hidden.c_folder), "-DLINK_MAX_PAYLOAD=1024"]
    joined = tmp_path / "all.o"
    assert run_tool(compiler, [*flags, "-r", "-nostdlib", *sources, "-o", joined]) == ""


def cppcheck(paths: Sequence[str | Path], folder: Path = ROOT) -> None:
    """As `make lint` runs it; the suppressions name files by their path in ``folder``."""
    recipe = (ROOT / "Makefile").read_text().replace("\\\n", "")
    (arguments,) = re.findall(r"^\tcppcheck (.*) targets/firmware docs/example$", recipe, re.M)
    command = ["cppcheck", *arguments.split(), *map(str, paths)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ToolFailure("cppcheck complains", done.stderr)


def test_cppcheck_finds_nothing_in_a_compiled_model(hidden: Built) -> None:
    """`make lint` looks at our own sources; the compiler writes C, too."""
    cppcheck([hidden.c_folder / SOURCE, Path("targets/firmware/runtime")])


def test_cppcheck_would_find_a_mistake(tmp_path: Path) -> None:
    """Else the check says nothing."""
    shutil.copytree(FIRMWARE_FOLDER, tmp_path / "targets" / "firmware")
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    cppcheck(["targets/firmware"], tmp_path)
    wrong = tmp_path / "targets" / "firmware" / "runtime" / "wrong.c"
    wrong.write_text(
        "int wrong(void);\nint wrong(void)\n{\n    int a[2] = {0};\n    return a[2];\n}\n"
    )
    with pytest.raises(ToolFailure) as caught:
        cppcheck(["targets/firmware"], tmp_path)
    assert "arrayIndexOutOfBounds" in caught.value.output


def test_two_models_link_into_one_program(hidden: Built, static: Built, tmp_path: Path) -> None:
    """Each must run as it does alone: nothing of one is the other's."""
    for built, name in ((hidden, "gated"), (static, "static")):
        write_c(built.plan, tmp_path, name)
    program, own = tmp_path / "two", Path(__file__).with_name("two_models.c")
    models = [tmp_path / "gated_model.c", tmp_path / "static_model.c"]
    run_tool("gcc", [*compile_flags(tmp_path), own, *models, *runtime_sources(), "-o", program])
    pcm = noisy_pcm(hidden.preset, HOPS)
    done = subprocess.run([program], input=pcm.tobytes(), capture_output=True, check=True)
    result = np.frombuffer(done.stdout, "<i2").reshape(HOPS, 2, -1)
    for index, library in enumerate((hidden.library(), static.library())):
        for hop, enhanced in zip(pcm, result[:, index], strict=True):
            assert np.array_equal(enhanced, library.process_hop(hop))


@pytest.mark.parametrize("name", ["", "two words", "Kitchen", "9lives", "a-b", "é", "../up"])
def test_a_name_that_is_none_in_c_is_refused(name: str, static: Built, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot name a model in C"):
        write_c(static.plan, tmp_path / "out", name)
    assert not (tmp_path / "out").exists()


def test_the_page_names_files_that_there_are() -> None:
    for path in re.findall(r"`((?:docs|targets)/[\w./-]+)`", PAGE.read_text()):
        assert (ROOT / path).exists(), path
    assert all(folder.is_dir() for folder in include_folders())
