"""Typed reads and writes of the cache: Arrow tables in, Arrow tables out.

One process holds the file. Inside it every thread reads through a cursor of its own, and one lock lets a single
thread write at a time. A run is written in one transaction: it is there whole, or it is not there.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from cache.layout import SORTED_BY, SPEC_COLUMNS, Bundle, RunPart, RunRow
from cache.migrations import NOT_IN_BUNDLES
from cache.opening import StoreError, open_cache, wal_of

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

OVERLAP = """
    SELECT k, shared FROM overlap_curves WHERE run_a = ? AND part_a = ? AND run_b = ? AND part_b = ? ORDER BY k"""
PROMOTING = """
    SELECT * EXCLUDE run FROM neurons WHERE run = ? AND list_contains(promoted, ?)
    ORDER BY abs(attribution) DESC LIMIT ?"""
RECORD = "key, spec, meta, created, seconds, made_with, imported"
RUNS = f"SELECT {RECORD} FROM runs"  # noqa: S608
EDGES = "SELECT edge, score FROM edges WHERE run = ? AND part = ? AND rank < ? ORDER BY rank"
RANKS = "SELECT edge, rank FROM edges WHERE run = ? AND part = ?"
AMONG = "SELECT edge, rank, score FROM edges SEMI JOIN wanted USING (edge) WHERE run = ? AND part = ?"


class Store:
    """An open cache file. `set_aside` is where a damaged one at that path was moved to, or None."""

    def __init__(self, path: Path) -> None:
        """Open `path`, or begin it.

        Raises:
            StoreError: there is something else, another process holds it, it cannot be written, or a later version
                wrote it.
        """
        self.path = path
        self._writing = threading.RLock()
        self._threads = threading.local()
        self._known: dict[str, RunRow | None] = {}  # replaced whenever something was written
        self._db, self.set_aside = open_cache(path)

    def close(self) -> None:
        self._db.close()

    def size(self) -> int:
        """Bytes on disk, the write-ahead log included."""
        return sum(file.stat().st_size for file in (self.path, wal_of(self.path)) if file.exists())

    def add_run(self, row: RunRow, tables: Mapping[str, pa.Table]) -> None:
        """Store a run whole. A run that is there already stays as it is: keys name content.

        Raises:
            KeyError: one of the tables is missing. Anything that goes wrong leaves the cache as it was.
        """
        with self._transaction() as db:
            if not self.run(row.key):
                self._insert(db, row, tables)

    def add_bundle(self, bundle: Bundle) -> list[str]:
        """Store every run of a bundle that is not there, with the comparisons between them, or nothing of it.

        A comparison is taken only of runs that both come from this bundle; others can be worked out here. The keys of
        the runs that were added.

        Raises:
            Whatever reading the bundle raises; duckdb.ConstraintException when a value is missing.
        """
        with self._transaction() as db:
            added = [row for row in bundle.runs() if not self.run(row.key)]
            for row in added:
                self._insert(db, row, bundle.tables(row.key))
            keys = {row.key for row in added}
            for of in bundle.comparisons():
                a, b = RunPart(*of[:2]), RunPart(*of[2:])
                if {a.key, b.key} <= keys:
                    self._insert_overlap(db, a, b, bundle.curve(of))
        return [row.key for row in added]

    def delete_run(self, key: str) -> None:
        """Remove a run and every comparison it is part of; an unknown key is not an error."""
        with self._transaction() as db:
            run = self._id(key)
            for name in SORTED_BY:
                db.execute(f"DELETE FROM {name} WHERE run = ?", [run])  # noqa: S608
            db.execute("DELETE FROM overlap_curves WHERE run_a = ? OR run_b = ?", [run, run])
            db.execute("DELETE FROM runs WHERE id = ?", [run])

    def run(self, key: str) -> RunRow | None:
        """The run of a key, remembered until something is written: pages ask for the same few at every click."""
        known = self._known
        if key not in known:
            rows = self._cursor.execute(f"{RUNS} WHERE key = ?", [key]).fetchall()
            known[key] = RunRow(*rows[0]) if rows else None
        return known[key]

    def runs_with(self, fields: Mapping[str, object]) -> list[RunRow]:
        """The runs whose spec has these values in those of its fields that are columns, newest first."""
        known = {name: fields[name] for name in SPEC_COLUMNS if name in fields}
        conditions = " AND ".join(f'"{name}" = ?' for name in known) or "true"
        rows = self._cursor.execute(f"{RUNS} WHERE {conditions} ORDER BY id DESC", list(known.values())).fetchall()
        return [RunRow(*row) for row in rows]

    def runs(self) -> list[RunRow]:
        """Every run, newest first."""
        rows = self._cursor.execute(f"{RUNS} ORDER BY id DESC").fetchall()
        return [RunRow(*row) for row in rows]

    def edges(self, side: RunPart, limit: int | None = None) -> pa.Table:
        """`edge`, `score` of the `limit` strongest edges (all: None), strongest first; empty when unknown."""
        below = 2**31 - 1 if limit is None else limit
        return self._rows(EDGES, side.key, side.part, below)

    def ranks(self, side: RunPart) -> pa.Table:
        """`edge`, `rank` of every edge, in no order."""
        return self._rows(RANKS, side.key, side.part)

    def edges_among(self, side: RunPart, wanted: pa.Table) -> pa.Table:
        """`edge`, `rank`, `score` of the edges in the column `edge` of `wanted`, in no order."""
        self._cursor.register("wanted", wanted)
        try:
            return self._rows(AMONG, side.key, side.part)
        finally:
            self._cursor.unregister("wanted")

    def rows(self, key: str, name: str, columns: Sequence[str] = (), **where: object) -> pa.Table:
        """The rows of a run's table `name`, in its order, where the named columns have the given values.

        `columns` are those wanted (all: none named).

        Raises:
            KeyError: no such table, or no such column in it.
        """
        order = SORTED_BY[name]
        unknown = {*columns, *where} - self._columns(name)
        if unknown:
            raise KeyError(f"{name}: {', '.join(sorted(unknown))}")
        wanted = ", ".join(f'"{column}"' for column in columns) or "* EXCLUDE run"
        conditions = "".join(f' AND "{column}" = ?' for column in where)
        query = f"SELECT {wanted} FROM {name} WHERE run = ?{conditions} ORDER BY {order}"  # noqa: S608
        return self._rows(query, key, *where.values())

    def neurons_promoting(self, key: str, token: str, most: int) -> pa.Table:
        """Neurons whose output direction promotes a token, the largest |attribution| first."""
        return self._rows(PROMOTING, key, token, most)

    def overlap(self, a: RunPart, b: RunPart) -> pa.Table:
        """`k`, `shared`, from the smallest k on, either way round; empty when that comparison is not kept."""
        first, second = sorted((a, b), key=astuple)
        return self._rows(OVERLAP, first.key, first.part, self._id(second.key), second.part)

    def add_overlap(self, a: RunPart, b: RunPart, curve: pa.Table) -> None:
        """Keep a comparison (`k`, `shared`) of two stored runs; one that is there already stays as it is."""
        first, second = sorted((a, b), key=astuple)
        with self._transaction() as db:
            if not self.overlap(a, b).num_rows:
                self._insert_overlap(db, first, second, curve)

    def write_bundle(self, path: Path, header: str, keys: Sequence[str]) -> None:
        """Write some runs and the comparisons between them to a new file, for cache/bundle.py to read.

        `header` is a text that the cache does not look into.

        Raises:
            StoreError: there is something at `path` already, or it cannot be written.
        """
        ids = [self._id(key) for key in keys]
        try:
            if os.path.lexists(path):
                raise StoreError(f"There is a file {path} already. Choose another name.")
            with self._writing, tempfile.TemporaryDirectory(dir=path.parent) as folder:
                part = Path(folder) / "bundle.duckdb"
                self._copy_runs(part, header, ids)
                part.replace(path)
        except (OSError, duckdb.Error) as error:
            raise StoreError(f"The bundle {path} cannot be written: {error}") from error

    def _copy_runs(self, path: Path, header: str, ids: Sequence[int | None]) -> None:
        db = self._cursor
        db.execute("ATTACH ? AS bundle", [str(path)])
        try:
            first = """
                CREATE TABLE bundle.main.bundle AS
                SELECT CAST(? AS VARCHAR) AS header, list(name) AS migrations FROM main.migrations
                WHERE NOT list_contains(?, name)"""
            db.execute(first, [header, list(NOT_IN_BUNDLES)])
            copies = {name: ("*", "list_contains($ids, run)", f"run, {order}") for name, order in SORTED_BY.items()}
            copies["runs"] = (f"id, {RECORD}", "list_contains($ids, id)", "id")
            both = "list_contains($ids, run_a) AND list_contains($ids, run_b)"
            copies["overlap_curves"] = ("*", both, "run_a, part_a, run_b, part_b, k")
            for name, (columns, chosen, order) in copies.items():
                rows = f"SELECT {columns} FROM main.{name} WHERE {chosen} ORDER BY {order}"  # noqa: S608
                db.execute(f"CREATE TABLE bundle.main.{name} AS {rows}", {"ids": list(ids)})
        finally:
            db.execute("DETACH bundle")

    def _insert(self, db: DuckDBPyConnection, row: RunRow, tables: Mapping[str, pa.Table]) -> None:
        """A run and its tables, within a transaction; the tables are asked for one by one."""
        columns = ", ".join(f'"{name}"' for name in SPEC_COLUMNS)
        values = [*astuple(row), *row.spec_values]
        db.execute(
            f"INSERT INTO runs (id, {RECORD}, {columns}) SELECT nextval('run_ids'), {', '.join('?' * len(values))}",
            values,
        )
        run = self._id(row.key)
        for name, order in SORTED_BY.items():
            db.register("incoming", tables[name])
            db.execute(f"INSERT INTO {name} BY NAME SELECT ? AS run, * FROM incoming ORDER BY {order}", [run])  # noqa: S608
            db.unregister("incoming")

    def _insert_overlap(self, db: DuckDBPyConnection, a: RunPart, b: RunPart, curve: pa.Table) -> None:
        first, second = sorted((a, b), key=astuple)
        db.register("incoming", curve)
        insert = """
            INSERT INTO overlap_curves BY NAME
            SELECT ? AS run_a, ? AS part_a, ? AS run_b, ? AS part_b, k, shared FROM incoming ORDER BY k"""
        db.execute(insert, [self._id(first.key), first.part, self._id(second.key), second.part])
        db.unregister("incoming")

    def _columns(self, name: str) -> set[str]:
        query = "SELECT column_name FROM information_schema.columns WHERE table_name = ? AND column_name <> 'run'"
        return {column for (column,) in self._cursor.execute(query, [name]).fetchall()}

    @property
    def _cursor(self) -> DuckDBPyConnection:
        """This thread's own cursor: a DuckDB connection must not be used by two threads at once."""
        if not hasattr(self._threads, "cursor"):
            self._threads.cursor = self._db.cursor()
        return self._threads.cursor

    @contextmanager
    def _transaction(self) -> Iterator[DuckDBPyConnection]:
        with self._writing:
            db = self._cursor
            db.begin()
            try:
                yield db
                db.commit()
            except BaseException:
                db.rollback()
                raise
            finally:
                self._known = {}

    def _id(self, key: str) -> int | None:
        ids = self._cursor.execute("SELECT id FROM runs WHERE key = ?", [key]).fetchall()
        return ids[0][0] if ids else None

    def _rows(self, query: str, key: str, *values: object) -> pa.Table:
        """What `query` finds for a run, whose id is its first parameter; a constant id lets DuckDB skip other runs."""
        return self._cursor.sql(query, params=[self._id(key), *values]).to_arrow_table()
