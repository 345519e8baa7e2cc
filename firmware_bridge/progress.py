"""A progress bar for callbacks that say how far they are."""

from __future__ import annotations

import sys

from tqdm import tqdm


class Bar:
    """On a terminal alone."""

    def __init__(self, title: str, unit: str) -> None:
        self._bar = tqdm(desc=title, unit=unit, disable=not sys.stderr.isatty(), leave=False)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def of(self, part: str, done: int, total: int) -> None:
        """The progress of one part of several."""
        if done == 1:
            self._bar.reset(total)
            self._bar.set_description(part)
        self(done, total)
