"""One synthetic speaker talking: sentences, one after another."""

from __future__ import annotations

import numpy as np

from dyncp.data.speakers import Speaker, Split, draw_speaker, speakers


def talk(
    rng: np.random.Generator,
    split: Split,
    speech: list[list[np.ndarray]],
    sample_rate: int,
    samples: int,
    *,
    pause: float,
) -> tuple[np.ndarray, Speaker]:
    """float32 ``[samples]`` and who talks; pauses of mean ``pause`` s between sentences.

    ``speech``: what :func:`dyncp.data.speech.load_speech` gives for the split.
    """
    index = draw_speaker(rng, split)
    voice = speech[index]
    out = np.zeros(samples, np.float32)
    position = -int(rng.uniform(0, 1.0) * sample_rate)
    while position < samples:
        utterance = voice[rng.integers(len(voice))]
        start, stop = max(position, 0), min(position + len(utterance), samples)
        if stop > start:
            out[start:stop] = utterance[start - position : stop - position] / 32768.0
        position += len(utterance) + int(rng.exponential(pause) * sample_rate)
    return out, speakers(split)[index]
