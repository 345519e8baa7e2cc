"""Writing a plan as `sluice_model.c` and `sluice_model.h`.

Equal plans give equal bytes. Names in the C are the layers' of the contract,
dots turned into underscores.
"""

from __future__ import annotations

import re
from pathlib import Path

from dyncp.errors import UserError
from dyncp.files import write_text
from quantize.macs import Layout
from targets.compiler.arena import STEPS
from targets.compiler.audio_tables import AudioTables
from targets.compiler.c_text import array, fields, identifier, in_comment, integers, string
from targets.compiler.emit_personal import personal_arrays
from targets.compiler.packing import layout_of, pack
from targets.compiler.packing.probes import WORD_BYTES, PackedProbes, gate_words, pack_probes
from targets.compiler.plan import (
    BlockPlan,
    ConvolutionPlan,
    GatePlan,
    Plan,
    ResidualPlan,
    ResidualSide,
)

DEFAULT_NAME = "sluice"
SOURCE, HEADER = f"{DEFAULT_NAME}_model.c", f"{DEFAULT_NAME}_model.h"

_NOTICE = "/* Compiled from a .tflite by `python -m targets compile`. Do not edit. */\n"
_ARENA_FIELDS = (
    "layer_counters", "block_states", "features", "mask", "x", "wide", "average", "squeezed",
    "open_channels", "depthwise", "branch", "previous", "tail", "spectrum",
)  # fmt: skip
_SITES = {
    None: "SLUICE_SITE_NONE",
    "output": "SLUICE_SITE_OUTPUT",
    "hidden": "SLUICE_SITE_HIDDEN",
}
LAYOUTS: tuple[Layout, ...] = (
    "plain", "rows", "quads", "tiles", "folded", "octets", "offset_octets", "lone_rows", "channels"
)  # fmt: skip
"""In the order of the enumeration in ``firmware/kernels/layout.h``."""


def write_c(plan: Plan, folder: str | Path, name: str = DEFAULT_NAME) -> list[Path]:
    """Write ``NAME_model.c`` and ``.h`` into ``folder``; gives their paths, source first.

    The model is the object ``NAME_model``, its sizes are the macros ``NAME_HOP`` and so
    on: models of different names link into one program. Raises :class:`UserError` for
    a name that is not lower case, a C identifier.
    """
    if re.fullmatch("[a-z][a-z0-9_]*", name) is None:
        raise UserError(
            f"'{name}' cannot name a model in C: use a-z, 0-9 and _, and begin with a letter"
        )
    source, header = (Path(folder) / f"{name}_model.{suffix}" for suffix in "ch")
    texts = {source: source_text(plan, name), header: header_text(plan, name)}
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)


def header_text(plan: Plan, name: str = DEFAULT_NAME) -> str:
    """The header that a host includes: the model and the sizes that it needs."""
    network, audio, prefix = plan.network, plan.audio, name.upper()
    sizes = {
        "ARENA_BYTES": plan.arena.size,
        "SAMPLE_RATE": plan.sample_rate,
        "HOP": audio.n_fft // 2,
        "BINS": audio.bins,
        "BLOCKS": len(network.blocks),
        "GATES": network.gates,
        "LAYERS": len(network.layers),
        "TENSORS": len(plan.tensors),
        "PROBES": len(plan.probes),
        **({"DIMENSIONS": network.dimensions} if network.dimensions else {}),
    }
    defines = "".join(f"#define {prefix}_{size} {value}\n" for size, value in sizes.items())
    return (
        f"{_NOTICE}#ifndef {prefix}_MODEL_DATA_H\n#define {prefix}_MODEL_DATA_H\n\n"
        '#include "sluice.h"\n\n'
        f"#define {prefix}_PRESET {string(plan.preset)}\n"
        f"#define {prefix}_MODEL_HASH {string(plan.model_hash)}\n{defines}\n"
        '#ifdef __cplusplus\nextern "C" {\n#endif\n\n'
        f"extern const sluice_model_t {name}_model;\n\n"
        "#ifdef __cplusplus\n}\n#endif\n#endif\n"
    )


