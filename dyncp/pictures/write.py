"""All pictures of a checkpoint."""

from __future__ import annotations

from pathlib import Path

from dyncp.checkpoint import Checkpoint
from dyncp.pictures.answers import probes_of
from dyncp.pictures.coefficients import draw_coefficients
from dyncp.pictures.frames import pictured
from dyncp.pictures.gates import draw_gates
from dyncp.pictures.tsne import FRAMES, draw_tsne
from dyncp.probes.study import TEST_SEED


def draw_pictures(
    checkpoint: Checkpoint,
    folder: Path,
    minutes: float,
    data: Path | None = None,
    *,
    seed: int = TEST_SEED,
    tsne_frames: int = FRAMES,
) -> list[Path]:
    """Write ``coefficients.png`` (where there are probes), ``gates.png`` and ``tsne.png``.

    Of about ``minutes`` of the test split's streams; ``data`` as in
    :func:`dyncp.data.open.open_source`. Gives the files that were written. Raises
    :class:`dyncp.errors.UserError` for a network without gates, or whose gates never change.
    """
    written = []
    if probes_of(checkpoint.probes):
        written.append(folder / "coefficients.png")
        draw_coefficients(checkpoint, written[-1])
    shown = pictured(checkpoint, minutes, seed, data)
    written += [folder / "gates.png", folder / "tsne.png"]
    draw_gates(shown, written[-2])
    draw_tsne(shown, written[-1], seed, tsne_frames)
    return written
