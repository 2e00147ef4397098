"""A cache and a pair of this test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.runs import cache_connection
from tests.fakes import register_fake_pair


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with an empty cache and a fake `embedded` pair, named by the environment."""
    monkeypatch.setenv("CIRCUITS_DB", str(tmp_path / "circuits.duckdb"))
    monkeypatch.setenv("CIRCUITS_PAIRS", str(register_fake_pair(tmp_path / "pair")))
    yield tmp_path
    cache_connection.close()
