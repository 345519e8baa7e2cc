"""A measure that has nothing to measure says so, and never ends a long run."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import resample_poly

from dyncp.metrics import pesq_wb, stoi

RATE = 16000


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Two seconds of a buzz that goes on and off, and the same in noise: float32."""
    rng = np.random.default_rng(1)
    t = np.arange(2 * RATE) / RATE
    tone = sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 20))
    clean = 0.1 * tone * (np.sin(2 * np.pi * 3 * t) > 0)
    return clean.astype(np.float32), (clean + rng.normal(0, 0.02, t.size)).astype(np.float32)


def test_silence_has_no_score(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """A network may take everything away; PESQ's and STOI's code then fail, or make it up."""
    clean, noisy = pair
    silent = np.zeros_like(clean)
    for estimate, reference in ((silent, clean), (noisy, silent), (silent, silent)):
        assert np.isnan(pesq_wb(estimate, reference, RATE))
        assert np.isnan(stoi(estimate, reference, RATE, extended=True))
    assert 1 < pesq_wb(noisy, clean, RATE) < pesq_wb(clean, clean, RATE)
    assert 0.1 < stoi(noisy, clean, RATE) < stoi(clean, clean, RATE) <= 1.0 + 1e-9


def test_what_is_too_short_has_no_score(pair: tuple[np.ndarray, np.ndarray]) -> None:
    clean, noisy = (x[:3000] for x in pair)
    assert np.isnan(pesq_wb(noisy, clean, RATE))
    assert np.isnan(stoi(noisy, clean, RATE))


def test_pesq_is_that_of_16_khz_at_other_rates_or_none(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    clean, noisy = pair
    noisy = clean + 0.05 * np.sin(2 * np.pi * 700 * np.arange(len(clean)) / RATE)
    here = pesq_wb(noisy, clean, RATE)
    faster = [resample_poly(x, 3, 2) for x in (noisy, clean)]
    assert pesq_wb(*faster, 24000) == pytest.approx(here, abs=0.01)
    assert np.isnan(pesq_wb(noisy, clean, 8000))
