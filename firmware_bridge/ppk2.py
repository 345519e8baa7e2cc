"""Nordic's Power Profiler Kit II, through the package `ppk2-api`.

It gives a word for each of 100,000 samples a second; they are gathered in a thread, since
what is not read in time is lost, and turned into amperes when the trace ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from serial import SerialException

from dyncp.errors import UserError
from firmware_bridge.energy import Trace

Mode = Literal["source", "ampere"]
SAMPLES_PER_SECOND = 100_000
MILLIVOLTS = (800, 5000)
CHANNELS = 8
_WORD_BYTES = 4
_PIECE = SAMPLES_PER_SECOND * _WORD_BYTES
_POLL_SECONDS = 0.005
_JOIN_SECONDS = 10.0
_LEAST_SHARE = 0.98
"""Of the samples that the time must have given. Start and stop take some of it."""


class Ppk2Monitor:
    """A PPK2 on a serial port. In source mode it powers the board, from now until it is closed."""

    def __init__(
        self,
        port: str,
        millivolts: int,
        mode: Mode = "source",
        trigger: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``millivolts``: what it supplies or, as an ampere meter, what the supply is.

        ``trigger``: the digital channel, 0 to 7, that is high while a hop is processed. Raises
        :class:`UserError` if the package or the PPK2 is not there.
        """
        low, high = MILLIVOLTS
        if not low <= millivolts <= high:
            raise UserError(f"a PPK2 has {low} to {high} mV, not {millivolts}")
        if trigger is not None and not 0 <= trigger < CHANNELS:
            raise UserError(f"a PPK2 has digital channels 0 to {CHANNELS - 1}, not {trigger}")
        self.name = f"PPK2 ({mode} mode)"
        self._volts, self._trigger, self._clock = millivolts / 1000, trigger, clock
        self._api: Any = None
        self._powers = False
        self._thread: threading.Thread | None = None
        api_class = _api_class()
        try:
            self._api = api_class(port)
            known = self._api.get_modifiers()
        except (SerialException, OSError, UnicodeDecodeError) as error:
            self.close()
            raise UserError(f"cannot open the PPK2 on {port}: {error}") from error
        if not known:
            self.close()
            raise UserError(
                f"{port} does not answer as a PPK2; it has two ports, and the first one is "
                "meant; unplug it, and try again"
            )
        if mode == "source":
            self._api.use_source_meter()
        else:
            self._api.use_ampere_meter()
        self._api.set_source_voltage(millivolts)
        self._api.toggle_DUT_power("ON")
        self._powers = mode == "source"

    def __enter__(self) -> Ppk2Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        if self._thread is not None:
            raise UserError("the PPK2 is measuring already; stop it first")
        self._pieces: list[bytes] = []
        self._failure: Exception | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._gather, daemon=True)
        self._api.get_data()  # what was left from before
        self._began = self._clock()
        self._api.start_measuring()
        self._thread.start()

    def stop(self) -> Trace:
        if self._thread is None:
            raise UserError("the PPK2 is not measuring; start it first")
        seconds = self._clock() - self._began
        self._end()
        if self._failure is not None:
            raise UserError(f"the PPK2 went away while it measured: {self._failure}")
        data = b"".join(self._pieces)
        words = len(data) // _WORD_BYTES
        if words < _LEAST_SHARE * seconds * SAMPLES_PER_SECOND:
            raise UserError(
                f"the PPK2 gave {words} samples in {seconds:.1f} s, not {SAMPLES_PER_SECOND} a "
                "second; some were lost: close what else keeps this machine busy"
            )
        return self._decoded(data[: words * _WORD_BYTES])

    def close(self) -> None:
        if self._api is None:
            return
        try:
            if self._thread is not None:
                self._end()
            if self._powers:
                self._api.toggle_DUT_power("OFF")
        finally:
            self._api.ser.close()
            self._api = None

    def _gather(self) -> None:
        try:
            while not self._ended.wait(_POLL_SECONDS):
                self._pieces.append(self._api.get_data())
        except Exception as error:  # whatever it is, the trace is of no use
            self._failure = error

    def _end(self) -> None:
        assert self._thread is not None
        self._ended.set()
        self._thread.join(_JOIN_SECONDS)
        self._thread = None
        if self._failure is None:
            self._pieces.append(self._api.get_data())
        self._api.stop_measuring()

    def _decoded(self, data: bytes) -> Trace:
        amperes, bits = [], []
        # Whole words at a time: given a part of one, the package makes a sample of it.
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            microamperes, channels = self._api.get_samples(piece)
            if len(microamperes) != len(piece) // _WORD_BYTES:
                raise UserError("the PPK2 gave samples outside of its range; trace not used")
            amperes.append(np.array(microamperes, np.float64) * 1e-6)
            bits.append(np.array(channels, np.uint8))
        current = np.concatenate(amperes) if amperes else np.zeros(0)
        trigger = None
        if self._trigger is not None:
            raised = np.concatenate(bits) if bits else np.zeros(0, np.uint8)
            trigger = (raised >> self._trigger & 1).astype(np.bool_)
        return Trace(
            seconds=np.arange(len(current)) / SAMPLES_PER_SECOND,
            amperes=current,
            volts=np.full(len(current), self._volts),
            trigger=trigger,
        )


def _api_class() -> Any:
    try:
        from ppk2_api.ppk2_api import PPK2_API
    except ImportError as error:
        raise UserError(
            "a PPK2 needs the package ppk2-api; install it with: pip install -e '.[energy]'"
        ) from error
    return PPK2_API
