"""Quantised models that several files' tests share."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from quantize.model import QuantizedModel
from tests.conftest import tiny_preset
from tests.quantize.models import tiny_model

# A busy machine is no failure.
settings.register_profile("sluice", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sluice")


@pytest.fixture(scope="session")
def model() -> QuantizedModel:
    """A quantised network with every kind of layer, a moving average and a probe."""
    return tiny_model(tiny_preset())
