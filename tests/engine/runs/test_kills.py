"""kill -9 at a random moment of computing, storing, deleting, bundling and importing loses nothing that was finished.

The number of kills is that of the environment's CIRCUITS_TEST_KILLS, 8 unless it is set.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from cache import cleaning
from cache.folder import ArtifactFolder
from cache.owners import is_running
from engine import settings
from engine.runs import cache_connection, read, stored
from engine.runs.lifecycle import run as run_of
from engine.runs.spec import RunSpec
from engine.schema.artifacts import KINDS, tables_in
from tests.fakes import tiny_compute
from tests.killed import WORK

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[3]
KILLS = int(os.environ.get("CIRCUITS_TEST_KILLS", "8"))
LONGEST = 0.6  # seconds from the beginning of the work to the kill


class Killed:
    """A process that was killed in the middle of its work, and what it had told until then."""

    def __init__(self, work: str, seed: int, after: float) -> None:
        command = [sys.executable, "-m", "tests.killed", work, str(seed)]
        process = subprocess.Popen(command, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
        assert process.stdout
        output = b""
        while not output.endswith(b"ready\n") and (line := process.stdout.readline()):
            output += line
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        rest, errors = process.communicate()
        output += rest
        assert process.returncode == -signal.SIGKILL, errors.decode()
        words = [line.split(" ") for line in output.decode().splitlines() if line != "ready"]
        self.pid = process.pid
        self.stored, self.gone, self.workers = set[str](), set[str](), list[int]()
        for word, value in words:
            if word == "stored":
                self.stored.add(value)
                self.gone.discard(value)
            elif word == "deleting":
                self.gone.add(value)
                self.stored.discard(value)
            elif word == "worker":
                self.workers.append(int(value))


def contents(folder: ArtifactFolder) -> dict[str, list[pa.Table]]:
    """Everything that is in every artifact, by key."""
    all_of: dict[str, list[pa.Table]] = {}
    for record in folder.records():
        with folder.reading(record.key) as (cursor, names):
            tables = [f"{names[record.key]}.main.{name}" for name in tables_in(record.kind)]
            all_of[record.key] = [cursor.sql(f"SELECT * FROM {name}").to_arrow_table() for name in tables]  # noqa: S608
    return all_of


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} outlives the one that started it"
        time.sleep(0.05)


@pytest.fixture
def known(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[pa.Table]]:
    """Artifacts that are there before anybody is killed, by key, with their content."""
    monkeypatch.setattr(cleaning, "BEING_WRITTEN", 0.0)  # all who wrote are dead
    assert workspace.is_dir()
    for seed in range(2):
        run_of(RunSpec(n=4, seed=seed), compute=tiny_compute)
    return contents(cache_connection.store())


def left_over(cache: Path) -> list[str]:
    """What lies there that a finished process would have removed."""
    places = (cache / "artifacts" / "partial", cache / "temporary")
    temporary = [path.name for place in places if place.is_dir() for path in place.iterdir()]
    files = cache / "artifacts"
    alone = [path.name for path in files.glob("*.json") if not path.with_suffix(".duckdb").exists()]
    alone += [path.name for path in files.glob("*.duckdb") if not path.with_suffix(".json").exists()]
    return temporary + alone + [path.name for path in files.glob("*.lease")]


def fewer(there: dict[str, list[pa.Table]]) -> dict[str, list[pa.Table]]:
    """Delete all runs but the newest few, so that the next round is quick."""
    for run in stored.list_runs()[6:]:
        stored.delete(run.key)
    return {key: there[key] for key in contents(cache_connection.store())}


def test_nothing_that_was_finished_is_lost(known: dict[str, list[pa.Table]], workspace: Path) -> None:
    rng = random.Random(os.environ.get("CIRCUITS_TEST_SEED", "0"))
    works = list(WORK)
    for number in range(KILLS):
        work = works[number % len(works)]
        killed = Killed(work, number, rng.uniform(0, LONGEST))
        for pid in killed.workers:
            wait_until_gone(pid)
        log.info("%s: %s after %s artifacts; %s", number, work, len(killed.stored), left_over(workspace))
        cache_connection.close()
        folder = cache_connection.store()  # the next start
        now = contents(folder)
        lost = (set(known) | killed.stored) - killed.gone - set(now)
        assert not lost, f"kill {number}, while it did {work}"
        changed = [key for key in set(known) & set(now) - killed.gone if known[key] != now[key]]
        assert not changed, f"kill {number}, while it did {work}"
        assert folder.notices == [] and not list(folder.files.glob("*.unreadable-*"))
        assert not list(folder.partial.iterdir()) and not list(folder.files.glob("*.lease"))
        assert not settings.scratch_dir().exists()
        names = {path.name for path in folder.files.iterdir() if path.is_file()}
        assert names == {f"{key}.{ending}" for key in now for ending in ("duckdb", "json")}
        known = fewer(now)
    for run in stored.list_runs():  # whatever is half there is completed
        whole = run_of(run.spec, compute=tiny_compute)
        assert not stored.missing(whole) and read.edge_table(whole.key).edge.size
        assert set(whole.companions) == set(KINDS) - {"circuit"}
