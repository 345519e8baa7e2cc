"""A labgrid place: acquired for a session, given back after it, and nobody else's taken.

The first tests have a client that answers as labgrid's 26.0.1 does; the last one has the real
coordinator, exporter and client, and two emulated boards side by side.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from dyncp.errors import UserError
from firmware_bridge import discovery, emulator
from firmware_bridge.connect import open_transport
from firmware_bridge.labgrid_place import Place
from firmware_bridge.session import Board
from targets.board import load_board
from targets.toolchain import find_tool
from tests.firmware_bridge.conftest import BOARD, Built
from tests.firmware_bridge.fake_board import FakeBoard
from tests.firmware_bridge.served_board import NotedPort, behind_rfc2217

TARGET = load_board(BOARD)
WAIT_SECONDS = 60.0

CLIENT = """#!/bin/sh
# As labgrid-client: -p PLACE COMMAND, a place of this folder.
echo "$3" >> "$0.said"
case "$3" in
  acquire) test ! -e "$0.refusal" || {{ cat "$0.refusal" >&2; exit 1; }}
    echo "acquired place $2" ;;
  env) cat "$0.env" ;;
  release) echo "released place $2" ;;
esac
"""

ENVIRONMENT = """targets:
  desk:
    resources:
    - NetworkSerialPort:
        host: {host}
        protocol: {protocol}
        port: {port}
        speed: 115200
    - NetworkPowerPort:
        model: gude
        host: power
        index: 1
"""


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The fake client, alone on PATH but for the shell's own tools."""
    path = tmp_path / "labgrid-client"
    path.write_text(CLIENT.format())
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(discovery.sys, "executable", str(tmp_path / "python"))
    tell(path, "rack", 4001)
    return path


def tell(client: Path, host: str, port: int, protocol: str = "rfc2217") -> None:
    text = ENVIRONMENT.format(host=host, port=port, protocol=protocol)
    client.with_name("labgrid-client.env").write_text(text)


def said(client: Path) -> list[str]:
    return client.with_name("labgrid-client.said").read_text().split()


@pytest.mark.parametrize(("protocol", "scheme"), [("rfc2217", "rfc2217"), ("raw", "socket")])
def test_the_places_port_is_reached_as_its_exporter_says(
    client: Path, protocol: str, scheme: str
) -> None:
    tell(client, "rack", 4001, protocol)
    place = Place("desk")
    assert place.url == f"{scheme}://rack:4001"
    place.release()
    place.release()
    assert said(client) == ["acquire", "env", "release"]


def test_a_session_gives_the_place_back_when_it_ends(client: Path, fake_board: FakeBoard) -> None:
    with behind_rfc2217(fake_board, NotedPort()) as url:
        tell(client, "127.0.0.1", int(url.rpartition(":")[2]))
        with Board(open_transport(TARGET, "labgrid://desk", None)) as session:
            assert session.greeting.board == "fake-board"
            assert "release" not in said(client)
    assert said(client)[-1] == "release"


def test_a_port_that_does_not_answer_gives_the_place_back(client: Path) -> None:
    tell(client, "127.0.0.1", 1, "raw")
    with pytest.raises(UserError, match="cannot open"):
        open_transport(TARGET, "labgrid://desk", None)
    assert said(client)[-1] == "release"


def test_a_place_that_was_acquired_by_hand_is_used_and_kept(client: Path) -> None:
    refusal = client.with_name("labgrid-client.refusal")
    refusal.write_text("labgrid-client: Error: You have already acquired place desk.\n")
    Place("desk").release()
    assert said(client) == ["acquire", "env"]


