"""Small corpora, laid out as large ones are: every speaker and every noise is a tone.

So what is heard in a mixture says who talks and which noise it is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

RATE = 16000
SPEAKERS = {"p225": 200, "p226": 300, "p228": 400, "p287": 500, "p232": 600}
"""Hz."""
NOISES = {"cafe": 2000, "bus": 3000}
SPEECH_RMS = 0.1


def tone(
    hertz: float, seconds: float = 0.5, rms: float = SPEECH_RMS, rate: int = RATE
) -> np.ndarray:
    t = np.arange(int(seconds * rate)) / rate
    return rms * np.sqrt(2) * np.sin(2 * np.pi * hertz * t)


def write(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def pitch(samples: np.ndarray, rate: int = RATE) -> int:
    """The strongest frequency, to 10 Hz: the tones above are told apart by it."""
    spectrum = np.abs(np.fft.rfft(samples))
    return int(round(float(spectrum.argmax()) * rate / len(samples), -1))


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def voicebank(root: Path, rate: int = RATE, train: str = "28spk", files: int = 8) -> Path:
    """``files`` of every speaker, in each noise at 5 and 15 dB; p232 is the test set's."""
    logs: dict[str, list[str]] = {f"trainset_{train}": [], "testset": []}
    for speaker, hertz in SPEAKERS.items():
        name = "testset" if speaker == "p232" else f"trainset_{train}"
        for number in range(files):
            noise, snr = ("cafe", "bus")[number % 2], (5, 15)[number // 2 % 2]
            clean = tone(hertz, 0.4 + 0.05 * number, rate=rate)
            added = tone(NOISES[noise], 10, SPEECH_RMS * 10 ** (-snr / 20), rate)[: len(clean)]
            stem = f"{speaker}_{number:03}"
            write(root / f"clean_{name}_wav" / f"{stem}.wav", clean, rate)
            write(root / f"noisy_{name}_wav" / f"{stem}.wav", clean + added, rate)
            logs[name].append(f"{stem} {noise} {snr}")
    for name, lines in logs.items():
        (root / f"log_{name}.txt").write_text("\n".join(lines) + "\n")
    return root


def folder(root: Path, speakers: int = 10, noises: int = 5) -> Path:
    """``speakers`` folders of two files, and ``noises`` files of each of two noise classes."""
    for index in range(speakers):
        for number in range(2):
            samples = tone(200 + 100 * index, 0.5)
            write(root / "clean" / f"s{index}" / "chapter" / f"{number}.wav", samples)
    for kind, hertz in NOISES.items():
        for number in range(noises):
            write(root / "noise" / f"{kind}_{number}.wav", tone(hertz + 100 * number, 1.0))
    return root
