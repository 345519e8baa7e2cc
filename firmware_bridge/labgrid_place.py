"""The serial port of a labgrid place: ``labgrid://PLACE``.

labgrid shares a farm of boards between people. Its client is run as a program of its
own: it brings its own pyserial, which would take the place of ours. The coordinator is the one
in ``LG_COORDINATOR``, as for labgrid's own tools.
"""

from __future__ import annotations

import subprocess
from typing import Any

import yaml

from dyncp.errors import UserError
from firmware_bridge.discovery import find_program

SCHEME = "labgrid://"
CLIENT = "labgrid-client"
_CLIENT_SECONDS = 60.0
_RESOURCE = "NetworkSerialPort"


class Place:
    """An acquired place; gives it back if it was not ours before.

    ``url``: where its serial port is, for pyserial. Raises :class:`UserError` if
    labgrid's client is missing, does not know the place or somebody else has it, or if it
    has not exactly one serial port.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._acquired = False
        refusal = _client(name, "acquire")
        if refusal is None:
            self._acquired = True
        elif not refusal.endswith(f"You have already acquired place {name}."):
            raise UserError(
                f"cannot acquire the labgrid place {name}: {refusal}; check LG_COORDINATOR, and "
                f"who has it with: {CLIENT} who"
            )
        try:
            self.url = _port_url(name, _client_output(name, "env"))
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give it back. May be called again."""
        if self._acquired:
            self._acquired = False
            refusal = _client(self.name, "release")
            if refusal is not None:
                raise UserError(f"cannot release the labgrid place {self.name}: {refusal}")


def _port_url(place: str, environment: str) -> str:
    """The port's URL, of what ``labgrid-client env`` has printed: its environment file."""
    try:
        resources: list[dict[str, Any]] = yaml.safe_load(environment)["targets"][place]["resources"]
        ports = [entry[_RESOURCE] for entry in resources if _RESOURCE in entry]
        found = [f"{_scheme(port)}://{port['host']}:{int(port['port'])}" for port in ports]
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"labgrid's answer about place {place} is not understood ({type(error).__name__}: "
            f"{error}); docs/labgrid.md names the version that this was written for"
        ) from error
    if len(found) != 1:
        raise UserError(
            f"the labgrid place {place} has {len(found)} serial ports, not 1; match one with: "
            f"{CLIENT} -p {place} add-match 'EXPORTER/GROUP/{_RESOURCE}'"
        )
    return found[0]


def _scheme(port: dict[str, Any]) -> str:
    """ser2net speaks RFC 2217 unless the exporter says that the port is raw."""
    return "socket" if port.get("protocol") == "raw" else "rfc2217"


def _client_output(place: str, command: str) -> str:
    result = _run(place, command)
    if result.returncode != 0:
        raise UserError(f"`{CLIENT} -p {place} {command}` failed: {_complaint(result)}")
    return result.stdout


def _client(place: str, command: str) -> str | None:
    """Run it; None if it did as asked, else why not."""
    result = _run(place, command)
    return None if result.returncode == 0 else _complaint(result)


def _run(place: str, command: str) -> subprocess.CompletedProcess[str]:
    program = find_program(CLIENT)
    if program is None:
        raise UserError(
            f"{CLIENT} is not installed; run, in a virtual environment of its own: pip install "
            "labgrid; and put its bin folder on PATH (docs/labgrid.md)"
        )
    try:
        return subprocess.run(
            [str(program), "-p", place, command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CLIENT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"labgrid's coordinator did not answer within {_CLIENT_SECONDS:g} s; check "
            "LG_COORDINATOR"
        ) from None


def _complaint(result: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (result.stderr + result.stdout).splitlines() if line.strip()]
    return " ".join(lines[-1].split()) if lines else f"exit code {result.returncode}"
