"""The C on the host: equal to the integer model, and a public interface that behaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dyncp.errors import UserError
from quantize.integer_model import probe_score
from quantize.macs import dense_work, executed_work, total
from targets.host_library import Counters, HostLibrary
from tests.targets.built import CLOSED_GATE, Built, noisy_pcm


def test_the_gates_of_these_networks_switch(any_gated: Built) -> None:
    """Otherwise the tests below would compare nothing but one constant mask."""
    gates = any_gated.gates
    assert not gates[:, :, CLOSED_GATE].any()
    switching = gates.any(axis=0) & ~gates.all(axis=0)
    assert switching[:, CLOSED_GATE + 1 :].mean() > 0.7


def test_every_tensor_gate_probe_and_counter_is_the_integer_models(any_built: Built) -> None:
    """One differing byte here and the device disagrees with the desktop."""
    preset, model, library = any_built.preset, any_built.model, any_built.library()
    for index, frame in enumerate(any_built.frames):
        tensors = library.process_frame(frame)
        assert list(tensors) == list(any_built.expected)
        for name, values in any_built.expected.items():
            assert np.array_equal(tensors[name], values[index]), f"frame {index}, {name}"
        assert np.array_equal(library.features(), frame)
        gates = list(any_built.gates[index]) if preset.gate else []
        for block, expected in enumerate(gates):
            assert np.array_equal(library.gates(block), expected), f"frame {index}, gate {block}"
        scores = {probe.name: probe_score(probe, gates) for probe in model.probes}
        assert library.probes() == scores
        work = executed_work(preset, gates)
        layers = {name: Counters(w.macs, w.weight_bytes) for name, w in work.items()}
        assert library.layer_counters() == layers
        assert list(library.layer_counters()) == list(layers)
        in_all = total(work)
        assert library.counters() == Counters(in_all.macs, in_all.weight_bytes)


def test_the_library_knows_the_network_it_was_made_of(any_built: Built) -> None:
    preset, info = any_built.preset, any_built.library().info
    assert (info.preset, info.model_hash) == (preset.name, any_built.model.model_hash)
    assert info.sample_rate == preset.audio.sample_rate
    assert (info.hop, info.bins) == (preset.audio.hop, preset.audio.bins)
    assert (info.blocks, info.gates) == (preset.blocks, preset.gates)
    assert info.tensors == len(any_built.expected)
    assert info.probes == len(any_built.model.probes)
    assert info.layers == len(dense_work(preset))
    assert info.dense_macs == total(dense_work(preset)).macs
    assert info.arena_bytes == any_built.plan.arena.size


def test_a_cold_start_reads_as_zero_activation_and_closed_gates(any_built: Built) -> None:
    """A host that reads before the first frame must not get leftovers of the arena."""
    library, activations = any_built.library(), any_built.model.activations
    tensors = library.tensors()
    assert (tensors.pop("mask") == activations["mask"].zero_point).all()
    for name, values in tensors.items():
        block = name[len("taps") : -len("_out")]
        key = f"block{block}.hidden" if name.startswith("taps") else f"block{block}.input"
        key = name if name.startswith("gate") else key
        assert (values == activations[key].zero_point).all(), name
    assert not any(library.gates(block).any() for block in range(any_built.preset.blocks)
                   if any_built.preset.gate)  # fmt: skip
    assert library.counters() == Counters(0, 0)
    with pytest.raises(UserError, match="before the first frame"):
        library.features()


def test_reset_is_a_cold_start(any_built: Built) -> None:
    """Whatever came before a reset must not be heard or seen after it."""
    library, pcm = any_built.library(), noisy_pcm(any_built.preset, 20)
    cold = any_built.library()
    fresh_audio = [cold.process_hop(hop) for hop in pcm]
    for hop in pcm[::-1]:
        library.process_hop(hop)
    for frame in any_built.frames[::-1][:20]:
        library.process_frame(frame)
    library.reset()
    assert all(np.array_equal(library.process_hop(hop), fresh) for hop, fresh
               in zip(pcm, fresh_audio, strict=True))  # fmt: skip
    library.reset()
    for index, frame in enumerate(any_built.frames[:20]):
        for name, values in library.process_frame(frame).items():
            assert np.array_equal(values, any_built.expected[name][index]), name


def test_two_instances_do_not_disturb_each_other(hidden: Built) -> None:
    """Two microphones run two instances of one model."""
    first, second = hidden.library(), hidden.library()
    pcm = noisy_pcm(hidden.preset, 30)
    alone, other_alone = hidden.library(), hidden.library()
    expected = [alone.process_hop(hop) for hop in pcm]
    other_expected = [other_alone.process_hop(hop) for hop in pcm[::-1]]
    for index in range(30):
        assert np.array_equal(first.process_hop(pcm[index]), expected[index])
        assert np.array_equal(second.process_hop(pcm[29 - index]), other_expected[index])


def test_a_hop_runs_the_network_on_its_own_features(any_built: Built) -> None:
    """The audio path and the network must meet: the same frame, the same result."""
    library, network = any_built.library(), any_built.library()
    for hop in noisy_pcm(any_built.preset, 30):
        library.process_hop(hop)
        tensors = network.process_frame(library.features())
        for name, values in library.tensors().items():
            assert np.array_equal(values, tensors[name]), name
        assert library.layer_counters() == network.layer_counters()


def test_closed_gates_are_counted_as_skipped(any_gated: Built) -> None:
    """Frames with fewer open gates must cost less, in the layers that are gated and no other."""
    preset, library = any_gated.preset, any_gated.library()
    assert preset.gate
    gated = {"output": {"down"}, "hidden": {"up", "depthwise", "down"}}[preset.gate.site]
    dense = dense_work(preset)
    for index, frame in enumerate(any_gated.frames):
        library.process_frame(frame)
        for name, counters in library.layer_counters().items():
            if name.split(".")[-1] in gated:
                is_open = any_gated.gates[index][int(name[len("block")])]
                share = np.count_nonzero(is_open) / is_open.size
                assert counters.executed_macs == share * dense[name].macs
                assert counters.weight_bytes < dense[name].weight_bytes
            else:
                assert counters.executed_macs == dense[name].macs
                assert counters.weight_bytes == dense[name].weight_bytes


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros(33, np.uint8), r"expected int8 \[33\], got uint8 \[33\]"),
        (np.zeros(32, np.int8), r"expected int8 \[33\], got int8 \[32\]"),
        (np.zeros((1, 33), np.int8), r"expected int8 \[33\], got int8 \[1, 33\]"),
    ],
)
def test_a_frame_of_another_kind_is_refused(static: Built, frame: np.ndarray, message: str) -> None:
    """C would read past its end, or take one number for another."""
    with pytest.raises(UserError, match=message):
        static.library().process_frame(frame)
    with pytest.raises(UserError, match=r"expected int16 \[32\]"):
        static.library().process_hop(frame)


def test_the_hop_given_is_left_as_it_is(static: Built) -> None:
    """The C works in place; a caller's recording must not change under it."""
    pcm = noisy_pcm(static.preset, 2)
    before = pcm.copy()
    static.library().process_hop(pcm[1])
    assert np.array_equal(pcm, before)


def test_another_library_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "libsluice.so"
    path.write_bytes(b"no library")
    with pytest.raises(UserError, match=r"libsluice\.so is not a library of this project"):
        HostLibrary(path)
