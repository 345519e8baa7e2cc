"""What the project promises of memory and of the audio path, measured on emulated boards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dyncp.preset import load_preset
from firmware_bridge.emulator import EmulatorTransport
from firmware_bridge.session import Board
from targets.board import board_names, load_board
from targets.firmware_build import build_firmware, read_firmware
from targets.host_library import HostLibrary
from tests.firmware_bridge.conftest import BOARD, EMULATED_BOARDS, Built, run
from tests.targets.built import Built as Network
from tests.targets.built import build

KB = 1000
FLASH = 780 * 1024
"""Seven tasks of probes are in it."""
FRONT_END_INSTRUCTIONS = 125_000
"""A hop of 256 samples on a Cortex-M4F, both ways; 118,684 at most have been counted."""


def signals(hop: int) -> Iterator[tuple[str, NDArray[np.int16]]]:
    """What is worst for fixed point, by name; int16 ``[hops, hop]`` each."""
    steps = np.arange(6 * hop)
    shapes = {
        "silence": np.zeros(steps.size),
        "constant": np.full(steps.size, -32768),
        "square": np.where(steps % 32 < 16, -32768, 32767),
        "alternating": np.where(steps % 2, -32768, 32767),
        "impulse": np.where(steps == hop + 3, 32767, 0),
        "noise": np.random.default_rng(4).integers(-32768, 32768, steps.size),
        "quiet noise": np.random.default_rng(5).integers(-3, 4, steps.size),
    }
    for name, values in shapes.items():
        yield name, values.astype(np.int16).reshape(-1, hop)


@pytest.mark.parametrize("board", EMULATED_BOARDS)
def test_the_board_enhances_to_the_same_bytes_as_the_host(
    board: str, built: Built, tmp_path: Path
) -> None:
    """Also at the edges of the scale, on every core."""
    build_firmware(built.model, load_board(board), tmp_path)
    library = HostLibrary(built.library)
    transport = EmulatorTransport(load_board(board), tmp_path / "firmware.elf")
    with Board(transport) as session:
        for name, hops in [("speech", built.pcm(0.5)), *signals(library.info.hop)]:
            library.reset()
            session.reset()
            whole = hops.reshape(-1)[: hops.size // library.info.hop * library.info.hop]
            for index, hop in enumerate(whole.reshape(-1, library.info.hop)):
                enhanced = session.process_hop(hop).pcm
                expected = library.process_hop(hop)
                np.testing.assert_array_equal(enhanced, expected, err_msg=f"{name}, hop {index}")


def test_the_front_end_leaves_the_time_to_the_network(built: Built, session: Board) -> None:
    counter, most = session.greeting.counter, 0
    for _, hops in [("speech", built.pcm(0.5)[: 30 * 256].reshape(-1, 256)), *signals(256)]:
        for hop in hops:
            counters = session.process_hop(hop).counters
            both = counters.analysis_ticks, counters.synthesis_ticks
            most = max(most, sum(counter.count(ticks) for ticks in both))
    assert 0 < most <= FRONT_END_INSTRUCTIONS


def test_the_published_network_fits_its_board(built: Built, session: Board) -> None:
    """With a window of 43 frames for the gates; all that is static, and the stack that was used."""
    assert built.preset.gate and built.preset.gate.pool_frames == 43
    for hop in built.pcm(0.5)[: 30 * 256].reshape(-1, 256):
        session.process_hop(hop)
    firmware = read_firmware(built.firmware)
    assert session.greeting.flash_bytes == firmware.flash_bytes <= FLASH
    assert session.greeting.ram_bytes == firmware.ram_bytes
    assert firmware.ram_bytes + firmware.stack_bytes <= 96 * KB
    assert firmware.stack_bytes <= 4096
    assert 0 < session.stats().stack_used < 1024  # what docs/c-library.md says


@pytest.mark.slow
def test_the_boards_that_hold_the_published_network_are_those_that_we_name(built: Built) -> None:
    """Its weights alone are more than 512 KB; the error says how much is missing, and where."""
    sizes = run("targets", "sizes", "--model", built.model)
    assert sizes.returncode == 0, sizes.stderr
    lines = {line.split()[0]: line for line in sizes.stdout.splitlines()}
    assert list(lines) == board_names()
    small = [name for name, line in lines.items() if "does not fit" in line]
    assert small == ["nucleo-f446re"]
    assert "memory.flash has 524288 bytes, " in lines["nucleo-f446re"]
    assert " too few; choose a smaller preset or another board" in lines["nucleo-f446re"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """Preset low-latency with weights by chance: what it needs does not depend on them."""
    return build(load_preset("low-latency"), tmp_path_factory.mktemp("small") / "low-latency")


@pytest.mark.slow
def test_the_small_network_fits_a_small_part(small: Network, tmp_path: Path) -> None:
    """64 KB of RAM, stack included, and 256 KB of flash, the link's code and buffers in them."""
    firmware = build_firmware(small.tflite, load_board(BOARD), tmp_path)
    with Board(EmulatorTransport(load_board(BOARD), tmp_path / "firmware.elf")) as session:
        library = small.library()
        for _, hops in signals(library.info.hop):
            for hop in hops:
                np.testing.assert_array_equal(
                    session.process_hop(hop).pcm, library.process_hop(hop)
                )
        stack_used = session.stats().stack_used
    assert firmware.flash_bytes <= 256 * KB
    assert firmware.ram_bytes + firmware.stack_bytes <= 64 * KB
    assert 0 < stack_used < 1024
