"""Whether the columns of a run's tables hold what the schema says: types, bounds, rows, lengths of lists."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.circuits.graph import Graph
from engine.errors import UserError
from engine.schema.artifacts import KINDS, columns_in
from engine.schema.columns import LONGEST_TEXT, Column, Size, Table
from engine.schema.tables import ALL_TABLES
from engine.schema.vocabulary import COMMON_PARTS

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Sizes:
    """How many of everything a run has; `inputs`: how many tokens each of its kept inputs has."""

    graph: Graph
    n: int
    n_neurons: int
    n_sites: int
    parts: tuple[str, ...]
    is_arm: bool
    n_readouts: int = 0
    inputs: tuple[int, ...] = ()

    @cached_property
    def by_name(self) -> dict[str, int]:
        return {
            "n": self.n,
            "n_layers": self.graph.n_layers,
            "n_states": self.graph.n_layers + 1,
            "n_heads": self.graph.n_heads,
            "n_sources": self.graph.n_sources,
            "n_edges": self.graph.n_edges,
            "n_k": self.graph.n_edges + 1,  # K can be 0 and all edges
            "n_parts": len(COMMON_PARTS) + len(self.parts),
            "n_neurons": self.n_neurons,
            "n_sites": self.n_sites,
            "n_readouts": self.n_readouts,
            "n_inputs": len(self.inputs),
        }

    def product(self, sizes: Iterable[Size]) -> int:
        return prod(size if isinstance(size, int) else self.by_name[size] for size in sizes)

    @property
    def heads(self) -> list[int]:
        """The nodes that are heads."""
        graph = self.graph
        return [graph.head(layer, head) for layer in range(graph.n_layers) for head in range(graph.n_heads)]


def refuse_rows(name: str, rows: int, of: Sizes) -> None:
    """Refuse a number of rows that the table cannot have, before any is read."""
    table, most = ALL_TABLES[name], of.product(ALL_TABLES[name].most)
    if table.mdm_only and of.is_arm:
        refuse(rows > 0, f"the table {name} has {rows:,} rows, where an ARM has none")
        return
    refuse(table.whole and rows != most, f"the table {name} has {rows:,} rows, not {most:,}")
    refuse(not rows, f"the table {name} has no rows")
    refuse(rows > most, f"the table {name} has {rows:,} rows, where {most:,} are the most")


def _check_column(name: str, column: Column, values: Any, of: Sizes) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    where = f"the column {column.name} of {name}"
    refuse(values.null_count > 0 and not column.nullable, f"{where} lacks values")
    refuse(
        _kind(values.type) != (column.kind, column.items is not None),
        f"{where} is of another type",
    )
    if column.items:
        least, most = column.items
        lengths = _array(pc.list_value_length(values))
        wrong = lengths[(lengths < least) | (lengths > most)]
        expected = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        refuse(len(wrong) > 0, f"{where} has a list of {wrong[:1].sum():,} entries, not {expected}")
        values = values.flatten()
        refuse(values.null_count > 0, f"{where} lacks values")
    values = values.drop_null()
    if not len(values) or pa.types.is_boolean(values.type):
        return
    if pa.types.is_string(values.type):
        _check_texts(where, column, values, of)
    else:
        _check_range(where, column, values, of)


def _check_texts(where: str, column: Column, values: Any, of: Sizes) -> None:
    import pyarrow.compute as pc

    refuse(pc.max(pc.utf8_length(values)).as_py() > LONGEST_TEXT, f"{where} has a very long text")
    allowed = (*column.one_of, *of.parts) if column.type == "part" else column.one_of
    if allowed:
        unknown = sorted(set(pc.unique(values).to_pylist()) - set(allowed))
        refuse(bool(unknown), f"{where} has {str(unknown)[1:-1][:60]}, which a run has not")


def _check_range(where: str, column: Column, values: Any, of: Sizes) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(values.type):
        refuse(not pc.all(pc.is_finite(values)).as_py(), f"{where} has an infinite number, or one that is none")
    low, high = pc.min_max(values).as_py().values()
    most = of.by_name[column.high] - 1 if isinstance(column.high, str) else column.high
    refuse(
        not column.low <= low <= high <= most,
        f"{where} has numbers from {low:,} to {high:,}, where {column.low:,} to {most:,} are allowed",
    )


def _check_numbers(table: Table, stored: pa.Table, of: Sizes) -> None:
    """That there is a row for every combination of what numbers the rows, in order."""
    place = np.arange(stored.num_rows)
    for column, size in reversed(table.numbered):
        count = of.by_name[size]
        wrong = not np.array_equal(numbers_of(stored, column), place % count)
        refuse(wrong, f"the table {table.name} has a row twice or lacks one, by its column {column}")
        place //= count


def check_columns(name: str, stored: pa.Table, of: Sizes, kinds: Collection[str] = KINDS) -> None:
    """UserError where a table has a column or a value that it cannot have; `kinds`: the artifacts that are there."""
    table = ALL_TABLES[name]
    expected = [column for column in table.columns if any(column in columns_in(kind, name) for kind in kinds)]
    missing = {column.name for column in expected} ^ set(stored.column_names)
    refuse(bool(missing), f"the table {name} lacks the column {min(missing, default='')!r}, or has it and should not")
    for column in expected:
        _check_column(name, column, stored[column.name].combine_chunks(), of)
    for columns in table.alike:
        if not set(columns) <= set(stored.column_names):
            continue
        lengths = [lengths_of(stored, column) for column in columns]
        same = all(np.array_equal(lengths[0], other) for other in lengths[1:])
        refuse(not same, f"in the table {name}, the lists {', '.join(columns)} are not equally long")
    if table.numbered:
        _check_numbers(table, stored, of)


def _kind(of: Any) -> tuple[str, bool]:
    """What an Arrow type holds, and whether in lists."""
    import pyarrow as pa

    is_list = pa.types.is_list(of)
    of = of.value_type if is_list else of
    tests = (("bool", pa.types.is_boolean), ("int", pa.types.is_integer), ("float", pa.types.is_floating))
    return next((name for name, test in tests if test(of)), "text" if pa.types.is_string(of) else str(of)), is_list


def numbers_of(stored: pa.Table, column: str) -> NDArray[Any]:
    return np.asarray(stored[column].combine_chunks().to_numpy(zero_copy_only=False))


def lengths_of(stored: pa.Table, column: str) -> NDArray[np.int64]:
    import pyarrow.compute as pc

    return _array(pc.list_value_length(stored[column].combine_chunks()))


def _array(values: Any) -> NDArray[np.int64]:
    return np.asarray(values.fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64)


def refuse(wrong: bool | np.bool, why: str) -> None:
    if wrong:
        raise UserError(why)
