"""The table of a sweep against the comparisons of two runs that it collects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from engine.errors import UserError
from engine.runs import lifecycle, read
from engine.runs.compare import compare
from engine.runs.records import Accuracy, Run
from engine.runs.spec import RunSpec
from engine.runs.stability import pair_redrawn
from engine.sweeps.compared_runs import compared_runs
from engine.sweeps.stored_components import Components
from engine.sweeps.table import SIZES, incomplete, rows, table_of
from engine.sweeps.table_columns import COLUMNS, NAMES
from tests.engine.sweeps.stored_sweeps import N, small, store
from tests.fakes import by_kind, tiny_run

K = (5, 20)


def run(model: str, **settings: Any) -> Run:
    there = lifecycle.find(RunSpec(model=model, **{"n": N, **settings}))
    assert there
    return there


def by_model(**more: Any) -> Iterator[tuple[dict[str, Any], Run, Run]]:
    for row in rows(small(**more), K).to_pylist():
        settings = {name: row[name] for name in ("task", "seed", "n")}
        yield row, run("arm", **settings), run(row["model"], **settings)


@pytest.mark.usefixtures("workspace")
def test_numbers_are_those_of_comparing_two_runs() -> None:
    grid = {"tasks": ["ioi", "sudoku"], "seeds": [0, 3]}
    store(small(**grid).specs())
    checked = 0
    for row, arm, other in by_model(**grid):
        k = row["k"]
        compared = compare(arm, other)
        assert row["overlap"] == compared.overlap[list(compared.k).index(k)]
        assert row["chance"] == compared.chance[list(compared.k).index(k)]
        at = compared.at(k)
        assert (row["early_share_arm"], row["early_share_other"]) == (at.arm.early_share, at.mdm.early_share)
        assert row["early_ratio"] == (None if np.isnan(at.early_ratio) else at.early_ratio)
        assert row["effective_number_other"] == at.mdm.effective_number
        halves = compared.split_half(k)
        assert halves and [row[f"split_half_{of}"] for of in ("arm", "other", "pair")] == [
            halves.arm, halves.mdm, halves.pair,
        ]  # fmt: skip
        (redrawn,) = pair_redrawn(arm, other, k=k)
        assert (row["overlap_low"], row["overlap_high"]) == (redrawn.estimate.low, redrawn.estimate.high)
        assert row["overlap_low"] <= row["overlap"] <= row["overlap_high"]
        assert (row["arm_run"], row["other_run"]) == (arm.key, other.key)
        checked += 1
    assert checked == 2 * 2 * 3 * len(K)


@pytest.mark.usefixtures("workspace")
def test_a_row_says_what_it_is_of() -> None:
    store(small().specs())
    told = [(row["model"], row["step"], row["k"]) for row in rows(small(), K).to_pylist()]
    assert told == [
        (model, step, k) for model, step in (("mdm", None), ("control", None), ("step:100", 100)) for k in K
    ]
    first = rows(small(), K).to_pylist()[0]
    spec = run("mdm").spec
    assert {name: first[name] for name in first if hasattr(spec, name)} == {
        name: value for name, value in vars(spec).items() if name != "source"
    }
    assert first["n_edges"] == run("arm").meta.graph.n_edges


@pytest.mark.usefixtures("workspace")
def test_columns_are_as_they_are_described() -> None:
    store(small().specs(), ["faithfulness", "knockouts", "audit"], whole=True)
    table = rows(small(), K)
    assert tuple(table.column_names) == NAMES
    for column in COLUMNS:
        field = table.schema.field(column.name)
        assert (str(field.type), field.nullable) == (column.type, column.nullable)
        assert field.metadata[b"meaning"].decode() == column.meaning and field.metadata[b"unit"].decode() == column.unit
        values = [value for value in table[column.name].to_pylist() if value is not None]
        assert len(values) == len(table) or column.nullable
        if column.bounds:
            assert all(column.low <= value <= column.high for value in values), column.name
    assert not [name for name in NAMES if table[name].null_count == len(table)]


@pytest.mark.usefixtures("workspace")
def test_what_is_not_computed_is_empty() -> None:
    store(small(n=1, models=["arm", "mdm"]).specs())
    for row in rows(small(n=1, models=["arm", "mdm"]), K).to_pylist():
        empty = {name for name, value in row.items() if value is None}
        f = {name for name in NAMES if name.startswith("f_")}
        halves = {"split_half_pair", "split_half_arm", "split_half_other"}
        intervals = {"overlap_low", "overlap_high"}
        accuracies = {"accuracy_arm", "accuracy_other", "accuracy_n", "both_can_do"}
        components = set(vars(Components()))
        assert empty - {"early_ratio"} == {"step", *f, *halves, *intervals, *accuracies, *components}


@pytest.mark.usefixtures("workspace")
def test_a_model_that_cannot_do_the_task_is_told_of() -> None:
    def unable(spec: RunSpec, on_progress: Any) -> Any:
        made = tiny_run(spec, on_progress)
        return made if spec.is_arm else type(made)(made.meta, Accuracy(0.02, 300), made.tables)

    store(small(models=["arm", "mdm"]).specs(), compute=by_kind(unable), whole=True)
    row = rows(small(models=["arm", "mdm"]), [5]).to_pylist()[0]
    assert row["both_can_do"] is False and row["accuracy_other"] == 0.02
    assert row["remarks"] == "MDM: It solves 2% of 300 problems, less than 50%: its circuit is not informative."


@pytest.mark.usefixtures("workspace")
def test_each_run_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    store(small().specs())
    reads: list[tuple[str, str]] = []
    edges, blocks = read.edge_table, read.edge_blocks

    def edge_table(key: str, part: str = "total", limit: int | None = None) -> Any:
        reads.append((key, part))
        return edges(key, part, limit)

    def edge_blocks(key: str) -> Any:
        reads.append((key, "blocks"))
        return blocks(key)

    monkeypatch.setattr(read, "edge_table", edge_table)
    monkeypatch.setattr(read, "edge_blocks", edge_blocks)
    rows(small(), K)
    assert len(reads) == len(set(reads)) == 4 * 4  # of each run all edges, both halves and blocks


@pytest.mark.usefixtures("workspace")
def test_missing_runs_have_no_rows_and_progress_is_by_group() -> None:
    grid = small(seeds=[0, 1, 2])
    store([spec for spec in grid.specs() if spec.seed != 2])
    told: list[int] = []
    assert len(table_of(compared_runs(grid), K, told.append)) == 2 * 3 * len(K)
    assert told == [0, 1]
    assert len(rows(small(seeds=[7]), K)) == 0


@pytest.mark.usefixtures("workspace")
def test_a_size_above_all_edges_is_refused() -> None:
    store(small().specs())
    with pytest.raises(UserError, match=rf"K is {max(SIZES)}, but circuits of the pair embedded have \d+ edges"):
        rows(small())


@pytest.mark.usefixtures("workspace")
def test_runs_without_what_the_sweep_asks_for_are_incomplete() -> None:
    grid = small(evidence=["faithfulness"])
    store(grid.specs())
    assert incomplete(grid, compared_runs(grid)) == grid.specs()
    circuits = small(artifacts=["circuit"])
    assert incomplete(circuits, compared_runs(circuits)) == []
    store(grid.specs(), ["faithfulness"], whole=True)
    assert incomplete(grid, compared_runs(grid)) == []
