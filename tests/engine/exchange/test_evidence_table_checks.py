"""Tables of evidence are checked by schema and against each other; one wrong value is named with table and column."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from engine.circuits.graph import Graph
from engine.errors import UserError
from engine.exchange.column_checks import Sizes
from engine.exchange.evidence_table_checks import IDENTIFIED_BY, check, checked_tables
from engine.runs.records import EvidenceInputs
from engine.runs.spec import RunSpec
from engine.schema.artifacts import EVIDENCE_KINDS, EvidenceKind, tables_in
from engine.schema.columns import Column
from engine.schema.evidence_tables import EVIDENCE_TABLES
from tools.synthetic_evidence import fake_evidence

GRAPH = Graph(2, 2)
OF = Sizes(GRAPH, n=4, n_neurons=8, n_sites=8, parts=("step-00", "step-01"), is_arm=False)
KIND_OF: dict[str, EvidenceKind] = {name: kind for kind in reversed(EVIDENCE_KINDS) for name in tables_in(kind)}
SIZE = 7  # K of what is measured at one K


class Tables:
    """An artifact as a Source."""

    def __init__(self, tables: dict[str, pa.Table]) -> None:
        self.tables = tables

    def count(self, name: str) -> int:
        return self.tables[name].num_rows

    def table(self, name: str) -> pa.Table:
        return self.tables[name]


def size_of(kind: EvidenceKind) -> int | None:
    return SIZE if kind == "faithfulness_at" else None


@cache
def made(kind: EvidenceKind) -> dict[str, pa.Table]:
    scores = np.random.default_rng(0).standard_normal((2, GRAPH.n_edges))
    spec = RunSpec(model="mdm", task="countdown", n=4)
    return dict(fake_evidence(spec, kind, EvidenceInputs(scores[0], scores[1], size_of(kind))).tables)


def whole(kind: EvidenceKind, tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
    return dict(checked_tables(kind, Tables(tables), OF, size_of(kind)))


def refused(name: str, table: pa.Table, message: str) -> None:
    kind = KIND_OF[name]
    with pytest.raises(UserError, match=message) as error:
        whole(kind, made(kind) | {name: table})
    assert name in str(error.value)


@pytest.mark.parametrize("kind", EVIDENCE_KINDS)
def test_what_is_sound_comes_back_as_it_was(kind: EvidenceKind) -> None:
    assert whole(kind, made(kind)) == made(kind)


def test_intervals_and_faithfulness_may_be_missing() -> None:
    table = made("faithfulness")["circuit_runs"]
    for missing in (("f_low", "f_high"), ("f", "f_low", "f_high")):
        for name in missing:
            table = replaced(table, name, lambda values: [None] * len(values))
        assert whole("faithfulness", made("faithfulness") | {"circuit_runs": table})


def test_rows_of_every_table_are_told_apart_by_columns_that_it_has() -> None:
    assert set(IDENTIFIED_BY) == set(EVIDENCE_TABLES)
    for name, columns in IDENTIFIED_BY.items():
        assert set(columns) <= {column.name for column in EVIDENCE_TABLES[name].columns}
        assert set(EVIDENCE_TABLES[name].order.split(", ")) <= set(columns)


def replaced(table: pa.Table, name: str, change: Callable[[list[Any]], list[Any]]) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(
        place, table.schema.field(place), pa.array(change(table[name].to_pylist()), table[name].type)
    )


def wrong(column: Column) -> Iterator[object]:
    if not column.nullable:
        yield None
    if column.kind == "text":
        yield from ("<b>", "x" * 1001)
    if column.kind == "float":
        yield from (float("nan"), float("inf"), 1e13, -1e13)
    if column.kind == "int":
        beyond = OF.by_name[column.high] if isinstance(column.high, str) else int(column.high) + 1
        yield from (int(column.low) - 1, beyond)


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        (name, column.name, value)
        for name, table in EVIDENCE_TABLES.items()
        for column in table.columns
        for value in wrong(column)
    ],
)
def test_one_wrong_value_is_refused(name: str, column: str, value: object) -> None:
    table = made(KIND_OF[name])[name]
    row = next(i for i, there in enumerate(table[column].to_pylist()) if there is not None)
    changed = replaced(table, column, lambda values: [*values[:row], value, *values[row + 1 :]])
    refused(name, changed, f"the column {column} of {name}")


@pytest.mark.parametrize("name", EVIDENCE_TABLES)
def test_other_columns_and_other_numbers_of_rows_are_refused(name: str) -> None:
    table = made(KIND_OF[name])[name]
    refused(name, table.append_column("extra", table[0]), "extra")
    refused(name, table.drop_columns([table.column_names[-1]]), "lacks the column")
    refused(name, table.slice(0, 0), "has no rows")
    refused(name, pa.concat_tables([table, table.slice(0, 1)]), "has a row twice|rows")
    most = OF.product(EVIDENCE_TABLES[name].most)
    refused(name, pa.concat_tables([table] * (most // table.num_rows + 1)), f"where {most:,} are the most")


def where(table: pa.Table, **wanted: object) -> Callable[[int], bool]:
    rows = table.to_pylist()
    return lambda i: all(rows[i][name] == value for name, value in wanted.items())


def without(table: pa.Table, **wanted: object) -> pa.Table:
    chosen = where(table, **wanted)
    return table.take([i for i in range(table.num_rows) if not chosen(i)])


def test_what_pages_compare_is_there() -> None:
    runs, knockouts = made("faithfulness")["circuit_runs"], made("knockouts")["knockouts"]
    refused("circuit_runs", without(runs, circuit="random"), r"the column circuit of circuit_runs lacks \['random'\]")
    refused("circuit_runs", without(runs, circuit="own", part="total"), r"lacks \['own'\] for all examples")
    refused("knockouts", without(knockouts, part="total"), "the column part of knockouts lacks 'total'")
    refused("knockouts", without(knockouts, node=3), "does not have 12 rows, every head and MLP")
    refused("knockouts", without(knockouts, part="step-00", node=3), "of each of its parts")


@pytest.mark.parametrize(("name", "column"), [("circuit_runs", "f"), ("knockouts", "change")])
def test_intervals_are_whole_and_in_order(name: str, column: str) -> None:
    table = made(KIND_OF[name])[name]
    refused(name, replaced(table, f"{column}_low", lambda values: [None, *values[1:]]), "without the rest")
    refused(name, replaced(table, f"{column}_low", lambda values: [1e6, *values[1:]]), f"above those of {column}_high")


def test_values_are_only_where_they_should_be() -> None:
    for name in ("circuit_runs", "knockouts"):
        table = made(KIND_OF[name])[name]
        total = where(table, part="total")
        there = next(i for i in range(table.num_rows) if total(i))
        beside = next(i for i in range(table.num_rows) if not total(i))
        for row, value in ((there, None), (beside, 0.5)):
            changed = replaced(table, "right", lambda values: [*values[:row], value, *values[row + 1 :]])  # noqa: B023
            refused(name, changed, f"the column right of {name} lacks values of 'total', or has others")
    runs = made("faithfulness")["circuit_runs"]
    part = next(i for i in range(runs.num_rows) if where(runs, part="total")(i))
    for column in ("f", "f_low", "f_high"):
        runs = replaced(runs, column, lambda values: [*values[:part], None, *values[part + 1 :]])
    refused("circuit_runs", runs, r"the column f of circuit_runs lacks values of \['total'\], but not all")


def test_the_smallest_size_is_above_the_next_smaller_one() -> None:
    table = made("faithfulness")["smallest_circuits"]
    refused(
        "smallest_circuits", replaced(table, "size", lambda values: [None, *values[1:]]), "only one of size and below"
    )
    same = replaced(table, "below", lambda values: [table["size"][0].as_py(), *values[1:]])
    refused("smallest_circuits", same, "that are not below the size")


def test_what_is_measured_at_one_size_says_no_other() -> None:
    table = made("faithfulness_at")["circuit_runs"]
    check("circuit_runs", "faithfulness_at", table, OF, SIZE)
    with pytest.raises(UserError, match="the column size of circuit_runs has others than 8"):
        check("circuit_runs", "faithfulness_at", table, OF, SIZE + 1)


def test_parts_are_those_of_the_circuit() -> None:
    table = made("knockouts")["knockouts"]
    refused(
        "knockouts", replaced(table, "part", lambda values: ["site-00", *values[1:]]), "the column part of knockouts"
    )
