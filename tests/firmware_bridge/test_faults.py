"""A line that damages what it carries: nothing wrong is believed, nothing hangs or is left behind.

``make faults`` runs a hundred thousand frames; here are some hundreds of a tiny network.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dyncp.errors import UserError
from firmware_bridge import framing, link
from firmware_bridge.emulator import EmulatorTransport
from firmware_bridge.errors import TransportClosed
from firmware_bridge.fault_campaign import Campaign, Counts, Patience
from firmware_bridge.faulty_line import WEIGHTS, Damage, FaultyLine
from firmware_bridge.framing import Damaged, Frame
from firmware_bridge.messages import ERROR
from firmware_bridge.session import Board
from firmware_bridge.transport import SerialTransport
from targets.board import load_board
from targets.firmware_build import build_firmware, read_firmware
from tests.conftest import tiny_preset
from tests.firmware_bridge.conftest import BOARD, assert_refused, run
from tests.firmware_bridge.test_emulator import runs
from tests.targets.built import Built, build

PATIENT = Patience(reply_seconds=0.5, attempts=20)
"""So much that no frame is given up, however busy this machine: only a broken line ends a run."""

HASTY = Patience(reply_seconds=0.05, attempts=2, connect_seconds=0.3)

BREAKING = {**WEIGHTS, "close": 4, "kill": 4}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Built:
    preset = tiny_preset("hidden", 8, 5)
    built = build(preset, tmp_path_factory.getbasetemp() / "targets" / preset.name)
    build_firmware(built.tflite, load_board(BOARD), built.folder / BOARD)
    return built


def campaign(tiny: Built, **settings: object) -> Campaign:
    elf = tiny.folder / BOARD / "firmware.elf"
    settings = {"patience": PATIENT, "weights": BREAKING, **settings}
    return Campaign(load_board(BOARD), elf, read_firmware(elf), tiny.library(), **settings)


# --- The campaign ---


def test_every_frame_ends_in_the_right_bytes_or_in_a_named_error(tiny: Built) -> None:
    counts = list(campaign(tiny, seed=6).run(400, (5e-4, 2e-3)))
    for one in counts:
        assert one.passed, (one.told, one.left_behind, one.late)
        assert one.right > 0
        assert one.repeated > 0
        # A loss is repaired: what ends a run is a line or an emulator that has gone.
        assert set(one.errors) <= {"TransportClosed"}
        assert one.errors.total() <= one.faults["close"] + one.faults["kill"]
        assert one.right + one.errors.total() == one.frames
    assert sum(one.frames for one in counts) >= 400
    assert set().union(*(one.faults for one in counts)) == set(WEIGHTS)
    assert sum(one.errors.total() for one in counts) > 0


def decode_whatever_the_crc(encoded: bytes) -> Frame | Damaged:
    data = framing.cobs_decode(encoded)
    if data is None or len(data) < 8:
        return Damaged("it ends inside a COBS group")
    return Frame(data[1], int.from_bytes(data[2:4], "little"), data[4:-4], data[0])


def any_reply_is_the_answer(event: Frame | Damaged, pending: Iterable[Any]) -> object:
    """As :func:`firmware_bridge.link._take` without its sequence numbers."""
    unanswered = [entry for entry in pending if entry.reply is None]
    if isinstance(event, Damaged) or event.type == ERROR:
        return link._Outcome.MISSING
    if not unanswered:
        return link._Outcome.NOTHING
    unanswered[0].reply = event
    return link._Outcome.ANSWERED


def first_failure(campaign: Campaign, rate: float) -> Counts:
    """What went wrong in up to 20 times 50 frames."""
    for _ in range(20):
        (counts,) = campaign.run(50, (rate,))
        if not counts.passed:
            break
    return counts


@pytest.mark.slow
def test_a_host_that_checks_no_crc_is_found_out(
    tiny: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(framing, "decode", decode_whatever_the_crc)
    counts = first_failure(campaign(tiny, weights={"flip": 1}), 1e-3)
    assert counts.wrong + counts.unexplained > 0


@pytest.mark.slow
def test_a_host_that_takes_any_reply_for_the_answer_is_found_out(
    tiny: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "_take", any_reply_is_the_answer)
    counts = first_failure(campaign(tiny, patience=HASTY, weights={"duplicate": 1}), 3e-3)
    assert counts.wrong + counts.unexplained > 0


def test_a_silent_board_ends_the_run_in_time_and_leaves_nothing(tiny: Built) -> None:
    """Every byte is lost, from the first on."""
    (counts,) = campaign(tiny, patience=HASTY, weights={"drop": 1}).run(2, (0.999999,))
    assert counts.passed, counts
    assert counts.errors == {"LinkTimeout": 2}
    assert counts.right == 0


def test_a_library_of_another_network_is_refused(tiny: Built) -> None:
    elf = tiny.folder / BOARD / "firmware.elf"
    firmware = replace(read_firmware(elf), model_hash="00" * 32)
    with pytest.raises(UserError, match="of different networks; build both again"):
        Campaign(load_board(BOARD), elf, firmware, tiny.library())


def test_a_rate_that_is_none_is_refused(tiny: Built) -> None:
    words = ("--board", BOARD, "--firmware", tiny.folder / BOARD / "firmware.elf")
    library = tiny.c_folder / "libsluice.so"
    result = run("firmware_bridge", "faults", *words, "--library", library, "--rate", "1")
    assert_refused(result, "--rate")


def test_the_command_says_what_came_of_the_frames(tiny: Built, tmp_path: Path) -> None:
    out = tmp_path / "faults.json"
    result = run(
        *("firmware_bridge", "faults", "--board", BOARD, "--frames", 60, "--rate", 1e-3),
        *("--firmware", tiny.folder / BOARD / "firmware.elf"),
        *("--library", tiny.c_folder / "libsluice.so", "--out", out),
    )
    assert result.returncode == 0, result.stderr
    assert "every frame ended in the right bytes or in a named error" in result.stdout
    figures = json.loads(out.read_text())
    assert figures["passed"] is True
    (rate,) = figures["rates"]
    assert rate["right"] + sum(rate["errors"].values()) == rate["frames"] == figures["frames"] >= 60
    assert rate["wrong"] == rate["late"] == rate["unexplained"] == 0
    assert sum(rate["faults"].values()) > 0
    assert re.search(r"\n +0\.001 +60 ", result.stdout)


# --- The line ---


@pytest.mark.parametrize("kind", ["close", "kill"])
def test_a_line_or_a_board_that_goes_is_named(tiny: Built, kind: str) -> None:
    board = EmulatorTransport(load_board(BOARD), tiny.folder / BOARD / "firmware.elf")
    out, back = Damage(1, 0.0, {kind: 1}), Damage(2, 0.0)
    try:
        with FaultyLine(out, back) as line:
            line.lead_to(board)
            with Board(SerialTransport(line.url, 115200)) as session:
                session.reset()
                out.set_rate(0.5)
                with pytest.raises(TransportClosed):
                    session.reset()
            assert out.counts == {kind: 1}
    finally:
        board.close()
    assert not runs(board.pid)


def test_faults_are_repeatable_and_no_matter_how_the_bytes_are_cut() -> None:
    data = random.Random(1).randbytes(20_000)
    weights = {kind: weight for kind, weight in WEIGHTS.items() if kind not in ("close", "kill")}
    one, other = Damage(7, 0.01, weights), Damage(7, 0.01, weights)
    whole = bytes(one.feed(data).data)
    parts, cut = bytearray(), random.Random(2)
    rest = data
    while rest:
        count = cut.randrange(1, 100)
        parts += other.feed(rest[:count]).data
        rest = rest[count:]
    assert parts == whole != data
    assert one.counts == other.counts
    assert set(one.counts) == set(weights)
    assert 100 < one.counts.total() < 300
    assert Damage(8, 0.01, weights).feed(data).data != whole


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("drop", r""),
        ("flip", r"(?s)(?!abcd).{4}\0"),
        ("insert", r"(?s)a.+b.+c.+d.+"),
        ("duplicate", r"(?s)aa.*b.*b.*c.*d\0"),
        ("truncate", r""),
        ("delay", r"abcd\0"),
        ("close", r""),
        ("kill", r""),
    ],
)
def test_each_kind_of_fault_does_what_its_name_says(kind: str, expected: str) -> None:
    damage = Damage(3, 1.0, {kind: 1})
    passed = damage.feed(b"abcd")
    if kind in ("flip", "insert", "duplicate", "delay"):
        damage.set_rate(0.0)
        passed.data += damage.feed(b"\0").data
    assert re.fullmatch(expected.encode(), bytes(passed.data))
    assert (passed.delay > 0) == (kind == "delay")
    assert passed.fatal == (kind if kind in ("close", "kill") else None)


def test_a_frame_cut_short_ends_where_it_would_have_ended() -> None:
    damage = Damage(3, 1.0, {"truncate": 1})
    damage.feed(b"a")
    damage.set_rate(0.0)
    assert damage.feed(b"bcd\0efg\0").data == b"\0efg\0"
