"""How much a checkpoint helps on speakers and noises it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dyncp.checkpoint import Checkpoint
from dyncp.data.labels import voice_activity
from dyncp.data.open import open_source
from dyncp.enhance import enhance
from dyncp.metrics import pesq_wb, si_sdr, stoi
from dyncp.probes import scores

_SNRS = (0.0, 5.0, 10.0)


def evaluate(
    checkpoint: Checkpoint, seconds: float = 6.0, data: Path | None = None
) -> list[dict[str, Any]]:
    """One row per noise class of the test split: means over its SNRs (0, 5, 10 dB).

    ``seen`` says whether the class is in the training split; the speakers never are.
    ``data`` as in :func:`dyncp.data.open.open_source`.
    """
    preset = checkpoint.preset
    rate = preset.audio.sample_rate
    source = open_source(data, rate, "test")
    rows = []
    for kind in source.noise_classes:
        results = []
        for index, snr in enumerate(_SNRS):
            rng = np.random.default_rng([23, index, sum(map(ord, kind))])
            mixture = source.mix(rng, seconds, noise=kind, snr=snr, level=-26.0)
            output = enhance(checkpoint.network, mixture.noisy)
            gates = output.gates.reshape(len(output.gates), -1)
            active = voice_activity(preset.audio, mixture.clean)
            vad = [np.mean((scores(p, gates) > 0) == active)
                   for p in checkpoint.probes if p["name"] == "vad"]  # fmt: skip
            clean = mixture.clean
            results.append(
                {
                    "si_sdr_noisy": si_sdr(mixture.noisy, clean),
                    "si_sdr": si_sdr(output.samples, clean),
                    "pesq_noisy": pesq_wb(mixture.noisy, clean, rate),
                    "pesq": pesq_wb(output.samples, clean, rate),
                    "stoi_noisy": stoi(mixture.noisy, clean, rate),
                    "stoi": stoi(output.samples, clean, rate),
                    "utilisation": float(output.gates.mean()) if output.gates.size else 1.0,
                    "vad_accuracy": float(vad[0]) if vad else float("nan"),
                }
            )
        means = {key: float(np.nanmean([row[key] for row in results])) for key in results[0]}
        rows.append({"noise": kind, "seen": kind in source.trained_noise_classes, **means})
    return rows


def format_rows(rows: list[dict[str, Any]]) -> str:
    """The rows and their means as a table for the terminal."""
    lines = [
        f"{'noise':<12}{'trained':>8}{'SI-SDR in':>11}{'out':>7}{'PESQ in':>9}{'out':>6}"
        f"{'STOI in':>9}{'out':>6}{'open':>7}{'VAD':>7}"
    ]
    groups = [[row] for row in rows]
    kinds = [[r for r in rows if r["seen"]], [r for r in rows if not r["seen"]]]
    groups += [kind for kind in kinds if kind]
    for number, group in enumerate(groups):
        mean = {
            key: np.mean([row[key] for row in group])
            for key in group[0]
            if key not in ("noise", "seen")
        }
        single = number < len(rows)
        name = group[0]["noise"] if single else "mean"
        lines.append(
            f"{name:<12}{'yes' if group[0]['seen'] else 'no':>8}"
            f"{mean['si_sdr_noisy']:>11.2f}{mean['si_sdr']:>7.2f}"
            f"{mean['pesq_noisy']:>9.2f}{mean['pesq']:>6.2f}"
            f"{mean['stoi_noisy']:>9.2f}{mean['stoi']:>6.2f}"
            f"{mean['utilisation']:>7.2f}{mean['vad_accuracy']:>7.2f}"
        )
    return "\n".join(lines)
