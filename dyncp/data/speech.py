"""Clean speech: every speaker's sentences, rendered by their synthesiser and cached."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly
from tqdm import tqdm

from dyncp.data.sentences import sentence
from dyncp.data.speakers import SPLITS, Speaker, Split, Synthesiser, speakers
from dyncp.errors import UserError
from dyncp.files import replacing

CACHE_FOLDER = Path("build/data")

_RECORDED_FACTOR = 3
"""Sentences of a recorded voice for one of a computed one: it is heard more often."""
_SPEEDS = (9, 10, 11)
"""Tenths. Recorded voices of the training split are played at one of these speeds, drawn
for every sentence: pitch and formants move with it, which makes three voices of one."""
_LISTING: dict[Synthesiser, str] = {"flite": "-lv", "espeak-ng": "--voices=variant"}
"""How a synthesiser is asked for the voices it has."""


def source_key(*sources: Path) -> str:
    """A short hash of source files: what they render is cached under it."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


def speech_sources() -> tuple[Path, ...]:
    """The files that decide how the speech sounds, for :func:`source_key`."""
    here = Path(__file__)
    return here, here.with_name("sentences.py"), here.with_name("speakers.py")


def speak(speaker: Speaker, texts: list[str]) -> list[tuple[np.ndarray, int]]:
    """Render sentences: float samples as the synthesiser gave them, with their rate in Hz.

    Raises :class:`UserError` naming the Debian package of what is missing.
    """
    program = shutil.which(speaker.synthesiser)
    if program is None:
        raise _missing(speaker, f"{speaker.synthesiser} is missing")
    if speaker.synthesiser in _LISTING:
        # Both speak with another voice where they lack the one they are asked for.
        listing = subprocess.run(
            [program, _LISTING[speaker.synthesiser]], capture_output=True, check=False, text=True
        )
        if speaker.voice not in (word.removeprefix("!v/") for word in listing.stdout.split()):
            raise _missing(speaker, f"{speaker.synthesiser} lacks the voice {speaker.voice}")
    with tempfile.TemporaryDirectory(prefix="speech-") as folder:
        paths = [Path(folder) / f"{index}.wav" for index in range(len(texts))]
        for command in _commands(program, speaker, texts, paths):
            done = subprocess.run(command, capture_output=True, check=False)
            if done.returncode != 0:
                lines = done.stderr.decode(errors="replace").strip().splitlines()
                raise _missing(speaker, f"{speaker.name} failed: {lines[0] if lines else '?'}")
        try:
            return [soundfile.read(path, dtype="float32") for path in paths]
        except soundfile.LibsndfileError as error:
            raise _missing(speaker, f"{speaker.name} wrote no audio") from error


def _missing(speaker: Speaker, what: str) -> UserError:
    packages = " ".join(sorted({speaker.synthesiser, speaker.package}))
    return UserError(f"{what}; install it: sudo apt-get install -y {packages}")


def _commands(
    program: str, speaker: Speaker, texts: list[str], paths: list[Path]
) -> Iterator[list[str]]:
    """The processes that render ``texts`` to ``paths``."""
    if speaker.synthesiser == "festival":
        # It takes long to start: one process for all sentences.
        script = paths[0].with_name("speak.scm")
        lines = [f"(voice_{speaker.voice})"]
        for text, path in zip(texts, paths, strict=True):
            utterance = f"(utt.synth (eval (list 'Utterance 'Text \"{text}\")))"
            lines.append(f'(utt.save.wave {utterance} "{path}" \'riff)')
        script.write_text("\n".join(lines) + "\n", encoding="latin-1")
        yield [program, "-b", str(script)]
        return
    for text, path in zip(texts, paths, strict=True):
        if speaker.synthesiser == "flite":
            yield [program, "-voice", speaker.voice, "-t", text, "-o", str(path)]
        else:
            yield [program, "-v", f"{speaker.accent}+{speaker.voice}", "-p", str(speaker.pitch),
                   "-s", str(speaker.rate), "-w", str(path), text]  # fmt: skip


def _utterance(samples: np.ndarray, rate: int, sample_rate: int, speed: int) -> np.ndarray:
    """int16 at ``sample_rate``, ``speed`` tenths as fast, without silence around, peak 0.5."""
    up, down = sample_rate * 10, rate * speed
    common = gcd(up, down)
    samples = resample_poly(samples, up // common, down // common)
    peak = float(np.abs(samples).max(initial=0.0))
    loud = np.flatnonzero(np.abs(samples) > 2e-3 * peak)
    if loud.size == 0:
        raise ValueError("silence")
    samples = samples[loud[0] : loud[-1] + 1]
    return np.rint(samples * (0.5 * 32767 / peak)).astype(np.int16)


def _sentences(speaker: Speaker, per_speaker: int) -> int:
    return per_speaker * (_RECORDED_FACTOR if speaker.recorded else 1)


def _render(split: Split, index: int, per_speaker: int, sample_rate: int) -> list[np.ndarray]:
    """All utterances of one speaker, int16."""
    speaker = speakers(split)[index]
    rng = np.random.default_rng([7, SPLITS.index(split), index])
    texts = [sentence(rng, speaker.language) for _ in range(_sentences(speaker, per_speaker))]
    varied = split == "train" and speaker.recorded
    speeds = [int(rng.choice(_SPEEDS)) if varied else 10 for _ in texts]
    try:
        return [
            _utterance(samples, rate, sample_rate, speed)
            for (samples, rate), speed in zip(speak(speaker, texts), speeds, strict=True)
        ]
    except ValueError as error:
        raise _missing(speaker, f"{speaker.name} gave {error}; is its data installed?") from error


def load_speech(
    split: Split, sample_rate: int, sentences_per_speaker: int, cache: Path = CACHE_FOLDER
) -> list[list[np.ndarray]]:
    """Utterances of every speaker of a split, int16; rendered once, then from the cache.

    Gives ``[speaker][sentence]``, speakers in the order of
    :func:`dyncp.data.speakers.speakers`; a recorded voice has three times the sentences.
    """
    voices = speakers(split)
    settings = f"{sample_rate}-{sentences_per_speaker}"
    path = cache / f"speech-{split}-{settings}-{source_key(*speech_sources())}.npz"
    if not path.is_file():
        with (
            ThreadPoolExecutor() as pool,
            tqdm(
                total=len(voices), desc=f"speech ({split})", disable=not sys.stderr.isatty()
            ) as bar,
        ):
            rendered = []
            for utterances in pool.map(
                lambda index: _render(split, index, sentences_per_speaker, sample_rate),
                range(len(voices)),
            ):
                rendered += utterances
                bar.update()
        with replacing(path) as temporary:
            np.savez(
                temporary,
                samples=np.concatenate(rendered),
                lengths=np.array([len(utterance) for utterance in rendered]),
            )
    with np.load(path) as stored:
        parts = iter(np.split(stored["samples"], np.cumsum(stored["lengths"])[:-1]))
    counts = (_sentences(voice, sentences_per_speaker) for voice in voices)
    return [[next(parts) for _ in range(count)] for count in counts]
