"""The house keeps its shape: data flows one way, and nothing of a machine is in the files."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("dyncp", "quantize", "convert", "targets", "firmware_bridge")
TORCH_FREE = (
    "dyncp/preset.py", "dyncp/state.py", "dyncp/errors.py", "dyncp/files.py", "dyncp/audio.py",
    "quantize/arithmetic.py", "quantize/model.py", "quantize/integer_model.py",
)  # fmt: skip


def imports(path: Path) -> set[str]:
    """Every module that a file imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_itself_and_earlier_rooms(room: str) -> None:
    later = ROOMS[ROOMS.index(room) + 1 :]
    for path in (ROOT / room).rglob("*.py"):
        backwards = [name for name in imports(path) if name.split(".")[0] in later]
        assert not backwards, f"{path.relative_to(ROOT)} imports {backwards}"


@pytest.mark.parametrize("room", ["targets", "firmware_bridge"])
def test_deployment_needs_no_training_framework(room: str) -> None:
    """Whoever only has a .tflite and a board must not need torch to use it."""
    for path in (ROOT / room).rglob("*.py"):
        if path.name in ("measure.py", "__main__.py"):
            continue  # they import the float network late, where a checkpoint is given
        heavy = {name.split(".")[0] for name in imports(path)} & {"torch", "tensorflow"}
        assert not heavy, f"{path.relative_to(ROOT)} imports {heavy}"


@pytest.mark.parametrize("name", TORCH_FREE)
def test_the_specification_needs_no_torch(name: str) -> None:
    assert not {n.split(".")[0] for n in imports(ROOT / name)} & {"torch", "tensorflow"}
