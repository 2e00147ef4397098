"""A cache folder of a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cache import cleaning
from cache.folder import ArtifactFolder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[ArtifactFolder]:
    opened = ArtifactFolder(tmp_path / "cache")
    yield opened
    opened.close()


@pytest.fixture
def _at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is publishing at this moment, however new the files are."""
    monkeypatch.setattr(cleaning, "BEING_WRITTEN", 0.0)
