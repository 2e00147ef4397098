"""A cache or a pairs file that cannot be: every page says so in one sentence, and nothing is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.runs import cache_connection
from tests.engine.test_settings import OF_A_CACHE, OF_PAIRS, PATHS
from tests.pages.test_pages import app

PAGES = ("overview", "circuits", "activations", "neurons", "denoising", "prompts", "runs")
CACHES = {**PATHS, **OF_A_CACHE}
PAIRS = {**PATHS, **OF_PAIRS}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "named"
    made.mkdir()
    monkeypatch.chdir(made)
    (made / "text").write_text("my notes")
    (made / "empty").touch()
    (made / "bytes").write_bytes(b"\xff\xfe\x00")
    (made / "loop").symlink_to(made / "loop")
    os.mkfifo(made / "pipe")
    return made


@pytest.mark.parametrize(
    ("page", "what"),
    [(page, "a text") for page in PAGES] + [(page, "nobody's home") for page in PAGES] + [("runs", w) for w in CACHES],
)
@pytest.mark.usefixtures("queue_of")
def test_a_cache_that_cannot_be(folder: Path, monkeypatch: pytest.MonkeyPatch, page: str, what: str) -> None:
    told(folder, monkeypatch, page, "CIRCUITS_CACHE", CACHES[what])


@pytest.mark.parametrize(
    ("page", "what"),
    [(page, "a text") for page in PAGES] + [(page, "a pipe") for page in PAGES] + [("overview", w) for w in PAIRS],
)
@pytest.mark.usefixtures("queue_of")
def test_pairs_that_cannot_be(folder: Path, monkeypatch: pytest.MonkeyPatch, page: str, what: str) -> None:
    told(folder, monkeypatch, page, "CIRCUITS_PAIRS", PAIRS[what])


def told(folder: Path, monkeypatch: pytest.MonkeyPatch, page: str, variable: str, path: str) -> None:
    monkeypatch.setenv(variable, path.format(folder=folder))
    before = {file: file.lstat().st_mtime_ns for file in [folder, *folder.rglob("*")]}
    shown = app(page)
    assert not shown.exception
    (error,) = shown.error
    assert variable in error.value.replace("\\", "") or "pairs file" in error.value, error.value
    assert {file: file.lstat().st_mtime_ns for file in [folder, *folder.rglob("*")]} == before
    monkeypatch.delenv(variable)
    cache_connection.close()
