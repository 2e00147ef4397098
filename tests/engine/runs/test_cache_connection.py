"""One open cache folder a process, until it is closed; other processes may have it open as well."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.runs.cache_connection import close, store

ROOT = Path(__file__).resolve().parents[3]


def test_the_cache_is_opened_once_and_again_after_it_was_closed(workspace: Path) -> None:
    opened = store()
    assert store() is opened and opened.path == workspace
    close()
    again = store()
    assert again is not opened and again.records() == []
    close()
    close()  # again is no matter


@pytest.mark.usefixtures("workspace")
def test_what_cannot_be_opened_names_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a file where a folder should be")
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path / "text"))
    with pytest.raises(UserError, match=r"text cannot be used: .*\(CIRCUITS_CACHE names the folder.\)"):
        store()


@pytest.mark.usefixtures("workspace")
def test_the_variable_of_earlier_versions_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRCUITS_DB", "/data/circuits.duckdb")
    message = "CIRCUITS_DB is set to '/data/circuits.duckdb', which is not read any more.*python -m engine import FILE"
    with pytest.raises(UserError, match=message):
        store()


@pytest.mark.usefixtures("workspace")
def test_several_processes_have_it_open_at_once() -> None:
    store()
    code = "from engine.runs.cache_connection import store; print(store().records())"
    other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert other.stdout == "[]\n"
