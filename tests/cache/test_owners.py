"""Owners: a temporary file is left behind when its process is gone, or when nobody changed it for long."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cache.owners import (
    ABANDONED,
    OWNED,
    host,
    is_left_behind,
    is_running,
    machine,
    owned_name,
    remove_left_behind,
)


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def age(path: Path, seconds: float) -> None:
    changed = path.lstat().st_mtime - seconds
    os.utime(path, (changed, changed))


def test_names_carry_machine_and_process() -> None:
    name = owned_name(".json")
    match = OWNED.fullmatch(name)
    assert match and match[1] == machine() and int(match[2]) == os.getpid() and name.endswith(".json")
    assert machine().startswith(host()) and name != owned_name(".json")
    code = "from cache.owners import machine; print(machine())"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == machine()


def test_processes_run_or_do_not() -> None:
    assert is_running(os.getpid()) and is_running(os.getppid())
    for pid in (dead_process(), 0, -1, 10**12):
        assert not is_running(pid)


def test_what_a_living_process_writes_stays(tmp_path: Path) -> None:
    for name in (owned_name(), owned_name(".json")):
        (tmp_path / name).mkdir()
        assert not is_left_behind(tmp_path / name)
        age(tmp_path / name, ABANDONED / 2)
        assert not is_left_behind(tmp_path / name)


def test_what_a_dead_process_wrote_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / f"{machine()}-{dead_process()}-0123456789ab"
    assert is_left_behind(path)
    path.mkdir()
    assert is_left_behind(path)


def test_another_machine_s_is_left_behind_after_a_day(tmp_path: Path) -> None:
    path = tmp_path / f"elsewhere_0a1b2c3d-{dead_process()}-0123456789ab"
    assert not is_left_behind(path)  # gone meanwhile
    path.mkdir()
    (path / "file").write_text("")
    age(path, ABANDONED + 60)
    assert not is_left_behind(path)  # somebody writes a file in it
    age(path / "file", ABANDONED + 60)
    assert is_left_behind(path)


def test_a_process_number_may_be_given_again(tmp_path: Path) -> None:
    path = tmp_path / owned_name()
    path.mkdir()
    age(path, ABANDONED + 60)
    assert is_left_behind(path)


def test_other_names_are_nobody_s(tmp_path: Path) -> None:
    for name in ("README", "a-b-c", f"{machine()}-12-xyz", "x" * 300 + "-1-0123456789ab"):
        assert not is_left_behind(tmp_path / name)


def test_what_is_left_behind_is_removed_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    remove_left_behind(folder)
    (folder / owned_name()).mkdir(parents=True)
    for ending in ("0123456789ab", "0123456789ac"):
        left = folder / f"{machine()}-{dead_process()}-{ending}"
        left.mkdir()
        (left / "file").write_text("content")
    (folder / f"{machine()}-{dead_process()}-0123456789ad.csv").write_text("content")
    remove_left_behind(folder)
    (own,) = folder.iterdir()
    assert own.name.startswith(machine())
    own.rmdir()
    remove_left_behind(folder)
    assert not folder.exists()
