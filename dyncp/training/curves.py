"""Training curves for TensorBoard."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

# TensorBoard reads the files of a folder by the second in their names; within one second
# by host and process, and an older process's points would then hide the newer one's.
_TICK = 0.05
_LONGEST_WAIT = 2.0


def _wait_for_a_later_name(folder: Path) -> None:
    """Returns when a file made now sorts after all in ``folder``; a clock set back is let be."""
    stamps = [
        int(stamp)
        for file in folder.glob("events.out.tfevents.*")
        if (stamp := file.name.split(".")[3]).isdigit()
    ]
    end = time.monotonic() + _LONGEST_WAIT
    while stamps and time.time() < max(stamps) + 1 and time.monotonic() < end:
        time.sleep(_TICK)


class Curves:
    """Scalars by step, under a folder that ``tensorboard --logdir`` shows.

    ``first_step``: the first step that is going to be written. What an earlier process
    wrote from there on is dropped from the curve, for its steps are going to be done again.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        # TensorBoard writes through TensorFlow where it finds one, which takes seconds and
        # hundreds of MB to import. This is the switch that its own code asks for the stub.
        sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
        from torch.utils.tensorboard import SummaryWriter

        _wait_for_a_later_name(folder)
        self._writer = SummaryWriter(str(folder), purge_step=first_step)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """All that was written is on the disk when this returns."""
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
