"""Board files: every mistake is named by file and key, on one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dyncp.errors import UserError
from targets.board import BOARD_FOLDER, Probe, board_names, load_board
from targets.board_checks import chosen_drivers, driver_kinds, drivers, line_rate
from targets.sources import FIRMWARE_FOLDER

SHIPPED = (BOARD_FOLDER / "mps2-an386.toml").read_text(encoding="utf-8")

CONSTANTS = "[memory]\nconstants = {{ {} }}"

PLL = (
    'pll = { source = "external", input_hz = 8_000_000, '
    "divide = 8, multiply = 336, post_divide = 2 }"
)


def pins(more: str, transmit: int = 2, receive: int = 3, function: int = 7) -> str:
    numbers = f"transmit = {transmit}\nreceive = {receive}\nfunction = {function}"
    return f"receive_interrupt = 0\n[uart.pins]\n{more}\n{numbers}\n"


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
                    "unknown key 'uart.parity'; known: driver, base, clock_hz, divider"),
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
    "odd size": ("origin = 0x2000_0000, bytes = 0x40_0000", "origin = 0x2000_0000, bytes = 99_999",
                 "'memory.ram.bytes' must be a multiple of 16"),
    "no UART clock": ("clock_hz = 25_000_000", "clock_hz = 0", "'uart.clock_hz' must be positive"),
    "a line too fast": ("divider = 217", "divider = 212",
                        "makes 117925 baud, +2.4 % off 'uart.baud'; it must be within 2 %"),
    "a line too slow": ("divider = 217", "divider = 222",
                        "makes 112613 baud, -2.2 % off 'uart.baud'; it must be within 2 %"),
    "no baud": ("baud = 115_200", "baud = 0", "'uart.baud' must be positive"),
    "no divider": ("divider = 217", "divider = 0", "'uart.divider' must be positive"),
    "no such interrupt": ("receive_interrupt = 0", "receive_interrupt = 480",
                          "'uart.receive_interrupt' must lie in 0..479"),
    "unknown driver": ('"cmsdk"', '"16550"', "'uart.driver' must be one of cmsdk, pl011, stm32"),
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
    "a clock that no PLL makes": (
        "tick_hz = 25_000_000", f"tick_hz = 25_000_000\n{PLL}",
        "'clock.tick_hz' must be what 'clock.pll' makes, 168000000 Hz, not 25000000"),
    "PLL without a step": (
        "tick_hz = 25_000_000", f"tick_hz = 25_000_000\n{PLL}".replace("divide = 8", "divide = 0"),
        "'clock.pll.divide' must be positive"),
    "unknown key of a PLL": (
        "tick_hz = 25_000_000", f"tick_hz = 25_000_000\n{PLL}".replace("multiply", "factor"),
        "unknown key 'clock.pll.factor'; known: source, input_hz, divide, multiply"),
    "unknown source of a PLL": (
        "tick_hz = 25_000_000", f"tick_hz = 25_000_000\n{PLL}".replace("external", "mains"),
        "'clock.pll.source' must be one of crystal, external, internal, not 'mains'"),
    "unknown clock driver": (
        "tick_hz = 25_000_000", 'tick_hz = 25_000_000\ndriver = "z80"',
        "'clock.driver' must be one of nrf5340, rp2350, stm32f4"),
    "clock driver without its PLL": (
        "tick_hz = 25_000_000", 'tick_hz = 25_000_000\ndriver = "stm32f4"',
        "key 'clock.pll' is missing: driver 'stm32f4' of 'clock.driver' reads it"),
    "unknown caches": ('kernels = "dsp" ', 'kernels = "dsp"\ncaches = "l2" ',
                       "'core.caches' must be one of m7, nrf5340, stm32u5"),
    "unknown image block": ("stack_bytes", 'image_block = "pe"\nstack_bytes',
                            "'memory.image_block' must be one of rp2350"),
    "UART without its clock's bit": ('driver = "cmsdk"', 'driver = "stm32"',
                                     "key 'uart.enable' is missing: driver 'stm32'"),
    "odd enable register": (
        "receive_interrupt = 0", "receive_interrupt = 0\nenable = { register = 2, bit = 0 }",
        "'uart.enable.register' must be a multiple of 4"),
    "enable bit beyond the register": (
        "receive_interrupt = 0", "receive_interrupt = 0\nenable = { register = 4, bit = 32 }",
        "'uart.enable.bit' must lie in 0..31"),
    "unknown pins": ("receive_interrupt = 0", pins('driver = "avr"'),
                     "'uart.pins.driver' must be one of nrf, rp2350, stm32"),
    "pins without their port": ("receive_interrupt = 0", pins('driver = "stm32"'),
                                "key 'uart.pins.port' is missing: driver 'stm32'"),
    "one pin for both": ("receive_interrupt = 0", pins('driver = "rp2350"', receive=2),
                         "'uart.pins.transmit' and 'uart.pins.receive' must differ"),
    "no such pin": ("receive_interrupt = 0", pins('driver = "rp2350"', receive=48),
                    "'uart.pins.receive' must lie in 0..47"),
    "no such function": ("receive_interrupt = 0", pins('driver = "rp2350"', function=16),
                         "'uart.pins.function' must lie in 0..15"),
    "odd port": ("receive_interrupt = 0", pins('driver = "nrf"\nport = 0x5084_2502'),
                 "'uart.pins.port' must be a multiple of 4"),
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
    assert {f"{name}.c" for name in chosen_drivers(board).values()} <= {
        path.name for path in (FIRMWARE_FOLDER / "ports").glob("*.c")
    }


def test_every_driver_that_ships_is_some_boards() -> None:
    """One that no board names is compiled by nobody."""
    named = {
        name for board in map(load_board, board_names()) for name in chosen_drivers(board).values()
    }
    for kind in driver_kinds():
        assert {f"{kind}_{name}" for name in drivers(kind)} <= named


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("mps2-an386", 25_000_000 / 217),
        ("netduinoplus2", 84_000_000 / 91),
        ("nucleo-f446re", 42_000_000 / 46),
        ("pico2", 150_000_000 / (16 * (10 + 11 / 64))),
        ("nrf5340-dk", 1_000_000),
    ],
)
def test_the_rate_of_the_line_is_what_the_divider_makes(name: str, rate: float) -> None:
    """A PL011 counts in 64ths of 16 clocks; taken for clocks, the check would pass nonsense."""
    assert float(line_rate(load_board(name))) == pytest.approx(rate, rel=1e-12)


def test_every_hardware_board_can_be_found_and_flashed() -> None:
    boards = [load_board(name) for name in board_names()]
    hardware = [board for board in boards if not board.emulator]
    assert len(hardware) >= 5
    for board in hardware:
        assert board.probe is not None and board.probe.usb
        assert board.clock.driver and board.uart.pins
        assert board.uart.baud >= 921_600, "slower than real time with masks and PCM"


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