@pytest.mark.parametrize(
    "refusal",
    [
        "Place desk is already acquired by rack/ann. To work simultaneously, ann can execute ...",
        "You have already acquired place desk on rack. To work simultaneously, execute ...",
        "place pattern desk matches nothing",
    ],
)
def test_a_place_of_somebody_else_is_not_used(client: Path, refusal: str) -> None:
    client.with_name("labgrid-client.refusal").write_text(f"labgrid-client: Error: {refusal}\n")
    with pytest.raises(UserError, match="cannot acquire the labgrid place desk") as error:
        Place("desk")
    assert refusal in str(error.value)
    assert said(client) == ["acquire"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("NetworkSerialPort", "USBPort"), "has 0 serial ports, not 1"),
        (lambda text: text.replace("NetworkPowerPort:\n        model: gude",
                                   "NetworkSerialPort:\n        port: 1"), "has 2 serial ports"),
        (lambda text: text.replace("desk", "other"), "is not understood"),
        (lambda text: text.replace("4001", "many"), "is not understood"),
        (lambda text: "no: [environment", "is not understood"),
        (lambda text: "", "is not understood"),
    ],
)  # fmt: skip
def test_a_place_without_one_serial_port_is_refused_and_given_back(
    client: Path, change: Callable[[str], str], words: str
) -> None:
    environment = client.with_name("labgrid-client.env")
    environment.write_text(change(environment.read_text()))
    with pytest.raises(UserError, match=words) as error:
        Place("desk")
    assert "desk" in str(error.value)
    assert said(client)[-1] == "release"


def test_without_labgrid_its_client_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(discovery.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(UserError, match="labgrid-client is not installed; run, in a virtual"):
        Place("desk")


# --- A farm ---

EXPORTER = """{name}:
  NetworkSerialPort:
    host: 127.0.0.1
    port: {port}
    speed: 115200
    protocol: raw
"""


@contextmanager
def served_emulator(elf: Path) -> Iterator[int]:
    """QEMU as a farm would run it: a board's serial port on a port of the network."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        ours, theirs = socket.socketpair()
        stack.callback(ours.close)
        sockets = listener.fileno(), theirs.fileno()
        command = emulator._command(str(find_tool(emulator.EMULATOR)), TARGET, elf, {}, sockets)
        with theirs:
            process = subprocess.Popen(command, pass_fds=sockets)
        try:
            yield listener.getsockname()[1]
        finally:
            process.kill()
            process.wait()


@contextmanager
def program(folder: Path, *words: str) -> Iterator[None]:
    """A server of labgrid's, ended with all that it started."""
    with (folder / f"{words[0]}.log").open("wb") as log:
        process = subprocess.Popen(
            words, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(WAIT_SECONDS)


def labgrid(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["labgrid-client", *words], capture_output=True, text=True,
                          timeout=WAIT_SECONDS, check=False)  # fmt: skip


def until(done: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not done():
        assert time.monotonic() < end, f"{what} took too long"
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("labgrid-coordinator") is None,
    reason="labgrid is not installed: put it in a virtual environment of its own and that one's "
    "bin folder on PATH (docs/labgrid.md)",
)
def test_two_boards_of_a_farm_work_side_by_side(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as free:
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("LG_COORDINATOR", coordinator)
    places = ("left", "right")
    with ExitStack() as farm:
        ports = [farm.enter_context(served_emulator(built.firmware)) for _ in places]
        exports = [
            EXPORTER.format(name=name, port=port)
            for name, port in zip(places, ports, strict=True)
        ]  # fmt: skip
        (tmp_path / "exports.yaml").write_text("".join(exports))
        farm.enter_context(program(tmp_path, "labgrid-coordinator", "-l", coordinator))
        until(lambda: labgrid("places").returncode == 0, "the coordinator's start")
        farm.enter_context(program(tmp_path, "labgrid-exporter", "--name", "farm", "exports.yaml"))
        for name in places:
            assert labgrid("-p", name, "create").returncode == 0
            match = f"farm/{name}/NetworkSerialPort"
            assert labgrid("-p", name, "add-match", match).returncode == 0
        until(lambda: labgrid("resources").stdout.count("NetworkSerialPort") == 2, "the exports")

        pcm = built.pcm(0.5)
        hops = pcm[: len(pcm) // 256 * 256].reshape(-1, 256)
        with ExitStack() as sessions:
            left, right = (
                sessions.enter_context(Board(open_transport(TARGET, f"labgrid://{name}", None)))
                for name in places
            )
            for session in (left, right):
                session.reset()
            both = zip(left.process_hops(hops), right.process_hops(hops), strict=True)
            for one, other in both:
                np.testing.assert_array_equal(one.pcm, other.pcm)
                np.testing.assert_array_equal(one.gates, other.gates)
            assert labgrid("-p", "left", "acquire").returncode != 0, "it was not ours alone"
            left.process_hop(hops[0])
            assert left.stats().requests == right.stats().requests + 1
        for name in places:
            assert "acquired: None" in labgrid("-p", name, "show").stdout
