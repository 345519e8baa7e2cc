"""Presets: a network and its training, read from TOML and checked key by key."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from dyncp.errors import UserError
from dyncp.preset_checks import check

PRESET_FOLDER = Path(__file__).parent / "presets"

GateSite = Literal["output", "hidden"]
Surrogate = Literal["sigmoid", "triangle"]
DEPTHWISE_KERNEL = 3
"""Taps of every depthwise convolution: t - 2d, t - d and t for dilation d."""


@dataclass(frozen=True)
class Audio:
    """The signal the network works on.

    ``hop`` must be half of ``n_fft``; ``bins`` is ``n_fft / 2 + 1``, or one less
    to drop the Nyquist bin. Features are ``(|X| + epsilon) ** compression``.
    """

    sample_rate: int
    n_fft: int
    hop: int
    bins: int
    compression: float
    epsilon: float

    @property
    def frames_per_second(self) -> float:
        return self.sample_rate / self.hop


@dataclass(frozen=True)
class Network:
    """Conv-FSENet: ``stacks`` times one block per dilation."""

    channels: int
    hidden: int
    stacks: int
    dilations: tuple[int, ...]

    @property
    def block_dilations(self) -> tuple[int, ...]:
        """The dilation of every block, front to back."""
        return self.dilations * self.stacks


@dataclass(frozen=True)
class Gate:
    """One gating subnet per block: moving average, 1x1, ReLU, 1x1, Heaviside.

    ``surrogate`` is the gradient that training takes for the Heaviside's:
    ``sigmoid``, 4 s (1 - s) with s the logit's sigmoid, or ``triangle``,
    max(0, 1 - |logit|). Both are 1 at the threshold.
    """

    site: GateSite
    group: int
    hidden: int
    pool_frames: int
    utilisation: float
    surrogate: Surrogate


@dataclass(frozen=True)
class Speaker:
    """Whose voice the network keeps: an embedding of ``dimensions`` values (ours).

    Every block's ``up`` and the gates' ``squeeze`` take it beside their input; it stands
    still from frame to frame, so a device adds it to their biases once.
    """

    dimensions: int


def _given(section: Training | Refinement) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(section).items()
        if value is not None
    }


@dataclass(frozen=True)
class Training:
    """What ``python -m dyncp train`` does with a preset.

    The keys from ``start`` on may be left out. ``start``: the preset whose shipped
    checkpoint gives the first weights, all but the gates'. ``teacher``: the preset
    whose shipped checkpoint the output is drawn to, by ``distillation_weight``.
    ``block_utilisation``: a target for every block, in place of one for all; its mean
    is ``[gate] utilisation``. ``probe_weight``: of linear probes for voice activity,
    noise class, gender, SNR and F0 that are trained along with the gates. ``speeds``:
    tenths of the recorded speed at which voices are played, here and in the streams that
    the probes are fitted on.
    """

    seed: int
    steps: int
    batch: int
    crop_seconds: float
    learning_rate: float
    final_learning_rate: float
    utilisation_weight: float
    utilisation_ramp_steps: int
    validate_every: int
    start: str | None = None
    teacher: str | None = None
    distillation_weight: float | None = None
    block_utilisation: tuple[float, ...] | None = None
    probe_weight: float | None = None
    speeds: tuple[int, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain values, without the keys that are left out."""
        return _given(self)


