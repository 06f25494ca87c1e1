"""Extra studies are found through the same setting that users have for their own."""

from pathlib import Path

import pytest

import studies

EXTRA = str(Path(__file__).parent / "extra_studies")


@pytest.fixture
def extra(monkeypatch):
    """Make the studies of extra_studies/ known, here and in worker processes."""
    monkeypatch.setenv("STIFFGRAD_STUDIES", EXTRA)
    monkeypatch.setattr(studies, "__path__", [*studies.__path__, EXTRA])
