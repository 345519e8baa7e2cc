"""DNSMOS P.835 through an ONNX file that the user supplies (Reddy et al., ICASSP 2022).

The file is ``sig_bak_ovr.onnx`` of the DNS challenge; none ships with this project. The
polynomials that map its raw answers are those published beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dyncp.errors import UserError

_SAMPLES = 144160
"""At 16 kHz: the 9.01 s that the network takes; shorter clips are repeated."""
_STEP = 16000


class Dnsmos(NamedTuple):
    """Predicted MOS of the speech, the background and the whole, about 1..5."""

    signal: float
    background: float
    overall: float


_MAPS = (
    np.polynomial.Polynomial([0.0052439, 1.22083953, -0.08397278]),
    np.polynomial.Polynomial([-0.39604546, 1.60915514, -0.13166888]),
    np.polynomial.Polynomial([0.04602535, 1.11546468, -0.06766283]),
)


def open_dnsmos(path: Path) -> Callable[[np.ndarray], Dnsmos]:
    """A function from float samples at 16 kHz; raises :class:`UserError` for another file."""
    import onnxruntime

    if not path.is_file():
        raise UserError(f"no such DNSMOS model: {path}")
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        (answer,) = session.get_outputs()
        trial = session.run([answer.name], {given.name: np.zeros((1, _SAMPLES), np.float32)})[0]
        fits = np.shape(trial) == (1, len(_MAPS))
    except Exception as error:  # onnxruntime has exceptions of its own for each failure
        raise UserError(f"{path} is not a DNSMOS model: {str(error).splitlines()[0]}") from error
    if not fits:
        raise UserError(
            f"{path} is not a DNSMOS model: it answers {list(np.shape(trial))}, not [1, 3]"
        )

    def measure(samples: np.ndarray) -> Dnsmos:
        clip = np.tile(samples, -(-_SAMPLES // len(samples))).astype(np.float32)
        length = max(_SAMPLES, len(samples))
        starts = range(0, length - _SAMPLES + 1, _STEP)
        raw = np.array(
            [
                session.run([answer.name], {given.name: clip[None, s : s + _SAMPLES]})[0][0]
                for s in starts
            ]
        )
        return Dnsmos(*(float(f(raw[:, i]).mean()) for i, f in enumerate(_MAPS)))

    return measure
