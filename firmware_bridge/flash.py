"""Writing firmware to a board by the tool that its file names, and resetting it by that tool.

The tools are programs of their own, never imported: pyOCD, OpenOCD, picotool. What
they say is for people who know them, so the commonest failures are told in our words,
and the last line that they said is always there.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dyncp.errors import UserError
from firmware_bridge.discovery import find_program
from targets.board import Board, Probe
from targets.firmware_build import Firmware, read_firmware

FLASH_SECONDS = 180.0
"""The longest that a tool may take: a megabyte over a slow probe takes one minute."""

_END_SECONDS = 5.0

INSTALL = {
    "pyocd": "pip install pyocd",
    "openocd": "apt-get update && apt-get install -y --no-install-recommends openocd",
    "picotool": "apt-get update && apt-get install -y --no-install-recommends picotool, or build "
    "it from Raspberry Pi's sources where there is no such package",
}

# OpenOCD's name of the kind of probe, by the vendor of its USB id.
_INTERFACES = {"0483": "stlink", "1366": "jlink"}
_OTHER_INTERFACE = "cmsis-dap"

# What the tools say where they cannot, and what a person can do. The first that fits counts:
# a locked chip is often also one that did not answer.
_HINTS = (
    (
        r"locked|APPROTECT|access protection|protected|RDP|readout protection",
        "the chip is locked; to unlock it erases all that is on it, and is for you to do: "
        "`pyocd commander -c unlock`, or the vendor's tool",
    ),
    (
        r"pack install|not recogni[sz]ed|unknown target|can't find target|couldn't find target",
        "the tool does not know the chip: with pyOCD, `pyocd pack install TARGET`; else take a "
        "newer version of the tool, and check 'probe.target' in the board's file",
    ),
    (
        r"permission|access denied|LIBUSB_ERROR_ACCESS|insufficient permissions",
        "you may not use the probe: add the udev rules that come with the tool",
    ),
    (
        r"no (available |connected |accessible )?.*(probe|device|adapter|RP-series).*"
        r"|unable to (open|find)|open failed|not found|no device",
        "no probe was found: check the cable; a Pico must be in BOOTSEL mode for picotool",
    ),
    (
        r"unable to connect|no ACK|SWD.*fail|target.*not.*(halt|respon|examin)|transfer fault",
        "the chip did not answer its probe: check its power, and hold its reset while it is tried",
    ),
    (r"verif(y|ication).*(fail|error|mismatch)|checksum mismatch",
     "what was written is not what was read back: try again, then suspect the flash"),
)  # fmt: skip


@dataclass(frozen=True)
class _Tool:
    """How a tool is told to write an image, and to reset; ``serial`` is the probe's or None."""

    flash: Callable[[Probe, Path, str | None], Sequence[str]]
    restart: Callable[[Probe, str | None], Sequence[str]]


def image_for(board: Board, elf: Path) -> Firmware:
    """What ``elf`` is. Raises :class:`UserError` if it was built for another board."""
    if not elf.is_file():
        raise UserError(f"there is no firmware {elf}; build it with: python -m targets firmware")
    firmware = read_firmware(elf)
    if firmware.board != board.name:
        raise UserError(f"{elf} was built for {firmware.board}, not for {board.name}")
    return firmware


def flash(
    board: Board, elf: Path, serial: str | None = None, seconds: float = FLASH_SECONDS
) -> None:
    """Write ``elf`` to ``board`` and start it.

    ``serial``: the probe's serial number, where several are plugged in. Raises
    :class:`UserError` if the board has no probe, the tool is missing, fails, or
    takes longer than ``seconds``. That the board runs it is for its greeting to say.
    """
    probe = require_probe(board)
    _run(probe, _TOOLS[probe.flash_with].flash(probe, elf, serial), seconds)


def restart(board: Board, serial: str | None = None, seconds: float = FLASH_SECONDS) -> None:
    """Reset the board's processor by its probe. Errors as :func:`flash`."""
    probe = require_probe(board)
    _run(probe, _TOOLS[probe.flash_with].restart(probe, serial), seconds)


def require_probe(board: Board) -> Probe:
    """The board's probe. Raises :class:`UserError` if it has none."""
    if board.probe is None:
        raise UserError(
            f"board {board.name} has no probe to flash it with"
            + (": it is emulated, and is started with its firmware" if board.emulator else "")
        )
    return board.probe


def _run(probe: Probe, arguments: Sequence[str], seconds: float) -> None:
    name = probe.flash_with
    program = find_program(name)
    if program is None:
        raise UserError(f"{name} is not installed; run: {INSTALL[name]}")
    # A group of its own: what the tool has started ends with it.
    tool = subprocess.Popen(
        [str(program), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    try:
        output, _ = tool.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        said = _end(tool)
        raise UserError(
            f"{name} had not ended after {seconds:g} s and was stopped; check the cable and that "
            f"nothing else uses the probe{_last_words(said)}"
        ) from None
    except BaseException:
        _end(tool)
        raise
    if tool.returncode != 0:
        said = output.decode(errors="replace")
        raise UserError(
            f"{name} failed with exit code {tool.returncode}{_hint(said)}{_last_words(said)}"
        )


def _end(tool: subprocess.Popen[bytes]) -> str:
    with suppress(ProcessLookupError):
        os.killpg(tool.pid, signal.SIGKILL)
    try:
        output, _ = tool.communicate(timeout=_END_SECONDS)
    except subprocess.TimeoutExpired:
        return ""
    return output.decode(errors="replace")


def _hint(said: str) -> str:
    for pattern, hint in _HINTS:
        if re.search(pattern, said, re.IGNORECASE):
            return f": {hint}"
    return ""


def _last_words(said: str) -> str:
    """The line that tells most: the last that speaks of an error, else the last."""
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"error|fail|critical", line, re.IGNORECASE)]
    found = (errors or lines)[-1:]
    return f" (it said: {found[0]})" if found else " (it said nothing)"


def _pyocd(verb: str, probe: Probe, serial: str | None) -> list[str]:
    assert probe.target
    which = ["--uid", serial] if serial else []
    # Without -W it waits for a probe for ever; and a locked chip is not ours to erase.
    return [verb, "-W", "--target", probe.target, *which, "-O", "auto_unlock=false"]


def _openocd(probe: Probe, commands: str, serial: str | None) -> list[str]:
    vendor = probe.usb[0].partition(":")[0]
    which = ["-c", f"adapter serial {{{serial}}}"] if serial else []
    return [
        *("-f", f"interface/{_INTERFACES.get(vendor, _OTHER_INTERFACE)}.cfg", *which),
        *("-f", f"target/{probe.target}.cfg", "-c", commands),
    ]


_TOOLS = {
    "pyocd": _Tool(
        lambda probe, elf, serial: [*_pyocd("flash", probe, serial), "--format", "elf", str(elf)],
        lambda probe, serial: _pyocd("reset", probe, serial),
    ),
    "openocd": _Tool(
        # In braces, so that a path may have spaces in it.
        lambda probe, elf, serial: _openocd(probe, f"program {{{elf}}} verify reset exit", serial),
        lambda probe, serial: _openocd(probe, "init; reset run; exit", serial),
    ),
    # Its serial number would be the chip's and not the probe's.
    "picotool": _Tool(
        lambda probe, elf, serial: ["load", "-v", "-x", "-f", str(elf)],
        lambda probe, serial: ["reboot", "-f"],
    ),
}
