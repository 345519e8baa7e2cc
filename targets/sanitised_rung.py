"""The compiled C under the address and undefined-behaviour sanitizers, as a rung.

A sanitised library cannot be loaded into Python, so it is a program of its own that
takes frames over a pipe (``firmware/host/serve_frames.c``).
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.comparison import Outputs
from convert.dataflow import PROBES
from convert.ladder import Kind
from dyncp.embedding import check
from dyncp.errors import UserError
from targets.host_library import SANITISERS, build_program
from targets.sources import FIRMWARE_FOLDER

PROGRAM = "serve-frames-sanitised"
_FINDING = re.compile(r"ERROR: \w+Sanitizer|runtime error:|^failed:", re.MULTILINE)
_STOP_SECONDS = 20.0


def build_sanitised(model_folder: str | Path, output: str | Path) -> Path:
    """Build the program for the model compiled in ``model_folder``, as ``output``."""
    source = FIRMWARE_FOLDER / "host" / "serve_frames.c"
    return build_program(model_folder, source, Path(output), SANITISERS)


class SanitisedRung:
    """The program at ``path``, started by the first reset; ``group``: channels per gate.

    What a sanitizer finds ends the program, and is a :class:`UserError`.
    """

    name = "C on the host, sanitised"
    kind: Kind = "exact"

    def __init__(self, path: str | Path, group: int) -> None:
        self._path, self._group = Path(path), group
        if not self._path.is_file():
            raise UserError(
                f"there is no {path}; build it with: python -m targets host --sanitised"
            )
        self._process: subprocess.Popen[bytes] | None = None

    def reset(self) -> None:
        if self._process is None:
            self._start()
        self._ask(b"R", 0)

    def set_embedding(self, embedding: NDArray[np.int8]) -> None:
        if self._process is None:
            self._start()
        check(embedding, self._dimensions, self.name)
        self._ask(b"E" + embedding.tobytes(), 0)

    def step(self, features: NDArray[np.int8]) -> Outputs:
        sizes = list(self._tensors.values())
        gate_bytes = (self._gates + 7) // 8 * self._blocks
        reply = self._ask(
            b"F" + features.tobytes(), sum(sizes) + gate_bytes + 4 * len(self._probes)
        )
        *parts, gates, probes = np.split(
            np.frombuffer(reply, np.uint8), np.cumsum([*sizes, gate_bytes])
        )
        outputs: Outputs = {
            name: part.view(np.int8) for name, part in zip(self._tensors, parts, strict=True)
        }
        if self._group:
            bits = gates.reshape(self._blocks, -1)
            opened = np.unpackbits(bits, axis=1, count=self._gates, bitorder="little")
            for block, row in enumerate(opened):
                outputs[f"gate{block}_open"] = np.repeat(row, self._group)
        if self._probes:
            outputs[PROBES] = np.frombuffer(probes.tobytes(), np.int32)
        return outputs

    def close(self) -> None:
        """End the program."""
        if self._process is None:
            return
        process, self._process = self._process, None
        assert process.stdin and process.stdout
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._words.close()

    def _start(self) -> None:
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the program)
        try:
            self._process = subprocess.Popen(
                [self._path.resolve()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._words,
            )
        except OSError as error:
            self._words.close()
            raise UserError(f"cannot start {self._path}: {error.strerror or error}") from error
        self._tensors: dict[str, int] = {}
        self._probes: list[str] = []
        self._blocks = self._gates = self._dimensions = 0
        assert self._process.stdout
        while (words := self._process.stdout.readline().decode().split()) != ["end"]:
            match words:
                case ["tensor", name, channels]:
                    self._tensors[name] = int(channels)
                case ["probe", name]:
                    self._probes.append(name)
                case ["blocks", count]:
                    self._blocks = int(count)
                case ["gates", count]:
                    self._gates = int(count)
                case ["embedding", count]:
                    self._dimensions = int(count)
                case []:
                    raise self._broken()

    def _ask(self, request: bytes, size: int) -> bytes:
        """Send a request; gives the ``size`` bytes that follow its own first byte."""
        assert self._process and self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(request)
            self._process.stdin.flush()
        except OSError as error:
            raise self._broken() from error
        reply = self._process.stdout.read(1 + size)
        if len(reply) != 1 + size or reply[:1] != request[:1]:
            raise self._broken()
        return reply[1:]

    def _broken(self) -> UserError:
        """What the program said when it ended."""
        assert self._process
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._words.seek(0)
        said = self._words.read().decode(errors="replace")
        lines = [line for line in said.splitlines() if _FINDING.search(line)]
        return UserError(f"{self._path.name} ended: {lines[0] if lines else 'without a word'}")
