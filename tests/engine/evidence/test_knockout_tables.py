"""The tables of knockouts, row by row, against the runs that they sum up."""

from __future__ import annotations

import numpy as np
import pytest

from engine.circuits.intervals import estimate, redrawn_means
from engine.evidence.ablated_pass import Removal
from engine.evidence.knockout_tables import Columns, group_columns, knockout_columns, knockout_tables
from engine.evidence.knockouts import Knockouts, run_without
from engine.evidence.node_groups import Group, groups_of
from engine.evidence.outcomes import Outcomes
from engine.schema.arrow import table
from tests import tiny

GROUPS = [Group("strongest", 0, (3,)), Group("random", 1, (2, 7)), Group("random", 0, (2, 7)), Group("only", 0, (1, 9))]


def rows_in(columns: Columns) -> list[dict[str, object]]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
def test_every_component_part_and_group_has_its_row(causal: bool) -> None:
    model, n = tiny.model("qwen2", causal), 9
    rows, done = tiny.rows_of(model, tiny.random_examples(n)), []
    meta, tables = knockout_tables(model, rows, n, groups=GROUPS, on_rows=done.append)
    keys = [(row["node"], row["replaced_by"], row["part"]) for row in rows_in(tables["knockouts"])]
    parts = sorted({row.part for row in rows} | {"total"})
    assert keys == [(node, by, part) for node in range(1, 11) for by in ("corrupted", "mean") for part in parts]
    for row in rows_in(tables["knockouts"])[:: 2 * len(parts) + 1]:
        alone = run_without(model, rows, n, [Removal((row["node"],), row["replaced_by"])])  # type: ignore[arg-type]
        total = row["part"] == "total"
        of, full = (r.metric if total else r.parts[row["part"]] for r in (alone.without, alone.full))  # type: ignore[index]
        expected = estimate(redrawn_means((of - full)[0]))
        measured = [row["change"], row["change_low"], row["change_high"]]
        assert measured == pytest.approx([expected.value, expected.low, expected.high], abs=1e-5)
        assert row["right"] == (pytest.approx(alone.without.right.mean()) if total else None)
    full, corrupted = alone.full, alone.corrupted
    expected_meta = {"full": full.metric.mean(), "corrupted": corrupted.metric.mean(), "right_full": full.right.mean()}
    assert meta == pytest.approx(expected_meta) and done[-1] == len(rows)
    together = rows_in(tables["group_knockouts"])
    assert [(r["selection"], r["draw"], r["removed"]) for r in together] == [
        ("only", 0, 2), ("random", 0, 2), ("random", 1, 2), ("strongest", 0, 1)
    ]  # fmt: skip
    assert together[1]["metric"] == together[2]["metric"] != together[0]["metric"]
    node_three = next(r for r in rows_in(tables["knockouts"]) if (r["node"], r["part"]) == (3, "total"))
    assert together[3]["metric"] == pytest.approx(meta["full"] + node_three["change"])  # type: ignore[operator]


def test_parts_add_up_to_the_total() -> None:
    model = tiny.model("llama", causal=False)
    columns = knockout_tables(model, tiny.rows_of(model, tiny.random_examples(3)), 3)[1]["knockouts"]
    changes = np.array(columns["change"]).reshape(20, -1)  # total is the last part by name
    np.testing.assert_allclose(changes[:, :-1].sum(1), changes[:, -1], rtol=1e-6, atol=1e-6)
    assert columns["change_low"] == columns["change_high"] == [None] * len(columns["node"])  # of three examples


def test_the_tables_are_those_of_the_schema() -> None:
    model = tiny.model("gpt2", causal=True)
    groups = groups_of(model.graph, np.arange(12.0), np.arange(12.0)[::-1])
    for name, columns in knockout_tables(model, tiny.rows_of(model, tiny.random_examples(2)), 2, groups=groups)[
        1
    ].items():
        assert table(name, columns).num_rows == len(next(iter(columns.values()))) > 0


def test_means_by_hand() -> None:
    def outcomes(metric: list[list[float]], right: list[list[float]]) -> Outcomes:
        values = np.array(metric)
        return Outcomes(values, np.array(right), {"step-00": values / 4, "step-01": 3 * values / 4})

    full, ends = outcomes([[4.0, 8.0]], [[1, 1]]), outcomes([[-4.0, -8.0]], [[0, 0]])
    runs = Knockouts(outcomes([[0.0, 4.0], [8.0, 8.0]], [[0, 0.5], [1, 1]]), ends, full)
    columns = knockout_columns(runs, {Removal((2,), "corrupted"): 1, Removal((1,), "corrupted"): 0})
    assert columns["node"] == [1, 1, 1, 2, 2, 2] and columns["part"] == ["step-00", "step-01", "total"] * 2
    assert columns["change"] == [-1.0, -3.0, -4.0, 0.5, 1.5, 2.0]
    assert columns["right"] == [None, None, 0.25, None, None, 1.0]
    groups = group_columns(runs, [Group("random", 0, (1, 2)), Group("only", 0, (2,))], [0, 1])
    assert groups == {
        "selection": ["only", "random"], "draw": [0, 0], "removed": [1, 2], "metric": [8.0, 2.0], "right": [1.0, 0.25]
    }  # fmt: skip
