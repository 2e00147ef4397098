"""Runs that a file from elsewhere offers, and evidence of them: their records, checked, and where rows are read.

Two kinds of files offer runs: bundles (this module) and what earlier versions wrote (engine/exchange/earlier_files.py).
Tables are read from them as they are; engine/exchange/staging.py checks them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cache import queries, sandbox
from cache.folder import ArtifactFolder
from cache.layout import SORTED_BY, Record
from cache.sandbox import RECORD_COLUMNS, ForeignFile
from engine.errors import UserError
from engine.exchange import bundle_checks as checks
from engine.exchange import evidence_checks
from engine.exchange.bundle_file import Unpacked
from engine.exchange.bundle_header import Header, read_header
from engine.runs.artifacts import companions_of, keys_of
from engine.runs.records import RunMeta
from engine.runs.spec import RunSpec
from engine.schema.artifacts import EVIDENCE_KINDS, KINDS, AnyKind, Kind, columns_in, tables_in
from engine.schema.columns import Column
from engine.tasks.registry import TASKS

if TYPE_CHECKING:
    import pyarrow as pa

SQL_TYPES = {
    "bool": "BOOLEAN", "uint8": "UTINYINT", "int32": "INTEGER", "int64": "BIGINT", "float32": "FLOAT",
    "text": "VARCHAR", "part": "VARCHAR",
}  # fmt: skip


class Source(Protocol):
    """Where the tables of an artifact are read; `unfolded`: bytes of all in memory, about."""

    @property
    def unfolded(self) -> int: ...

    def count(self, name: str) -> int:
        """How many rows a table has."""

    def table(self, name: str) -> pa.Table:
        """The columns of a table that its artifact holds, in their order."""


@dataclass(frozen=True)
class OfferedRun:
    """A run that a file offers; `artifacts`: the records of those of its artifacts that it has, the circuit's always.

    `keys`: those of all its artifacts, whether the file has them or not.
    """

    spec: RunSpec
    meta: RunMeta
    keys: Mapping[Kind, str]
    artifacts: Mapping[Kind, Record]


@dataclass(frozen=True)
class OfferedEvidence:
    """Evidence that a bundle offers of one of its runs; `file` is opened in the folder `scratch`."""

    record: Record
    run: OfferedRun  # whose circuit is examined
    file: Path
    scratch: Path

    def source(self, stack: ExitStack) -> Source:
        """Where it is read, until `stack` is closed."""
        opened = stack.enter_context(sandbox.opened(self.file, self.scratch))
        return BundledArtifact(opened, self.record.kind)  # type: ignore[arg-type]  # one of EVIDENCE_KINDS


class Offer(Protocol):
    """What a file offers. `header`: None where it is a cache; `left_out`: why runs cannot be taken, a text for each."""

    @property
    def header(self) -> Header | None: ...

    @property
    def runs(self) -> Sequence[OfferedRun]: ...

    @property
    def evidence(self) -> Sequence[OfferedEvidence]: ...

    @property
    def left_out(self) -> Sequence[str]: ...

    def source(self, run: OfferedRun, kind: Kind, stack: ExitStack) -> Source:
        """Where an artifact of a run is read, until `stack` is closed."""


class StoredArtifact:
    """An artifact of this machine's cache as a Source."""

    unfolded = 0

    def __init__(self, folder: ArtifactFolder, kind: Kind, key: str) -> None:
        self._folder, self._kind, self._key = folder, kind, key

    def count(self, name: str) -> int:
        return self._columns(name, 1).num_rows

    def table(self, name: str) -> pa.Table:
        return self._columns(name, None)

    def _columns(self, name: str, most: int | None) -> pa.Table:
        columns = [column.name for column in columns_in(self._kind, name)[:most]]
        return queries.rows(self._folder, name, [self._key], (), columns, {})


class BundledArtifact:
    """An artifact of a bundle as a Source; it has the tables and columns of its kind and no others."""

    def __init__(self, file: ForeignFile, kind: AnyKind) -> None:
        file.refuse_other_columns(expected_columns(kind))
        self._file, self._kind = file, kind

    @property
    def unfolded(self) -> int:
        return self._file.unfolded

    def count(self, name: str) -> int:
        return self._file.count(name)

    def table(self, name: str) -> pa.Table:
        return self._file.rows(name, [column.name for column in columns_in(self._kind, name)], SORTED_BY[name])