def source_text(plan: Plan, name: str = DEFAULT_NAME) -> str:
    """The network's constants and the structure that the runtime walks."""
    network = plan.network
    probes = _packed_probes(plan)
    map_lines = "".join(f" * {line}\n" for line in plan.arena.map_lines())
    parts = [
        f"{_NOTICE}/*\n * Preset {in_comment(plan.preset)}, model {plan.model_hash}\n *\n"
        f" * The arena. Steps of a frame: {', '.join(STEPS)}.\n *\n{map_lines} */\n",
        f'#include "{name}_model.h"\n\n#include "runtime/model.h"\n',
        *(_constants(layer, layout_of(network, layer, plan.kernels)) for layer in network.layers),
        *_audio_arrays(plan.audio),
        array("int8_t", "sigmoid", integers(network.sigmoid), "LOGISTIC of -128 .. 127"),
        f"static const sluice_block_t blocks[{len(network.blocks)}] = {{\n"
        + "".join(_block(plan, index, block) for index, block in enumerate(network.blocks))
        + "};\n",
        *(personal_arrays(plan) if network.dimensions else ()),
        *(_probe_arrays(plan, probes) if probes else ()),
        array("char *const", "layer_names", [string(layer.name) for layer in network.layers]),
        array("char *const", "tensor_names", [string(tensor) for tensor in plan.tensors]),
        f"const sluice_model_t {name}_model = {{\n{_model_fields(plan, name.upper(), probes)}}};\n",
    ]
    return "\n".join(parts)


def _constants(layer: ConvolutionPlan, layout: Layout) -> str:
    """Weights as laid out, then what each output channel needs besides them."""
    name, packed = identifier(layer.name), pack(layer, layout)
    return array(
        "_Alignas(4) int8_t" if layout != "plain" else "int8_t",
        f"{name}_weights",
        integers(packed.weights),
        f"{layer.name}: {layer.outputs} x {layer.inputs}, {layout}",
    ) + array("int32_t", f"{name}_constants", integers(packed.constants))


def _convolution(plan: Plan, layer: ConvolutionPlan) -> str:
    """The initialiser of a sluice_pointwise_t, or of a sluice_depthwise_t's like part."""
    name = identifier(layer.name)
    depthwise = layer.name.endswith(".depthwise")
    sizes: dict[str, object] = (
        {"count": layer.outputs}
        if depthwise
        else {"inputs": layer.inputs, "outputs": layer.outputs}
    )
    values = {
        "weights": f"{name}_weights",
        "constants": f"{name}_constants",
        **sizes,
        "input_zero_point": layer.input_zero_point,
        "output_zero_point": layer.output_zero_point,
        "lowest": layer.lowest,
        "layout": f"SLUICE_LAYOUT_{layout_of(plan.network, layer, plan.kernels).upper()}",
    }
    return f"{{\n{fields(values, ' ' * 12)}        }}"


def _residual(plan: ResidualPlan) -> str:
    def side(values: ResidualSide) -> str:
        return f"{{{values.multiplier}, {values.shift}, {values.zero_point}}}"

    sides: dict[str, object] = {
        "x": side(plan.x),
        "branch": side(plan.branch),
        "sum": side(plan.sum),
    }
    return f"{{\n{fields(sides, ' ' * 12)}        }}"


def _gate(plan: Plan, index: int, gate: GatePlan) -> dict[str, object]:
    values: dict[str, object] = {
        "squeeze": _convolution(plan, gate.squeeze),
        "score": _convolution(plan, gate.score),
        "pool_frames": gate.pool_frames,
        "logits": plan.arena.offset(f"logits{index}"),
        "bits": plan.arena.offset("bits") + WORD_BYTES * gate_words(plan.network.gates) * index,
    }
    if gate.pool_frames > 1:
        values["pool"] = plan.arena.offset(f"pool{index}")
        values["sums"] = plan.arena.offset(f"sums{index}")
    return values


def _block(plan: Plan, index: int, block: BlockPlan) -> str:
    values: dict[str, object] = {
        "up": _convolution(plan, block.up),
        "depthwise": _convolution(plan, block.depthwise),
        "down": _convolution(plan, block.down),
        "residual": _residual(block.residual),
        "dilation": block.dilation,
        "taps": plan.arena.offset(f"taps{index}"),
        **(_gate(plan, index, block.gate) if block.gate else {}),
    }
    return f"    {{\n{fields(values, ' ' * 8)}    }},\n"


