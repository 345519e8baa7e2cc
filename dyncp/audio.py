"""Audio in and out, and the features of the network, in float64 numpy.

The frames are those of the firmware: frame t covers hops t - 1 and t, the hop
before the first is silence, and the output lags the input by one hop. This is
the reference that the fixed-point front end is measured against.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import get_window, resample_poly

from dyncp.errors import UserError
from dyncp.files import replacing
from dyncp.preset import Audio


def _print_note(line: str) -> None:
    print(line, file=sys.stderr)


def load_wav(
    path: str | Path, sample_rate: int, note: Callable[[str], None] = _print_note
) -> np.ndarray:
    """Read an audio file as mono float32 in [-1, 1] at ``sample_rate`` Hz.

    Other channel counts are mixed down and other rates resampled, each with a
    line to ``note``. Raises :class:`UserError` for a missing, empty, truncated
    or non-audio file, or one with samples that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such audio file: {path}")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes)")
    _check_whole(path)
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise UserError(f"{path} is not an audio file that can be read: {error}") from error
    if samples.shape[0] == 0:
        raise UserError(f"{path} holds no samples")
    if not np.isfinite(samples).all():
        raise UserError(f"{path} holds samples that are not finite numbers")
    if samples.shape[1] > 1:
        note(f"{path}: {samples.shape[1]} channels mixed down to mono")
    mono = samples.mean(axis=1)
    if rate != sample_rate:
        note(f"{path}: resampled from {rate} Hz to {sample_rate} Hz")
        common = gcd(rate, sample_rate)
        mono = resample_poly(mono, sample_rate // common, rate // common)
    return np.ascontiguousarray(mono, dtype=np.float32)


def _check_whole(path: Path) -> None:
    """Raise if a RIFF file promises more data than there is; libsndfile does not say."""
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return
        size = path.stat().st_size
        while len(chunk := file.read(8)) == 8:
            length = int.from_bytes(chunk[4:], "little")
            # 0xFFFFFFFF and 0: written by streams that did not know their length.
            if chunk[:4] == b"data":
                if length not in (0, 0xFFFFFFFF) and file.tell() + length > size:
                    raise UserError(
                        f"{path} is truncated: its header promises {length} bytes of samples, "
                        f"{size - file.tell()} are there"
                    )
                return
            file.seek(length + length % 2, 1)
    raise UserError(f"{path} is truncated: it has a WAVE header but no samples")


def to_pcm(samples: np.ndarray) -> np.ndarray:
    """Float samples in [-1, 1) as int16, rounded and saturated."""
    return np.clip(np.rint(np.asarray(samples) * 32768.0), -32768, 32767).astype(np.int16)


def from_pcm(pcm: np.ndarray) -> np.ndarray:
    """int16 samples as float32 in [-1, 1)."""
    return (pcm / np.float32(32768.0)).astype(np.float32)


def save_wav(path: str | Path, samples: np.ndarray, sample_rate: int) -> None:
    """Write mono samples (float in [-1, 1) or int16) as 16-bit PCM, atomically."""
    pcm = samples if samples.dtype == np.int16 else to_pcm(samples)
    with replacing(path) as temporary:
        soundfile.write(temporary, pcm, sample_rate, subtype="PCM_16", format="WAV")


def analysis_window(audio: Audio) -> np.ndarray:
    """Periodic Hann, float64 ``[n_fft]``."""
    return get_window("hann", audio.n_fft, fftbins=True)


def synthesis_window(audio: Audio) -> np.ndarray:
    """The least-squares inverse of the Hann analysis at half overlap, float64 ``[n_fft]``.

    ``w[n] / (w[n]^2 + w[n + hop]^2)``: what ``torch.istft`` does away from the edges.
    """
    window = analysis_window(audio)
    power = window**2
    return window / (power + np.roll(power, audio.hop))


def spectrum(audio: Audio, samples: np.ndarray) -> np.ndarray:
    """STFT of float samples: complex128 ``[n_fft / 2 + 1, frames]``.

    There are as many frames as whole hops; a rest shorter than a hop is padded
    with silence to one.
    """
    hops = -(-len(samples) // audio.hop)
    padded = np.zeros((hops + 1) * audio.hop)
    padded[audio.hop : audio.hop + len(samples)] = samples
    frames = np.lib.stride_tricks.sliding_window_view(padded, audio.n_fft)[:: audio.hop]
    return np.fft.rfft(frames * analysis_window(audio), axis=1).T


def compress(audio: Audio, spectra: np.ndarray) -> np.ndarray:
    """Network features of a spectrum: float32 ``[bins, frames]``."""
    magnitude = np.abs(spectra[: audio.bins])
    return ((magnitude + audio.epsilon) ** audio.compression).astype(np.float32)


def features(audio: Audio, samples: np.ndarray) -> np.ndarray:
    """Network features of float samples: float32 ``[bins, frames]``."""
    return compress(audio, spectrum(audio, samples))


def resynthesise(audio: Audio, spectra: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Apply a mask ``[bins, frames]`` and overlap-add: float64, ``frames * hop`` samples.

    Lags the input by one hop, as the firmware does. Bins that the network does
    not see (Nyquist, if dropped) are silenced.
    """
    masked = np.zeros_like(spectra)
    masked[: audio.bins] = spectra[: audio.bins] * mask
    frames = np.fft.irfft(masked.T, axis=1) * synthesis_window(audio)
    output = frames[:, : audio.hop].copy()
    output[1:] += frames[:-1, audio.hop :]
    return output.reshape(-1)