class BundleOffer:
    """What a bundle offers: the circuits that it has, each with those of its artifacts that it has, and evidence."""

    def __init__(self, content: Unpacked, scratch: Path) -> None:
        """Read the header and every record.

        Raises:
            UserError, Refused: one of them is not what it should be, or an artifact belongs to no circuit.
        """
        self.header = read_header(content.header)
        self.left_out: Sequence[str] = ()
        self._files, self._scratch = content.files, scratch
        records = {key: self._record(key) for key in content.files}
        circuits = [record for record in records.values() if record.kind == "circuit"]
        self.runs = [self._run(circuit, records) for circuit in circuits]
        by_key = {run.keys["circuit"]: run for run in self.runs}
        self.evidence = [self._evidence(record, by_key) for record in records.values() if record.kind in EVIDENCE_KINDS]
        belonging = {record.key for run in self.runs for record in run.artifacts.values()}
        alone = sorted(set(records) - belonging - {piece.record.key for piece in self.evidence})
        if alone:
            raise UserError(f"the artifact {alone[0]} belongs to no circuit in it")

    def source(self, run: OfferedRun, kind: Kind, stack: ExitStack) -> Source:
        file = stack.enter_context(sandbox.opened(self._files[run.keys[kind]], self._scratch))
        return BundledArtifact(file, kind)

    def _record(self, key: str) -> Record:
        with sandbox.opened(self._files[key], self._scratch) as file:
            record = checks.record(file.record())
        if record.key != key:
            raise UserError(f"the artifact {key} holds the record of another one")
        return record

    def _run(self, circuit: Record, records: Mapping[str, Record]) -> OfferedRun:
        spec = checks.spec(circuit.made_with.get("spec"), self.header.pair.name)
        if spec.task not in TASKS and spec.task not in self.header.tasks:
            raise UserError(f"a run is on the task {spec.task!r}, which this program does not know")
        keys = keys_of(checks.provenance(dict(circuit.made_with), circuit.key, spec))
        if circuit.companions != companions_of(keys):
            raise UserError(f"the circuit {circuit.key} names other artifacts than those that belong to it")
        artifacts = {kind: records[keys[kind]] for kind in KINDS if keys[kind] in records}
        wrong = [kind for kind, record in artifacts.items() if record.kind != kind]
        if wrong:
            raise UserError(f"the artifact {keys[wrong[0]]} is not of the kind {wrong[0]}, as its circuit says")
        checked = {kind: replace(record, meta=_checked_meta(record)) for kind, record in artifacts.items()}
        meta = RunMeta.of(dict(checked["circuit"].meta))
        checks.refuse_other_parts(spec, meta)
        return OfferedRun(spec, meta, keys, checked)

    def _evidence(self, record: Record, runs: Mapping[str, OfferedRun]) -> OfferedEvidence:
        circuits = {key: run.artifacts["circuit"] for key, run in runs.items()}
        circuit = evidence_checks.circuit_of(record, circuits)
        stated = replace(record, meta=evidence_checks.checked_meta(record))
        return OfferedEvidence(stated, runs[circuit.key], self._files[record.key], self._scratch)


def _checked_meta(record: Record) -> dict[str, object]:
    """What sums an artifact up, checked and written anew."""
    if record.kind == "circuit":
        return asdict(checks.meta(dict(record.meta)))
    if record.kind == "ability":
        return asdict(checks.accuracy(dict(record.meta)))
    if record.meta:
        raise UserError(f"the meta of the artifact {record.key} says what no {record.kind} artifact does")
    return {}


def expected_columns(kind: AnyKind) -> dict[str, dict[str, str]]:
    """The tables of the file of an artifact, with the columns and DuckDB's types of each."""
    return RECORD_COLUMNS | {
        name: {column.name: _sql_type(column) for column in columns_in(kind, name)} for name in tables_in(kind)
    }


def _sql_type(column: Column) -> str:
    return SQL_TYPES[column.type] + ("" if column.items is None else "[]")
