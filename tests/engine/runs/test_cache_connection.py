"""One open cache a process, until it is closed."""

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
    assert store() is opened and opened.path == workspace / "circuits.duckdb"
    close()
    again = store()
    assert again is not opened and again.runs() == []
    close()
    close()  # again is no matter


@pytest.mark.usefixtures("workspace")
def test_what_cannot_be_opened_names_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database, but longer than its header would be")
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path / "text"))
    with pytest.raises(UserError, match=r"no cache.*\(CIRCUITS_CACHE names the path.\)"):
        store()


@pytest.mark.usefixtures("workspace")
def test_another_process_can_open_it_once_it_is_closed() -> None:
    code = "from engine.runs.cache_connection import store; store()"
    command = [sys.executable, "-c", code]
    store()
    blocked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert blocked.returncode == 1 and "in use by another program" in blocked.stderr
    close()
    subprocess.run(command, cwd=ROOT, check=True)
