"""Pictures must show what is true, all of it, and fit on a page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

import dyncp.__main__ as command
from dyncp.checkpoint import Checkpoint, save_checkpoint
from dyncp.data import streams
from dyncp.data.labels import LEVEL_RANGE
from dyncp.data.listing import Person
from dyncp.data.source import Mixture
from dyncp.errors import UserError
from dyncp.network import GatedConvFSENet
from dyncp.pictures import frames, style, write
from dyncp.pictures.coefficients import draw_coefficients, strongest
from dyncp.pictures.frames import Pictured, pictured
from dyncp.pictures.gates import draw_gates
from dyncp.pictures.trade_off import QualityPoint, quality_against_macs
from dyncp.pictures.tsne import draw_tsne, embed
from dyncp.probes.shipped import scores
from dyncp.probes.tasks import TASKS
from tests.conftest import tiny_preset
from tests.dyncp import corpora

CLASSES = tuple(corpora.NOISES)
GATES = 32
TSNE_FRAMES = 200


def rows() -> list[dict[str, Any]]:
    """A probe for every task; of gate 3 none makes use."""
    names = [
        f"{task.name}/{kind}" if task.kind == "class" else task.name
        for task in TASKS
        for kind in (CLASSES if task.kind == "class" else ("",))
    ]
    rng = np.random.default_rng(4)
    weights = rng.standard_normal((len(names), GATES)).astype(np.float32)
    weights[:, 3] = 0
    weights[names.index("snr")] *= 20  # far beyond what an SNR can be
    return [
        {"name": name, "weights": row, "bias": 0.1}
        for name, row in zip(names, weights, strict=True)
    ]


def checkpoint() -> Checkpoint:
    """A network whose gates move, for all that it was never trained."""
    torch.manual_seed(3)
    network = GatedConvFSENet(tiny_preset())
    for name, value in network.named_parameters():
        if name.endswith("gate.score.bias"):
            torch.nn.init.constant_(value, -0.01)
        if name.endswith("gate.score.weight"):
            torch.nn.init.normal_(value)
    return Checkpoint(network.preset, network.eval(), rows())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpora.folder(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def shown(data: Path) -> Pictured:
    return pictured(checkpoint(), 0.1, 2, data)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is written."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *args: Any, **settings: Any) -> None:
        figures.append(figure)
        save(figure, *args, **settings)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def texts(figure: Figure) -> list[str]:
    found = (text for axes in figure.axes for text in axes.findobj(Text))
    return [text.get_text() for text in found if text.get_visible()]  # type: ignore[attr-defined]


def test_the_command_writes_three_pictures_that_fit_a_page(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(tmp_path / "tiny.pt", checkpoint())
    monkeypatch.setitem(write.draw_pictures.__kwdefaults__, "tsne_frames", TSNE_FRAMES)
    out = tmp_path / "pictures"
    arguments = ["--checkpoint", str(tmp_path / "tiny.pt"), "--out", str(out)]
    arguments += ["--data", str(data), "--minutes", "0.1"]
    monkeypatch.setattr(sys, "argv", ["dyncp", "pictures", *arguments])
    assert command.main() == 0
    # No temporary file is left, and no other name.
    assert sorted(path.name for path in out.iterdir()) == [
        "coefficients.png", "gates.png", "tsne.png",
    ]  # fmt: skip
    said = capsys.readouterr().out
    for path in out.iterdir():
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert image.width == 1200
            assert image.height < 1600
        assert path.stat().st_size < 200_000
        assert f"wrote {path}" in said


def test_the_same_seed_gives_the_same_bytes_whatever_the_user_has_set(
    shown: Pictured, tmp_path: Path
) -> None:
    import matplotlib as mpl

    draw_gates(shown, tmp_path / "a.png")
    draw_tsne(shown, tmp_path / "a-map.png", 2, TSNE_FRAMES)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        draw_gates(shown, tmp_path / "b.png")
        draw_tsne(shown, tmp_path / "b-map.png", 2, TSNE_FRAMES)
        assert mpl.rcParams["font.size"] == 30  # and theirs are as they were
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a-map.png").read_bytes() == (tmp_path / "b-map.png").read_bytes()
    few = shown.flat[::100]
    np.testing.assert_array_equal(embed(few, 2), embed(few, 2))
    assert not np.array_equal(embed(few, 2), embed(few, 3))


def test_a_failure_while_writing_leaves_the_old_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Image.Image.save

    def half(image: Image.Image, where: Any, **settings: Any) -> None:
        if not isinstance(where, Path):
            return save(image, where, **settings)
        where.write_bytes(b"half")
        raise OSError("disk full")

    path = tmp_path / "old.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(OSError, match="disk full"), style.picture(path, height=1):
        pass
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_network_without_gates_is_an_error_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: Any) -> None:
        pytest.fail("made data for a network that has nothing to show")

    monkeypatch.setattr(frames, "labelled_frames", never)
    preset = tiny_preset(site=None)
    static = Checkpoint(preset, GatedConvFSENet(preset).eval())
    with pytest.raises(UserError, match=r"'tiny-static' has no gates to picture.*\[gate\]"):
        write.draw_pictures(static, tmp_path, 1.0)
    assert list(tmp_path.iterdir()) == []


def test_gates_that_never_move_are_an_error_that_says_so(data: Path) -> None:
    stuck = checkpoint()
    for name, value in stuck.network.named_parameters():
        if name.endswith("gate.score.bias"):
            torch.nn.init.constant_(value, 1e4)
    with pytest.raises(UserError, match="no gate of 'tiny-output-1-5' changes in"):
        pictured(stuck, 0.1, 2, data)


def test_the_labels_are_those_that_probes_are_scored_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are made without PESQ and F0; all else must be as the study has it."""
    monkeypatch.setattr(streams, "window_pesq", lambda s, noisy, clean: np.float32("nan"))
    settings = tiny_preset().audio
    rng = np.random.default_rng(8)
    mixtures = []
    for kind, gender, level in (("car", "f", 0.1), ("fan", None, 0.001), ("car", "m", 0.03)):
        # Swells, so that what counts as speech depends on the segment's own level.
        clean = level * np.sin(np.arange(8000) / 400) ** 8 * rng.standard_normal(8000)
        noisy = clean + 0.01 * rng.standard_normal(8000)
        talker = Person("a", gender)  # type: ignore[arg-type]
        mixtures.append(
            Mixture(noisy.astype(np.float32), clean.astype(np.float32), kind, 0, talker, False)
        )
    joined = (np.concatenate([getattr(m, name) for m in mixtures]) for name in ("noisy", "clean"))
    stream = streams.Stream(tuple(mixtures), *joined)
    expected = streams.label_stream(settings, stream, ("car", "fan"))
    have = streams.label_stream(settings, stream, ("car", "fan"), costly=False)
    assert np.isnan(have.pesq).all() and np.isnan(have.f0).all()
    assert 0.1 < expected.vad.mean() < 0.9
    for name in ("vad", "gender", "noise", "snr", "si_sdr"):
        np.testing.assert_array_equal(getattr(have, name), getattr(expected, name), err_msg=name)


