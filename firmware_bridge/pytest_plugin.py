"""A pytest plugin: one ``board`` fixture for an emulated board and for one on the desk.

::

    pytest --board mps2-an386 --firmware build/paper/mps2-an386
    pytest --board nucleo-f446re --port auto --firmware build/paper/nucleo-f446re

    def test_silence_stays_silence(board):
        assert not board.process_hop(np.zeros(board.greeting.hop, np.int16)).pcm.any()

Tests that use it are skipped without ``--board``, and on hardware without ``--port``: nothing
touches a board that nobody has named. Whoever runs pytest in the virtual environment has this
plugin, so it imports nothing of weight until a test asks for a board.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from firmware_bridge.session import Board
    from targets.board import Board as Target

_ELF = "firmware.elf"
_CONNECTION = pytest.StashKey["_Connection"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("board", "a board under test")
    group.addoption("--board", metavar="NAME", help="a board's name, or a .toml file")
    group.addoption(
        "--port",
        metavar="PORT",
        help="where a real board is: auto, /dev/ttyACM0, socket://host:port, "
        "rfc2217://host:port, labgrid://place; without it the board must be an emulated one",
    )
    group.addoption(
        "--serial-number", metavar="NUMBER", help="of the probe, where --port auto finds several"
    )
    group.addoption(
        "--firmware",
        metavar="FOLDER",
        type=Path,
        help="with firmware.elf and firmware.json: what an emulated board runs, and what a real "
        "one must have been flashed with",
    )
    group.addoption(
        "--board-log", metavar="FOLDER", type=Path, help="for the logs of all frames; kept"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """One board is for one process: with ``--dist loadgroup`` its tests stay together."""
    if config.getoption("--port") and config.pluginmanager.hasplugin("xdist"):
        for item in items:
            if "board" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.xdist_group("board"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say below a failure where the frames are that led to it."""
    report = yield
    connection = item.config.stash.get(_CONNECTION, None)
    if report.failed and connection is not None and "board" in getattr(item, "fixturenames", ()):
        report.sections.append(("board", f"every frame is in {connection.log_path}"))
    return report


@pytest.fixture(scope="session")
def board_name(request: pytest.FixtureRequest) -> str:
    """The board's name, from ``--board``. Override it to have a default."""
    name: str | None = request.config.getoption("--board")
    if name is None:
        pytest.skip("no board: name one with --board, an emulated one needs no more")
    return name


@pytest.fixture(scope="session")
def firmware_folder(request: pytest.FixtureRequest) -> Path | None:
    """The folder of ``firmware.elf``, from ``--firmware``. Override it to build your own."""
    folder: Path | None = request.config.getoption("--firmware")
    return folder


@pytest.fixture(scope="session")
def board_target(board_name: str, request: pytest.FixtureRequest) -> Target:
    """What is known of the board from its file; skips if it is hardware and has no port."""
    from targets.board import load_board

    with _failures_told():
        target = load_board(board_name)
    if target.emulator is None and not request.config.getoption("--port"):
        pytest.skip(f"{target.name} is hardware: give --port auto, or the port that it is on")
    return target


@pytest.fixture(scope="session")
def board_connection(
    board_target: Target,
    firmware_folder: Path | None,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[_Connection]:
    """What ``board`` and ``restart_board`` share; ends the emulator or lets go of the port."""
    option = request.config.getoption
    logs = option("--board-log") or tmp_path_factory.mktemp("board")
    connection = _Connection(
        board_target, firmware_folder, option("--port"), option("--serial-number"), logs
    )
    request.config.stash[_CONNECTION] = connection
    try:
        yield connection
    finally:
        connection.close()


@pytest.fixture
def board(board_connection: _Connection) -> Board:
    """An open session with the board, at a cold start.

    A session that the test before has broken is opened anew, so one failure is not the next one's.
    """
    with _failures_told():
        return board_connection.cold()


@pytest.fixture
def restart_board(board_connection: _Connection) -> Callable[[], None]:
    """Call it to press the board's reset button; skips the test where there is none.

    The session must be greeted again after it: see :meth:`Board.greet_again`.
    """

    def restart() -> None:
        from dyncp.errors import UserError
        from firmware_bridge.errors import LinkError

        try:
            board_connection.restart()
        except LinkError as error:
            pytest.fail(str(error), pytrace=False)
        except UserError as error:
            pytest.skip(f"the board cannot be reset from here: {error}")

    return restart


class _Connection:
    """A session that is opened when it is first wanted, and again when it broke."""

    def __init__(
        self,
        target: Target,
        folder: Path | None,
        port: str | None,
        serial_number: str | None,
        logs: Path,
    ) -> None:
        self._target, self._folder = target, folder
        self._port, self._serial_number = port, serial_number
        self._logs, self._opened = logs, 0
        self._session: Board | None = None
        self._transport: Any = None

    @property
    def log_path(self) -> Path:
        """Of the session that is open, or was last."""
        return self._logs / f"{self._target.name}-{max(1, self._opened)}.log"

    def cold(self) -> Board:
        from firmware_bridge.errors import LinkError

        if self._session is not None:
            try:
                self._session.reset()
                return self._session
            except LinkError:
                self.close()
        session = self._open()
        session.reset()
        return session

    def restart(self) -> None:
        assert self._transport is not None, "no session is open"
        self._transport.restart()

    def close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            session.close()

    def _open(self) -> Board:
        from firmware_bridge.connect import open_session, open_transport
        from firmware_bridge.flash import image_for
        from firmware_bridge.frame_log import FrameLog

        elf = self._folder / _ELF if self._folder else None
        build_id = image_for(self._target, elf).build_id if elf else None
        self._transport = open_transport(self._target, self._port, elf, self._serial_number)
        self._opened += 1
        try:
            log = FrameLog(self.log_path)
        except BaseException:
            self._transport.close()
            raise
        self._session = open_session(self._transport, build_id, log)
        return self._session


@contextmanager
def _failures_told() -> Iterator[None]:
    """An error that says all in its message needs no traceback."""
    from dyncp.errors import UserError

    try:
        yield
    except UserError as error:
        pytest.fail(str(error), pytrace=False)
