"""A user's recogniser fails in ways of its own; each must be one line that names it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dyncp.errors import UserError
from dyncp.personal import recogniser
from dyncp.personal.recogniser import open_recogniser, word_errors

CLIP = (0.1 * np.sin(np.arange(1600) / 5)).astype(np.float32)


def script(folder: Path, text: str, arguments: str = "{wav}") -> str:
    """A command line that runs a few lines of Python."""
    path = folder / "a recogniser.py"
    path.write_text(text)
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(path))} {arguments}"


HEARS = """
import sys, wave
with wave.open(sys.argv[2]) as clip:
    assert sys.argv[1] == "--file" and clip.getsampwidth() == 2 and clip.getnchannels() == 1
    print("  heard", clip.getframerate(), clip.getnframes(), max(clip.readframes(9999)), "")
"""


def test_a_command_is_given_the_clip_and_its_words_are_read(tmp_path: Path) -> None:
    recognise = open_recogniser(script(tmp_path, HEARS, "--file {wav}"), 16000)
    assert recognise(CLIP) == "heard 16000 1600 255"
    assert recognise(np.zeros(800, np.float32)) == "heard 16000 800 0"


def test_the_clip_is_removed_when_it_was_heard(tmp_path: Path) -> None:
    command = script(tmp_path, "import sys; print(sys.argv[1])")
    path = Path(open_recogniser(command, 16000)(CLIP))
    assert path.suffix == ".wav" and not path.parent.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import sys; print('x', file=sys.stderr); sys.exit('no model')", "code 1: no model"),
        ("import sys; sys.exit(7)", "code 7: it says nothing"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "code -9"),
    ],
)
def test_a_failing_command_is_named_with_what_it_said(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        open_recogniser(script(tmp_path, text), 16000)(CLIP)
    assert f"the recogniser '{sys.executable}'" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match="'/nowhere/hears' cannot be run: No such file"):
        open_recogniser("/nowhere/hears {wav}", 16000)(CLIP)


def test_a_file_that_is_no_program_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("hello")
    with pytest.raises(UserError, match="notes' cannot be run: Permission denied"):
        open_recogniser(f"{tmp_path}/notes {{wav}}", 16000)(CLIP)


def test_a_command_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recogniser, "_SECONDS", 0.5)
    with pytest.raises(UserError, match=r"took longer than 0\.5 s for a clip"):
        open_recogniser(script(tmp_path, "import time; time.sleep(600)"), 16000)(CLIP)


@pytest.fixture
def typed() -> Iterator[None]:
    """Somebody types a line at the terminal."""
    terminal, read, write = os.dup(0), *os.pipe()
    os.write(write, b"small\n")
    os.dup2(read, 0)
    yield
    os.dup2(terminal, 0)
    for handle in (terminal, read, write):
        os.close(handle)


@pytest.mark.usefixtures("typed")
def test_a_command_that_asks_something_is_answered_by_nobody(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="code 1: EOFError"):
        open_recogniser(script(tmp_path, "input('model? ')"), 16000)(CLIP)


def test_words_that_are_not_text_are_no_traceback(tmp_path: Path) -> None:
    text = "import sys; sys.stdout.buffer.write(b'na\\xefve words')"
    assert open_recogniser(script(tmp_path, text), 16000)(CLIP) == "na\ufffdve words"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("whisper", r"must be pocketsphinx or a command with \{wav\} in it, not 'whisper'"),
        ("hear '{wav}", "not a command line: No closing quotation"),
    ],
)
def test_a_name_that_is_no_command_is_refused_at_once(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_recogniser(name, 16000)


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        ("pocketsphinx", "pocketsphinx is not installed: install the extra 'recognise'"),
        ("jiwer", "counted by jiwer: install the extra 'recognise'"),
    ],
)
def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, absent: str, message: str
) -> None:
    found = recogniser.find_spec
    monkeypatch.setattr(
        recogniser, "find_spec", lambda name: None if name == absent else found(name)
    )
    with pytest.raises(UserError, match=message):
        open_recogniser("pocketsphinx", 16000)


@pytest.mark.parametrize(
    ("reference", "heard", "errors", "deletions"),
    [
        ("the cat sat down", "the cat sat down", 0.0, 0.0),
        ("the cat sat down", "the cat sat", 0.25, 0.25),
        ("the cat sat down", "", 1.0, 1.0),
        ("the cat sat down", "the bat sat down", 0.25, 0.0),
        ("the cat sat down", "well the cat sat right down", 0.5, 0.0),
        ("the cat sat down", "a cat sat", 0.5, 0.25),
        ("cat", "the cat sat down", 3.0, 0.0),
    ],
)
def test_word_errors_that_are_known(
    reference: str, heard: str, errors: float, deletions: float
) -> None:
    assert word_errors(reference, heard) == (errors, deletions)


@pytest.mark.parametrize("reference", ["", "  "])
def test_without_a_word_there_is_no_rate(reference: str) -> None:
    assert np.isnan(word_errors(reference, "hello")).all()