def test_the_raster_shows_the_gates_that_change_and_only_those(
    shown: Pictured, tmp_path: Path, drawn: list[Figure]
) -> None:
    gates = shown.gates.copy()
    gates[:, 0, 1:] = True  # one gate of block 0 moves
    gates[:, 1] = False  # and none of block 1
    gates[:, 0, 0] = np.arange(len(gates)) % 4 < 2
    draw_gates(Pictured(shown.checkpoint, shown.frames, gates), tmp_path / "gates.png")
    raster = np.asarray(drawn[0].axes[1].images[0].get_array())
    assert {"1 of 16", "0 of 16"} <= set(texts(drawn[0]))
    assert any("1 of 32" in text for text in texts(drawn[0]))
    first, second = np.split(raster, 2)
    np.testing.assert_array_equal(first, np.broadcast_to(first[0], first.shape))
    assert set(np.unique(first)) == {1, 2}  # closed, open
    assert set(np.unique(second)) == {0}  # nothing
    # Every other pair of frames, as it was put in.
    np.testing.assert_array_equal(first[0, 4:], first[0, :-4])


def test_the_stretch_shows_classes_voice_and_every_probes_answer(
    shown: Pictured, tmp_path: Path, drawn: list[Figure]
) -> None:
    draw_gates(shown, tmp_path / "gates.png")
    silent = Checkpoint(shown.checkpoint.preset, shown.checkpoint.network)
    draw_gates(Pictured(silent, shown.frames, shown.gates), tmp_path / "without.png")
    with_probes, without = (texts(figure) for figure in drawn)
    units = {"frequency (kHz)", "level (dB FS)", "SNR (dB)", "F0 (Hz)", "time (s)"}
    assert units | {"voice", "noise"} <= set(with_probes) & set(without)
    assert set(CLASSES) <= set(without)
    assert with_probes.count("probe") == 4  # two bands and two curves
    assert "probe" not in without
    # The corpus's stream is no longer than a stretch: all of it is shown.
    (curves,) = (axes for axes in drawn[0].axes if axes.get_ylabel() == "SNR (dB)")
    dots, line = curves.lines
    truth = shown.frames.labels.snr
    np.testing.assert_array_equal(line.get_ydata(), truth)
    (probe,) = (row for row in shown.checkpoint.probes if row["name"] == "snr")
    answers = np.clip(scores(probe, shown.flat), *LEVEL_RANGE)
    np.testing.assert_array_equal(dots.get_ydata(), np.where(np.isnan(truth), np.nan, answers))


