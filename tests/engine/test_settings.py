"""Paths that no file can be at: one sentence and exit code 2 from every command, whichever variable names them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine import settings
from engine.__main__ import main
from engine.runs import cache_connection

COMMANDS = {
    "list": ["list"],
    "run": ["run", "--task", "ioi", "--n", "4"],
    "compare": ["compare", "--task", "ioi", "--n", "4"],
    "export": ["export", "abc"],
    "bundle": ["bundle", "out.duckdb"],
    "import": ["import", "in.duckdb"],
    "doctor": ["doctor"],
    "doctor of a pair": ["doctor", "--pair", "embedded"],
}
READS_NO_PAIRS = ("list", "import", "export", "bundle")  # where there are no runs
READS_NO_CACHE = ("doctor of a pair",)

PATHS = {
    "a long name": "x" * 300,
    "a long folder": f"{'d' * 300}/c",
    "a long path": "d/" * 3000 + "c",
    "nobody's home": "~nouser/x",
    "a file as folder": "{folder}/text/c",
    "a loop of links": "{folder}/loop",
    "a loop of links as folder": "{folder}/loop/c",
    "a pipe": "{folder}/pipe",
    "a device": "/dev/null",
    "the root": "/",
    "an address": "s3://bucket/c",
}
OF_A_CACHE = {
    "a question mark": "{folder}/a?b",
    "no file": ":memory:",
    "a text": "{folder}/text",
    "an empty file": "{folder}/empty",
}
OF_PAIRS = {
    "a folder": "{folder}",
    "nothing": "{folder}/none",
    "a text": "{folder}/text",
    "bytes": "{folder}/bytes",
}


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what paths can lead to."""
    folder = tmp_path / "named"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "text").write_text("my notes")
    (folder / "empty").touch()
    (folder / "bytes").write_bytes(b"\xff\xfe\x00")
    (folder / "loop").symlink_to(folder / "loop")
    os.mkfifo(folder / "pipe")
    return folder


def tree(folder: Path) -> dict[str, int]:
    return {str(file): file.lstat().st_mtime_ns for file in [folder, *folder.rglob("*")]}


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in READS_NO_CACHE])
@pytest.mark.parametrize("what", [*PATHS, *OF_A_CACHE])
def test_a_cache_that_cannot_be_is_one_sentence(
    named: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str, command: str
) -> None:
    refused(named, monkeypatch, capsys, "CIRCUITS_CACHE", {**PATHS, **OF_A_CACHE}[what], command)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in READS_NO_PAIRS])
@pytest.mark.parametrize("what", [*PATHS, *OF_PAIRS])
def test_a_pairs_file_that_cannot_be_is_one_sentence(
    named: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str, command: str
) -> None:
    refused(named, monkeypatch, capsys, "CIRCUITS_PAIRS", {**PATHS, **OF_PAIRS}[what], command)


def refused(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    path: str,
    command: str,
) -> None:
    monkeypatch.setenv(variable, path.format(folder=folder))
    before = tree(folder)
    assert main(COMMANDS[command]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1 and len(message) < 900, message
    assert (
        ("CIRCUITS_CACHE" in message)
        if variable == "CIRCUITS_CACHE"
        else ("pairs file" in message or variable in message)
    )
    assert tree(folder) == before
    monkeypatch.delenv(variable)
    cache_connection.close()


def test_what_the_cache_cannot_be_is_told_by_doctor_with_all_the_rest(
    named: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CIRCUITS_CACHE", str(named / "text"))
    assert main(["doctor"]) == 2
    output = capsys.readouterr()
    assert f"cache       The cache {named}/text cannot be used" in output.out and "pair        embedded" in output.out
    assert "cannot be used" in output.err


@pytest.mark.parametrize("name", ["with a space", "é 漢字"])
def test_other_paths_are_paths(named: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("CIRCUITS_CACHE", f" {name}/c ")
    assert settings.cache_dir() == named / name / "c"
    assert main(["list"]) == 0
    assert (named / name / "c" / "artifacts").is_dir()
