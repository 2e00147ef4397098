"""Whether the tables of a bundle's evidence are whole and agree with each other and with the circuit that they examine.

1. Rows are counted before any is read, then every column is checked by the schema (engine/exchange/column_checks.py).
2. No row is there twice, values that only some rows have are where they should be, and intervals are in order.
3. Nothing that pages compare is missing: every circuit that is run, every head and MLP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from engine.exchange.column_checks import Sizes, check_columns, numbers_of, refuse, refuse_rows
from engine.schema.artifacts import tables_in
from engine.schema.evidence_tables import CIRCUITS, REPLACEMENTS
from engine.schema.vocabulary import TOTAL

if TYPE_CHECKING:
    import pyarrow as pa

IDENTIFIED_BY = {  # the columns by which the rows of a table are told apart
    "circuit_runs": ("circuit", "draw", "part", "size"),
    "smallest_circuits": ("circuit", "tau"),
    "knockouts": ("node", "replaced_by", "part"),
    "group_knockouts": ("selection", "draw", "removed"),
    "audited_edges": ("rank", "selection"),
}


class Source(Protocol):
    """Where tables are read: those of engine/exchange/offered_runs.py."""

    def count(self, name: str) -> int: ...

    def table(self, name: str) -> pa.Table: ...


def checked_tables(kind: str, source: Source, of: Sizes, size: int | None) -> Iterator[tuple[str, pa.Table]]:
    """Every table of a piece of evidence; `of`: the sizes of the circuit, `size`: K of what is measured at one K.

    Raises:
        UserError, Refused: one of them is not sound.
    """
    for name in tables_in(kind):
        refuse_rows(name, source.count(name), of)
        stored = source.table(name)
        check(name, kind, stored, of, size)
        yield name, stored


def check(name: str, kind: str, stored: pa.Table, of: Sizes, size: int | None = None) -> None:
    """UserError, naming table and column, where a table of evidence has what the pages could not show."""
    check_columns(name, stored, of, [kind])
    columns = list(IDENTIFIED_BY[name])
    once = stored.select(columns).group_by(columns).aggregate([]).num_rows == stored.num_rows
    refuse(not once, f"the table {name} has a row twice, by its columns {', '.join(columns)}")
    if name in RELATIONS:
        RELATIONS[name](stored, of)
    if name == "circuit_runs" and size is not None:
        other = (numbers_of(stored, "size") != size).any()
        refuse(other, f"the column size of circuit_runs has others than {size:,}, which is what it is about")


def _circuit_runs(stored: pa.Table, of: Sizes) -> None:
    import pyarrow.compute as pc

    _refuse_other_right("circuit_runs", stored)
    _refuse_other_intervals("circuit_runs", stored, "f")
    totals = set(stored.filter(pc.equal(stored["part"], TOTAL))["circuit"].to_pylist())
    missing = [circuit for circuit in CIRCUITS if circuit not in totals]
    refuse(bool(missing), f"the column circuit of circuit_runs lacks {missing[:1]} for all examples")
    given = stored.group_by("part").aggregate([("f", "count"), ("part", "count")]).to_pylist()
    partly = [row["part"] for row in given if row["f_count"] not in (0, row["part_count"])]
    refuse(bool(partly), f"the column f of circuit_runs lacks values of {partly[:1]}, but not all")


def _smallest_circuits(stored: pa.Table, of: Sizes) -> None:
    size, below = numbers_of(stored, "size").astype(np.float64), numbers_of(stored, "below").astype(np.float64)
    refuse((np.isnan(size) != np.isnan(below)).any(), "the table smallest_circuits has only one of size and below")
    refuse((below >= size).any(), "the column below of smallest_circuits has numbers that are not below the size")


def _knockouts(stored: pa.Table, of: Sizes) -> None:
    _refuse_other_right("knockouts", stored)
    _refuse_other_intervals("knockouts", stored, "change")
    parts = stored["part"].unique().to_pylist()
    refuse(TOTAL not in parts, f"the column part of knockouts lacks {TOTAL!r}")
    each = (of.graph.n_sources - 1) * len(REPLACEMENTS)  # the embedding is not replaced
    whole = stored.num_rows == each * len(parts)
    refuse(not whole, f"the table knockouts does not have {each:,} rows, every head and MLP, of each of its parts")


RELATIONS: dict[str, Callable[[pa.Table, Sizes], None]] = {
    "circuit_runs": _circuit_runs,
    "smallest_circuits": _smallest_circuits,
    "knockouts": _knockouts,
}


def _refuse_other_right(name: str, stored: pa.Table) -> None:
    """The share of right tokens is one of all parts together."""
    import pyarrow.compute as pc

    fitting = pc.equal(pc.is_valid(stored["right"]), pc.equal(stored["part"], TOTAL))
    refuse(not pc.all(fitting).as_py(), f"the column right of {name} lacks values of {TOTAL!r}, or has others")


def _refuse_other_intervals(name: str, stored: pa.Table, column: str) -> None:
    """Both ends or none, in order, and none of what is missing itself."""
    value, low, high = (
        numbers_of(stored, each).astype(np.float64) for each in (column, f"{column}_low", f"{column}_high")
    )
    fitting = (np.isnan(low) == np.isnan(high)).all() and not (np.isnan(value) & ~np.isnan(low)).any()
    refuse(not fitting, f"the columns {column}_low and {column}_high of {name} have ends of intervals without the rest")
    refuse((low > high).any(), f"the column {column}_low of {name} has numbers above those of {column}_high")
