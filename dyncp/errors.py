"""The one way every command line of the project fails on bad input.

A :class:`UserError` says what is wrong, where, and what to do next. Command
lines print it, on one line or one for every bad file of a corpus, and exit with
code 2; they never show a traceback for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

EXIT_BAD_INPUT = 2


class UserError(Exception):
    """Something outside the program is wrong; the message is the whole story."""


def run_command(main: Callable[[], int | None]) -> int:
    """Run a command line's body and turn a :class:`UserError` into exit code 2."""
    try:
        return main() or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
