"""From a .tflite to C: the right integers, the same bytes, and a refusal of all else."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.flatbuffer import text
from quantize.arithmetic import INT8_MIN, Addition
from quantize.wiring import block_input
from targets.compiler.c_text import in_comment, integers, string, wrap
from targets.compiler.compile import compile_model
from targets.compiler.emit import header_text, source_text, write_c
from targets.toolchain import run_tool
from tests.targets.built import Built, edited

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parents[2]


def test_the_plan_holds_the_quantised_models_integers(any_built: Built) -> None:
    """Weights, biases, factors and zero points go to the device as they are, or not at all."""
    plan, model = any_built.plan, any_built.model
    assert [layer.name for layer in plan.network.layers] == list(model.layers)
    for layer in plan.network.layers:
        source = model.layers[layer.name]
        output = model.activations[source.spec.output]
        multiplier, shift = model.multipliers(layer.name)
        own = layer.weights if layer.columns is None else np.hstack([layer.weights, layer.columns])
        assert own.dtype == np.int8 and np.array_equal(own, source.weight)
        assert layer.inputs == source.spec.inputs
        assert layer.bias.dtype == np.int32 and np.array_equal(layer.bias, source.bias)
        assert np.array_equal(layer.multiplier, multiplier)
        assert np.array_equal(layer.shift, shift)
        assert layer.input_zero_point == model.activations[source.spec.input].zero_point
        assert layer.output_zero_point == output.zero_point
        assert layer.lowest == (output.zero_point if source.spec.relu else INT8_MIN)
    assert np.array_equal(plan.network.sigmoid, model.sigmoid_table)


def test_the_plan_holds_the_residuals_factors(any_built: Built) -> None:
    model, preset = any_built.model, any_built.preset
    for index, block in enumerate(any_built.plan.network.blocks):
        names = block_input(preset, index), f"block{index}.update", block_input(preset, index + 1)
        grids = [(model.activations[n].scale, model.activations[n].zero_point) for n in names]
        addition = Addition(*grids)
        plan = block.residual
        sides = [(side.multiplier, side.shift) for side in (plan.x, plan.branch, plan.sum)]
        assert sides == [addition.first, addition.second, addition.output]
        zero_points = plan.x.zero_point, plan.branch.zero_point, plan.sum.zero_point
        assert zero_points == addition.zero_points


def test_the_plan_holds_gates_states_and_probes(any_built: Built) -> None:
    plan, preset, model = any_built.plan, any_built.preset, any_built.model
    assert plan.network.site == (preset.gate.site if preset.gate else None)
    assert plan.network.group == (preset.gate.group if preset.gate else 1)
    assert plan.network.gates == preset.gates
    dilations = tuple(block.dilation for block in plan.network.blocks)
    assert dilations == preset.network.block_dilations
    for block in plan.network.blocks:
        frames = block.gate.pool_frames if block.gate else None
        assert frames == (preset.gate.pool_frames if preset.gate else None)
    assert plan.tensors == tuple(any_built.expected)
    assert plan.model_hash == model.model_hash
    assert [probe.name for probe in plan.probes] == [probe.name for probe in model.probes]
    for ours, theirs in zip(plan.probes, model.probes, strict=True):
        assert ours.bias == theirs.bias and np.array_equal(ours.weights, theirs.weights)


def test_a_relu_cuts_at_the_outputs_zero_point(hidden: Built, tmp_path: Path) -> None:
    """Calibration puts it at -128, where the cut would be int8's own; others may not."""

    def raise_zero(model: Any) -> None:
        tensors = model.subgraphs[0].tensors
        squeezed = next(t for t in tensors if text(t.name) == "block1.squeezed")
        squeezed.quantization.zeroPoint = np.array([-100], np.int64)

    gate = compile_model(edited(hidden.tflite, tmp_path / "m.tflite", raise_zero)).network.blocks[1]
    assert gate.gate is not None
    assert (gate.gate.squeeze.lowest, gate.gate.squeeze.output_zero_point) == (-100, -100)
    assert (gate.gate.score.lowest, gate.gate.score.input_zero_point) == (INT8_MIN, -100)


def test_the_same_model_gives_the_same_c_in_every_process(hidden: Built, tmp_path: Path) -> None:
    """The build id and every rebuild hang on it; a set's order would differ by process."""
    command = [sys.executable, "-m", "targets", "compile", "--model", str(hidden.tflite)]
    for seed in ("1", "2"):
        subprocess.run(
            [*command, "--out", str(tmp_path / seed)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT, check=True, capture_output=True,
        )  # fmt: skip
    for name in ("sluice_model.c", "sluice_model.h"):
        here = (hidden.c_folder / name).read_bytes()
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes() == here


def test_the_header_is_as_it_always_was(hidden: Built) -> None:
    """Hosts size their buffers by these names."""
    plan = replace(hidden.plan, model_hash="0123456789abcdef" * 4)
    assert header_text(plan) == (GOLDEN / "sluice_model.h").read_text(encoding="utf-8")


def test_any_preset_name_gives_c_that_compiles(hidden: Built, tmp_path: Path) -> None:
    """A name is a file's name: it may hold quotes, a comment's end, or another alphabet."""
    name = 'a "b" \\ */ #error /* ??/\n é 100% 7'
    write_c(replace(hidden.plan, preset=name), tmp_path)
    (tmp_path / "show.c").write_text(
        '#include <stdio.h>\n#include "sluice_model.h"\n'
        "int main(void) { fputs(SLUICE_PRESET, stdout); return 0; }\n"
    )
    firmware = ROOT / "targets" / "firmware"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{firmware / 'include'}"]
    run_tool("gcc", [*flags, tmp_path / "show.c", "-o", tmp_path / "show"])
    shown = subprocess.run([tmp_path / "show"], capture_output=True, check=True).stdout
    assert shown.decode("utf-8") == name
    run_tool("gcc", [*flags, f"-I{firmware}", "-c", tmp_path / "sluice_model.c",
                     "-o", tmp_path / "model.o"])  # fmt: skip


def test_constants_of_c_at_the_ends_of_their_range() -> None:
    """-2147483648 is no int constant in C: 2147483648 is a long, negated."""
    assert integers([-(2**31), 2**31 - 1, np.int8(-128)]) == ["INT32_MIN", "2147483647", "-128"]


def test_arrays_are_wrapped_without_losing_an_item() -> None:
    items = [str(n) for n in range(-500, 500)]
    lines = wrap(items).splitlines()
    assert max(len(line) for line in lines) <= 96
    assert [item.strip() for line in lines for item in line.rstrip(",").split(",")] == items


def test_text_cannot_leave_a_string_or_a_comment() -> None:
    assert string('"\\?\n') == r'"\042\134\077\012"'
    assert "*/" not in in_comment("a **/ b */*/ c")
    assert "\n" not in in_comment("a\nb")


def test_the_source_names_what_it_was_made_of(hidden: Built) -> None:
    """Who finds a sluice_model.c must be able to tell which model it is."""
    text = source_text(hidden.plan)
    assert f"Preset {hidden.preset.name}, model {hidden.model.model_hash}" in text
    assert all(line in text for line in hidden.plan.arena.map_lines())
    assert compile_model(hidden.tflite).model_hash in text
