"""The store: whole runs or none, prefixes of sorted tables, one process, a file that can go bad."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from cache.layout import SORTED_BY, RunPart, RunRow
from cache.store import EDGES, Store
from engine.runs.lifecycle import ignore
from engine.runs.spec import RunSpec
from tests.fakes import tiny_run

TABLES = tiny_run(RunSpec(n=4), ignore).tables


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "c.duckdb")
    yield opened
    opened.close()


def row(key: str) -> RunRow:
    return RunRow(key, '{"task": "ioi"}', "{}", "2026-01-01T00:00:00+00:00", 1.5)


def counts(path: Path) -> dict[str, int]:
    """Rows per table, read by an independent connection; every run table and the list of runs."""
    with duckdb.connect(str(path)) as db:
        names = ("runs", "overlap_curves", *SORTED_BY)
        return {name: len(db.table(name).fetchall()) for name in names}


def test_what_goes_in_comes_out(store: Store) -> None:
    store.add_run(row("k"), TABLES)
    assert store.run("k") == row("k")
    assert store.rows("k", "examples").equals(TABLES["examples"])
    assert store.rows("k", "readouts").equals(TABLES["readouts"])
    for table in ("node_lens", "residual_lens"):
        written = TABLES[table].filter(pa.compute.equal(TABLES[table]["readout"], 1))
        assert store.rows("k", table, readout=1).equals(written)
    lens = store.rows("k", "node_lens", ("node", "readout"), readout=1, node=3)
    assert lens.to_pydict() == {"node": [3], "readout": [1]}
    with pytest.raises(KeyError):
        store.rows("k", "nothing")
    for unknown in ({"columns": ("nothing",)}, {"run": 1}, {"node; DROP TABLE runs": 1}):
        with pytest.raises(KeyError):
            store.rows("k", "node_lens", **unknown)


def test_rows_of_another_run_never_show(store: Store) -> None:
    other = tiny_run(RunSpec(n=4, seed=1), ignore).tables
    store.add_run(row("a"), TABLES)
    store.add_run(row("b"), other)
    assert store.rows("b", "examples").equals(other["examples"])
    assert (
        store.edges(RunPart("a", "total"))["edge"].to_pylist() != store.edges(RunPart("b", "total"))["edge"].to_pylist()
    )
    assert store.rows("nowhere", "examples").num_rows == 0


def test_top_k_is_the_k_largest_and_a_prefix(store: Store) -> None:
    store.add_run(row("k"), TABLES)
    for part in ("total", "half-b"):
        everything = store.edges(RunPart("k", part))
        scores = np.abs(everything["score"].to_numpy())
        assert (np.diff(scores) <= 0).all() and len(set(everything["edge"].to_pylist())) == len(everything)
        assert store.edges(RunPart("k", part), 7).equals(everything.slice(0, 7))


def test_top_k_reads_a_prefix(store: Store) -> None:
    """The rows are on disk in the order (run, part, rank), so DuckDB skips nearly all of its groups of 122,880."""
    n = 300_000
    edges = np.arange(n, dtype=np.int32)
    shuffled = np.random.default_rng(0).permutation(n)
    parts = []
    for part in ("total", "half-a"):
        table = pa.table({"part": [part] * n, "rank": edges, "edge": edges, "score": np.zeros(n, np.float32)})
        parts.append(table.take(shuffled))
    for key in ("k1", "k2"):
        store.add_run(row(key), {**TABLES, "edges": pa.concat_tables(parts)})
    assert store.edges(RunPart("k1", "half-a"), 300)["edge"].to_pylist() == list(range(300))
    store.close()
    with duckdb.connect(str(store.path)) as db:
        plan = json.loads(db.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {EDGES}", [1, "total", 300]).fetchall()[0][1])
        scan = next(operator for operator in operators(plan) if "row_groups_scanned" in operator)
        assert scan["row_groups_scanned"] <= 2  # one, or two where a group ends within the prefix
        assert scan["total_row_groups_to_scan"] >= 9
        later = "SELECT (run, part, rank) > lag((run, part, rank)) OVER (ORDER BY rowid) AS later FROM edges"
        assert db.execute(f"SELECT bool_and(later) FROM ({later})").fetchall() == [(True,)]  # noqa: S608


def operators(plan: object) -> Iterator[dict[str, int]]:
    if isinstance(plan, dict):
        yield plan
    for child in plan.values() if isinstance(plan, dict) else plan if isinstance(plan, list) else ():
        yield from operators(child)


@pytest.mark.parametrize("broken", ["missing table", "missing column", "unknown column", "null"])
def test_a_run_is_stored_whole_or_not_at_all(store: Store, broken: str) -> None:
    last = TABLES["residual_lens"]
    tables = {
        "missing table": {name: table for name, table in TABLES.items() if name != "residual_lens"},
        "missing column": {**TABLES, "residual_lens": last.drop_columns(["entropy"])},
        "unknown column": {**TABLES, "residual_lens": last.append_column("extra", last["layer"])},
        "null": {**TABLES, "residual_lens": last.set_column(4, "entropy", pa.nulls(len(last), pa.float32()))},
    }[broken]
    with pytest.raises((KeyError, duckdb.Error)):
        store.add_run(row("k"), tables)
    assert store.runs() == []
    store.add_run(row("k"), TABLES)
    store.close()
    assert counts(store.path) == {"runs": 1, "overlap_curves": 0} | {n: TABLES[n].num_rows for n in SORTED_BY}


def test_a_key_is_never_overwritten(store: Store) -> None:
    store.add_run(row("k"), TABLES)
    store.add_run(RunRow("k", "{}", "{}", "later", 9.0), tiny_run(RunSpec(n=4, seed=5), ignore).tables)
    assert store.run("k") == row("k")
    assert store.rows("k", "examples").equals(TABLES["examples"])


def test_delete_takes_everything_of_the_run_and_nothing_else(store: Store) -> None:
    for key in ("a", "b", "c"):
        store.add_run(row(key), TABLES)
    curve = pa.table({"k": pa.array([1, 2], pa.int32()), "shared": pa.array([0, 2], pa.int32())})
    store.add_overlap(RunPart("a", "total"), RunPart("b", "total"), curve)
    store.add_overlap(RunPart("c", "total"), RunPart("b", "total"), curve)
    store.delete_run("a")
    assert [kept.key for kept in store.runs()] == ["c", "b"]
    assert store.rows("b", "examples").equals(TABLES["examples"])
    store.close()
    assert counts(store.path) == {"runs": 2, "overlap_curves": 2} | {n: 2 * TABLES[n].num_rows for n in SORTED_BY}


def test_an_overlap_is_kept_once_and_read_either_way(store: Store) -> None:
    for key in ("a", "b"):
        store.add_run(row(key), TABLES)
    a, b = RunPart("a", "total"), RunPart("b", "half-a")
    curve = pa.table({"k": pa.array([2, 1], pa.int32()), "shared": pa.array([2, 0], pa.int32())})
    store.add_overlap(b, a, curve)
    store.add_overlap(a, b, curve)
    assert store.overlap(a, b)["shared"].to_pylist() == store.overlap(b, a)["shared"].to_pylist() == [0, 2]
    assert store.overlap(a, RunPart("b", "total")).num_rows == 0


def test_threads_read_and_write_at_once(store: Store) -> None:
    """Readers and writers on a thread each, writing the same keys: nothing is mixed, lost, doubled or refused."""
    store.add_run(row("k"), TABLES)
    expected = store.edges(RunPart("k", "total"))

    def read() -> bool:
        return all(store.edges(RunPart("k", "total")).equals(expected) for _ in range(30))

    def write() -> bool:
        for i in range(5):
            store.add_run(row(f"new{i}"), TABLES)
        return True

    with ThreadPoolExecutor(6) as pool:
        work = [pool.submit(job) for job in (read, write, read, write, read, write)]
        assert all(done.result() for done in work)
    assert len(store.runs()) == 6
    store.close()
    assert counts(store.path)["examples"] == 6 * TABLES["examples"].num_rows


KILLED_MIDWAY = """
import sys, time
from pathlib import Path
from cache.layout import RunRow
from cache.store import Store
from tests.cache.test_store import TABLES, row

