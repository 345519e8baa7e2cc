"""What a run costs in energy: a monitor's trace, and the figures made of it.

A monitor samples the supply's current while a board works. A digital channel of it may be
wired to a pin that is high while a hop is processed; then the hops are told from the rest.
Without one the figures are of the whole run, waiting and the serial port included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dyncp.errors import UserError


@dataclass(frozen=True)
class Trace:
    """Samples at one distance, ``[N]`` each: float64 s since the start, A, V; bool trigger.

    ``trigger`` is None where no channel is wired.
    """

    seconds: NDArray[np.float64]
    amperes: NDArray[np.float64]
    volts: NDArray[np.float64]
    trigger: NDArray[np.bool_] | None = None

    @property
    def step(self) -> float:
        """Seconds a sample stands for."""
        return float(self.seconds[1] - self.seconds[0])


class Monitor(Protocol):
    """Measures the supply of one board. ``name`` says with what."""

    name: str

    def start(self) -> None:
        """Begin a trace. Raises :class:`UserError` if the monitor does not."""

    def stop(self) -> Trace:
        """End it. Raises :class:`UserError` if samples are missing."""

    def close(self) -> None:
        """Let go of the monitor, also in the middle of a trace. May be called again."""


def energy_figures(trace: Trace, hops: int, monitor: str) -> dict[str, Any]:
    """Joules of a trace in which ``hops`` were processed.

    ``over`` says of what: "hops", while the trigger was high, else "run", the whole trace,
    with what the board does between hops. Raises :class:`UserError` if there are too few
    samples, or another number of pulses than hops.
    """
    if len(trace.seconds) < 2:
        raise UserError(
            f"{monitor} gave {len(trace.seconds)} samples; measure for longer, and check it"
        )
    power = trace.amperes * trace.volts
    figures: dict[str, Any] = {
        "monitor": monitor,
        "samples_per_second": round(1 / trace.step),
        "seconds": len(power) * trace.step,
        "joules": float(power.sum() * trace.step),
        "mean_watts": float(power.mean()),
        "peak_watts": float(power.max()),
        "volts": float(trace.volts.mean()),
        "hops": hops,
    }
    within = np.ones(len(power), np.bool_)
    if trace.trigger is not None:
        within = trace.trigger
        pulses = int(np.count_nonzero(within[1:] & ~within[:-1])) + int(within[0])
        if pulses != hops:
            raise UserError(
                f"{monitor} saw {pulses} pulses on the trigger channel, not the {hops} hops of the "
                "run; check the wire, its ground and its level, or measure without a trigger"
            )
    figures["over"] = "run" if trace.trigger is None else "hops"
    figures["joules_per_hop"] = float(power[within].sum() * trace.step) / hops
    return figures
