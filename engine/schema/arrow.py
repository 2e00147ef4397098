"""Arrow tables by the schema: the columns in their order, each of its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from engine.schema.artifacts import columns_in
from engine.schema.columns import Column
from engine.schema.tables import ALL_TABLES

ARROW_TYPES = {
    "bool": pa.bool_(),
    "uint8": pa.uint8(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "text": pa.string(),
    "part": pa.string(),
}


def arrow_type(column: Column) -> pa.DataType:
    """The type of a column's values."""
    value = ARROW_TYPES[column.type]
    return value if column.items is None else pa.list_(value)


def arrow_schema(name: str, kind: str = "") -> pa.Schema:
    """The columns of a table: all of them, or those that a kind of artifact holds."""
    columns = columns_in(kind, name) if kind else ALL_TABLES[name].columns
    return pa.schema([(column.name, arrow_type(column)) for column in columns])


def table(name: str, columns: Mapping[str, Any], kind: str = "") -> pa.Table:
    """The table `name` from its columns [row] in any order: NumPy or Arrow arrays, or lists.

    `kind`: of the artifact that holds the table, where others hold the rest of its columns.

    Raises:
        ValueError: it has other columns, or one lacks a value that it has to have.
    """
    schema = arrow_schema(name, kind)
    if columns.keys() != set(schema.names):
        raise ValueError(f"{name} differs in its columns {sorted(columns.keys() ^ set(schema.names))}")
    made = pa.table({column: columns[column] for column in schema.names}, schema=schema)
    for column in ALL_TABLES[name].columns:
        if not column.nullable and column.name in schema.names and made[column.name].null_count:
            raise ValueError(f"{name} lacks values in its column {column.name}")
    return made


def table_of_rows(name: str, rows: list[Any]) -> pa.Table:
    """The table `name` from a dictionary for each row."""
    return pa.Table.from_pylist(rows, schema=arrow_schema(name))
