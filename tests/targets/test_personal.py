"""Whom a personalised network keeps, in C: folded into constants, at once, and never by halves."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from convert.adversarial import adversarial_sequences
from convert.ladder import FrameSequence, climb
from convert.people import changing_people, with_people
from convert.rungs import IntegerRung
from dyncp.embedding import nobody
from dyncp.errors import UserError
from quantize.arithmetic import Requantisation
from quantize.clips import random_embedding
from quantize.integer_model import IntegerModel
from quantize.macs import executed_work, total
from targets.compiler.compile import compile_model, make_arena
from targets.compiler.emit import source_text, write_c
from targets.compiler.packing import layout_of, pack
from targets.compiler.packing.personal import personal_places
from targets.compiler.plan import ConvolutionPlan
from targets.host_library import HostLibrary, build_library
from targets.host_rung import HostRung
from targets.sanitised_rung import SanitisedRung, build_sanitised
from targets.sources import Kernels
from tests.targets.built import Built, noisy_pcm

ARGUMENT, STATE, EMBEDDING, LENGTH, VALUE = -1, -3, -4, -5, -6


def kept(library: HostLibrary) -> list[int]:
    found = library.embedding()
    assert found is not None
    return found.tolist()


def test_the_c_equals_the_integers_through_every_change(personal: Built) -> None:
    """Frames of speech and adversarial ones; whom to keep changes while the rings are full."""
    speech = FrameSequence("speech", personal.frames[:60], embeddings={0: nobody(8)})
    sequences = [speech, changing_people(speech, 0)]
    sequences += with_people(adversarial_sequences(personal.model), personal.preset, 0)
    rungs = [IntegerRung(personal.model), HostRung(personal.c_folder / "libsluice.so", 1)]
    report = climb(rungs, sequences)
    assert report.passed, report.rungs[1]
    assert report.rungs[1].mismatches == 0


def test_the_sanitisers_find_nothing_in_a_change(personal: Built, tmp_path: Path) -> None:
    program = build_sanitised(personal.c_folder, tmp_path / "serve")
    speech = FrameSequence("speech", personal.frames[:40], embeddings={0: nobody(8)})
    report = climb(
        [IntegerRung(personal.model), SanitisedRung(program, 1)], [changing_people(speech, 0)]
    )
    assert report.passed, report.rungs[1]


def test_a_hop_of_pcm_is_wholly_of_one_person(personal: Built) -> None:
    library = personal.library()
    runner = IntegerModel(personal.model)
    for index, hop in enumerate(noisy_pcm(personal.preset, 30)):
        if index in (11, 12, 20):
            runner.set_embedding(random_embedding(8, index))
            library.set_embedding(random_embedding(8, index))
        library.process_hop(hop)
        expected = runner.step(library.features())
        for name, values in library.tensors().items():
            np.testing.assert_array_equal(values, expected[name], err_msg=f"{index} {name}")
        gates = [library.gates(block) for block in range(personal.preset.blocks)]
        work = total(executed_work(personal.preset, gates))
        counters = library.counters()
        assert (counters.executed_macs, counters.weight_bytes) == (work.macs, work.weight_bytes)


def test_a_reset_keeps_the_embedding_and_an_init_does_not(personal: Built) -> None:
    """Else a stream that starts over would fall back to every voice without a word."""
    library, frame = personal.library(), personal.frames[30]
    everybody = library.process_frame(frame)["mask"]
    somebody = random_embedding(8, 1)
    library.reset()
    library.set_embedding(somebody)
    first = library.process_frame(frame)["mask"]
    assert (first != everybody).any()
    library.reset()
    assert kept(library) == somebody.tolist()
    np.testing.assert_array_equal(library.process_frame(frame)["mask"], first)
    fresh = personal.library()
    assert kept(fresh) == [0] * 8
    np.testing.assert_array_equal(fresh.process_frame(frame)["mask"], everybody)
    other = personal.library()  # instances share nothing
    assert kept(library) == somebody.tolist() and kept(other) == [0] * 8


def status(library: HostLibrary, values: NDArray[np.int8] | None, count: int) -> int:
    pointer = None if values is None else values.ctypes.data_as(ctypes.POINTER(ctypes.c_int8))
    return library._library.sluice_set_embedding(
        ctypes.byref(library._instance), pointer, ctypes.c_size_t(count)
    )


def test_what_is_no_embedding_has_an_error_of_its_own_and_the_old_one_stays(
    personal: Built, output: Built
) -> None:
    library, good = personal.library(), random_embedding(8, 1)
    library.set_embedding(good)
    before = library.process_frame(personal.frames[0])["mask"]
    library.reset()
    bad = good.copy()
    bad[5] = -128
    assert status(library, None, 8) == ARGUMENT
    assert status(library, good, 7) == LENGTH
    assert status(library, np.zeros(9, np.int8), 9) == LENGTH
    assert status(library, bad, 8) == VALUE
    assert kept(library) == good.tolist()
    np.testing.assert_array_equal(library.process_frame(personal.frames[0])["mask"], before)
    assert status(output.library(), good, 8) == EMBEDDING
    assert output.library().embedding() is None
    library._instance.model = None
    assert status(library, good, 8) == STATE
    assert library.embedding() is None


def test_the_library_refuses_by_name(personal: Built, output: Built) -> None:
    with pytest.raises(UserError, match="the model 'tiny-output-1-5' takes no embedding"):
        output.library().set_embedding(nobody(8))
    with pytest.raises(UserError, match=r"must be int8 \[8\]"):
        personal.library().set_embedding(nobody(9))


CASES: list[tuple[Kernels, str, int]] = [
    ("portable", "output", 1), ("dsp", "output", 1), ("dsp", "hidden", 1),
    ("helium", "output", 1), ("helium", "hidden", 1),
]  # fmt: skip


@pytest.mark.parametrize(("kernels", "site", "group"), CASES)
def test_folding_gives_what_the_compiler_would_have_packed(
    personal: Built, tmp_path: Path, kernels: Kernels, site: str, group: int
) -> None:
    """In every layout: a start of a sum that the C looks for elsewhere would be a wrong bias."""
    plan = compile_model(personal.tflite, kernels)
    network = replace(plan.network, site=site, group=group)  # type: ignore[arg-type]
    plan = replace(plan, network=network, arena=make_arena(personal.preset, network, kernels))
    places, size = personal_places(network, kernels)
    write_c(plan, tmp_path)
    library = HostLibrary(build_library(tmp_path, tmp_path / "lib.so"))
    embedding = random_embedding(8, 4)
    library.set_embedding(embedding)
    start = library._arena.value + plan.arena.offset("personal")  # type: ignore[operator]
    layouts = set()
    for index, block in enumerate(network.blocks):
        grids = (personal.model.activations[n] for n in ("embedding", f"block{index}.input"))
        source, target = ((grid.scale, grid.zero_point) for grid in grids)
        moved = Requantisation(source, target)(embedding.astype(np.int64)) - target[1]
        for layer in block.personal.values():
            place = places[layer.name]
            words = (ctypes.c_int32 * place.words).from_address(start + place.offset)
            layout = layout_of(network, layer, kernels)
            np.testing.assert_array_equal(
                np.array(words), pack(folded(layer, moved), layout).constants, err_msg=layout
            )
            layouts.add(layout)
    wanted = {
        "portable": {"plain"},
        "dsp": {"quads"} if site == "output" else {"quads", "rows"},
        "helium": {"octets"} if site == "output" else {"octets", "lone_rows"},
    }
    assert layouts == wanted[kernels]
    assert size <= plan.arena.size


def folded(layer: ConvolutionPlan, moved: NDArray[np.int64]) -> ConvolutionPlan:
    assert layer.columns is not None
    bias = layer.bias + layer.columns.astype(np.int64) @ moved
    return replace(layer, bias=bias.astype(np.int32), columns=None)


def test_a_short_sum_leaves_room_for_any_embedding(personal: Built) -> None:
    """A row that only somebody's embedding pushes beyond 24 bits must not be packed short."""
    network = compile_model(personal.tflite, "dsp").network
    layer = network.blocks[0].up
    room = (1 << 23) - np.abs(layer.weights.astype(int)).sum(axis=1).max() * 255 - 300
    bias = np.full(layer.outputs, room, np.int32)
    assert layout_of(network, replace(layer, bias=bias, columns=None), "dsp") == "quads"
    assert layout_of(network, replace(layer, bias=bias), "dsp") == "plain"


def test_a_model_without_an_embedding_has_nothing_of_it_in_its_c(output: Built) -> None:
    text = source_text(output.plan)
    assert "personal" not in text and "columns" not in text and "DIMENSIONS" not in text
