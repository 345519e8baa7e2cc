"""The firmware's own link in memory: compiled, and reached over a wire that may lie."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable, Sequence
from ctypes import POINTER, byref, c_size_t, c_uint8, c_uint16, c_uint32
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware_bridge import link as link_module
from firmware_bridge import session as session_module
from firmware_bridge.messages import FrameCounters, FrameResult
from targets.sources import C_FLAGS, FIRMWARE_FOLDER, include_folders
from targets.toolchain import run_tool

HERE = Path(__file__).parent
LINK_FOLDER = FIRMWARE_FOLDER / "link"
MAX_PAYLOAD, WINDOW = 640, 2
HOP, BLOCKS, TENSORS, WIDE, LAYERS, DIMENSIONS = 4, 2, 60, 40, 100, 4
BUILD_ID = "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
MODEL_HASH = bytes(range(32)).hex()

Channel = Callable[[bytes], bytes]
"""What becomes of bytes on their way."""


def build(
    output: Path,
    flags: Sequence[str],
    sources: Sequence[str] = (),
    link: Path = LINK_FOLDER,
    window: int = WINDOW,
) -> Path:
    """Compile the link with the fake enhancer, and ``sources`` of this folder."""
    ours = [HERE / name for name in ("fake_board.c", "fake_enhancer.c", *sources)]
    folders = [link.parent, *include_folders()]
    sizes = [f"-DLINK_MAX_PAYLOAD={MAX_PAYLOAD}", f"-DLINK_WINDOW={window}"]
    includes = [f"-I{folder}" for folder in folders]
    files = [*sorted(link.glob("*.c")), *ours]
    run_tool("gcc", [*C_FLAGS, "-O1", *flags, *sizes, *includes, *files, "-o", output])
    return output


def build_library(output: Path, link: Path = LINK_FOLDER, window: int = WINDOW) -> Path:
    return build(output, ["-shared", "-fPIC"], link=link, window=window)


class FakeBoard:
    """A board whose firmware is ``library``. Its state is the library's: one at a time."""

    def __init__(self, library: Path) -> None:
        self._c = ctypes.CDLL(str(library))
        self._c.board_take.restype = c_size_t
        self._c.link_crc32.restype = c_uint32
        self.set(fake_gates=10, fake_probes=2, fake_dimensions=DIMENSIONS)
        self.power_on()
        for name in ("fake_processed", "fake_resets", "board_clocked"):
            c_uint32.in_dll(self._c, name).value = 0

    def set(self, **values: int) -> None:
        """Set variables of the fake enhancer; they count from the next :meth:`power_on`."""
        for name, value in values.items():
            c_uint16.in_dll(self._c, name).value = value

    def count(self, name: str) -> int:
        """A counter of the fake enhancer or the board, since this object was made."""
        return c_uint32.in_dll(self._c, name).value

    def power_on(self) -> None:
        self._c.board_power_on()

    def feed(self, data: bytes) -> bytes:
        """What the board answers to ``data``."""
        self._c.board_feed(data, c_size_t(len(data)))
        return self._take()

    def fault(self, address: int) -> bytes:
        self._c.board_fault(c_uint32(address))
        return self._take()

    def encode(self, data: bytes) -> bytes:
        """``data`` through the firmware's COBS, between delimiters."""
        self._c.board_write_cobs(data, c_size_t(len(data)))
        return self._take()

    def crc32(self, data: bytes) -> int:
        value: int = self._c.link_crc32(data, c_size_t(len(data)))
        return value

    def receive(self, data: bytes) -> list[bytes | None]:
        """Frames with their CRC that the firmware's receiver finds in ``data``; None if damaged."""
        events: list[bytes | None] = []
        start, count = POINTER(c_uint8)(), c_size_t()
        self._c.board_receive(c_uint8(0), byref(start), byref(count))  # forget the time before
        for byte in data:
            event = self._c.board_receive(c_uint8(byte), byref(start), byref(count))
            if event:
                events.append(bytes(start[: count.value]) if event == 1 else None)
        return events

    def _take(self) -> bytes:
        start = POINTER(c_uint8)()
        count = self._c.board_take(byref(start))
        return ctypes.string_at(start, count)


