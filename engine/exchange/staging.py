"""Write artifacts from elsewhere, of runs and of evidence, beside their places in the cache, checked with their run.

1. An artifact that is in the cache already stays as it is, and one that several runs share is written once.
2. A run's tables are put together from its artifacts: from those in the cache, from those that were staged before it,
   and from the file's. So what is checked is what will be shown.
3. Tables are read, checked and written one by one; what is written are the checked tables, not the file's bytes.
4. Evidence is checked against the circuit that will be there: the cache's own where it has the circuit already.
5. Nothing is in its place before `publish`: then all of it is, whatever ends this process meanwhile (cache/folder.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cache.artifact_file import writing
from cache.cleaning import READY
from cache.folder import ArtifactFolder
from cache.staging import write_record
from engine.exchange import evidence_table_checks, table_checks
from engine.exchange.column_checks import numbers_of, refuse, refuse_rows
from engine.exchange.offered_runs import Offer, OfferedEvidence, OfferedRun, Source, StoredArtifact
from engine.runs.records import RunMeta
from engine.schema.artifacts import KINDS, Kind, columns_in, kinds_of, row_numbers
from engine.schema.tables import TABLES

if TYPE_CHECKING:
    import pyarrow as pa


class Staging:
    """Artifacts that are to be published together. `keys`: those that were staged; `size`: their bytes."""

    def __init__(self, folder: ArtifactFolder, place: Path, imported: str) -> None:
        """`place`: a folder of `folder.staged()`; `imported`: the moment, in ISO 8601."""
        self._folder, self._place, self._imported = folder, place, imported
        self._brought: dict[str, OfferedRun] = {}  # by the key of an artifact: the run that it was staged with
        self._evidence: set[str] = set()

    @property
    def keys(self) -> set[str]:
        return self._brought.keys() | self._evidence

    @property
    def size(self) -> int:
        return sum((self._place / f"{key}.duckdb").stat().st_size for key in self.keys)

    def add(self, run: OfferedRun, offer: Offer) -> None:
        """Stage those artifacts of a run that are not there yet.

        Raises:
            UserError, Refused: its tables are not sound; nothing of it is staged.
            OSError, duckdb.Error: they cannot be written.
        """
        new = [kind for kind, record in run.artifacts.items() if not self._is_there(record.key)]
        if not new:
            return
        try:
            with ExitStack() as stack:
                sources = self._sources(run, offer, stack)
                adders = {
                    kind: stack.enter_context(
                        writing(self._file(run.keys[kind]), run.artifacts[kind], sources[kind].unfolded)
                    )
                    for kind in new
                }
                for name, table in checked_tables(run, sources):
                    for kind, add in adders.items():
                        columns = [column.name for column in columns_in(kind, name)]
                        if columns:
                            add(name, table.select(columns))
            for kind in new:
                write_record(self._place, replace(run.artifacts[kind], imported=self._imported))
        except BaseException:
            for kind in new:
                self._remove(run.keys[kind])
            raise
        self._brought |= {run.keys[kind]: run for kind in new}

    def add_evidence(self, piece: OfferedEvidence) -> None:
        """Stage a piece of evidence that is not there yet, after the run that it is about; raises like `add`."""
        record = piece.record
        if self._is_there(record.key):
            return
        own = self._folder.record(piece.run.keys["circuit"])
        meta = RunMeta.of(dict(own.meta)) if own else piece.run.meta
        of, size = table_checks.sizes(piece.run.spec, meta), record.made_with["size"]
        try:
            with ExitStack() as stack:
                source = piece.source(stack)
                add = stack.enter_context(writing(self._file(record.key), record, source.unfolded))
                for name, table in evidence_table_checks.checked_tables(record.kind, source, of, size):
                    add(name, table)
            write_record(self._place, replace(record, imported=self._imported))
        except BaseException:
            self._remove(record.key)
            raise
        self._evidence.add(record.key)

    def publish(self) -> None:
        """Move everything into its place, circuits last. Whoever opens the cache next completes it after a kill."""
        with (self._place / READY).open("w") as file:
            os.fsync(file.fileno())
        self._folder.finish(self._place)

    def _sources(self, run: OfferedRun, offer: Offer, stack: ExitStack) -> dict[Kind, Source]:
        sources: dict[Kind, Source] = {}
        for kind in KINDS:
            key = run.keys[kind]
            if self._folder.record(key):
                sources[kind] = StoredArtifact(self._folder, kind, key)
            elif key in self._brought:
                sources[kind] = offer.source(self._brought[key], kind, stack)
            elif kind in run.artifacts:
                sources[kind] = offer.source(run, kind, stack)
        return sources

    def _is_there(self, key: str) -> bool:
        return key in self.keys or self._folder.record(key) is not None

    def _file(self, key: str) -> Path:
        return self._place / f"{key}.duckdb"

    def _remove(self, key: str) -> None:
        for path in (self._file(key), self._file(key).with_name(f"{key}.duckdb.wal"), self._place / f"{key}.json"):
            with suppress(FileNotFoundError):
                path.unlink()


def checked_tables(run: OfferedRun, sources: Mapping[Kind, Source]) -> Iterator[tuple[str, pa.Table]]:
    """Every table of a run of which there are columns, put together from its artifacts and checked.

    Raises:
        UserError, Refused: one of them is not sound, or does not fit those before it.
    """
    rough, sizing = table_checks.sizes(run.spec, run.meta), {}
    for name in ("readouts", "inputs"):
        for kind in kinds_of(name):
            if kind in sources:
                refuse_rows(name, sources[kind].count(name), rough)
                sizing[name] = sources[kind].table(name)
    of = table_checks.sizes(run.spec, run.meta, sizing.get("readouts"), sizing.get("inputs"))
    seen = table_checks.Seen()
    for name in TABLES:
        holders = [source for kind, source in sources.items() if kind in kinds_of(name)]
        for source in holders:
            refuse_rows(name, source.count(name), of)
        if holders:
            yield name, table_checks.check(name, _joined(name, holders), of, seen, sources)


def _joined(name: str, holders: list[Source]) -> pa.Table:
    """A table from the columns that several artifacts hold of it; they number its rows alike."""
    joined, *others = (source.table(name) for source in holders)
    for other in others:
        for column in row_numbers(TABLES[name]):
            same = np.array_equal(numbers_of(joined, column), numbers_of(other, column))
            refuse(not same, f"the column {column} of {name} numbers other rows in one artifact than in another")
        for column in other.column_names:
            if column not in joined.column_names:
                joined = joined.append_column(column, other[column])
    return joined
