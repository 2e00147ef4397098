"""What is imported gets into its place whole or not at all, whatever ends the process that does it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from cache.cleaning import READY
from cache.folder import ArtifactFolder
from engine.errors import UserError
from engine.exchange.bundle_file import unpacked
from engine.exchange.offered_runs import BundleOffer, OfferedRun
from engine.exchange.staging import Staging, checked_tables
from engine.models import pairs
from engine.runs import cache_connection, lifecycle
from engine.runs import stored as stored_runs
from engine.runs.artifacts import split
from engine.schema.artifacts import KINDS, Kind
from engine.schema.tables import TABLES
from tests.engine.exchange.conftest import SPEC, stored
from tests.fakes import tiny_run
from tools.browser import ROOT

NOW = "2026-01-01T00:00:00+00:00"
IMPORT = """
import os, signal, sys
from pathlib import Path
from cache import folder
from engine.exchange import bundle

def end(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

moment, file = sys.argv[1:]
if moment == "before everything is checked":
    bundle._kept = end
elif moment == "before anything is in its place":
    folder.ArtifactFolder.finish = end
elif moment == "between two circuits":
    replace = Path.replace
    def counted(path, target, done=[]):
        done.append(path)
        if len(done) == 34:  # 15 companions with their records, one circuit, and half of the next
            end()
        return replace(path, target)
    Path.replace = counted
bundle.take(Path(file))
"""


class Tables:
    """An artifact of a synthetic run as a Source."""

    unfolded = 1000

    def __init__(self, tables: dict[str, pa.Table]) -> None:
        self.tables = tables

    def count(self, name: str) -> int:
        return self.tables[name].num_rows

    def table(self, name: str) -> pa.Table:
        return self.tables[name]


@pytest.fixture
def sources() -> dict[Kind, Tables]:
    run = tiny_run(SPEC, lifecycle.ignore)
    return {kind: Tables(split(run, kind).tables) for kind in KINDS}


@pytest.fixture(scope="module")
def offered() -> OfferedRun:
    return OfferedRun(SPEC, tiny_run(SPEC, lifecycle.ignore).meta, {}, {})


def test_tables_are_put_together_from_their_artifacts(sources: dict[Kind, Tables], offered: OfferedRun) -> None:
    whole = dict(checked_tables(offered, sources))
    run = tiny_run(SPEC, lifecycle.ignore)
    assert list(whole) == list(TABLES)
    for name, table in run.tables.items():
        assert whole[name].select(table.column_names).equals(table)


@pytest.mark.parametrize("absent", [("lens",), ("activity", "weights"), ("ability", "lens", "activity", "weights")])
def test_what_is_not_there_is_not_looked_for(
    sources: dict[Kind, Tables], offered: OfferedRun, absent: tuple[Kind, ...]
) -> None:
    there = {kind: source for kind, source in sources.items() if kind not in absent}
    whole = dict(checked_tables(offered, there))
    assert set(whole) == {name for source in there.values() for name in source.tables}
    assert ("promoted" in whole["neurons"].column_names) == ("weights" in there)


@pytest.mark.parametrize(("kind", "name"), [("activity", "heads"), ("weights", "neurons")])
def test_artifacts_that_number_their_rows_otherwise_are_refused(
    sources: dict[Kind, Tables], offered: OfferedRun, kind: Kind, name: str
) -> None:
    table = sources[kind].tables[name]
    sources[kind].tables[name] = table.take(list(reversed(range(table.num_rows))))
    with pytest.raises(UserError, match=f"of {name} numbers other rows in one artifact than in another"):
        dict(checked_tables(offered, sources))


def test_nothing_is_in_its_place_before_it_is_published(all_unpacked: Path, tmp_path: Path) -> None:
    offer = BundleOffer(unpacked(all_unpacked, "folder", tmp_path), tmp_path)
    folder = ArtifactFolder(tmp_path / "cache")
    with folder.staged() as place:
        staging = Staging(folder, place, NOW)
        for run in offer.runs:
            staging.add(run, offer)
        assert len(staging.keys) == 19 == len(list(place.glob("*.json"))) == len(list(place.glob("*.duckdb")))
        assert staging.size == sum(file.stat().st_size for file in place.glob("*.duckdb"))
        assert folder.records() == [] and not (place / READY).exists()
        staging.publish()
        assert (place / READY).exists()
    records = folder.records()
    assert {record.key for record in records} == staging.keys and {record.imported for record in records} == {NOW}
    assert not list(folder.partial.iterdir())
    folder.close()


def test_a_run_that_is_refused_leaves_what_was_staged_before_it(all_unpacked: Path, tmp_path: Path) -> None:
    offer = BundleOffer(unpacked(all_unpacked, "folder", tmp_path), tmp_path)
    folder = ArtifactFolder(tmp_path / "cache")
    first, second = offer.runs[:2]
    wrong = replace(second, meta=replace(second.meta, n_sites=second.meta.n_sites, n_neurons=7))
    with folder.staged() as place:
        staging = Staging(folder, place, NOW)
        staging.add(first, offer)
        before = sorted(place.iterdir())
        with pytest.raises(UserError, match="neurons"):
            staging.add(wrong, offer)
        assert sorted(place.iterdir()) == before and staging.keys == {record.key for record in first.artifacts.values()}
    folder.close()


@pytest.mark.parametrize(
    ("moment", "whole"),
    [
        ("before everything is checked", False),
        ("before anything is in its place", True),
        ("between two circuits", True),
    ],
)
def test_a_kill_leaves_all_or_nothing(made: Path, elsewhere: Path, moment: str, whole: bool) -> None:
    killed = subprocess.run([sys.executable, "-c", IMPORT, moment, str(made)], cwd=ROOT, env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (len(list((elsewhere / "artifacts").glob("*.duckdb"))) > 0) == (moment == "between two circuits")
    assert len(stored_runs.list_runs()) == (4 if whole else 0)
    assert len(stored()) == (19 if whole else 0)
    assert all(not stored_runs.missing(run) for run in stored_runs.list_runs())
    assert not list((elsewhere / "artifacts" / "partial").iterdir())
    assert ("mine" in pairs.pairs()) == whole
    cache_connection.close()
