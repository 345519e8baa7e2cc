"""Clean speech from espeak-ng: disjoint speakers per split, varied sentences.

A speaker is an accent, a voice variant, a pitch and a rate. No variant is used
in two splits, so that the voices of the test split are new to the network.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
from scipy.signal import resample_poly
from tqdm import tqdm

from dyncp.errors import UserError
from dyncp.files import replacing

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

CACHE_FOLDER = Path("build/data")

_ACCENTS = ("en-gb", "en-us", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-rp",
            "en-gb-x-gbcwmd", "en-029")  # fmt: skip
_VARIANTS: dict[Split, tuple[str, ...]] = {
    "train": (
        "m1", "m2", "m4", "m5", "m7", "f1", "f2", "f4", "Alex", "Alicia", "Andy", "Denis",
        "Diogo", "Gene", "Hugo", "Jacky", "Lee", "Marco", "Mario", "Michael", "Mike", "Nguyen",
        "adam", "anika", "antonio", "aunty", "belinda", "benjamin", "boris", "caleb", "ed",
        "edward", "grandma", "gustave", "iven", "john", "klatt2", "linda", "marcelo", "michel",
    ),
    "validation": ("m3", "f3", "max", "miguel", "norbert", "paul", "shelby", "klatt4"),
    "test": ("m6", "m8", "f5", "Andrea", "Annie", "pedro", "quincy", "rob", "steph", "victor"),
}  # fmt: skip

_SUBJECTS = (
    "the old captain", "my neighbour", "a young doctor", "the night train", "our teacher",
    "every visitor", "the small orchestra", "a grey pigeon", "the shop on the corner",
    "her elder brother", "the weather report", "an honest lawyer", "the river",
    "most of the children", "the engineer", "two quiet students", "the baker's daughter",
    "that stubborn horse", "somebody upstairs", "the last bus", "a famous painter",
)  # fmt: skip
_VERBS = (
    "was waiting for", "has never seen", "slowly passed", "wrote about", "could not find",
    "remembered", "is looking after", "will visit", "carried away", "forgot", "laughed at",
    "bought", "walked around", "asked for", "described", "promised to bring", "followed",
    "had lost", "recognised", "keeps talking about", "would rather choose",
)  # fmt: skip
_OBJECTS = (
    "seven wooden boxes", "the harbour wall", "a cup of strong tea", "the yellow house",
    "an unusual question", "the long way home", "twenty-three letters", "the voice on the radio",
    "a pair of shoes", "fresh bread and cheese", "the edge of the forest", "his father's watch",
    "the second chapter", "a shadow on the stairs", "cheap plastic chairs", "the village fair",
    "what the judge said", "a bright orange jacket", "the broken window", "some fish",
)  # fmt: skip
_ENDINGS = (
    "", "before sunrise", "in the middle of winter", "without a word", "at half past eight",
    "because of the storm", "as if nothing had happened", "for the third time this week",
    "while the others slept", "near the station", "although it was late", "just once more",
)  # fmt: skip


@dataclass(frozen=True)
class Speaker:
    """One synthetic voice: espeak-ng's voice, variant, pitch (0..99) and words a minute."""

    voice: str
    variant: str
    pitch: int
    rate: int


def source_key(*sources: Path) -> str:
    """A short hash of source files: what they render is cached under it."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


def speakers(split: Split) -> list[Speaker]:
    """The speakers of a split; no variant appears in another split."""
    result = []
    for index, variant in enumerate(_VARIANTS[split]):
        rng = np.random.default_rng([SPLITS.index(split), index])
        result.append(
            Speaker(
                voice=_ACCENTS[index % len(_ACCENTS)],
                variant=variant,
                pitch=int(rng.integers(25, 75)),
                rate=int(rng.integers(130, 200)),
            )
        )
    return result


def sentence(rng: np.random.Generator) -> str:
    """A grammatical sentence; about 100,000 different ones."""
    parts = [rng.choice(words) for words in (_SUBJECTS, _VERBS, _OBJECTS, _ENDINGS)]
    text = " ".join(part for part in parts if part)
    return text[0].upper() + text[1:] + "."


def speak(speaker: Speaker, text: str, sample_rate: int) -> np.ndarray:
    """Render a sentence: float32 mono, trimmed of silence, peak 0.5."""
    program = shutil.which("espeak-ng")
    if program is None:
        raise UserError("espeak-ng is missing; install it: sudo apt-get install -y espeak-ng")
    command = [program, "-v", f"{speaker.voice}+{speaker.variant}", "-p", str(speaker.pitch),
               "-s", str(speaker.rate), "--stdout", text]  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0 or not done.stdout:
        message = done.stderr.decode(errors="replace").strip() or "no output"
        raise UserError(f"espeak-ng failed for voice {command[2]}: {message}")
    # With --stdout the header's length is a placeholder: read the samples as raw.
    header = done.stdout.index(b"data") + 8
    rate = int.from_bytes(done.stdout[24:28], "little")
    samples, _ = soundfile.read(
        io.BytesIO(done.stdout[header:]), format="RAW", subtype="PCM_16", endian="LITTLE",
        channels=1, samplerate=rate, dtype="float32",
    )  # fmt: skip
    common = gcd(rate, sample_rate)
    samples = resample_poly(samples, sample_rate // common, rate // common)
    loud = np.flatnonzero(np.abs(samples) > 1e-3)
    if loud.size == 0:
        raise UserError(f"espeak-ng gave silence for voice {command[2]}; is its data installed?")
    samples = samples[loud[0] : loud[-1] + 1]
    return (samples * (0.5 / np.abs(samples).max())).astype(np.float32)


def load_speech(
    split: Split, sample_rate: int, sentences_per_speaker: int, cache: Path = CACHE_FOLDER
) -> list[list[np.ndarray]]:
    """Utterances of every speaker of a split, int16; rendered once, then from the cache.

    Gives ``[speaker][sentence]``.
    """
    voices = speakers(split)
    settings = f"{sample_rate}-{sentences_per_speaker}"
    path = cache / f"speech-{split}-{settings}-{source_key(Path(__file__))}.npz"
    if not path.is_file():
        jobs = []
        for index, voice in enumerate(voices):
            rng = np.random.default_rng([7, SPLITS.index(split), index])
            jobs += [(voice, sentence(rng)) for _ in range(sentences_per_speaker)]
        with ThreadPoolExecutor() as pool:
            rendered = pool.map(lambda job: speak(job[0], job[1], sample_rate), jobs)
            bar = tqdm(
                rendered, total=len(jobs), desc=f"speech ({split})", disable=not sys.stderr.isatty()
            )
            utterances = [np.rint(samples * 32767).astype(np.int16) for samples in bar]
        with replacing(path) as temporary:
            np.savez(
                temporary,
                samples=np.concatenate(utterances),
                lengths=np.array([len(u) for u in utterances]),
            )
    with np.load(path) as stored:
        parts = np.split(stored["samples"], np.cumsum(stored["lengths"])[:-1])
    return [
        parts[i : i + sentences_per_speaker] for i in range(0, len(parts), sentences_per_speaker)
    ]
