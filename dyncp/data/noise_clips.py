"""The synthetic noise of a split: clips of every class, rendered once and cached."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dyncp.data.noise import HELD_OUT, NOISES, make_noise
from dyncp.data.speakers import SPLITS, Split
from dyncp.data.speech import source_key, speech_sources
from dyncp.data.talk import talk
from dyncp.files import replacing

_CLIPS: dict[Split, int] = {"train": 24, "validation": 4, "test": 6}
_CLIP_SECONDS = 12
BABBLE = "babble"


def noise_classes(split: Split) -> tuple[str, ...]:
    """What a split mixes in; only the test split has the held-out classes."""
    seen = tuple(kind for kind in NOISES if kind not in HELD_OUT)
    return (*seen, BABBLE) + (HELD_OUT if split == "test" else ())


def load_noise(
    split: Split, sample_rate: int, speech: list[list[np.ndarray]], cache: Path
) -> dict[str, np.ndarray]:
    """int16 clips ``[clips, samples]`` by class, RMS 0.1 of full scale where no peak forbids it.

    ``speech`` is what babble is made of: :func:`dyncp.data.speech.load_speech` of the split.
    """
    samples = _CLIP_SECONDS * sample_rate
    clips, kinds = _CLIPS[split], noise_classes(split)
    here = Path(__file__)
    key = source_key(here, here.with_name("noise.py"), here.with_name("talk.py"), *speech_sources())
    path = cache / f"noise-{split}-{sample_rate}-{clips}x{_CLIP_SECONDS}-{key}.npz"
    if not path.is_file():
        stored = {}
        for kind in tqdm(kinds, desc=f"noise ({split})", disable=not sys.stderr.isatty()):
            rows = np.empty((clips, samples), np.int16)
            for clip in range(clips):
                seed = [11, SPLITS.index(split), sum(map(ord, kind)), clip]
                rng = np.random.default_rng(seed)
                if kind == BABBLE:
                    x = _babble(rng, split, speech, sample_rate, samples)
                else:
                    x = make_noise(kind, rng, samples, sample_rate)
                scale = min(0.1, 0.99 / float(np.abs(x).max()))
                rows[clip] = np.rint(x * scale * 32767)
            stored[kind] = rows
        with replacing(path) as temporary:
            np.savez(temporary, **stored)  # type: ignore[arg-type]
    with np.load(path) as loaded:
        return {kind: loaded[kind] for kind in kinds}


def _babble(
    rng: np.random.Generator,
    split: Split,
    speech: list[list[np.ndarray]],
    sample_rate: int,
    samples: int,
) -> np.ndarray:
    """Several talkers of the split at once, unit RMS."""
    x = np.zeros(samples, np.float64)
    for _ in range(int(rng.integers(5, 10))):
        x += rng.uniform(0.5, 1.0) * talk(rng, split, speech, sample_rate, samples, pause=0.15)[0]
    return x / np.sqrt(np.mean(x**2))
