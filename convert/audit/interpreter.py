"""Does TFLite itself load the file, run it and come back? In a child process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convert.audit import child
from convert.audit.registry import CannotJudge, Finding, NotApplicable, check
from convert.audit.subject import Subject, printable

TIMEOUT_SECONDS = 60.0
"""Loading and running a model of this project takes less than a second."""

_SAID_BYTES = 4096
# A thread for every core of a large machine would take the child's memory by itself.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


@dataclass
class Outcome:
    """``died``: how the process ended, if it did not answer; ``said``: its last words."""

    answer: dict[str, Any] = field(default_factory=dict)
    died: str = ""
    said: str = ""


def run_child(path: Path, timeout: float | None = None) -> Outcome:
    """Load and run a .tflite in a child process, of which nothing is left afterwards."""
    timeout = TIMEOUT_SECONDS if timeout is None else timeout
    command = [sys.executable, "-P", str(Path(child.__file__)), str(path.absolute())]
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=said,
            env={**os.environ, **_ONE_THREAD},
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return _outcome(code, _tail(answer), _last_line(_tail(said)), timeout)


def _outcome(code: int | None, answer: bytes, said: str, timeout: float) -> Outcome:
    if code is None:
        return Outcome(died=f"did not end in {timeout:g} s", said=said)
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return Outcome(died=f"was killed by {name}", said=said)
    try:
        return Outcome(answer=json.loads(answer), said=said)
    except ValueError:
        return Outcome(died=f"ended with code {code} and no answer", said=said)


def _tail(file: Any) -> bytes:
    """The last bytes of a file, or all of a short one's."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - (1 << 20)))
    return bytes(file.read())


def _last_line(content: bytes) -> str:
    lines = content[-_SAID_BYTES:].decode("utf-8", "replace").strip().splitlines()
    return printable(lines[-1]) if lines else ""


def _ran(s: Subject) -> Outcome:
    """What the child said; it is started once."""
    _ = s.model
    if s.path is None:
        raise NotApplicable("left out (--no-run)")
    if s.outcome is None:
        s.outcome = run_child(s.path)
    if s.outcome.answer.get("stage") == "import":
        raise CannotJudge(f"there is no interpreter here: {s.outcome.answer['error']}")
    return s.outcome


def _finished(s: Subject) -> list[dict[str, Any]]:
    """Its outputs; raises unless the run came to its end."""
    outcome = _ran(s)
    if outcome.died:
        raise CannotJudge("the interpreter died (interpreter-died)")
    if outcome.answer["stage"] != "done":
        raise CannotJudge("the interpreter refuses the file (interpreter-refuses)")
    return list(outcome.answer["outputs"])


@check(
    "interpreter-died",
    "error",
    "TFLite's interpreter comes back from loading and running the file",
    "see the other findings; the file is not safe to load anywhere",
)
def _died(s: Subject) -> Iterator[Finding]:
    outcome = _ran(s)
    if outcome.died:
        last = f"; it said: {outcome.said}" if outcome.said else ""
        yield Finding(f"the interpreter {outcome.died}{last}", value=outcome.died)


@check(
    "interpreter-refuses",
    "error",
    "TFLite's interpreter loads the file, allocates it and runs a frame",
    "see the other findings; the message is TFLite's own",
)
def _refuses(s: Subject) -> Iterator[Finding]:
    outcome = _ran(s)
    if outcome.died:
        raise CannotJudge("the interpreter died (interpreter-died)")
    if outcome.answer["stage"] != "done":
        stage, error = outcome.answer["stage"], outcome.answer["error"]
        yield Finding(f"the interpreter cannot {stage} it: {error}", value=error)


@check(
    "run-not-finite",
    "error",
    "a run gives finite numbers",
    "look for an unsound scale or weight before the output",
)
def _not_finite(s: Subject) -> Iterator[Finding]:
    for index, output in enumerate(_finished(s)):
        if not output["finite"]:
            name = printable(output["name"])
            yield Finding(f"output {index}, '{name}', is not finite", "tensor", name=name)


@check(
    "run-not-repeatable",
    "error",
    "two runs on the same inputs give the same bytes",
    "make states inputs and outputs; the graph keeps something from run to run",
)
def _not_repeatable(s: Subject) -> Iterator[Finding]:
    for index, output in enumerate(_finished(s)):
        if not output["same"]:
            name = printable(output["name"])
            yield Finding(f"output {index}, '{name}', differs", "tensor", name=name)
