"""A client for MLPerf Tiny's serial protocol, written from its description (docs/mlperf.md).

It asks what the public runner asks, in the same words, and besides what that does not look
at: that the data have arrived as they were sent, and that nothing was refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import LinkError, LinkTimeout
from firmware_bridge.transport import Deadline, Transport
from quantize.arithmetic import quantise
from quantize.integer_model import IntegerModel, open_gates
from quantize.model import QuantizedModel
from quantize.probes import probe_scores
from targets.mlperf import Results

BYTES_A_COMMAND = 31
"""As the public runner sends them."""
READY = "m-ready"
_REPLY_SECONDS = 5.0
_INFERENCE_SECONDS = 60.0
_START_SECONDS = 30.0
_AGAIN_SECONDS = 2.0
"""Without a word from a board that is starting: what it was sent may be lost, not late."""
_LONGEST_LINE = 4096


class Refused(LinkError):
    """The board answered with an error line."""


@dataclass(frozen=True)
class Inference:
    """What one ``infer`` said. ``microseconds``: by the board's clock, of all inferences."""

    inferences: int
    microseconds: int
    results: str


class MlperfClient:
    """A conversation with a board; who opened the transport closes it.

    Every error of the line is a :class:`LinkError`.
    """

    def __init__(self, transport: Transport, start_seconds: float = _START_SECONDS) -> None:
        """Find out who is there. What comes before the answer is a banner, or somebody else's."""
        self._transport = transport
        self._received = b""
        self.name, asked = self._ask_name(Deadline(start_seconds))
        if asked > 1:
            self._skip_other_answers(Deadline(start_seconds))

    def _ask_name(self, deadline: Deadline) -> tuple[str, int]:
        """The board's name, and how often it was asked for: a UART that is not set up yet
        loses what it is sent."""
        asked = 0
        while True:
            self._transport.write(b"name%")
            asked += 1
            patience = Deadline(min(_AGAIN_SECONDS, deadline.remaining()))
            try:
                while True:
                    line = self._line("its name", patience)
                    if name := re.fullmatch(r"m-name-dut-\[(.+)\]", line):
                        while self._line(READY, deadline) != READY:
                            pass
                        return name.group(1), asked
                    if line.startswith("e-"):  # of a question that came in half
                        break
                    patience = Deadline(min(_AGAIN_SECONDS, deadline.remaining()))
            except LinkTimeout as error:
                if deadline.expired():
                    raise LinkTimeout(
                        f"{self._transport.name} did not give its name within "
                        f"{deadline.seconds:g} s; check that it runs an image of --app mlperf, and "
                        "its speed"
                    ) from error

    def _skip_other_answers(self, deadline: Deadline) -> None:
        """Read on until the answer to a question that was asked once; the banner is over."""
        self._transport.write(b"timestamp%")
        while not self._line("its clock", deadline).startswith("m-lap-us-"):
            pass
        while self._line(READY, deadline) != READY:
            pass

    def command(self, text: str, seconds: float = _REPLY_SECONDS) -> list[str]:
        """The lines that answer a command, without the last, ``m-ready``.

        Raises :class:`Refused` if one is an error, :class:`LinkTimeout` after ``seconds``.
        """
        self._transport.write(f"{text}%".encode())
        deadline = Deadline(seconds)
        lines: list[str] = []
        while (line := self._line(f"the answer to '{text[:20]}%'", deadline)) != READY:
            lines.append(line)
        errors = [line for line in lines if line.startswith("e-")]
        if errors:
            raise Refused(f"{self._transport.name} refused '{text[:20]}%': {errors[0]}")
        return lines

    def profile(self) -> dict[str, str]:
        """``profile``, ``model`` and, of our own images, ``build``."""
        lines = self.command("profile")
        found = (re.fullmatch(r"m-(\w+)-\[(.*)\]", line) for line in lines)
        return {match.group(1): match.group(2) for match in found if match}

    def timestamp(self) -> int:
        """Microseconds on the board's clock."""
        return _laps(self.command("timestamp"), 1)[0]

    def load(self, data: bytes) -> None:
        """Load ``data`` and have them sent back: the protocol itself would not notice an error."""
        self.command(f"db load {len(data)}")
        answer: list[str] = []
        for start in range(0, len(data), BYTES_A_COMMAND):
            answer = self.command(f"db {data[start : start + BYTES_A_COMMAND].hex()}")
        if answer != ["m-load-done"]:
            raise LinkError(f"{self._transport.name} did not say that {len(data)} bytes are there")
        lines = self.command("db print", _INFERENCE_SECONDS)
        words = [line.removeprefix("m-buffer-").replace("-", "") for line in lines]
        if "".join(words) != data.hex():
            raise LinkError(
                f"{self._transport.name} holds other data than were sent; check the line, and load "
                "again"
            )

    def infer(self, inferences: int, warmups: int) -> Inference:
        """Run what is loaded ``warmups`` and then ``inferences`` times, each from a cold start."""
        seconds = _INFERENCE_SECONDS * (inferences + warmups)
        lines = self.command(f"infer {inferences} {warmups}", seconds)
        first, last = _laps(lines, 2)
        return Inference(inferences, last - first, _results(lines))

    def results(self) -> str:
        """The last inference's results, as the board prints them."""
        return _results(self.command("results"))

    def _line(self, awaited: str, deadline: Deadline) -> str:
        while b"\n" not in self._received:
            if deadline.expired():
                raise LinkTimeout(
                    f"{self._transport.name} did not give {awaited} within {deadline.seconds:g} s; "
                    "check that it runs an image of --app mlperf, and its speed"
                )
            self._received += self._transport.read(deadline.remaining())
            if len(self._received) > _LONGEST_LINE and b"\n" not in self._received:
                raise LinkError(f"{self._transport.name} sends no lines of text; check its speed")
        line, _, self._received = self._received.partition(b"\n")
        return line.decode("ascii", errors="replace").strip("\r\0")


def expected_results(model: QuantizedModel, results: Results, frames: NDArray[np.int8]) -> str:
    """The line that a board must print after ``frames``, int8 ``[T, bins]``."""
    outputs = IntegerModel(model).run(frames)
    gates = [block[-1] for block in open_gates(model, outputs)]
    rows = [(probe.weights, probe.bias) for probe in model.probes]
    return results.text(probe_scores(rows, gates))


def input_frames(
    model: QuantizedModel, features: NDArray[np.floating], count: int
) -> NDArray[np.int8]:
    """Float features ``[bins, T]`` as what an image is loaded with: int8 ``[count, bins]``."""
    grid = model.activations["features"]
    return quantise(features.T[:count], grid.scale, grid.zero_point)


def _laps(lines: list[str], count: int) -> list[int]:
    laps = [re.fullmatch(r"m-lap-us-(\d+)", line) for line in lines]
    found = [int(lap.group(1)) for lap in laps if lap]
    if len(found) != count:
        raise LinkError(f"the board gave {len(found)} timestamps, not {count}: {lines}")
    return found


def _results(lines: list[str]) -> str:
    found = [line for line in lines if line.startswith("m-results-")]
    if len(found) != 1:
        raise LinkError(f"the board gave {len(found)} results, not one: {lines}")
    return found[0]
