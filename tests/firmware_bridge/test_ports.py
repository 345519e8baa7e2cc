"""What every emulated board owes the firmware: exact counts, faults told, all its memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firmware_bridge import emulator
from firmware_bridge.emulator import EmulatorTransport
from firmware_bridge.errors import BoardFault
from firmware_bridge.session import Board
from targets.board import Board as Target
from targets.board import Region, load_board
from targets.firmware_build import Firmware, ModelSources, build_image
from targets.toolchain import run_tool
from tests.firmware_bridge.conftest import BOARD, EMULATED_BOARDS

SOURCES = Path(__file__).parent / "port_firmware"
PL011 = Path(__file__).parent / "lm3s6965evb.toml"
REPLY_SECONDS = 60.0
"""Generous: nothing is lost on the way, and the loops are long."""

NO_MEMORY = 0x5F00_0000
"""An address that no machine has anything at."""


class Command(IntEnum):
    """As in ``port_enhancer.c``."""

    LOOP = 0
    UNDEFINED = 1
    READ = 2
    RECURSE = 3
    FLOAT = 4
    VECTOR = 5


def build(target: Target, out: Path) -> Firmware:
    model = ModelSources((SOURCES / "port_enhancer.c",), SOURCES, "port", "00" * 32)
    return build_image(model, target, out)


def start(target: Target, folder: Path) -> Board:
    transport = EmulatorTransport(target, folder / "firmware.elf")
    return Board(transport, reply_seconds=REPLY_SECONDS)


def say(session: Board, command: Command, number: int) -> int:
    words = [command, number & 0xFFFF, number >> 16, 0]
    return session.process_hop(np.array(words, np.uint16).view(np.int16)).counters.ticks


@pytest.fixture(scope="module", params=EMULATED_BOARDS)
def target(request: pytest.FixtureRequest) -> Target:
    return load_board(request.param)


@pytest.fixture(scope="module")
def folder(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(target.name)
    build(target, folder)
    return folder


@pytest.fixture
def session(target: Target, folder: Path) -> Iterator[Board]:
    with start(target, folder) as session:
        yield session


def instructions_beside_the_loop(session: Board, rounds: int) -> tuple[int, int]:
    """What a loop of two instructions a round counted besides them, and the clock's wraps."""
    ticks = say(session, Command.LOOP, rounds)
    return session.greeting.counter.count(ticks) - 2 * rounds, ticks >> 24


def test_instructions_are_counted_to_the_last_one(session: Board) -> None:
    """A wrong rate or shift of one board would make all of its figures wrong."""
    beside, _ = instructions_beside_the_loop(session, 1)
    assert 0 < beside < 30  # to read the clock twice, through a pointer
    for rounds in (2, 3, 4, 5, 7, 100, 1001, 12_345, 1_000_000, 1_999_999):
        assert instructions_beside_the_loop(session, rounds) == (beside, 0)


def test_a_clock_that_wraps_costs_a_few_instructions_and_no_count(session: Board) -> None:
    """SysTick has 24 bits: a wrap that went missing would be millions of instructions."""
    beside, _ = instructions_beside_the_loop(session, 1)
    counted = [
        instructions_beside_the_loop(session, rounds)
        for rounds in (3_500_000, 7_000_000, 20_000_000)
    ]
    assert all(wraps > 0 for _, wraps in counted[1:]) and counted[-1][1] >= 4
    an_interrupt = (counted[-1][0] - beside) // counted[-1][1]
    assert 0 < an_interrupt < 30
    for more, wraps in counted:
        assert more == beside + wraps * an_interrupt


def test_the_pl011_receives_and_sends_on_a_chip_that_qemu_has(tmp_path: Path) -> None:
    """The Pico 2's driver, whose chip QEMU does not have."""
    target = load_board(str(PL011))
    build(target, tmp_path)
    with start(target, tmp_path) as session:
        assert session.greeting.board == "lm3s6965evb"
        for number in range(100):
            assert say(session, Command.RECURSE, number % 16) == number % 16
        stats = session.stats()
    assert (stats.overruns, stats.damaged, stats.repeated) == (0, 0, 0)


