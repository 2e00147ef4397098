"""A cache and pairs of a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.models.pair import Pair
from engine.runs import cache_connection
from tests.fakes import register_fake_pair


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with an empty cache and a fake `embedded` pair, named by the environment."""
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path))
    monkeypatch.setenv("CIRCUITS_PAIRS", str(register_fake_pair(tmp_path / "pair")))
    yield tmp_path
    cache_connection.close()


@pytest.fixture(scope="module")
def byte_pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A pair whose tokenizer is byte-level, with a BOS."""
    from tests.saved_tokenizers import NAMES, byte_level, saved, with_bos

    base = tmp_path_factory.mktemp("bytes")
    for model in ("arm", "mdm"):
        saved(with_bos(byte_level()), base / model, **NAMES)
    return Pair("bytes", "Bytes", "arm", "mdm", base=base)
