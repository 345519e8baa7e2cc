"""What any board owes its users: run unchanged on an emulator and on hardware.

make hil BOARD=mps2-an386
make hil BOARD=nucleo-f446re PORT=auto
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware_bridge.errors import BoardRestarted
from firmware_bridge.session import Board
from firmware_bridge.stream import Resume, Streamed, history_hops, hops_of, stream
from quantize.integer_model import IntegerModel, open_gates, probe_score
from quantize.model import QuantizedModel
from targets.firmware_build import read_firmware
from targets.host_library import HostLibrary
from tests.quantize.models import audio_features
from tests.targets.built import noisy_pcm, quantised_features

FRAMES = 40


def audio(model: QuantizedModel, hops: int) -> NDArray[np.int16]:
    """Noisy speech, int16 ``[samples]``; the last hop is cut short."""
    return noisy_pcm(model.preset, hops).ravel()[:-5]


def test_it_is_the_board_that_was_named_and_runs_what_was_built(
    board: Board, board_name: str, firmware_folder: Path, model: QuantizedModel
) -> None:
    """Or every figure below would be of something else."""
    greeting, preset = board.greeting, model.preset
    assert greeting.board == Path(board_name).stem
    assert greeting.build_id == read_firmware(firmware_folder / "firmware.elf").build_id
    assert (greeting.model_hash, greeting.preset) == (model.model_hash, preset.name)
    assert (greeting.hop, greeting.bins) == (preset.audio.hop, preset.audio.bins)
    assert (greeting.blocks, greeting.gates) == (preset.blocks, preset.gates)
    assert board.probe_names == [probe.name for probe in model.probes]


def test_masks_gates_and_probes_are_the_integer_models_to_the_byte(
    board: Board, model: QuantizedModel
) -> None:
    frames = quantised_features(model, audio_features(model.preset, FRAMES, seed=8))
    reference = IntegerModel(model)
    opened = []
    for index, frame in enumerate(frames):
        expected = reference.step(frame)
        gates = open_gates(model, expected)
        result = board.process_frame(frame)
        tensors = board.tensors()
        for name, values in expected.items():
            np.testing.assert_array_equal(tensors[name], values, err_msg=f"{name}, frame {index}")
        scores = [probe_score(probe, gates) for probe in model.probes]
        assert result.probes.tolist() == scores, f"frame {index}"
        if gates:
            np.testing.assert_array_equal(result.gates, np.stack(gates), f"frame {index}")
            opened.append(result.gates.mean())
    assert not model.preset.gate or 0 < np.mean(opened) < 1, "gates that never move prove nothing"


def test_a_reset_is_a_cold_start(board: Board, model: QuantizedModel) -> None:
    """Two recordings in a row must not leak into each other."""
    hops = list(hops_of(audio(model, 6), model.preset.audio.hop))
    first = [result.pcm for result in board.process_hops(hops)]
    warm = [result.pcm for result in board.process_hops(hops)]
    board.reset()
    again = [result.pcm for result in board.process_hops(hops)]
    np.testing.assert_array_equal(again, first)
    assert not np.array_equal(warm, first)


def assert_same(one: Streamed, other: Streamed) -> None:
    for name in ("pcm", "gates", "probes", "executed_macs", "weight_bytes"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_audio_streamed_with_credits_is_the_hosts_to_the_sample(
    board: Board, model: QuantizedModel, host: HostLibrary
) -> None:
    """A hop that arrives while another is worked on must not be lost, or change it."""
    pcm, hop = audio(model, FRAMES), model.preset.audio.hop
    host.reset()
    expected = np.concatenate([host.process_hop(each) for each in hops_of(pcm, hop)])[hop:]
    streamed = stream(board, pcm, in_flight=None)
    np.testing.assert_array_equal(streamed.pcm, expected[: len(pcm)])
    assert_same(streamed, stream(board, pcm, in_flight=1))
    assert board.stats().overruns == 0


def test_a_board_that_was_reset_does_not_go_on_as_if_nothing_had_been(
    board: Board, model: QuantizedModel, restart_board: Callable[[], None]
) -> None:
    """Its rings are cold: what it gave would be audio, but not this audio."""
    hops = list(hops_of(audio(model, 3), model.preset.audio.hop))
    board.process_hop(hops[0])
    restart_board()
    with pytest.raises(BoardRestarted):
        board.process_hop(hops[1])
    board.greet_again()
    assert board.stats().requests <= 2


def test_a_long_file_goes_on_from_the_last_hop_that_was_answered(
    board: Board, model: QuantizedModel, restart_board: Callable[[], None]
) -> None:
    history = history_hops(model.preset)
    hops = 3 * history
    at = hops - 7
    pcm = audio(model, hops)
    whole = stream(board, pcm, in_flight=None)
    before, told = board.link_counts.sent, []

    def reset_on_the_way(done: int, _: int) -> None:
        told.append(done)
        if told.count(at) == 1 and done == at:
            restart_board()

    resumed = stream(board, pcm, reset_on_the_way, in_flight=None, resume=Resume(history))
    assert_same(resumed, whole)
    assert resumed.restarts == 1
    assert told[:hops] == list(range(1, hops + 1)), "a hop was given twice"
    sent = board.link_counts.sent - before
    # Each hop once and one of silence, two resets, the history, and what the reset lost.
    assert sent <= hops + 1 + 2 + history + 1 + 2 * board.greeting.window
