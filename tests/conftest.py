"""What every test may rely on: no network, and a cache of its own instead of the user's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Read by the hub's client when it is imported, so they are set before any test module is.
os.environ.update({"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "WANDB_MODE": "disabled"})


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from engine import pipeline

    monkeypatch.setenv("CIRCUITS_DB", str(tmp_path / "circuits.duckdb"))
    monkeypatch.delenv("CIRCUITS_PAIRS", raising=False)
    yield
    pipeline.close()
