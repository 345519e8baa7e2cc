"""Tools that are missing or fail: the user is told what to do, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from dyncp.errors import UserError
from targets.board import load_board
from targets.firmware_build import build_firmware
from targets.toolchain import PACKAGES, ToolFailure, find_tool, run_tool
from tests.targets.built import Built


@pytest.mark.parametrize("tool", PACKAGES)
def test_a_missing_tool_comes_with_the_line_that_installs_it(
    tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    line = f"apt-get install -y --no-install-recommends {PACKAGES[tool]}"
    with pytest.raises(UserError, match=f"^{tool} is not installed; run: .*{line}$"):
        find_tool(tool)


def test_without_the_compiler_nothing_is_written(
    hidden: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a build folder would pass for an old one."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"install -y .* gcc-arm-none-eabi"):
        build_firmware(hidden.tflite, load_board("mps2-an386"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_compilers_first_error_is_the_message(tmp_path: Path) -> None:
    source = tmp_path / "wrong.c"
    source.write_text("int good;\nint bad = nowhere;\nint worse = elsewhere;\n")
    with pytest.raises(ToolFailure) as caught:
        run_tool("gcc", ["-c", source, "-o", tmp_path / "wrong.o"])
    message = str(caught.value)
    assert message.startswith("gcc failed with exit code 1: ")
    assert "wrong.c:2" in message and "nowhere" in message and "\n" not in message
    assert "elsewhere" in caught.value.output


def test_a_linkers_reason_is_the_message(tmp_path: Path) -> None:
    """Not `ld returned 1 exit status`, which is all that gcc itself says."""
    source = tmp_path / "wrong.c"
    source.write_text("int missing(void);\nint main(void) { return missing(); }\n")
    with pytest.raises(UserError) as caught:
        run_tool("gcc", [source, "-o", tmp_path / "wrong"])
    assert str(caught.value).endswith("undefined reference to `missing'")


def test_a_tool_that_fails_without_a_word_still_has_a_message() -> None:
    with pytest.raises(UserError, match=r"^false failed with exit code 1: it said nothing$"):
        run_tool("false", [])


def test_messages_are_those_of_the_c_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a message means is read from its words."""
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert "LC_ALL=C\n" in run_tool("env", [])
