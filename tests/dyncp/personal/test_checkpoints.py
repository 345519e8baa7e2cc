"""What is trained must come back from its files as it was, or be refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dyncp.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dyncp.errors import UserError
from dyncp.network import GatedConvFSENet
from dyncp.personal import settings
from dyncp.personal.checkpoints import (
    enhancer_path,
    load_encoder,
    load_enhancer,
    load_pvad,
    save_enhancer,
    save_module,
)
from dyncp.personal.enhancers import Enhancer
from dyncp.personal.pvad import PersonalVad
from dyncp.personal.speaker_encoder import SpeakerEncoder
from tests.conftest import tiny_preset

SMALL = "e3net-small"
DIMENSIONS = settings.encoder_settings()[1]
BASIS = {"encoder.weight", "decoder.weight"}


def enhancer(name: str = SMALL, seed: int = 1) -> Enhancer:
    torch.manual_seed(seed)
    made = Enhancer(settings.network(name), DIMENSIONS)
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.01 * torch.randn(weight.shape))
    return made.eval()


def assert_half(loaded: torch.nn.Module, saved: torch.nn.Module) -> None:
    assert not loaded.training
    for name, tensor in saved.state_dict().items():
        expected = tensor.half().float() if tensor.is_floating_point() else tensor
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(loaded.state_dict()[name], expected), name


def test_the_encoder_and_the_pvad_come_back_in_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(1)
    encoder, vad = SpeakerEncoder(DIMENSIONS), PersonalVad(DIMENSIONS, settings.pvad_settings()[1])
    encoder.frames[3].running_mean += 0.25  # type: ignore[operator]
    save_module(tmp_path / "encoder.pt", encoder, {"hours": 1})
    save_module(tmp_path / "pvad.pt", vad, {"hours": 2})
    assert_half(load_encoder(tmp_path), encoder)
    assert_half(load_pvad(tmp_path), vad)
    assert json.loads((tmp_path / "pvad.json").read_text()) == {"hours": 2}
    content = torch.load(tmp_path / "pvad.pt", weights_only=True)
    assert {w.dtype for w in content["weights"].values()} == {torch.float16, torch.int64}


def recipe_beside_its_stem(folder: Path) -> tuple[Enhancer, Enhancer]:
    stem, recipe = enhancer(), enhancer(seed=2)
    save_enhancer(enhancer_path(folder, SMALL, "stem"), stem, {})
    recipe.load_state_dict(
        recipe.state_dict() | {f"network.{name}": stem.network.state_dict()[name] for name in BASIS}
    )
    recipe.hold_basis()
    save_enhancer(enhancer_path(folder, SMALL, "S1"), recipe, {"hours": 3})
    return stem, recipe


def test_a_recipe_takes_its_basis_from_the_stem(tmp_path: Path) -> None:
    stem, recipe = recipe_beside_its_stem(tmp_path)
    whole, part = (
        set(torch.load(enhancer_path(tmp_path, SMALL, name), weights_only=True)["weights"])
        for name in ("stem", "S1")
    )
    assert whole - part == BASIS and not part - whole
    assert_half(load_enhancer(SMALL, "stem", tmp_path), stem)
    assert_half(load_enhancer(SMALL, "S1", tmp_path), recipe)


def test_a_recipe_without_its_stem_names_the_stem(tmp_path: Path) -> None:
    recipe_beside_its_stem(tmp_path)
    enhancer_path(tmp_path, SMALL, "stem").unlink()
    with pytest.raises(UserError, match=r"no such checkpoint: \S*e3net-small-stem\.pt"):
        load_enhancer(SMALL, "S1", tmp_path)


@pytest.mark.parametrize(
    ("name", "recipe"), [(SMALL, "stem"), (SMALL, "B2"), ("personal", "stem"), ("personal", "S3")]
)
def test_a_missing_file_is_named(tmp_path: Path, name: str, recipe: str) -> None:
    with pytest.raises(UserError, match=rf"no such checkpoint: \S*{name}-\w+\.pt"):
        load_enhancer(name, recipe, tmp_path)


def test_names_that_nothing_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown network 'e4net'"):
        load_enhancer("e4net", "S1", tmp_path)
    with pytest.raises(UserError, match="unknown recipe 'S9'"):
        load_enhancer(SMALL, "S9", tmp_path)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04half of one"])
def test_a_damaged_file_is_named_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "encoder.pt").write_bytes(content)
    enhancer_path(tmp_path, "personal", "B1").write_bytes(content)
    for name, load in (
        ("encoder.pt", lambda: load_encoder(tmp_path)),
        ("personal-B1.pt", lambda: load_enhancer("personal", "B1", tmp_path)),
    ):
        with pytest.raises(UserError, match=rf"{name} is not a checkpoint of this") as caught:
            load()
        assert len(str(caught.value).splitlines()) == 1


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    save_module(tmp_path / "encoder.pt", SpeakerEncoder(DIMENSIONS), {})
    whole = (tmp_path / "encoder.pt").read_bytes()
    (tmp_path / "encoder.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"encoder\.pt is not a checkpoint"):
        load_encoder(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weights": {}}, "not a checkpoint"),
        ({"format": 1}, "not a checkpoint"),
        ([1, 2], "not a checkpoint"),
        ({"format": 2, "weights": {}}, "format 2, expected 1"),
        ({"format": 1, "weights": {"project.bias": torch.zeros(7)}}, "do not fit settings.toml"),
    ],
    ids=["no-format", "no-weights", "list", "later", "misfit"],
)
def test_another_programs_file_is_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "encoder.pt")
    with pytest.raises(UserError, match=rf"encoder\.pt.*{message}") as caught:
        load_encoder(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_one_networks_file_is_not_anothers(tmp_path: Path) -> None:
    save_module(tmp_path / "pvad.pt", SpeakerEncoder(DIMENSIONS), {})
    with pytest.raises(UserError, match=r"pvad\.pt: its weights do not fit"):
        load_pvad(tmp_path)
    other = tiny_preset(speaker=DIMENSIONS)
    path = enhancer_path(tmp_path, "personal", "B1")
    save_checkpoint(path, Checkpoint(other, GatedConvFSENet(other)))
    with pytest.raises(UserError, match=r"personal-B1\.pt was trained with \[audio\]"):
        load_enhancer("personal", "B1", tmp_path)


def test_a_gated_network_is_a_checkpoint_like_every_other(tmp_path: Path) -> None:
    """So that it can be quantised."""
    made = enhancer("personal")
    path = enhancer_path(tmp_path, "personal", "S2")
    save_enhancer(path, made, {"hours": 4})
    checkpoint = load_checkpoint(path, expect=made.preset)
    assert checkpoint.record == {"hours": 4} == json.loads(path.with_suffix(".json").read_text())
    assert_half(checkpoint.network, made.network)
    assert_half(load_enhancer("personal", "S2", tmp_path), made)
