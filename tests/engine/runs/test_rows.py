"""Row classes have columns of the schema, of its types, and read them from tables."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import get_type_hints

import pytest

from engine.runs import rows
from engine.runs.read import TABLE_OF
from engine.runs.rows import ExampleRow, Head, StepAccuracy, read_rows
from engine.schema.arrow import table_of_rows
from engine.schema.columns import Column
from engine.schema.tables import TABLES

PYTHON = {"bool": bool, "int": int, "float": float, "text": str}


def python_type(column: Column) -> object:
    kind = PYTHON[column.kind]
    if column.items:
        return tuple[kind, ...]  # type: ignore[valid-type]
    return kind | None if column.nullable else kind


def test_every_row_class_is_compared() -> None:
    classes = {kind for kind in vars(rows).values() if is_dataclass(kind) and kind.__module__ == rows.__name__}
    assert classes == TABLE_OF.keys()


@pytest.mark.parametrize(("kind", "name"), TABLE_OF.items(), ids=str)
def test_fields_are_the_columns_of_the_schema(kind: type, name: str) -> None:
    types = get_type_hints(kind)
    assert [(field.name, types[field.name]) for field in fields(kind)] == [
        (column.name, python_type(column)) for column in TABLES[name].columns
    ]


def test_rows_are_read_with_lists_as_tuples_and_missing_values_as_none() -> None:
    counts = table_of_rows("accuracy_steps", [{"steps": 4, "correct": 5, "total": 9}])
    assert read_rows(StepAccuracy, counts) == [StepAccuracy(4, 5, 9)]
    example = {"example": 0, "prompt": ["a", "b"], "answer": ["c"], "corrupt_prompt": ["a", "d"], "metric_clean": 1.5}
    example |= {"corrupt_answer": ["e"], "predicted": ["c"], "correct": True, "metric_corrupt": -2.0}
    assert read_rows(ExampleRow, table_of_rows("examples", [example])) == [
        ExampleRow(0, ("a", "b"), ("c",), ("a", "d"), ("e",), ("c",), True, 1.5, -2.0)
    ]
    head = {column.name: 0 for column in TABLES["heads"].columns if column.name != "copying"}
    assert read_rows(Head, table_of_rows("heads", [head]))[0].copying is None