class Stuck(dict):
    def __getitem__(self, name):
        if name == "residual_lens":
            print("midway", flush=True)
            time.sleep(60)
        return super().__getitem__(name)

store = Store(Path(sys.argv[1]))
store.add_run(row("whole"), TABLES)
store.add_run(row("half"), Stuck(TABLES))
"""


def test_kill_in_the_middle_of_a_transaction(tmp_path: Path) -> None:
    path = tmp_path / "c.duckdb"
    process = subprocess.Popen([sys.executable, "-c", KILLED_MIDWAY, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "midway\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    store = Store(path)
    assert store.set_aside is None
    assert [kept.key for kept in store.runs()] == ["whole"]
    store.add_run(row("half"), TABLES)
    assert store.rows("half", "examples").equals(TABLES["examples"])
    store.close()
    assert counts(path) == {"runs": 2, "overlap_curves": 0} | {n: 2 * TABLES[n].num_rows for n in SORTED_BY}


def test_a_second_process_gets_one_sentence(store: Store) -> None:
    code = f"""
from pathlib import Path
from cache.opening import StoreError
from cache.store import Store
try:
    Store(Path({str(store.path)!r}))
except StoreError as error:
    print(error)
"""
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert output.count("\n") == 1 and "is in use by another program (process " in output and str(store.path) in output
    assert store.path.exists() and not list(store.path.parent.glob("*.unreadable-*"))


class Incoming:
    """A bundle of two runs and their comparison, the second of which can be spoiled."""

    def __init__(self, spoiled: bool = False) -> None:
        self.spoiled = spoiled

    def runs(self) -> list[RunRow]:
        return [row("a"), row("b")]

    def tables(self, key: str) -> dict[str, pa.Table]:
        return {**TABLES, "heads": TABLES["edges"]} if self.spoiled and key == "b" else TABLES

    def comparisons(self) -> list[tuple[str, str, str, str]]:
        return [("b", "total", "a", "total")]

    def curve(self, of: tuple[str, str, str, str]) -> pa.Table:
        return pa.table({"k": pa.array([1, 2], pa.int32()), "shared": pa.array([1, 2], pa.int32())})


def test_a_bundle_is_taken_once(store: Store) -> None:
    assert store.add_bundle(Incoming()) == ["a", "b"]
    assert store.rows("b", "examples").equals(TABLES["examples"])
    assert store.overlap(RunPart("a", "total"), RunPart("b", "total"))["shared"].to_pylist() == [1, 2]
    assert store.add_bundle(Incoming()) == []
    store.close()
    assert counts(store.path) == {"runs": 2, "overlap_curves": 2} | {n: 2 * TABLES[n].num_rows for n in SORTED_BY}


def test_a_bundle_says_nothing_about_runs_that_were_here(store: Store) -> None:
    store.add_run(replace(row("a"), created="before"), TABLES)
    assert store.add_bundle(Incoming()) == ["b"]
    assert store.run("a") == replace(row("a"), created="before")
    assert store.overlap(RunPart("a", "total"), RunPart("b", "total")).num_rows == 0


def test_a_bundle_is_taken_whole_or_not_at_all(store: Store) -> None:
    with pytest.raises(duckdb.Error):
        store.add_bundle(Incoming(spoiled=True))
    assert store.runs() == []
    store.close()
    assert set(counts(store.path).values()) == {0}


def test_runs_with_the_fields_of_a_spec_come_newest_first(store: Store) -> None:
    for key in ("a", "b"):
        store.add_run(row(key), TABLES)
    store.add_run(replace(row("c"), spec='{"task": "sudoku"}'), TABLES)
    store.add_run(replace(row("d"), spec='{"task": "ioi", "n": 4}'), TABLES)
    assert [kept.key for kept in store.runs_with({"task": "ioi"})] == ["d", "b", "a"]
    assert [kept.key for kept in store.runs_with({"task": "ioi", "n": 4, "no column": 1})] == ["d"]


def test_a_run_is_read_again_after_something_was_written(store: Store) -> None:
    assert store.run("a") is None
    store.add_run(row("a"), TABLES)
    assert store.run("a") == row("a")
    store.delete_run("a")
    assert store.run("a") is None
    with pytest.raises(KeyError):
        store.add_run(row("a"), {})
    assert store.run("a") is None
