"""Networks are compared clip by clip: the clips must be the same for all, and no score made up."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dyncp import quality
from dyncp.checkpoint import Checkpoint, save_checkpoint
from dyncp.data.noise import HELD_OUT
from dyncp.data.noise_clips import noise_classes
from dyncp.data.source import Mixture
from dyncp.network import GatedConvFSENet
from dyncp.quality import Clip, Recipe, format_clips, recipes, score, score_test_split, to_json
from tests.conftest import tiny_preset
from tests.dyncp.quick_probes import InProcess

NAN = float("nan")
CLIP = Clip("hum", True, 5.0, 4.0, 9.0, 1.5, 2.5, 0.5, 0.6, (0.25, 0.75))


def saved(folder: Path, site: str | None) -> Path:
    torch.manual_seed(2)
    preset = tiny_preset(site)
    save_checkpoint(folder / f"{site}.pt", Checkpoint(preset, GatedConvFSENet(preset)))
    return folder / f"{site}.pt"


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Mixture, bool]]:
    """What is scored, in this process, and no scores."""
    mixtures: list[tuple[Mixture, bool]] = []

    def hear(checkpoint: Checkpoint, mixture: Mixture, seen: bool) -> Clip:
        mixtures.append((mixture, seen))
        return dataclasses.replace(CLIP, noise=mixture.noise, snr=mixture.snr, seen=seen)

    monkeypatch.setattr(quality, "ProcessPoolExecutor", InProcess)
    monkeypatch.setattr(quality, "score", hear)
    quality._loaded.cache_clear()
    return mixtures


def test_every_network_hears_the_same_clips(
    heard: list[tuple[Mixture, bool]], tmp_path: Path
) -> None:
    for site in ("output", "hidden", None):
        assert len(score_test_split(saved(tmp_path, site), repeats=2, seconds=1.0)) == 13 * 3 * 2
    first, second, third = (heard[start : start + 78] for start in (0, 78, 156))
    for one, *others in zip(first, second, third, strict=True):
        for other in others:
            assert one[0].noisy.tobytes() == other[0].noisy.tobytes()
            assert one[0].clean.tobytes() == other[0].clean.tobytes()
    assert len({mixture.noisy.tobytes() for mixture, _ in first}) == 78
    assert {len(mixture.noisy) for mixture, _ in first} == {16000}


def test_every_noise_is_scored_at_every_snr_and_is_known_as_trained_or_not(
    heard: list[tuple[Mixture, bool]], tmp_path: Path
) -> None:
    clips = score_test_split(saved(tmp_path, "output"), repeats=1, seconds=0.5)
    assert [(clip.noise, clip.snr) for clip in clips] == [
        (kind, snr) for kind in noise_classes("test") for snr in (0.0, 5.0, 10.0)
    ]
    assert {clip.noise for clip in clips if not clip.seen} == set(HELD_OUT)
    assert all(m.noise == c.noise and s == c.seen for (m, s), c in zip(heard, clips, strict=True))


@pytest.fixture(scope="module")
def mixture() -> Mixture:
    from dyncp.data.mixtures import MixtureSource

    source = MixtureSource(16000, "validation")
    return source.mix(np.random.default_rng(1), 2.0, noise="pink", snr=5.0, room=False)


def test_a_clip_is_measured_before_and_after(mixture: Mixture, tmp_path: Path) -> None:
    from dyncp.checkpoint import load_checkpoint
    from dyncp.enhance import enhance
    from dyncp.metrics import pesq_wb, si_sdr, stoi

    checkpoint = load_checkpoint(saved(tmp_path, "output"))
    clip = score(checkpoint, mixture, seen=True)
    output = enhance(checkpoint.network, mixture.noisy)
    for name, samples in (("_noisy", mixture.noisy), ("", output.samples)):
        clean = mixture.clean
        assert getattr(clip, f"si_sdr{name}") == si_sdr(samples, clean)
        assert getattr(clip, f"pesq{name}") == pesq_wb(samples, clean, 16000)
        # pystoi adds noise of its own, 1e-16 or so.
        estoi = stoi(samples, clean, 16000, extended=True)
        assert getattr(clip, f"estoi{name}") == pytest.approx(estoi, abs=1e-9)
    assert clip.open == tuple(output.gates[:, block].mean() for block in range(2))
    assert (clip.noise, clip.snr) == ("pink", 5.0)
    assert score(load_checkpoint(saved(tmp_path, None)), mixture, seen=False).open == ()


def test_a_network_that_says_nothing_has_null_for_scores(mixture: Mixture, tmp_path: Path) -> None:
    from dyncp.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(saved(tmp_path, "output"))
    torch.nn.init.zeros_(checkpoint.network.back.weight)
    torch.nn.init.constant_(checkpoint.network.back.bias, -1e9)
    (row,) = to_json(checkpoint, [score(checkpoint, mixture, seen=True)])["clips"]
    assert row["si_sdr"] is row["pesq"] is row["estoi"] is None
    assert row["pesq_noisy"] > 1 and row["estoi_noisy"] > 0 and row["si_sdr_noisy"] > 0
    silent = dataclasses.replace(mixture, clean=np.zeros_like(mixture.clean))
    (row,) = to_json(checkpoint, [score(checkpoint, silent, seen=True)])["clips"]
    assert row["si_sdr_noisy"] is row["pesq_noisy"] is row["estoi_noisy"] is None


def test_the_json_has_every_field_and_no_nan() -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    checkpoint = Checkpoint(tiny_preset(), GatedConvFSENet(tiny_preset()))
    clips = [dataclasses.replace(CLIP, pesq=NAN, estoi=np.float64("nan")), CLIP]
    content = json.loads(json.dumps(to_json(checkpoint, clips)), parse_constant=refuse)
    assert content["preset"] == checkpoint.preset.name
    whole: dict[str, Any] = vars(CLIP) | {"open": [0.25, 0.75]}
    assert content["clips"] == [whole | {"pesq": None, "estoi": None}, whole]


@pytest.mark.filterwarnings("error")
def test_the_table_has_means_of_what_was_measured() -> None:
    unseen = dataclasses.replace(CLIP, noise="siren", seen=False, pesq=NAN, open=())
    clips = [CLIP, dataclasses.replace(CLIP, si_sdr=5.0, pesq=NAN), unseen]
    _, hum, siren, trained, other = (line.split() for line in format_clips(clips).splitlines())
    assert hum == ["hum", "yes", "4.00", "7.00", "1.50", "2.50", "0.50", "0.60", "0.50"]
    assert siren == ["siren", "no", "4.00", "9.00", "1.50", "nan", "0.50", "0.60", "1.00"]
    assert trained[1:] == hum[1:] and other[1:] == siren[1:]
    assert len(format_clips([CLIP]).splitlines()) == 3


def recipe_of(**changes: Any) -> Recipe:
    return dataclasses.replace(Recipe(16000, None, "pink", 5.0, 0, 1.0), **changes)


def test_a_recipe_gives_the_same_clip_in_every_process() -> None:
    """Whoever scores networks apart must score them on the same sound."""
    recipe = recipe_of()
    one = recipe.mix()
    quality._opened.cache_clear()
    other = pickle.loads(pickle.dumps(recipe)).mix()
    assert one.noisy.tobytes() == other.noisy.tobytes()
    assert one.clean.tobytes() == other.clean.tobytes()
    assert (one.noise, one.snr, len(one.noisy)) == ("pink", 5.0, 16000)


@pytest.mark.parametrize("changes", [{"number": 1}, {"snr": 0.0}, {"noise": "white"}])
def test_another_recipe_gives_another_clip(changes: dict[str, Any]) -> None:
    assert recipe_of().mix().noisy.tobytes() != recipe_of(**changes).mix().noisy.tobytes()


def test_the_recipes_are_every_noise_at_every_snr() -> None:
    found = recipes(16000, repeats=2, seconds=3.0)
    assert len(set(found)) == len(found) == len(noise_classes("test")) * 3 * 2
    assert {(r.noise, r.snr) for r in found} == {
        (kind, snr) for kind in noise_classes("test") for snr in (0.0, 5.0, 10.0)
    }
    assert {recipe.noise for recipe in found if not recipe.seen} == set(HELD_OUT)
    assert all((r.rate, r.data, r.seconds) == (16000, None, 3.0) for r in found)
