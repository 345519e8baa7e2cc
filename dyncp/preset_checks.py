"""What a preset's values must be, key by key and together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dyncp.errors import UserError

if TYPE_CHECKING:
    from dyncp.preset import Preset, Refinement

Require = Callable[[bool, str], None]


def check(preset: Preset, source: str) -> None:
    """Raise :class:`UserError` that names the first key which makes no valid preset.

    ``source`` is the file, or what else the preset came from.
    """
    audio, network, gate = preset.audio, preset.network, preset.gate

    def require(condition: bool, message: str) -> None:
        if not condition:
            raise UserError(f"{source}: {message}")

    n_fft = audio.n_fft
    require(audio.sample_rate > 0, "[audio] sample_rate must be positive")
    require(
        64 <= n_fft <= 2048 and n_fft & (n_fft - 1) == 0,
        f"[audio] n_fft must be a power of two from 64 to 2048, not {n_fft}",
    )
    require(audio.hop * 2 == n_fft, f"[audio] hop must be half of n_fft, {n_fft // 2}")
    require(
        audio.bins in (n_fft // 2, n_fft // 2 + 1),
        f"[audio] bins must be {n_fft // 2 + 1}, or {n_fft // 2} to drop the Nyquist bin",
    )
    require(0 < audio.compression <= 1, "[audio] compression must lie in (0, 1]")
    require(0 < audio.epsilon < 1, "[audio] epsilon must lie in (0, 1)")
    require(1 <= network.channels <= 1024, "[network] channels must lie in 1..1024")
    require(1 <= network.hidden <= 1024, "[network] hidden must lie in 1..1024")
    require(network.stacks >= 1, "[network] stacks must be at least 1")
    blocks = network.stacks * len(network.dilations)  # counted before anything has their size
    require(blocks <= 256, f"[network] stacks x dilations make {blocks} blocks, more than 256")
    require(all(1 <= d <= 64 for d in network.dilations), "[network] dilations must lie in 1..64")
    if gate:
        require(gate.group in (1, 4, 8), f"[gate] group must be 1, 4 or 8, not {gate.group}")
        require(
            preset.gated_channels % gate.group == 0,
            f"[gate] group {gate.group} does not divide the {preset.gated_channels} gated channels",
        )
        require(1 <= gate.hidden <= 256, "[gate] hidden must lie in 1..256")
        require(1 <= gate.pool_frames <= 256, "[gate] pool_frames must lie in 1..256")
        require(0 < gate.utilisation <= 1, "[gate] utilisation must lie in (0, 1]")
    if preset.speaker:
        require(1 <= preset.speaker.dimensions <= 256, "[speaker] dimensions must lie in 1..256")
    _check_training(preset, require)
    if preset.refinement:
        _check_refinement(preset, preset.refinement, require)


def _check_refinement(preset: Preset, refinement: Refinement, require: Require) -> None:
    training = preset.training
    require(refinement.steps >= 1, "[refinement] steps must be >= 1")
    require(refinement.learning_rate > 0, "[refinement] learning_rate must be positive")
    for key in ("distillation_weight", "probe_weight"):
        weight = getattr(refinement, key)
        require(weight is None or weight > 0, f"[refinement] {key} must be positive")
        require(
            weight is None or getattr(training, key) is not None,
            f"[refinement] {key} needs the same key in [training]",
        )
    require(
        refinement.teacher is None or training.teacher is not None,
        "[refinement] teacher needs one in [training] that it follows",
    )
    target = refinement.utilisation
    require(
        target is None or (bool(preset.gate) and not training.block_utilisation),
        "[refinement] utilisation needs a [gate], and one target for all blocks",
    )
    require(target is None or 0 < target <= 1, "[refinement] utilisation must lie in (0, 1]")
    _check_speeds("refinement", refinement.speeds, require)


def _check_training(preset: Preset, require: Require) -> None:
    training, gate = preset.training, preset.gate
    require(training.steps >= 1 and training.batch >= 1, "[training] steps and batch must be >= 1")
    require(training.validate_every >= 1, "[training] validate_every must be >= 1")
    require(training.crop_seconds > 0, "[training] crop_seconds must be positive")
    for key in ("distillation_weight", "probe_weight"):
        weight = getattr(training, key)
        require(weight is None or weight > 0, f"[training] {key} must be positive, or be left out")
    require(
        (training.teacher is None) == (training.distillation_weight is None),
        "[training] teacher and distillation_weight go together: give both or neither",
    )
    _check_speeds("training", training.speeds, require)
    require(
        bool(gate) or training.probe_weight is None,
        "[training] probe_weight needs a [gate]",
    )
    targets = training.block_utilisation
    require(bool(gate) or targets is None, "[training] block_utilisation needs a [gate]")
    if targets is None or gate is None:
        return
    require(
        len(targets) == preset.blocks,
        f"[training] block_utilisation has {len(targets)} targets for {preset.blocks} blocks",
    )
    require(all(0 < t <= 1 for t in targets), "[training] block_utilisation must lie in (0, 1]")
    mean = sum(targets) / len(targets)
    # What is said of the network elsewhere is the overall target.
    require(
        abs(mean - gate.utilisation) < 5e-4,
        f"[training] block_utilisation has the mean {mean:.4f}, [gate] utilisation is "
        f"{gate.utilisation}; make them agree",
    )


def _check_speeds(section: str, speeds: tuple[int, ...] | None, require: Require) -> None:
    require(
        all(5 <= speed <= 20 for speed in speeds or ()),
        f"[{section}] speeds must lie in 5..20, tenths of the recorded speed",
    )
