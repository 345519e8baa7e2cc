"""From a name to trained weights that ship: what each training needs, and where it goes."""

from __future__ import annotations

from pathlib import Path

import torch

from dyncp.data.speech import CACHE_FOLDER
from dyncp.errors import UserError
from dyncp.personal import settings
from dyncp.personal.checkpoints import (
    enhancer_path,
    guide_path,
    load_encoder,
    load_enhancer,
    load_guide,
    load_pvad,
    save_enhancer,
    save_module,
)
from dyncp.personal.encoder_training import EncoderTask
from dyncp.personal.enhancer_training import EnhancerTask
from dyncp.personal.enhancers import Enhancer
from dyncp.personal.run import Run
from dyncp.personal.vad_training import VadTask

ENCODER, PVAD = "encoder", "pvad"


def train(
    name: str, recipe: str | None, folder: Path, shipped: Path, threads: int | None = None
) -> None:
    """Train a network into ``shipped``; of an enhancer one recipe, or its stages and then all.

    State is kept under ``folder``. Raises :class:`UserError` for an unknown name, or where a
    checkpoint lacks that the training goes on from.
    """
    if threads:
        torch.set_num_threads(threads)
    if name in (ENCODER, PVAD):
        if recipe:
            raise UserError(f"'{name}' has no recipes; leave out --recipe")
        (_train_encoder if name == ENCODER else _train_pvad)(folder / name, shipped)
        return
    for one in [recipe] if recipe else [*settings.stages(name), *settings.recipe_names()]:
        _train_enhancer(name, one, folder / f"{name}-{one}", shipped)


def _train_encoder(folder: Path, shipped: Path) -> None:
    schedule, dimensions = settings.encoder_settings()
    task = EncoderTask(schedule, dimensions, CACHE_FOLDER)
    run = Run(task, folder)
    run.run()
    save_module(shipped / "encoder.pt", task.encoder, run.record())
    print(f"wrote {shipped / 'encoder.pt'} and its record")


def _train_pvad(folder: Path, shipped: Path) -> None:
    schedule, width = settings.pvad_settings()
    task = VadTask(schedule, width, load_encoder(shipped), CACHE_FOLDER, settings.speeds(PVAD))
    run = Run(task, folder)
    run.run()
    save_module(shipped / "pvad.pt", task.module, run.record())
    print(f"wrote {shipped / 'pvad.pt'} and its record")


def _train_enhancer(name: str, recipe: str, folder: Path, shipped: Path) -> None:
    how = settings.recipe(recipe)
    encoder = load_encoder(shipped)
    before = settings.goes_on_from(name, recipe)
    start = load_enhancer(name, before, shipped) if before else None
    guide = load_guide(name, before, start, shipped) if before and start else None
    task = EnhancerTask(
        Enhancer(settings.network(name), encoder.dimensions),
        how,
        settings.schedule(name, recipe),
        encoder=encoder,
        vad=load_pvad(shipped),
        cache=CACHE_FOLDER,
        start=start,
        start_guide=guide.state_dict() if guide else None,
        likeness=before == settings.VOICE,
        speeds=settings.speeds(name),
    )
    # A stage is there to be gone on from, and what it learns shows least in its own validation.
    stage = recipe in settings.stages(name)
    run = Run(task, folder, keep="last" if stage and task.guide else "best")
    run.run()
    path = enhancer_path(shipped, name, recipe)
    save_enhancer(path, task.enhancer, run.record())
    if stage and task.guide:
        save_module(guide_path(shipped, name, recipe), task.guide)
    print(f"wrote {path} and its record")
