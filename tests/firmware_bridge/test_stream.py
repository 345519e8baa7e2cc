"""What comes back from a board must be the audio, aligned, and figures that repeat."""

from __future__ import annotations

import numpy as np

from firmware_bridge.stream import stream
from quantize.macs import executed_work, total
from targets.firmware_build import read_firmware
from targets.host_library import HostLibrary
from tests.firmware_bridge.conftest import Built


def test_audio_comes_back_aligned_and_as_long(built: Built) -> None:
    """The lag of one hop is taken out, and the end of a broken hop is not lost."""
    pcm = built.pcm(0.25)[:-100]
    hop = built.preset.audio.hop
    library = HostLibrary(built.library)
    padded = np.zeros((len(pcm) // hop + 2) * hop, np.int16)
    padded[: len(pcm)] = pcm
    expected = np.concatenate([library.process_hop(each) for each in padded.reshape(-1, hop)])
    with built.session() as session:
        streamed = stream(session, pcm)
    np.testing.assert_array_equal(streamed.pcm, expected[hop : hop + len(pcm)])
    assert len(streamed.gates) == len(streamed.counts) == -(-len(pcm) // hop)


def test_every_figure_repeats_on_the_same_audio(built: Built) -> None:
    """A count that depends on when bytes arrive could not be compared between builds."""
    pcm = built.pcm(0.3)
    with built.session() as session:
        first = stream(session, pcm)
        again = stream(session, pcm)
    with built.session() as session:
        elsewhere = stream(session, pcm)
    for name, values in vars(first).items():
        np.testing.assert_array_equal(values, getattr(again, name), err_msg=name)
        np.testing.assert_array_equal(values, getattr(elsewhere, name), err_msg=name)


def test_the_board_counts_what_its_gates_left_to_do(built: Built) -> None:
    with built.session() as session:
        streamed = stream(session, built.pcm(0.5))
    assert len(np.unique(streamed.executed_macs)) > 1
    layouts = read_firmware(built.firmware).layouts
    for frame, gates in enumerate(streamed.gates):
        work = total(executed_work(built.preset, list(gates), layouts))
        assert streamed.executed_macs[frame] == work.macs
        assert streamed.weight_bytes[frame] == work.weight_bytes


def test_closed_gates_save_instructions(built: Built) -> None:
    """The saving is in what the core executes, not in a counter alone."""
    with built.session() as session:
        streamed = stream(session, built.pcm(2.0))
    fewest, most = np.argmin(streamed.executed_macs), np.argmax(streamed.executed_macs)
    saved = streamed.counts[most] - streamed.counts[fewest]
    skipped = streamed.executed_macs[most] - streamed.executed_macs[fewest]
    assert skipped > 0
    assert saved > skipped  # at least one instruction each


def test_progress_tells_every_hop(built: Built) -> None:
    told: list[tuple[int, int]] = []
    with built.session() as session:
        stream(session, built.pcm(0.1), lambda done, total: told.append((done, total)))
    hops = -(-len(built.pcm(0.1)) // built.preset.audio.hop)
    assert told[:hops] == [(hop + 1, hops) for hop in range(hops)]
