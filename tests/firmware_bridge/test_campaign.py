"""The campaign: all figures are the board's, judged with the right labels; it can be resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.contract import read_metadata
from dyncp.audio import to_pcm
from dyncp.data.labels import FrameLabels
from dyncp.data.mixtures import MixtureSource
from dyncp.data.streams import Stream, label_stream
from dyncp.preset import load_preset
from dyncp.probes.observations import LabelledFrames
from dyncp.probes.tasks import TASKS
from firmware_bridge.campaign import (
    Material,
    Part,
    _key,
    _load,
    _save,
    campaign_figures,
    run_campaign,
)
from firmware_bridge.campaign_material import labelled_material, probes_of
from firmware_bridge.campaign_report import format_campaign
from firmware_bridge.counting import TickCounter
from firmware_bridge.energy import Trace
from firmware_bridge.figures import file_hash, latency_figures
from firmware_bridge.report import deadline_words
from firmware_bridge.stream import Streamed, stream
from targets.board import load_board
from targets.firmware_build import read_firmware
from tests.firmware_bridge.conftest import BOARD, Built, assert_refused, run

SEGMENT_SECONDS = 1.6
NOISES = ("rain", "car")
RATE = 16000


def short_stream(source: MixtureSource, index: int) -> Stream:
    rng = np.random.default_rng([5, index])
    segments = tuple(source.mix(rng, SEGMENT_SECONDS, noise=kind, snr=5.0) for kind in NOISES)
    return Stream(
        segments,
        np.concatenate([segment.noisy for segment in segments]),
        np.concatenate([segment.clean for segment in segments]),
    )


@pytest.fixture(scope="module")
def material() -> Material:
    """Two streams of 3.2 s, labelled as the long ones are."""
    settings, source = load_preset("paper").audio, MixtureSource(RATE, "test")
    classes = source.trained_noise_classes
    streams = [short_stream(source, index) for index in range(2)]
    labels = [label_stream(settings, made, classes) for made in streams]
    of_frame = [made.segment_of_frames(settings.hop) for made in streams]
    segments = np.concatenate([of_frame[0], of_frame[1] + len(NOISES)])
    together = FrameLabels(
        **{
            f.name: np.concatenate([getattr(x, f.name) for x in labels])
            for f in fields(FrameLabels)
        }
    )
    lengths = tuple(len(x) for x in of_frame)
    frames = LabelledFrames(source, 5, classes, NOISES, lengths, segments, segments, together)
    return Material(frames, lambda index: streams[index], "short streams")


class Supply:
    """A monitor that always sees 2 mA at 3 V."""

    name = "the supply"

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> Trace:
        self.calls.append("stop")
        return Trace(np.arange(100) * 0.01, np.full(100, 0.002), np.full(100, 3.0))

    def close(self) -> None: ...


@dataclass(frozen=True)
class Ran:
    """A campaign that was stopped in its second stream, and gone on with."""

    parts: list[Part]
    figures: dict[str, Any]
    titles: list[list[str]]
    calls: list[str]
    direct: Streamed
    folder: Path


class Stopped(Exception):
    pass


def notes(titles: list[str], stop: str | None = None) -> Callable[[str, int, int], None]:
    def progress(title: str, done: int, total: int) -> None:
        if title not in titles:
            titles.append(title)
        if title == stop and done == 20:
            raise Stopped

    return progress


@pytest.fixture(scope="module")
def ran(built: Built, material: Material, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder, supply = tmp_path_factory.mktemp("campaign"), Supply()
    titles: list[list[str]] = [[], []]
    preset, board = built.preset, load_board(BOARD)
    with built.session() as session, pytest.raises(Stopped):
        progress = notes(titles[0], "stream 2 of 2")
        run_campaign(session, preset, material, folder, monitor=supply, progress=progress)
    with built.session() as session:
        progress = notes(titles[1])
        parts = run_campaign(session, preset, material, folder, monitor=supply, progress=progress)
        direct = stream(session, to_pcm(material.stream(1).noisy))
        greeting = session.greeting
    figures = campaign_figures(
        parts,
        greeting=greeting,
        board=board,
        firmware=read_firmware(built.firmware),
        preset=preset,
        material=material,
        probes=probes_of(read_metadata(built.model)),
        checkpoint=built.checkpoint,
    )
    return Ran(parts, json.loads(json.dumps(figures)), titles, supply.calls, direct, folder)


def test_a_stopped_campaign_goes_on_with_the_stream_that_it_was_in(ran: Ran) -> None:
    assert ran.titles == [["stream 1 of 2", "stream 2 of 2"], ["stream 2 of 2"]]
    again = ran.parts[1].streamed
    for name in ("pcm", "gates", "probes", "executed_macs", "counts"):
        assert np.array_equal(getattr(again, name), getattr(ran.direct, name)), name


def test_board_and_host_agree_on_work_and_scores(ran: Ran, material: Material) -> None:
    frames = sum(material.frames.lengths)
    for figure in ("macs", "weight_bytes", "probes"):
        assert ran.figures[figure]["host_agrees"] is True
        assert ran.figures[figure]["frames_compared"] == frames
    assert 0 < ran.figures["masks"]["open_gates"] < ran.figures["masks"]["gates"]


def test_every_task_is_judged_on_all_of_its_labels(ran: Ran, material: Material) -> None:
    tasks = ran.figures["probes"]["tasks"]
    assert list(tasks) == [task.name for task in TASKS]
    for task in TASKS:
        labelled = int(np.isfinite(material.frames.labels.of(task.name)).sum())
        assert tasks[task.name]["frames"] == labelled > 0


def test_the_accuracy_is_that_of_the_boards_own_scores(
    ran: Ran, material: Material, built: Built
) -> None:
    """Labels that are a frame or a stream off would cost accuracy, and nobody would know why."""
    names = [probe.name for probe in probes_of(read_metadata(built.model))]
    scores = np.concatenate([part.streamed.probes for part in ran.parts])
    tasks, labels = ran.figures["probes"]["tasks"], material.frames.labels
    speech = scores[:, names.index("vad")] > 0
    assert tasks["vad"]["accuracy"] == pytest.approx(np.mean(speech == labels.vad))
    rows = [names.index(f"noise/{kind}") for kind in material.frames.classes]
    assert tasks["noise"]["accuracy"] == pytest.approx(
        np.mean(scores[:, rows].argmax(axis=1) == labels.noise)
    )
    (scale,) = [p.scale for p in probes_of(read_metadata(built.model)) if p.name == "snr"]
    error = np.abs(scores[:, names.index("snr")] * scale - labels.snr)
    assert tasks["snr"]["mae"] == pytest.approx(np.nanmean(error))


def test_scores_that_do_not_follow_from_the_gates_are_told(
    ran: Ran, material: Material, built: Built
) -> None:
    scores = ran.parts[0].streamed.probes.copy()
    scores[7, 0] += 1
    spoiled = replace(ran.parts[0], streamed=replace(ran.parts[0].streamed, probes=scores))
    with built.session() as session:
        greeting = session.greeting
    figures = campaign_figures(
        [spoiled, ran.parts[1]],
        greeting=greeting,
        board=load_board(BOARD),
        firmware=read_firmware(built.firmware),
        preset=built.preset,
        material=material,
        probes=probes_of(read_metadata(built.model)),
        checkpoint=built.checkpoint,
    )
    assert figures["probes"]["host_agrees"] is False
    assert "in all frames: NO" in format_campaign(figures)


def test_quality_is_of_segments_and_better_than_the_noise(ran: Ran) -> None:
    quality = ran.figures["quality"]
    assert set(quality) == {"noisy", "board"}
    assert quality["board"]["segments"] == quality["noisy"]["segments"] == 2 * len(NOISES)
    assert quality["board"]["si_sdr"] > quality["noisy"]["si_sdr"]
    assert 0 < quality["noisy"]["estoi"] < 1


def test_where_the_figures_come_from_stands_with_them(ran: Ran, built: Built) -> None:
    figures, firmware = ran.figures, read_firmware(built.firmware)
    assert figures["build_id"] == firmware.build_id
    assert figures["model_hash"] == firmware.model_hash
    assert figures["checkpoint_sha256"] == file_hash(built.checkpoint)
    assert figures["board"]["counter"] == "SysTick" and figures["board"]["tick_hz"] == 25_000_000
    assert figures["date"].endswith("+00:00")
    source = figures["input"]
    assert (source["data"], source["streams"]) == ("short streams", 2)
    assert source["minutes"] == pytest.approx(2 * len(NOISES) * SEGMENT_SECONDS / 60)


def test_energy_is_there_because_it_was_measured(ran: Ran) -> None:
    """And of the streams that ended: the one that was stopped in the middle gives none."""
    assert ran.calls == ["start", "stop", "start", "start", "stop"]
    energy = ran.figures["energy"]
    assert energy["joules"] == pytest.approx(2 * 0.006) and energy["over"] == "run"
    assert energy["joules_per_hop"] == pytest.approx(2 * 0.006 / energy["hops"])
    without = {name: value for name, value in ran.figures.items() if name != "energy"}
    assert "Energy by the supply" in format_campaign(ran.figures)
    assert "Energy" not in format_campaign(without)


def test_the_tables_show_every_part(ran: Ran) -> None:
    text = format_campaign(ran.figures)
    for words in ("MACs a frame", "p99", "an emulator has no time to miss", "si_sdr", "ESTOI",
                  "stack_used", "in all frames: yes", "short streams"):  # fmt: skip
        assert words in text


def test_parts_of_another_build_or_audio_are_not_used(ran: Ran, built: Built) -> None:
    """An old stream among new ones would be a figure of no firmware at all."""
    with built.session() as session:
        greeting = session.greeting
    pcm = np.zeros(100, np.int16)
    key, path = _key(greeting, pcm, None), ran.folder / "other.npz"
    _save(path, key, ran.parts[0])
    kept = _load(path, key)
    assert kept is not None and kept.notes == ran.parts[0].notes
    others = [
        _key(replace(greeting, build_id="00" * 16), pcm, None),
        _key(replace(greeting, board="x"), pcm, None),
        _key(greeting, pcm + 1, None),
        _key(greeting, pcm, Supply()),
    ]
    assert [_load(path, other) for other in others] == [None] * 4
    path.write_bytes(path.read_bytes()[:1000])
    assert _load(path, key) is None
    assert _load(ran.folder / "none.npz", key) is None


def counted(*counts: int) -> Streamed:
    values, none = np.array(counts, np.int64), np.zeros(len(counts), np.int64)
    empty = np.zeros((len(counts), 9, 128), np.bool_)
    return Streamed(
        np.zeros(0, np.int16), empty, np.zeros((0, 0), np.int32), none, none, values, none, none, 0
    )


def test_deadlines_are_missed_in_cycles_and_never_in_instructions() -> None:
    """A hop of 16 ms at 1 MHz has 16,000 cycles."""
    preset, hops = load_preset("paper"), counted(15_999, 16_000, 16_001, 20_000)
    cycles = latency_figures(preset, TickCounter("cycles", 1_000_000, 1), hops)
    assert (cycles["deadline"]["misses"], cycles["deadline"]["hops"]) == (2, 4)
    assert deadline_words(cycles).endswith("20.00 ms: 2 of 4 missed their deadline")
    emulated = latency_figures(preset, TickCounter("instructions", 1_000_000, 7), hops)
    assert emulated["deadline"]["misses"] is None
    assert emulated["deadline"]["needed_per_second"] == pytest.approx(20_000 / 0.016)
    nothing = latency_figures(preset, TickCounter("none", 0, 0), hops)
    assert nothing["deadline"] is None and deadline_words(nothing) == ""


def test_percentiles_are_of_hops_that_were() -> None:
    found = latency_figures(
        load_preset("paper"), TickCounter("cycles", 1_000_000, 1), counted(*range(1, 1001))
    )["frame"]
    assert [found[name] for name in ("p50", "p95", "p99", "max")] == [501, 951, 991, 1000]


def test_the_streams_are_those_that_probes_are_judged_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no label is computed for it that is in the cache."""
    from firmware_bridge import campaign_material

    asked: list[Any] = []

    def frames(*arguments: Any) -> Any:
        asked.append(arguments)
        raise Stopped

    monkeypatch.setattr(campaign_material, "labelled_frames", frames)
    settings = load_preset("paper").audio
    with pytest.raises(Stopped):
        labelled_material(settings, 10.0)
    assert asked == [(settings, "test", 10.0, 2, None)]


def test_minutes_that_make_no_sense_are_refused(built: Built, tmp_path: Path) -> None:
    result = run(
        "firmware_bridge", "campaign", "--board", BOARD, "--firmware", built.firmware,
        "--model", built.model, "--checkpoint", built.checkpoint, "--minutes", 0,
        "--folder", tmp_path / "parts", "--out", tmp_path / "campaign.json",
    )  # fmt: skip
    assert_refused(result, "--minutes must be above 0")
    assert not list(tmp_path.iterdir())