@dataclass(frozen=True)
class Refinement:
    """More steps on what ``[training]`` ended with, at a learning rate of their own (ours).

    The rate falls from ``learning_rate`` to the training's final one. The other keys replace
    what ``[gate]`` and ``[training]`` say under the same names; what is left out stays.
    """

    steps: int
    learning_rate: float
    utilisation: float | None = None
    teacher: str | None = None
    distillation_weight: float | None = None
    probe_weight: float | None = None
    speeds: tuple[int, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain values, without the keys that are left out."""
        return _given(self)


@dataclass(frozen=True)
class Preset:
    """A network and its training. ``gate`` is None for a static network, ``speaker`` for one
    that keeps every voice, ``refinement`` where the training is all."""

    name: str
    audio: Audio
    network: Network
    gate: Gate | None
    training: Training
    speaker: Speaker | None = None
    refinement: Refinement | None = None

    @property
    def speeds(self) -> tuple[int, ...]:
        """Tenths of the recorded speed, of the voices that the network was trained on last."""
        return self.refined().training.speeds or (10,)

    @property
    def total_steps(self) -> int:
        """Of the training and the refinement."""
        return self.training.steps + (self.refinement.steps if self.refinement else 0)

    def refined(self) -> Preset:
        """What the refinement trains, as a preset of its own; itself if there is none."""
        if self.refinement is None:
            return self
        changes = {k: v for k, v in vars(self.refinement).items() if v is not None}
        target = changes.pop("utilisation", None)
        gate = self.gate
        if gate and target is not None:
            gate = dataclasses.replace(gate, utilisation=target)
        training = dataclasses.replace(self.training, utilisation_ramp_steps=0, **changes)
        return dataclasses.replace(self, gate=gate, training=training, refinement=None)

    @property
    def blocks(self) -> int:
        return len(self.network.block_dilations)

    @property
    def gated_channels(self) -> int:
        """Channels per block that the gates can close; 0 for a static network."""
        if self.gate is None:
            return 0
        return self.network.channels if self.gate.site == "output" else self.network.hidden

    @property
    def gates(self) -> int:
        """Logits per block: one for each group of gated channels."""
        return self.gated_channels // self.gate.group if self.gate else 0

    def architecture(self) -> dict[str, Any]:
        """What a checkpoint must agree on to fit this preset (no training, no name)."""
        gate = dataclasses.asdict(self.gate) if self.gate else None
        if gate:
            del gate["utilisation"], gate["surrogate"]
        network = dataclasses.asdict(self.network)
        network["dilations"] = list(network["dilations"])
        values = {"audio": dataclasses.asdict(self.audio), "network": network, "gate": gate}
        if self.speaker:
            values["speaker"] = dataclasses.asdict(self.speaker)
        return values

    def to_dict(self) -> dict[str, Any]:
        """The preset as plain values; :func:`parse_preset` reads it back."""
        values = {
            "audio": dataclasses.asdict(self.audio),
            "network": dataclasses.asdict(self.network),
            "training": self.training.to_dict(),
        }
        values["network"]["dilations"] = list(self.network.dilations)
        if self.gate:
            values["gate"] = dataclasses.asdict(self.gate)
        if self.speaker:
            values["speaker"] = dataclasses.asdict(self.speaker)
        if self.refinement:
            values["refinement"] = self.refinement.to_dict()
        return values


def preset_names() -> list[str]:
    """The presets that ship."""
    return sorted(path.stem for path in PRESET_FOLDER.glob("*.toml"))


def load_preset(name_or_path: str) -> Preset:
    """Read a preset that ships, by name, or any TOML file, by path.

    Raises :class:`UserError` naming the file and the key that is wrong.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = PRESET_FOLDER / f"{name_or_path}.toml"
        if not path.is_file():
            raise UserError(
                f"unknown preset '{name_or_path}'; choose one of {', '.join(preset_names())}, "
                "or give the path of a .toml file"
            )
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read preset {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"preset {path} is not valid TOML: {error}") from error
    return parse_preset(path.stem, values, source=str(path))


def parse_preset(name: str, values: dict[str, Any], source: str) -> Preset:
    """Build a preset from parsed TOML; ``source`` names it in errors."""
    sections = {
        "audio": Audio,
        "network": Network,
        "gate": Gate,
        "speaker": Speaker,
        "training": Training,
        "refinement": Refinement,
    }
    for key in values:
        if key not in sections:
            raise UserError(f"{source}: unknown section [{key}]")
    parsed: dict[str, Any] = {"gate": None, "speaker": None, "refinement": None}
    for key, kind in sections.items():
        if key in values:
            parsed[key] = _section(kind, values[key], f"{source}: [{key}]")
        elif key not in parsed:
            raise UserError(f"{source}: section [{key}] is missing")
    preset = Preset(name=name, **parsed)
    check(preset, source)
    return preset


def _section(kind: type, values: Any, where: str) -> Any:
    if not isinstance(values, dict):
        raise UserError(f"{where} must be a table")
    hints = get_type_hints(kind)
    optional = {field.name for field in dataclasses.fields(kind) if field.default is None}
    unknown = [key for key in values if key not in hints]
    if unknown:
        raise UserError(f"{where} has an unknown key '{unknown[0]}'; known: {', '.join(hints)}")
    converted = {}
    for key, hint in hints.items():
        if key in values:
            converted[key] = _value(values[key], hint, f"{where} {key}")
        elif key not in optional:
            raise UserError(f"{where} lacks the key '{key}'")
    return kind(**converted)


_SINGULARS = {int: "an integer", float: "a number", str: "a string"}
_PLURALS = {int: "integers", float: "numbers"}


def _value(value: Any, hint: Any, where: str) -> Any:
    choices = get_args(hint)
    if NoneType in choices:
        hint = choices[0]
        choices = get_args(hint)
    if get_origin(hint) is tuple:
        item = choices[0]
        if not isinstance(value, list | tuple) or not value:
            raise UserError(f"{where} must be a list of {_PLURALS[item]}, not {value!r}")
        return tuple(_value(entry, item, where) for entry in value)
    if choices:
        if value not in choices:
            raise UserError(f"{where} must be one of {', '.join(choices)}, not {value!r}")
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, hint) or isinstance(value, bool):
        raise UserError(f"{where} must be {_SINGULARS[hint]}, not {value!r}")
    return value
