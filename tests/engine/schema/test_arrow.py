"""Arrow tables have the schema's columns, in its order and types, whatever they are built from."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from engine.schema.arrow import arrow_schema, table, table_of_rows
from engine.schema.tables import TABLES

COUNTS = {"total": [7, 7], "correct": np.array([3, 4]), "steps": pa.array([1, 2], pa.int64())}


def test_columns_come_in_order_and_in_their_types() -> None:
    built = table("accuracy_steps", COUNTS)
    assert built.schema.equals(pa.schema([(name, pa.int32()) for name in ("steps", "correct", "total")]))
    assert built.to_pylist() == [{"steps": 1, "correct": 3, "total": 7}, {"steps": 2, "correct": 4, "total": 7}]


def test_other_columns_are_refused() -> None:
    with pytest.raises(ValueError, match=r"accuracy_steps differs in its columns \['steps'\]"):
        table("accuracy_steps", {name: COUNTS[name] for name in ("total", "correct")})
    with pytest.raises(ValueError, match="'more'"):
        table("accuracy_steps", {**COUNTS, "more": [0, 0]})


def test_missing_values_are_refused_where_there_have_to_be_some() -> None:
    with pytest.raises(ValueError, match="accuracy_steps lacks values in its column total"):
        table("accuracy_steps", {**COUNTS, "total": [7, None]})
    scores = {"previous_token": [0.0], "duplicate_token": [0.0], "induction": [0.0], "copying": [None]}
    assert table("heads", {"node": [1], **scores}, "weights")["copying"].null_count == 1


def test_a_number_that_does_not_fit_is_refused() -> None:
    with pytest.raises(pa.ArrowInvalid):
        table("attention_patterns", {"input": [0], "node": [0], "pattern": [[256]]})


@pytest.mark.parametrize("name", TABLES)
def test_a_table_without_rows_has_its_types(name: str) -> None:
    empty = table_of_rows(name, [])
    assert empty.schema.equals(arrow_schema(name))
    for column, field in zip(TABLES[name].columns, empty.schema, strict=True):
        assert pa.types.is_list(field.type) == (column.items is not None)