class VirtualDeadline:
    """A :class:`firmware_bridge.transport.Deadline` of a time that only waiting spends."""

    now = 0.0

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = VirtualDeadline.now + seconds

    def remaining(self) -> float:
        return max(0.0, self._end - VirtualDeadline.now)

    def expired(self) -> bool:
        return self.remaining() == 0.0

    @staticmethod
    def wait(seconds: float) -> None:
        VirtualDeadline.now += seconds


def use_virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the link wait in no time, so that no test depends on how busy the machine is."""
    monkeypatch.setattr(VirtualDeadline, "now", 0.0)
    monkeypatch.setattr(link_module, "Deadline", VirtualDeadline)
    monkeypatch.setattr(session_module, "Deadline", VirtualDeadline)


class Lossy:
    """A channel that drops, flips, doubles and inserts bytes, and cuts and repeats writes.

    ``rate``: how likely each byte is hit; ``seen`` collects what arrived.
    """

    def __init__(self, seed: int, rate: float) -> None:
        self.rate = rate
        self.seen = bytearray()
        self._random = random.Random(seed)

    def __call__(self, data: bytes) -> bytes:
        arrived = bytearray()
        for byte in data:
            if self._random.random() >= self.rate:
                arrived.append(byte)
                continue
            arrived += self._random.choice(
                [b"", bytes([byte ^ 1 << self._random.randrange(8)]), bytes([byte, byte]),
                 bytes([byte, self._random.randrange(256)])]
            )  # fmt: skip
        if self._random.random() < 8 * self.rate:
            del arrived[self._random.randrange(len(arrived) + 1) :]
        if self._random.random() < 8 * self.rate:
            arrived *= 2
        self.seen += arrived
        return bytes(arrived)


class Wire:
    """A transport to a :class:`FakeBoard`; what comes back is read in pieces of any length."""

    name = "wire"

    def __init__(
        self, board: FakeBoard | None, out: Channel = bytes, back: Channel = bytes, seed: int = 0
    ) -> None:
        self.board, self.out, self.back = board, out, back
        self.inbox = bytearray()
        self.writes: list[bytes] = []
        self.closed = False
        self._random = random.Random(seed)

    def read(self, seconds: float) -> bytes:
        if not self.inbox:
            VirtualDeadline.wait(seconds)
        count = self._random.randrange(1, 40)
        data = bytes(self.inbox[:count])
        del self.inbox[:count]
        return data

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        if self.board is not None:
            self.inbox += self.back(self.board.feed(self.out(data)))

    def close(self) -> None:
        self.closed = True


class ExpectedEnhancer:
    """What the fake enhancer must answer if every request is executed once and in turn."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._frames = 0
        self._previous = np.zeros(HOP, np.int16)

    def process(self, pcm: NDArray[np.int16] | None = None) -> FrameResult:
        """One hop; without ``pcm`` one frame."""
        self._frames += 1
        n = self._frames
        output = np.zeros(0, np.int16)
        if pcm is not None:
            output = self._previous.copy()
            output[0] = n
            self._previous = pcm.copy()
        bits = np.array([(n + 0x155 * block) & 0x3FF for block in range(BLOCKS)])
        return FrameResult(
            counters=FrameCounters(1000 + n, 2000 + n, 3000 + n, 400 + n, 500 + n),
            probes=np.array([n, -n], np.int32),
            gates=(bits[:, None] >> np.arange(10) & 1).astype(bool),
            pcm=output,
        )

    def tensors(self) -> NDArray[np.int8]:
        """``[TENSORS, WIDE]``."""
        index, channel = np.indices((TENSORS, WIDE))
        return ((self._frames + 3 * index + channel) & 0x7F).astype(np.int8)


def assert_same(result: FrameResult, expected: FrameResult) -> None:
    """Every field equal, in value and type."""
    assert result.counters == expected.counters
    for name in ("probes", "gates", "pcm"):
        ours, theirs = getattr(result, name), getattr(expected, name)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
