"""One run at a time on a board: the others wait in line, and say for whom.

The lock is a ``flock`` on a file in a folder of the user's own, so it goes with the
process that holds it, however that ends. What is in the file is for people.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType

from dyncp.errors import UserError

WAIT_SECONDS = 3600.0
"""The longest that a run waits for its turn: a campaign on a slow board takes so long."""

_POLL_SECONDS = 0.2


def lock_folder() -> Path:
    """Where the locks of this user are; made if it is not there, for nobody else to enter."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = (
        Path(runtime) / "sluice"
        if runtime
        else Path(tempfile.gettempdir()) / f"sluice-{os.getuid()}"
    )
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise UserError(
            f"cannot make {folder} for the boards' locks: {error.strerror or error}; set "
            "XDG_RUNTIME_DIR to a folder of your own"
        ) from error
    # Anybody may make a folder of this name first in a folder that all may write to.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UserError(
            f"{folder} for the boards' locks belongs to somebody else; set XDG_RUNTIME_DIR to a "
            "folder of your own"
        )
    return folder


class BoardLock:
    """Held from its making until :meth:`release`, or until the process ends.

    ``board`` is one name for one board, whatever path leads to it. Who has to wait is
    told with ``say`` who holds it. Raises :class:`UserError` after ``wait_seconds``, or
    :data:`WAIT_SECONDS`.
    """

    def __init__(
        self,
        board: str,
        wait_seconds: float | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.board = board
        self._path = lock_folder() / _file_name(board)
        self._file: int | None = None
        say = say or (lambda text: print(text, file=sys.stderr, flush=True))
        wait_seconds = WAIT_SECONDS if wait_seconds is None else wait_seconds
        end = time.monotonic() + wait_seconds
        told = None
        while not self._try():
            holder = self._holder()
            if time.monotonic() >= end:
                raise UserError(
                    f"{board} is still held by {holder} after {wait_seconds:g} s; wait for that "
                    "run or end it, then start again"
                )
            if holder != told:
                say(f"waiting for {board}: held by {holder}")
                told = holder
            time.sleep(_POLL_SECONDS)

    def __enter__(self) -> BoardLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let the next one have the board. May be called again."""
        if self._file is not None:
            # The file stays: to remove it would let a third run lock another of its name.
            os.close(self._file)
            self._file = None

    def _try(self) -> bool:
        # Not inherited: a flash tool or an emulator that outlives us must not keep the board.
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return False
        note = {
            "pid": os.getpid(),
            "command": " ".join(sys.argv),
            "since": datetime.now().strftime("%H:%M:%S"),
        }
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(note).encode(), 0)
        self._file = file
        return True

    def _holder(self) -> str:
        try:
            note = json.loads(self._path.read_text(encoding="utf-8"))
            return f"process {note['pid']} ({note['command']}) since {note['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"


def _file_name(board: str) -> str:
    """Readable, and of boards with like names not the same."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", board).strip("-")[-60:]
    return f"{readable}-{hashlib.sha256(board.encode()).hexdigest()[:8]}.lock"
