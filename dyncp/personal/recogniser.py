"""Word errors by a recogniser that is installed; which one is the user's choice.

``pocketsphinx`` (the extra ``recognise``, with its English model), or any command line that
takes a WAV file in the place of ``{wav}`` and prints the words.
"""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from dyncp.audio import save_wav, to_pcm
from dyncp.errors import UserError

POCKETSPHINX = "pocketsphinx"
_SECONDS = 120.0
"""That a command may take for one file."""

Recogniser = Callable[[np.ndarray], str]
"""From float samples at 16 kHz to words."""


def open_recogniser(name: str, sample_rate: int) -> Recogniser:
    """The recogniser of a name; raises :class:`UserError` saying what is missing.

    jiwer, which counts the errors, must be there too (the extra ``recognise``).
    """
    if find_spec("jiwer") is None:
        raise UserError("word errors are counted by jiwer: install the extra 'recognise'")
    if name == POCKETSPHINX:
        return _pocketsphinx(sample_rate)
    if "{wav}" not in name:
        raise UserError(
            f"--recogniser must be {POCKETSPHINX} or a command with {{wav}} in it, not '{name}'"
        )
    try:
        words = shlex.split(name)
    except ValueError as error:
        raise UserError(f"--recogniser '{name}' is not a command line: {error}") from error

    def recognise(samples: np.ndarray) -> str:
        with tempfile.TemporaryDirectory(prefix="words-") as folder:
            path = Path(folder) / "clip.wav"
            save_wav(path, samples, sample_rate)
            command = [word.replace("{wav}", str(path)) for word in words]
            return _printed(command)

    return recognise


def _printed(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
        )
    except OSError as error:
        raise UserError(f"the recogniser '{command[0]}' cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"the recogniser '{command[0]}' took longer than {_SECONDS:g} s for a clip"
        ) from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["it says nothing"]
        raise UserError(
            f"the recogniser '{command[0]}' ended with code {done.returncode}: {lines[-1]}"
        )
    return done.stdout.strip()


def _pocketsphinx(sample_rate: int) -> Recogniser:
    if find_spec("pocketsphinx") is None:
        raise UserError("pocketsphinx is not installed: install the extra 'recognise'")
    from pocketsphinx import Decoder

    def recognise(samples: np.ndarray) -> str:
        # A decoder adapts to what it hears: each clip has its own.
        decoder = Decoder(samprate=float(sample_rate), loglevel="FATAL")
        decoder.start_utt()
        decoder.process_raw(to_pcm(samples).tobytes(), full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        return found.hypstr if found else ""

    return recognise


def word_errors(reference: str, heard: str) -> tuple[float, float]:
    """Word error rate and deletions, both of the words of ``reference``; NaN if it has none."""
    import jiwer

    if not reference.split():
        return float("nan"), float("nan")
    counts = jiwer.process_words(reference, heard)
    words = counts.hits + counts.substitutions + counts.deletions
    return float(counts.wer), counts.deletions / words
