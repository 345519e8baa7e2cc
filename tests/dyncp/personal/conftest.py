"""The voices that every file of this folder draws from, loaded once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from dyncp.personal.scenes import SceneSource


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def unseen() -> SceneSource:
    """The voices of the validation: eight variants of a synthesiser and one person."""
    return SceneSource(16000, "validation")


@pytest.fixture(scope="session")
def examined() -> SceneSource:
    """The voices of the test, two of which are one person's."""
    return SceneSource(16000, "test")
