"""Board files: every mistake is named by file and key, on one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dyncp.errors import UserError
from targets.board import BOARD_FOLDER, Probe, board_names, load_board, uart_drivers

SHIPPED = (BOARD_FOLDER / "mps2-an386.toml").read_text(encoding="utf-8")

CONSTANTS = "[memory]\nconstants = {{ {} }}"

PROBE = '[probe]\nusb = {usb}\nflash_with = "pyocd"\n{more}\n[emulator]'

# What is replaced in the shipped board, by what, and what the error says of it.
MISTAKES = {
    "missing text": ('title = "Arm MPS2 AN386, emulated (Cortex-M4F)"', "",
                     "key 'title' is missing"),
    "missing table": ("[clock]", "[clocks]", "unknown key 'clocks'; known: title, core, clock"),
    "missing in a table": ('cpu = "cortex-m4"', "", "key 'core.cpu' is missing"),
    "missing in an inline table": ("origin = 0x2000_0000, ", "",
                                   "key 'memory.ram.origin' is missing"),
    "missing in an optional table": ('machine = "mps2-an386"', "",
                                     "key 'emulator.machine' is missing"),
    "unknown key": ("baud = 115_200", "baud = 115_200\nparity = 1",
                    "unknown key 'uart.parity'; known: driver, base, divider, baud,"),
    "unknown key at the top": ("[core]", 'vendor = "Arm"\n[core]', "unknown key 'vendor'"),
    "unknown region": ("stack_bytes", "sram", "unknown key 'memory.sram'"),
    "a name of its own": ("[core]", 'name = "x"\n[core]',
                          "unknown key 'name'; a board is named by its file"),
    "text for a number": ("tick_hz = 25_000_000", 'tick_hz = "25 MHz"',
                          "'clock.tick_hz' must be an integer, not '25 MHz'"),
    "fraction for a number": ("tick_hz = 25_000_000", "tick_hz = 2.5e7",
                              "'clock.tick_hz' must be an integer, not 25000000.0"),
    "truth for a number": ("receive_interrupt = 0", "receive_interrupt = false",
                           "'uart.receive_interrupt' must be an integer, not False"),
    "number for text": ('cpu = "cortex-m4"', "cpu = 4", "'core.cpu' must be a string, not 4"),
    "number for a table": ("ram = { origin = 0x2000_0000, bytes = 0x40_0000 }", "ram = 1",
                           "'memory.ram' must be a table, not 1"),
    "unknown float ABI": ('"hard"', '"fast"',
                          "'core.float_abi' must be one of soft, softfp, hard, not 'fast'"),
    "unknown kernels": ('kernels = "dsp"', 'kernels = "neon"',
                        "'core.kernels' must be one of portable, dsp, helium, not 'neon'"),
    "unknown counter": ('counts = "instructions"', 'counts = "seconds"',
                        "'clock.counts' must be one of instructions, cycles, not 'seconds'"),
    "list for a choice": ('counts = "instructions"', "counts = [1]",
                          "'clock.counts' must be one of instructions, cycles, not [1]"),
    "negative": ("divider = 217", "divider = -1", "'uart.divider' must fit 32 bits, not -0x1"),
    "over 32 bits": ("base = 0x4000_4000", "base = 0x1_0000_0000",
                     "'uart.base' must fit 32 bits, not 0x100000000"),
    "no flash": ("origin = 0x0000_0000, bytes = 0x40_0000", "origin = 0, bytes = 0",
                 "'memory.flash.bytes' must be positive"),
    "odd origin": ("origin = 0x2000_0000", "origin = 0x2000_0004",
                   "'memory.ram.origin' must be a multiple of 16"),
    "beyond the end": ("origin = 0x2000_0000", "origin = 0xFFFF_FFF0",
                       "'memory.ram' ends beyond the 32-bit address space"),
    "overlap": ("origin = 0x2000_0000", "origin = 0x0030_0000",
                "'memory.flash' and 'memory.ram' overlap"),
    "no place for vectors": ("origin = 0x0000_0000", "origin = 0x0010_0400",
                             "'memory.flash.origin' must be a multiple of 2048"),
    "constants in flash": ("[memory]", CONSTANTS.format("origin = 0x003F_FFF0, bytes = 32"),
                           "'memory.flash' and 'memory.constants' overlap"),
    "constants in RAM": ("[memory]", CONSTANTS.format("origin = 0x1FFF_FFF0, bytes = 32"),
                         "'memory.constants' and 'memory.ram' overlap"),
    "odd constants": ("[memory]", CONSTANTS.format("origin = 0x1000_0008, bytes = 32"),
                      "'memory.constants.origin' must be a multiple of 16"),
    "no constants": ("[memory]", CONSTANTS.format("origin = 0x1000_0000, bytes = 0"),
                     "'memory.constants.bytes' must be positive"),
    "constants without a place": ("[memory]", CONSTANTS.format("bytes = 32"),
                                  "key 'memory.constants.origin' is missing"),
    "UART in constants": ("[memory]", CONSTANTS.format("origin = 0x4000_0000, bytes = 0x8000"),
                          "'uart.base' lies inside 'memory.constants'"),
    "spare memory in use": ("origin = 0x2100_0000", "origin = 0x2000_0000",
                            "'memory.ram' and 'emulator.spare' overlap"),
    "UART in memory": ("base = 0x4000_4000", "base = 0x2000_0000",
                       "'uart.base' lies inside 'memory.ram'"),
    "odd UART": ("base = 0x4000_4000", "base = 0x4000_4002",
                 "'uart.base' must be a multiple of 4"),
    "no stack": ("stack_bytes = 4_096", "stack_bytes = 512", "'memory.stack_bytes' must be"),
    "odd stack": ("stack_bytes = 4_096", "stack_bytes = 4_100", "'memory.stack_bytes' must be"),
    "stack over RAM": ("stack_bytes = 4_096", "stack_bytes = 0x40_0000",
                       "'memory.stack_bytes' must be"),
    "clock that stands": ("tick_hz = 25_000_000", "tick_hz = 0",
                          "'clock.tick_hz' must be positive"),
    "no baud": ("baud = 115_200", "baud = 0", "'uart.baud' must be positive"),
    "no divider": ("divider = 217", "divider = 0", "'uart.divider' must be positive"),
    "no such interrupt": ("receive_interrupt = 0", "receive_interrupt = 480",
                          "'uart.receive_interrupt' must lie in 0..479"),
    "unknown driver": ('"cmsdk"', '"16550"', "'uart.driver' must be one of cmsdk"),
    "emulated cycles": ('counts = "instructions"', 'counts = "cycles"',
                        "'clock.counts' must be \"instructions\" with an [emulator]"),
    "slow emulator": ("icount_shift = 7", "icount_shift = 11",
                      "'emulator.icount_shift' must lie in 0..10"),
    "fast emulator": ("icount_shift = 7", "icount_shift = 6",
                      "'emulator.icount_shift' is too small: 'clock.tick_hz' must give"),
    "text for USB ids": ("[emulator]", PROBE.format(usb='"0483:374b"', more=""),
                         "'probe.usb' must be a list of strings, not '0483:374b'"),
    "no USB ids": ("[emulator]", PROBE.format(usb="[]", more=""),
                   "'probe.usb' must be a list of strings, not []"),
    "USB id in another form": ("[emulator]", PROBE.format(usb='["0483-374B"]', more='target = "x"'),
                               "'probe.usb' must be like '0483:374b', in lower case"),
    "unknown flash tool": ("[emulator]", PROBE.format(usb='["0483:374b"]', more="").replace(
                           "pyocd", "dfu"), "'probe.flash_with' must be one of pyocd, openocd"),
    "chip without a name": ("[emulator]", PROBE.format(usb='["0483:374b"]', more=""),
                            "key 'probe.target' is missing: pyocd asks for the chip's name"),
    "unknown key of a probe": ("[emulator]", PROBE.format(usb='["0483:374b"]', more="pid = 1"),
                               "unknown key 'probe.pid'; known: usb, flash_with, target"),
    "no TOML": ("[core]", "[core", "is not valid TOML"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_by_file_and_key(mistake: str, tmp_path: Path) -> None:
    """Who brings up a board must not have to read our Python."""
    old, new, message = MISTAKES[mistake]
    assert old in SHIPPED
    path = tmp_path / "mine.toml"
    path.write_text(SHIPPED.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        load_board(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", board_names())
def test_the_shipped_boards_load(name: str) -> None:
    board = load_board(name)
    assert board.name == name
    assert board.uart.driver in uart_drivers()


def test_there_is_an_emulated_board_of_every_core_that_we_write_kernels_for() -> None:
    boards = [load_board(name) for name in board_names()]
    found = {board.core.cpu for board in boards if board.emulator}
    assert found >= {"cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55"}


def test_the_default_board_is_the_machine_that_qemu_has() -> None:
    board = load_board("mps2-an386")
    assert board.core.flags == (
        "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", "-mthumb",
    )  # fmt: skip
    assert (board.memory.flash.origin, board.memory.ram.origin) == (0, 0x20000000)
    assert board.memory.ram.end == 0x20400000
    assert (board.uart.base, board.clock.tick_hz) == (0x40004000, 25_000_000)
    assert board.emulator is not None and board.emulator.icount_shift == 7
    assert board.probe is None


def test_constants_have_a_region_of_their_own_or_none() -> None:
    """The M55's machine has little memory that it can start from."""
    apart, together = load_board("mps3-an547").memory, load_board("mps2-an386").memory
    assert list(apart.regions) == ["flash", "constants", "ram"]
    assert apart.constants is not None and apart.constants.bytes > apart.flash.bytes
    assert together.constants is None
    assert together.regions == {"flash": together.flash, "ram": together.ram}


def test_a_board_without_emulator_counts_cycles(tmp_path: Path) -> None:
    """That is what a board on the desk looks like."""
    text = SHIPPED.replace('counts = "instructions"', 'counts = "cycles"')
    text = text[: text.index("[emulator]")] + (
        '[probe]\nusb = ["0483:374b", "1366:1015"]\nflash_with = "openocd"\ntarget = "stm32f4x"\n'
    )
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    board = load_board(str(path))
    assert (board.name, board.emulator) == ("mine", None)
    assert board.probe == Probe(("0483:374b", "1366:1015"), "openocd", "stm32f4x")
    path.write_text(text.replace('counts = "cycles"', 'counts = "instructions"'))
    with pytest.raises(UserError, match=r"'clock\.counts' must be"):
        load_board(str(path))


def test_a_board_that_does_not_exist_names_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown board 'stm32'; choose one of mps2-an386"):
        load_board("stm32")
    with pytest.raises(UserError, match=r"cannot read board .*missing\.toml: No such file"):
        load_board(str(tmp_path / "missing.toml"))


def test_a_board_of_other_bytes_is_no_board(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe\x00title")
    with pytest.raises(UserError, match="is not valid TOML"):
        load_board(str(path))
