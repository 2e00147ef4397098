"""Columns that hold what the schema does not allow are refused, each by what is wrong with it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from engine.circuits.graph import graph_of
from engine.errors import UserError
from engine.exchange.column_checks import Sizes, check_columns, lengths_of, numbers_of, refuse_rows
from engine.runs.spec import RunSpec
from engine.schema.vocabulary import COMMON_PARTS
from tests.fakes import fake_run

N = 3


@pytest.fixture(scope="module")
def sizes() -> Sizes:
    run = fake_run(RunSpec(model="mdm", task="countdown", n=N), lambda progress: None)
    meta = run.meta
    inputs = tuple(len(tokens) for tokens in run.tables["inputs"]["tokens"].to_pylist())
    return Sizes(
        meta.graph, N, meta.n_neurons, meta.n_sites, meta.parts, False, run.tables["readouts"].num_rows, inputs
    )


@pytest.fixture
def examples() -> pa.Table:
    return fake_run(RunSpec(model="mdm", task="countdown", n=N), lambda progress: None).tables["examples"]


def changed(table: pa.Table, name: str, values: Any, kind: pa.DataType | None = None) -> pa.Table:
    place = table.column_names.index(name)
    return table.set_column(place, name, pa.array(values, kind or table.schema.field(name).type))


def test_sizes_multiply_by_name_and_by_number() -> None:
    sizes = Sizes(graph_of(2, 3), 4, 5, 6, ("step-00", "step-01"), False)
    assert sizes.by_name["n_states"] == 3 and sizes.by_name["n_parts"] == len(COMMON_PARTS) + 2
    assert sizes.product(("n", 7, "n_layers")) == 4 * 7 * 2
    assert len(sizes.heads) == 2 * 3 and len(set(sizes.heads)) == 6


def test_a_sound_table_passes(examples: pa.Table, sizes: Sizes) -> None:
    check_columns("examples", examples, sizes)
    refuse_rows("examples", examples.num_rows, sizes)


@pytest.mark.parametrize(
    ("rows", "message"), [(0, "has 0 rows, not 3"), (N + 1, "has 4 rows, not 3"), (N - 1, "has 2 rows, not 3")]
)
def test_a_table_of_all_examples_has_one_row_each(rows: int, message: str, sizes: Sizes) -> None:
    with pytest.raises(UserError, match=message):
        refuse_rows("examples", rows, sizes)


def test_an_arm_has_no_rows_of_steps() -> None:
    arm = Sizes(graph_of(2, 3), N, 5, 6, ("site-00",), True)
    refuse_rows("reveals", 0, arm)
    with pytest.raises(UserError, match="where an ARM has none"):
        refuse_rows("reveals", 1, arm)


@pytest.mark.parametrize(
    ("name", "values", "kind", "message"),
    [
        ("correct", [1, 0, 1], pa.int32(), "correct of examples is of another type"),
        ("metric_clean", [0.0, float("nan"), 1.0], None, "has an infinite number, or one that is none"),
        ("metric_clean", [0.0, None, 1.0], None, "metric_clean of examples lacks values"),
        ("metric_clean", [0.0, 1e30, 1.0], None, "are allowed"),
        ("prompt", [[], [], []], None, "has a list of 0 entries"),
        ("prompt", [["a" * 2000]] * 3, None, "has a very long text"),
        ("example", [0, 2, 1], None, "has a row twice or lacks one, by its column example"),
        ("example", [0, 1, 3], None, "from 0 to 3, where 0 to 2 are allowed"),
    ],
)
def test_a_wrong_value_is_refused(
    examples: pa.Table, sizes: Sizes, name: str, values: list[Any], kind: pa.DataType | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check_columns("examples", changed(examples, name, values, kind), sizes)


def test_lists_of_one_row_are_equally_long(examples: pa.Table, sizes: Sizes) -> None:
    longer = [[*tokens, "more"] for tokens in examples["prompt"].to_pylist()]
    with pytest.raises(UserError, match="the lists prompt, corrupt_prompt are not equally long"):
        check_columns("examples", changed(examples, "prompt", longer), sizes)


@pytest.mark.parametrize("column", ["correct", "prompt"])
def test_a_column_that_is_missing_is_named(examples: pa.Table, sizes: Sizes, column: str) -> None:
    with pytest.raises(UserError, match=f"the table examples lacks the column '{column}'"):
        check_columns("examples", examples.drop_columns([column]), sizes)


def test_a_part_that_the_run_has_not_is_refused(sizes: Sizes) -> None:
    run = fake_run(RunSpec(model="mdm", task="countdown", n=N), lambda progress: None)
    edges = run.tables["edges"]
    with pytest.raises(UserError, match="has 'step-77', which a run has not"):
        check_columns("edges", changed(edges, "part", ["step-77"] * edges.num_rows), sizes)


def test_numbers_and_lengths_come_as_arrays(examples: pa.Table) -> None:
    assert numbers_of(examples, "example").tolist() == [0, 1, 2]
    assert lengths_of(examples, "prompt").tolist() == [len(tokens) for tokens in examples["prompt"].to_pylist()]
