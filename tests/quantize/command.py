"""Command lines run inside the test's process; imports are what takes long."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock


@dataclass(frozen=True)
class Finished:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


def run(main: Callable[[], int], *arguments: object) -> Finished:
    """Call a command's ``main`` as ``python -m`` would with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["command", *map(str, arguments)]
    with (
        mock.patch.object(sys, "argv", argv),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = main()
        except SystemExit as stopped:  # argparse
            code = int(stopped.code or 0)
    return Finished(code, out.getvalue(), err.getvalue())


def assert_refused(finished: Finished, message: str, folder: Path, *left: str) -> None:
    """Exit code 2, one line that says ``message``, and in ``folder`` only ``left``."""
    assert finished.code == 2
    assert finished.err.startswith("error: "), finished.err
    assert message in finished.err
    assert finished.err.count("\n") == 1
    assert finished.err.endswith("\n")
    assert finished.out == ""
    assert sorted(path.name for path in folder.iterdir()) == sorted(left)