def _audio_arrays(tables: AudioTables) -> list[str]:
    keys = [f"UINT32_C({value})" for value in tables.thresholds]
    return [
        array("int32_t", "sine", integers(tables.sine), "A quarter of a sine, Q31"),
        array("int32_t", "overlap_gain", integers(tables.overlap_gain), "Q29"),
        array("uint32_t", "feature_thresholds", keys, "keys of powers where a feature steps up"),
    ]


def _packed_probes(plan: Plan) -> PackedProbes | None:
    """None in a model without probes, whose fields are then all zero."""
    if not plan.probes:
        return None
    return pack_probes(plan.probes, len(plan.network.blocks), plan.network.gates)


def _probe_arrays(plan: Plan, packed: PackedProbes) -> list[str]:
    """An array of none is left out: probes of a static network, or all bias."""
    words = [f"UINT32_C(0x{word:08x})" for word in packed.used]
    counts = f"{len(packed.weights)} gates x {len(plan.probes)} probes"
    arrays = [
        ("uint32_t", "probe_used", words, "Gates that have weights"),
        ("uint16_t", "probe_rows", integers(packed.rows), ""),
        ("int16_t", "probe_weights", integers(packed.weights.reshape(-1)), counts),
        ("int32_t", "probe_biases", integers(packed.biases), ""),
        ("char *const", "probe_names", [string(probe.name) for probe in plan.probes], ""),
    ]
    return [array(kind, name, items, comment) for kind, name, items, comment in arrays if items]


def _probe_fields(packed: PackedProbes) -> dict[str, object]:
    table: dict[str, object] = {
        "used": "probe_used" if len(packed.used) else "NULL",
        "rows": "probe_rows" if len(packed.rows) else "NULL",
        "weights": "probe_weights" if len(packed.weights) else "NULL",
        "biases": "probe_biases",
        "words": len(packed.used),
        "probes": len(packed.biases),
    }
    return {"probes": f"{{\n{fields(table, ' ' * 8)}    }}", "probe_names": "probe_names"}


def _model_fields(plan: Plan, prefix: str, probes: PackedProbes | None) -> str:
    network, tables = plan.network, plan.audio
    digest = [f"0x{byte:02x}" for byte in bytes.fromhex(plan.model_hash)]
    info = {
        "preset": f"{prefix}_PRESET",
        "hash": "{" + ", ".join(digest) + "}",
        "sample_rate": f"{prefix}_SAMPLE_RATE",
        "hop": f"{prefix}_HOP",
        "bins": f"{prefix}_BINS",
        "blocks": f"{prefix}_BLOCKS",
        "gates": f"{prefix}_GATES",
        "layers": f"{prefix}_LAYERS",
        "tensors": f"{prefix}_TENSORS",
        "probes": f"{prefix}_PROBES",
        "arena_bytes": f"{prefix}_ARENA_BYTES",
        **({"dimensions": f"{prefix}_DIMENSIONS"} if network.dimensions else {}),
        "dense_macs": sum(layer.macs for layer in network.layers),
    }
    audio = {
        "n_fft": tables.n_fft,
        "bins": tables.bins,
        "fft_bits": tables.fft_bits,
        "fraction_bits": tables.fraction_bits,
        "sine": "sine",
        "overlap_gain": "overlap_gain",
        "thresholds": "feature_thresholds",
    }
    offsets = {name: plan.arena.offset(name) for name in _ARENA_FIELDS}
    inner = " " * 8
    return fields(
        {
            "info": f"{{\n{fields(info, inner)}    }}",
            "site": _SITES[network.site],
            "group": network.group,
            "arena": f"{{\n{fields(dict(offsets), inner)}    }}",
            "audio": f"{{\n{fields(audio, inner)}    }}",
            "front": _convolution(plan, network.front),
            "back": _convolution(plan, network.back),
            "sigmoid": "sigmoid",
            "blocks": "blocks",
            **({"personal": "&personal"} if network.dimensions else {}),
            **(_probe_fields(probes) if probes else {}),
            "layer_names": "layer_names",
            "tensor_names": "tensor_names",
        }
    )
