"""The faulty framework is found through the same setting that users have for their own adapters."""

import os
from pathlib import Path

import pytest

import adapters
from adapters._registry import methods

EXTRA = str(Path(__file__).parent / "extra_adapters")


@pytest.fixture
def faulty(monkeypatch):
    """Make the methods `faulty/...` known, here and in worker processes."""
    monkeypatch.setenv("STIFFGRAD_ADAPTERS", EXTRA)
    monkeypatch.setattr(adapters, "__path__", [*adapters.__path__, EXTRA])
    methods.cache_clear()
    yield
    methods.cache_clear()
    assert os.environ["STIFFGRAD_ADAPTERS"] == EXTRA