def test_each_task_has_its_panel_and_counts_the_gates_it_uses(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    draw_coefficients(checkpoint(), tmp_path / "all.png")
    one = checkpoint()
    one.probes = one.probes[:1]
    draw_coefficients(one, tmp_path / "one.png")
    titles = [axes.get_title("left") for axes in drawn[0].axes if axes.get_ylabel() == "block"]
    assert [title.split(":")[0] for title in titles] == [
        "voice activity", "gender", "noise class", "SNR", "SI-SDR", "PESQ", "F0",
    ]  # fmt: skip
    assert all("31 of 32 gates used" in title for title in titles)
    assert "largest of 2 classes" in titles[2]
    assert sum(axes.get_ylabel() == "block" for axes in drawn[1].axes) == 1
    (image,) = drawn[1].axes[0].images
    assert image.norm.vmin == -image.norm.vmax
    shown = np.ma.getdata(image.get_array()).reshape(-1)
    np.testing.assert_array_equal(np.delete(shown, 3), np.delete(one.probes[0]["weights"], 3))


def test_of_several_classes_the_weight_furthest_from_zero_is_shown() -> None:
    weights = np.array([[1.0, -2.0, 0.0], [-3.0, 1.0, 0.0]])
    np.testing.assert_array_equal(strongest(weights), [-3.0, -2.0, 0.0])


def test_where_no_gender_is_known_the_map_shows_snr(
    shown: Pictured, tmp_path: Path, drawn: list[Figure]
) -> None:
    assert np.isnan(shown.frames.labels.gender).all()
    draw_tsne(shown, tmp_path / "snr.png", 2, TSNE_FRAMES)
    labels = shown.frames.labels
    labels.gender[:] = np.where(labels.vad > 0, labels.noise, np.nan)
    draw_tsne(shown, tmp_path / "gender.png", 2, TSNE_FRAMES)
    labels.gender[:] = np.nan
    without, known = (texts(figure) for figure in drawn)
    assert {"SNR (dB)", "noise class", "voice activity", *CLASSES} <= set(without)
    assert {"woman", "man", "nobody speaks"} <= set(known)
    assert "SNR (dB)" not in known
    for figure in drawn:
        marks = sum(len(c.get_offsets()) for axes in figure.axes[:1] for c in axes.collections)
        assert marks == TSNE_FRAMES


CROWD = [
    QualityPoint("paper", 470e3, 699e3, 1.55, 1.46, 1.65),
    QualityPoint("paper-grouped", 468e3, 699e3, 1.55, 1.44, 1.63),
    QualityPoint("hidden", 471e3, 699e3, 1.54, 1.44, 1.63),
    QualityPoint("static", 662e3, 662e3, 1.56, 1.47, 1.66),
    QualityPoint("static-narrow", 469e3, 469e3, 1.54, 1.4, 1.58),
]


def test_the_names_of_presets_that_are_alike_do_not_overlap(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    quality_against_macs(CROWD, tmp_path / "quality.png", noisy_pesq=1.53)
    (figure,) = drawn
    (axes,) = figure.axes
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = {text.get_text(): text.get_window_extent(renderer) for text in axes.texts}
    assert set(boxes) == {"noisy input", *(point.name for point in CROWD)}
    for name, box in boxes.items():
        assert axes.get_window_extent().fully_containsx(box.x1), name
        assert not [other for other in boxes if other != name and box.overlaps(boxes[other])], name


def test_quality_shows_intervals_both_kinds_and_the_noisy_input(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    quality_against_macs(CROWD, tmp_path / "quality.png", noisy_pesq=1.2)
    (axes,) = drawn[0].axes
    marks = {bars.lines[0].get_marker(): [] for bars in axes.containers}
    for bars, point in zip(axes.containers, CROWD, strict=True):
        marks[bars.lines[0].get_marker()].append(point.gated)
        (interval,) = bars.lines[2][0].get_segments()
        np.testing.assert_allclose(interval[:, 1], [point.low, point.high])
    assert marks == {"o": [True] * 3, "s": [False] * 2}
    low, high = axes.get_ylim()
    assert low < 1.2 and high > max(point.high for point in CROWD)
    assert any(list(line.get_ydata()) == [1.2, 1.2] for line in axes.lines)


def test_quality_without_points_or_with_a_false_interval_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no preset to draw"):
        quality_against_macs([], tmp_path / "quality.png", noisy_pesq=1.2)
    wrong = [QualityPoint("paper", 1.0, 2.0, pesq=1.5, low=1.6, high=1.7)]
    with pytest.raises(UserError, match=r"paper: PESQ 1\.5 is not in its interval 1\.6 to 1\.7"):
        quality_against_macs(wrong, tmp_path / "quality.png", noisy_pesq=1.2)
    assert list(tmp_path.iterdir()) == []
