"""The faulty framework is found through the same setting that users have for their own adapters."""

from pathlib import Path

import pytest

import adapters
from adapters._registry import methods

EXTRA = str(Path(__file__).parent / "extra_adapters")


@pytest.fixture(scope="module")
def faulty():
    """Make the methods `faulty/...` known, here and in worker processes, whenever these start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STIFFGRAD_ADAPTERS", EXTRA)
        patch.setattr(adapters, "__path__", [*adapters.__path__, EXTRA])
        methods.cache_clear()
        yield
    methods.cache_clear()
