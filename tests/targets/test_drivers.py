"""Drivers of boards that nobody here can run: on the host, against models of the registers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from targets.board import Board, board_names, load_board
from targets.image import port_sources, write_board_files
from targets.sources import C_FLAGS, include_folders
from targets.toolchain import run_tool

HERE = Path(__file__).parent
SECONDS = 60
HARDWARE = [name for name in board_names() if not load_board(name).emulator]


def build(board: Board, out: Path) -> Path:
    """The drivers of ``board`` and ``drivers_on_host.c``, as a program of this machine."""
    write_board_files(board, out)
    kinds = ("clock_", "pins_", "uart_")
    sources = [
        path for path in port_sources(board) if path.stem == "clock" or path.stem.startswith(kinds)
    ]
    program = out / "drivers"
    run_tool("gcc", [
        # The UARTE is given addresses of 32 bits.
        *C_FLAGS, "-O1", "-g", "-no-pie", "-fsanitize=undefined", "-fno-sanitize-recover",
        "-include", HERE / "fake_registers.h", f"-DBOARD_MODEL=MODEL_{board.uart.driver}",
        *(f"-I{folder}" for folder in (*include_folders(), out)),
        *sources, HERE / "drivers_on_host.c", "-o", program,
    ])  # fmt: skip
    return program


def run(program: Path, cycle_step: int = 3) -> dict[int, int]:
    """The registers after a run, by address; what went wrong fails the test."""
    result = subprocess.run(
        [program, str(cycle_step)], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    wrong = [line for line in result.stdout.splitlines() if line.startswith("wrong")]
    assert (wrong, result.returncode) == ([], 0), result.stderr
    pairs = (line.split() for line in result.stdout.splitlines())
    return {int(address, 16): int(value, 16) for address, value in pairs}


@pytest.fixture(scope="module", params=HARDWARE)
def board(request: pytest.FixtureRequest) -> Board:
    return load_board(request.param)


@pytest.fixture(scope="module")
def program(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(board, tmp_path_factory.mktemp(board.name))


def test_bytes_pass_a_loss_is_counted_and_no_wait_is_endless(program: Path) -> None:
    """No clock ever gets ready here; a board that hangs before it can greet says nothing."""
    run(program)


@pytest.mark.parametrize("step", [1, 1000, 0])
def test_cycles_are_those_of_a_counter_that_advances(program: Path, step: int) -> None:
    """Step 0: it stands still, as in a core without it, and SysTick is taken."""
    run(program, step)


def bits(value: int, high: int, low: int) -> int:
    return value >> low & (1 << high - low + 1) - 1


def stm32f4(registers: dict[int, int], input_hz: int) -> float:
    """RM0390, RCC_PLLCFGR: VCO = input / PLLM * PLLN; PLLP 0 is a half."""
    word = registers[0x40023804]
    assert bits(word, 22, 22) == 1 and bits(registers[0x40023808], 1, 0) == 2
    vco = input_hz / bits(word, 5, 0) * bits(word, 14, 6)
    assert 1e6 <= input_hz / bits(word, 5, 0) <= 2e6 and 100e6 <= vco <= 432e6
    return vco / (2 * bits(word, 17, 16) + 2)


def stm32h7(registers: dict[int, int], input_hz: int) -> float:
    """RM0433, RCC_PLLCKSELR and RCC_PLL1DIVR."""
    select, divide = registers[0x58024428], registers[0x58024430]
    assert bits(select, 1, 0) == 2 and bits(registers[0x58024410], 2, 0) == 3
    reference = input_hz / bits(select, 9, 4)
    vco = reference * (bits(divide, 8, 0) + 1)
    low, high = {0: (1e6, 2e6), 1: (2e6, 4e6), 2: (4e6, 8e6), 3: (8e6, 16e6)}[
        bits(registers[0x5802442C], 3, 2)
    ]
    assert low <= reference <= high and 192e6 <= vco <= 836e6
    return vco / (bits(divide, 15, 9) + 1)


def stm32u5(registers: dict[int, int], input_hz: int) -> float:
    """RM0456, RCC_PLL1CFGR and RCC_PLL1DIVR."""
    config, divide = registers[0x46020C28], registers[0x46020C34]
    assert bits(config, 1, 0) == 2 and bits(config, 18, 18) == 1
    assert bits(registers[0x46020C1C], 1, 0) == 3 and bits(registers[0x46020C20], 3, 0) == 0
    reference = input_hz / (bits(config, 11, 8) + 1)
    vco = reference * (bits(divide, 8, 0) + 1)
    assert 8e6 <= reference <= 16e6 and bits(config, 3, 2) == 3 and 128e6 <= vco <= 544e6
    return vco / (bits(divide, 30, 24) + 1)


def rp2350(registers: dict[int, int], input_hz: int) -> float:
    """RP2350 datasheet, "PLL": CS, FBDIV_INT and PRIM."""
    prim = registers[0x4005000C]
    assert registers[0x4001003C] == 1 and registers[0x40010048] == 1 << 11
    vco = input_hz / bits(registers[0x40050000], 5, 0) * registers[0x40050008]
    assert 750e6 <= vco <= 1600e6
    return vco / (bits(prim, 18, 16) * bits(prim, 14, 12))


DECODED: dict[str, Callable[[dict[int, int], int], float]] = {
    "stm32f4": stm32f4, "stm32h7": stm32h7, "stm32u5": stm32u5, "rp2350": rp2350,
}  # fmt: skip


def test_the_registers_make_the_clock_that_the_board_promises(board: Board, program: Path) -> None:
    """Cycles become seconds by this figure, and the baud rate hangs on it."""
    registers, clock = run(program), board.clock
    if clock.pll is None:
        assert registers[0x50005558] == 0, "the nRF's core at 128 MHz"
        return
    assert DECODED[clock.driver or ""](registers, clock.pll.input_hz) == clock.tick_hz


def test_the_registers_make_the_rate_of_the_line(board: Board, program: Path) -> None:
    registers, uart = run(program), board.uart
    if uart.driver == "pl011":
        whole, fraction = registers[uart.base + 0x24], registers[uart.base + 0x28]
        rate = uart.clock_hz / (16 * (whole + fraction / 64))
    elif uart.driver == "uarte":
        rate = registers[uart.base + 0x524] * 16e6 / 2**32
    else:
        rate = uart.clock_hz / registers[uart.base + (0x08 if uart.driver == "stm32" else 0x0C)]
    assert rate == pytest.approx(uart.baud, rel=0.02)


def test_the_interrupt_of_the_port_reaches_the_core(board: Board, program: Path) -> None:
    number = board.uart.receive_interrupt
    assert run(program)[0xE000E100 + 4 * (number // 32)] == 1 << number % 32
