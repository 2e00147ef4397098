"""What compute makes is sound; one wrong value anywhere is refused in a sentence that names its table and column."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pyarrow as pa
import pytest

from engine.errors import UserError
from engine.exchange.table_checks import Seen, check_tables, sizes
from engine.exchange.table_checks import check as check_table
from engine.runs.compute import compute
from engine.runs.records import RunTables
from engine.runs.spec import RunSpec
from engine.schema.artifacts import KINDS, columns_in, kinds_of
from engine.schema.columns import Column
from engine.schema.tables import TABLES
from engine.tasks.registry import TASKS
from tests.fakes import fake_run, tiny_run

MODELS = ("arm", "mdm")
SPEC = RunSpec(task="countdown", n=4)
HUGE = 1e13  # beyond every bound
OTHER_TYPES = {"bool": pa.string(), "int": pa.float32(), "float": pa.string(), "text": pa.int32()}


@cache
def made(model: str) -> RunTables:
    return tiny_run(replace(SPEC, model=model), lambda progress: None)


def check(model: str, changed: dict[str, pa.Table]) -> None:
    run = made(model)
    check_tables(replace(SPEC, model=model), run.meta, {**run.tables, **changed})


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("model", ["arm", "mdm", "step:100"])
@pytest.mark.parametrize("n", [1, 4, 40])
def test_fakes_are_sound(task: str, model: str, n: int) -> None:
    for made_by in (tiny_run, fake_run):
        spec = RunSpec(model=model, task=task, n=n)
        run = made_by(spec, lambda progress: None)
        check_tables(spec, run.meta, run.tables)


@pytest.mark.parametrize("model", MODELS)
def test_what_the_embedded_pair_makes_is_sound(model: str) -> None:
    """Other tasks: tests/engine/test_compute.py."""
    spec = RunSpec(model=model, n=2, points=1)
    run = compute(spec, lambda progress: None)
    check_tables(spec, run.meta, run.tables)


def wrong_values(column: Column) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Every way in which a value of a column can be wrong by itself."""
    if not column.nullable:
        yield "null", lambda value: None
    if column.items:
        least, most = column.items
        if least:
            yield "empty", lambda value: []
        if most < 1000:
            yield "long list", lambda value: value * (most // len(value) + 1) if value else [0.5] * (most + 1)
    for what, bad in wrong_entries(column):
        yield what, lambda value, bad=bad: [bad, *value[1:]] if column.items else bad


def wrong_entries(column: Column) -> Iterator[tuple[str, object]]:
    if column.items:
        yield "null in a list", None
    if column.kind == "float":
        yield from ((str(bad), bad) for bad in (math.nan, math.inf, -math.inf, HUGE, -HUGE))
    if column.kind in ("float", "int"):
        yield "below", int(column.low) - 1 if column.kind == "int" else column.low * 1.1 - 0.1
        if isinstance(column.high, str):
            yield "above", 2_000_000_000
        elif column.high < 2**31:
            yield "above", int(column.high) + 1 if column.kind == "int" else column.high * 1.1
    if column.kind == "text":
        yield "long text", "x" * 1001
    if column.one_of or column.type == "part":
        yield "unknown text", "<b>"


WRONG = [
    (name, column.name, what)
    for name, table in TABLES.items()
    for column in table.columns
    for what, _ in wrong_values(column)
]


def column_of(name: str, column: str) -> Column:
    return next(described for described in TABLES[name].columns if described.name == column)


@pytest.mark.parametrize(("name", "column", "what"), WRONG)
def test_one_wrong_value_is_refused(name: str, column: str, what: str) -> None:
    table = made("mdm").tables[name]
    change = dict(wrong_values(column_of(name, column)))[what]
    kind = table.schema.field(column).type
    values = table[column].to_pylist()
    row = len(values) // 2
    values[row] = change(values[row])
    wide = pa.list_(pa.int32()) if what in ("above", "below") and kind == pa.list_(pa.uint8()) else kind
    changed = table.set_column(table.schema.get_field_index(column), column, pa.array(values, wide))
    refused("mdm", {name: changed}, name, column)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_other_columns_is_refused(name: str) -> None:
    table = made("mdm").tables[name]
    for column in TABLES[name].columns:
        if name in ("readouts", "inputs") and column.name == "tokens":
            continue  # without which sizes are not known
        refused("mdm", {name: table.drop_columns([column.name])}, name, column.name)
        other = OTHER_TYPES[column.kind]
        place = table.schema.get_field_index(column.name)
        nothing = pa.nulls(len(table), pa.list_(other) if column.items is None else other)
        refused("mdm", {name: table.set_column(place, column.name, nothing)}, name, column.name)
    refused("mdm", {name: table.append_column("extra", table[0])}, name, "extra")


@pytest.mark.parametrize(("model", "name"), [(model, name) for model in MODELS for name in TABLES])
@pytest.mark.parametrize("rows", ["none", "without the first", "without the last", "the first twice", "all twice"])
def test_missing_and_doubled_rows_are_refused(model: str, name: str, rows: str) -> None:
    table = made(model).tables[name]
    none = TABLES[name].mdm_only and model == "arm"
    if none:
        filled = {name: made("mdm").tables[name]}
        refused(model, filled, name)
        return
    changed = {
        "none": table.slice(0, 0),
        "without the first": table.slice(1),
        "without the last": table.slice(0, len(table) - 1),
        "the first twice": pa.concat_tables([table.slice(0, 1), table]),
        "all twice": pa.concat_tables([table, table]),
    }[rows]
    if name in ("edge_blocks", "accuracy_steps") and rows.startswith("without"):
        return  # how many there are is for whoever computes them to say
    named = [] if name in ("readouts", "inputs") else [name]  # others have rows for each of theirs
    refused(model, {name: changed}, *named)


def replaced(model: str, name: str, column: str, change: Callable[[list[Any]], list[Any]]) -> dict[str, pa.Table]:
    table = made(model).tables[name]
    values = pa.array(change(table[column].to_pylist()), table.schema.field(column).type)
    return {name: table.set_column(table.schema.get_field_index(column), column, values)}


def longer(values: list[Any]) -> list[Any]:
    return [values[0] + values[0][-1:], *values[1:]]


TOGETHER: dict[str, tuple[str, str, Callable[[list[Any]], list[Any]]]] = {
    "an edge twice": ("edges", "edge", lambda v: [v[1], *v[1:]]),
    "ranks in another order": ("edges", "rank", lambda v: [1, 0, *v[2:]]),
    "scores out of order": ("edges", "score", lambda v: [0.0, *v[1:]]),
    "parts of other sizes": ("edges", "part", lambda v: [v[-1], *v[1:]]),
    "other edges than the strongest": ("edge_blocks", "edge", lambda v: [v[1], *v[1:]]),
    "blocks of another number": ("edge_blocks", "scores", longer),
    "prompts that do not align": ("examples", "corrupt_prompt", longer),
    "answers that do not align": ("examples", "predicted", longer),
    "read beyond the end": ("readouts", "position", lambda v: [99, *v[1:]]),
    "predicted beyond the end": ("readouts", "target", lambda v: [99, *v[1:]]),
    "words without logits": ("node_lens", "promoted", longer),
    "probabilities without words": ("residual_lens", "probabilities", longer),
    "an answer beyond the end": ("inputs", "start", lambda v: [99, *v[1:]]),
    "roles without tokens": ("inputs", "roles", longer),
    "a range upside down": ("neurons", "low", lambda v: [1e6, *v[1:]]),
    "a histogram of nothing": ("neurons", "counts", lambda v: [[0] * len(v[0]), *v[1:]]),
    "lists of other lengths": ("neurons", "promoted", longer),
    "some cosines": ("neurons", "cos_out", lambda v: [0.5 if v[0] is None else None, *v[1:]]),
    "some gates": ("neurons", "cos_gate", lambda v: [0.5 if v[0] is None else None, *v[1:]]),
    "a neuron's detail twice": ("neuron_detail", "neuron", lambda v: [v[1], *v[1:]]),
    "some ups": ("neuron_detail", "up_tokens", lambda v: [[], *v[1:]]),
    "fewer activations than tokens": ("neuron_tokens", "activations", longer),
    "fewer ups than tokens": ("neuron_tokens", "ups", lambda v: [[], *v[1:]]),
    "other neurons than those of detail": ("neuron_tokens", "neuron", lambda v: [v[1], *v[1:]]),
    "a region twice": ("activation_histograms", "region", lambda v: [v[1], *v[1:]]),
    "a sum that is none": ("activation_histograms", "n", lambda v: [v[0] + 1, *v[1:]]),
    "an offset twice": ("residual_norms", "offset", lambda v: [v[1], *v[1:]]),
    "a node that is no head": ("heads", "node", lambda v: [0, *v[1:]]),
    "a role twice": ("attention_roles", "key", lambda v: [v[1], *v[1:]]),
    "a pattern that is no square": ("attention_patterns", "pattern", longer),
    "a pattern of no head": ("attention_patterns", "node", lambda v: [0, *v[1:]]),
    "a layer twice": ("position_lens", "layer", lambda v: [v[1], *v[1:]]),
    "a place with some layers": ("position_lens", "target", lambda v: [v[0] + 1, *v[1:]]),
    "a token revealed twice": ("reveals", "index", lambda v: [v[1], *v[1:]]),
    "a step that is none": ("reveals", "step", lambda v: [*v[:-1], v[-1] + 1]),
    "a sampler's step twice": ("trajectories", "step", lambda v: [v[1], *v[1:]]),
    "confidences without tokens": ("trajectories", "confidences", longer),
    "more solved than there are": ("accuracy_steps", "correct", lambda v: [201, *v[1:]]),
    "a number of steps twice": ("accuracy_steps", "steps", lambda v: [v[1], *v[1:]]),
}  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("what", TOGETHER)
def test_what_does_not_agree_is_refused(model: str, what: str) -> None:
    name, column, change = TOGETHER[what]
    if TABLES[name].mdm_only and model == "arm":
        return
    refused(model, replaced(model, name, column, change), name)


def refused(model: str, changed: dict[str, pa.Table], *names: str) -> None:
    with pytest.raises(UserError) as refusal:
        check(model, changed)
    message = str(refusal.value)
    assert "\n" not in message and len(message) < 300
    for name in names:
        assert name in message, message


def test_an_ungated_model_has_no_ups() -> None:
    """GPT-2: lists of ups are all empty, the gates' cosines all missing."""
    run = made("mdm")
    changed = {
        **replaced("mdm", "neuron_tokens", "ups", lambda v: [[]] * len(v)),
        **replaced("mdm", "neurons", "cos_gate", lambda v: [None] * len(v)),
    }
    detail = run.tables["neuron_detail"]
    for column in ("up_tokens", "up_cosine"):
        place, kind = detail.schema.get_field_index(column), detail.schema.field(column).type
        detail = detail.set_column(place, column, pa.array([[]] * len(detail), kind))
    check("mdm", {**changed, "neuron_detail": detail})


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("absent", ["ability", "lens", "activity", "weights"])
def test_a_run_without_an_artifact_is_checked_without_its_columns(model: str, absent: str) -> None:
    run, spec = made(model), replace(SPEC, model=model)
    kinds = [kind for kind in KINDS if kind != absent]
    of, seen = sizes(spec, run.meta, run.tables["readouts"], run.tables["inputs"]), Seen()
    for name in TABLES:
        columns = {column.name for kind in kinds for column in columns_in(kind, name)}
        if not columns:
            assert kinds_of(name) == (absent,)
            continue
        table = run.tables[name]
        kept = table.select([column for column in table.column_names if column in columns])
        check_table(name, kept, of, seen, kinds)
        if kept.num_columns < table.num_columns:
            with pytest.raises(UserError, match=f"the table {name} lacks the column"):
                check_table(name, table, of, seen, kinds)
            with pytest.raises(UserError, match=f"the table {name} lacks the column"):
                check_table(name, kept, of, seen)