def test_a_cycle_counter_that_stands_still_is_not_taken(target: Target, tmp_path: Path) -> None:
    """As on silicon that lacks it: QEMU's reads 0. Every count would be 0, and look fast."""
    silicon = replace(target, clock=replace(target.clock, counts="cycles"))
    build(silicon, tmp_path)
    with start(target, tmp_path) as session:
        counter = session.greeting.counter
        assert (counter.unit, counter.name) == ("cycles", "SysTick")
        assert counter.tick_hz == target.clock.tick_hz
        assert say(session, Command.LOOP, 100_000) > 100_000


def test_the_emulated_core_has_what_the_code_was_compiled_for(session: Board) -> None:
    """The FPU is off after reset, and so is Helium, which shares its switch."""
    assert say(session, Command.FLOAT, 1_000_000) == 1000
    assert say(session, Command.VECTOR, 0x1234567) == 4 * 0x1234567


def test_helium_is_on_where_the_core_has_it() -> None:
    """Else the vector of the test above would have been none."""
    flags = load_board("mps3-an547").core.flags
    macros = run_tool("arm-none-eabi-gcc", [*flags, "-dM", "-E", "-x", "c", "/dev/null"])
    assert "#define __ARM_FEATURE_MVE" in macros


def test_the_machine_has_all_the_memory_that_the_board_promises(
    target: Target, session: Board
) -> None:
    for region in target.memory.regions.values():
        say(session, Command.READ, region.origin)
        say(session, Command.READ, region.end - 4)


@pytest.mark.parametrize("command", [Command.UNDEFINED, Command.READ])
def test_a_fault_is_told_with_the_address_of_its_instruction(
    command: Command, target: Target, folder: Path
) -> None:
    """Or a crash would be a link that times out, and nobody would know where to look."""
    symbols = dict(
        (line.split()[2], int(line.split()[0], 16))
        for line in run_tool("arm-none-eabi-nm", [folder / "firmware.elf"]).splitlines()
        if len(line.split()) == 3
    )
    address = symbols[f"port_{command.name.lower()}"]
    with (
        start(target, folder) as session,
        pytest.raises(BoardFault, match=f"faulted at 0x{address & ~1:08x} "),
    ):
        say(session, command, NO_MEMORY)


def test_the_stack_is_measured_and_its_overflow_is_a_fault(target: Target, folder: Path) -> None:
    """Never a wrong result: the stack lies below the variables, not above."""
    with start(target, folder) as session:
        before = session.stats().stack_used
        assert say(session, Command.RECURSE, 16) == 16
        assert before + 16 * 64 <= session.stats().stack_used < target.memory.stack_bytes
        with pytest.raises(BoardFault, match="faulted at 0x00000000 "):
            say(session, Command.RECURSE, target.memory.stack_bytes)


def test_the_board_tells_the_sizes_of_the_build(target: Target, tmp_path: Path) -> None:
    """The report quotes the board's."""
    firmware = build(target, tmp_path)
    with start(target, tmp_path) as session:
        greeting = session.greeting
    assert greeting.flash_bytes == firmware.flash_bytes
    assert (greeting.ram_bytes, greeting.stack_bytes) == (firmware.ram_bytes, firmware.stack_bytes)
    assert greeting.build_id == firmware.build_id
    assert greeting.board == target.name


def test_an_image_behind_a_boot_loader_brings_its_own_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such an image is jumped to: no reset has told the core where its vectors are."""
    target = load_board(BOARD)
    behind = replace(target.memory, flash=Region(0x10_0000, 0x10_0000))
    target = replace(target, memory=behind)
    build(target, tmp_path)
    command = emulator._command

    def jump(*arguments: Any) -> list[str]:
        words = command(*arguments)
        at = words.index("-kernel")
        elf = words[at + 1]
        return [*words[:at], "-device", f"loader,file={elf},cpu-num=0", *words[at + 2 :]]

    monkeypatch.setattr(emulator, "_command", jump)
    with start(target, tmp_path) as session:
        assert instructions_beside_the_loop(session, 3_500_000)[1] == 1
