"""Which artifact of a run holds which tables and columns.

A run is kept as artifacts, each computed and stored alone under a key of exactly what it depends on:

    circuit   weights, examples, order, method, points, metric: edges, and what depends on which neurons are strong
    ability   weights, task and template: accuracy on held-out problems
    lens      weights, examples, order: logit lenses, trajectories
    activity  weights, examples, order: what neurons and heads do on the clean inputs
    weights   the weights alone: what neurons write, cosines with the ARM's, head scores on random tokens

Evidence is kept beside a run, each kind an artifact that only who asks for it computes:

    faithfulness, faithfulness_at   a circuit: circuits that were run, at sizes of a grid or at one size
    knockouts                       a circuit: components whose outputs were replaced
    audit                           a circuit: edges that were patched for real

A circuit of many examples is computed in parts (`circuit_part`), each an artifact that is deleted once the circuit is
there (engine/runs/parts.py).

Most tables lie in one artifact. `neurons` and `heads` lie in several, each with the columns that number the rows and
its own; they have the same rows everywhere.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

from engine.schema.columns import Column, Table
from engine.schema.evidence_tables import EVIDENCE_TABLES
from engine.schema.part_tables import PART_TABLES
from engine.schema.tables import TABLES

Kind = Literal["circuit", "ability", "lens", "activity", "weights"]
EvidenceKind = Literal["faithfulness", "faithfulness_at", "knockouts", "audit"]
PartKind = Literal["circuit_part"]
AnyKind = Kind | EvidenceKind | PartKind
KINDS: tuple[Kind, ...] = ("circuit", "ability", "lens", "activity", "weights")  # in the order of computing
KIND_TITLES: dict[AnyKind, str] = {  # in plain words
    "circuit": "circuit",
    "ability": "accuracy",
    "lens": "logit lens",
    "activity": "activations",
    "weights": "weights",
    "faithfulness": "faithfulness over K",
    "faithfulness_at": "faithfulness at one size",
    "knockouts": "knockouts",
    "audit": "audit of the estimators",
    "circuit_part": "part of a circuit",
}
EVIDENCE_KINDS: tuple[EvidenceKind, ...] = ("faithfulness", "faithfulness_at", "knockouts", "audit")
ALL_KINDS: tuple[AnyKind, ...] = (*KINDS, *EVIDENCE_KINDS)  # that stay
EVIDENCE_HOLDS: dict[EvidenceKind, tuple[str, ...]] = {
    "faithfulness": ("circuit_runs", "smallest_circuits"),
    "faithfulness_at": ("circuit_runs",),
    "knockouts": ("knockouts", "group_knockouts"),
    "audit": ("audited_edges",),
}
PART: PartKind = "circuit_part"
PART_HOLDS = ("circuit_sums", "examples", "reveals")  # of the latter two, the rows of its examples


def row_numbers(table: Table) -> tuple[str, ...]:
    """The columns by which the rows of a table that several artifacts share are told apart, and sorted."""
    return tuple(table.order.split(", "))


@cache
def columns_in(kind: str, name: str) -> tuple[Column, ...]:
    """The columns of a table that a kind of artifact holds; none where it has nothing of the table."""
    other = {**EVIDENCE_TABLES, **PART_TABLES}
    if name in other:
        return other[name].columns if name in tables_in(kind) else ()
    table = TABLES[name]
    if kinds_of(name) == (kind,):
        return table.columns
    own = [column for column in table.columns if _holder(table, column) == kind]
    numbers = row_numbers(table)
    if all(column.name in numbers for column in own):
        return ()
    return tuple(column for column in table.columns if column.name in numbers or column in own)


@cache
def tables_in(kind: str) -> tuple[str, ...]:
    """The tables of which a kind of artifact holds columns."""
    if kind in EVIDENCE_KINDS:
        return EVIDENCE_HOLDS[kind]
    if kind == PART:
        return PART_HOLDS
    return tuple(name for name in TABLES if columns_in(kind, name))


@cache
def kinds_of(name: str) -> tuple[Kind, ...]:
    """The kinds of artifact that hold columns of a table."""
    table = TABLES[name]
    there = {_holder(table, column) for column in table.columns}
    return tuple(kind for kind in KINDS if kind in there)


def kinds_with(name: str, columns: tuple[str, ...]) -> tuple[Kind, ...]:
    """The kinds of artifact that hold these columns of a table (none named: all), as few as possible."""
    table = TABLES[name]
    wanted = [column for column in table.columns if not columns or column.name in columns]
    needed = {_holder(table, column) for column in wanted if column.name not in row_numbers(table)}
    return tuple(kind for kind in KINDS if kind in needed) or kinds_of(name)[:1]


def _holder(table: Table, column: Column) -> str:
    """The kind of artifact that holds a column."""
    return column.artifact or table.artifact
