"""Which circuits are run, and that the tables say of them what running them alone says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.circuits.comparison import order_of
from engine.evidence.circuit_runs import STOPS, circuits_to_run, faithfulness_tables, sizes_to_run
from engine.evidence.faithfulness import areas, faithfulness, grid_sizes
from engine.evidence.patching import run_circuits
from engine.evidence.rankings import prefixes, signed_order
from engine.schema.evidence_tables import CIRCUITS, TAUS
from engine.schema.vocabulary import TOTAL
from tests import tiny

SEED = 3


def scores(n_edges: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n_edges).astype(np.float32)


def test_sizes_are_mibs_and_the_stops_of_the_slider() -> None:
    assert sizes_to_run(32_491) == sorted({*grid_sizes(32_491), *STOPS})
    assert sizes_to_run(100) == [0, 1, 2, 5, 10, 20, 50, 100]


def test_circuits_are_the_sets_they_are_called() -> None:
    own, other = scores(200, 0), scores(200, 1)
    circuits = {
        (c.circuit, c.draw, c.size): set(np.flatnonzero(c.edges)) for c in circuits_to_run(own, other, [20], SEED)
    }
    assert {name for name, _, _ in circuits} == set(CIRCUITS)
    mine, theirs = set(order_of(own)[:20]), set(order_of(other)[:20])
    assert circuits["own", 0, 20] == mine and circuits["other", 0, 20] == theirs
    assert circuits["signed", 0, 20] == set(np.argsort(-own)[:20])
    assert circuits["complement", 0, 20] == set(range(200)) - mine
    assert circuits["shared", 0, 20] == mine & theirs and circuits["only", 0, 20] == mine - theirs
    draws = [edges for (name, _, _), edges in circuits.items() if name == "random"]
    assert len(draws) == 5 and all(len(edges) == 20 for edges in draws) and len({frozenset(d) for d in draws}) == 5


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
def test_the_tables_say_what_running_each_circuit_alone_says(causal: bool) -> None:
    model = tiny.model("llama", causal)
    rows = tiny.rows_of(model, tiny.random_examples(2))
    n_edges = model.graph.n_edges
    own, other = scores(n_edges, 0), scores(n_edges, 1)
    meta, tables = faithfulness_tables(model, rows, 2, "logit_diff", (own, other))
    table = tables["circuit_runs"]
    sizes = sizes_to_run(n_edges)
    alone = run_circuits(model, rows, 2, prefixes(order_of(own), sizes))
    assert alone.full
    expected = faithfulness(alone.circuits.metric, alone.full.metric[0], alone.corrupted.metric[0])
    chosen = [i for i, name in enumerate(table["circuit"]) if name == "own" and table["part"][i] == TOTAL]
    assert [table["size"][i] for i in chosen] == sizes
    assert np.allclose([table["f"][i] for i in chosen], expected.f, atol=1e-6)
    assert np.allclose([table["right"][i] for i in chosen], alone.circuits.right.mean(1))
    assert (table["f"][chosen[0]], table["f"][chosen[-1]]) == (pytest.approx(0, abs=1e-6), pytest.approx(1, abs=1e-5))
    parts = sorted({*table["part"]} - {TOTAL})
    assert parts == sorted({row.part for row in rows})
    own_rows = [i for i, name in enumerate(table["circuit"]) if name == "own"]
    for i in chosen:  # steps and sites sum to the whole
        by_part = [j for j in own_rows if table["part"][j] != TOTAL and table["size"][j] == table["size"][i]]
        assert sum(table["metric"][j] for j in by_part) == pytest.approx(table["metric"][i], rel=1e-6)
    grid = run_circuits(model, rows, 2, prefixes(signed_order(own), grid_sizes(n_edges)))
    assert grid.full
    signed = areas(faithfulness(grid.circuits.metric, grid.full.metric[0], grid.corrupted.metric[0]))
    assert meta["areas"]["signed"]["cpr"][0] == pytest.approx(signed.cpr.value, rel=1e-5)
    assert meta["areas"]["signed"]["cmd"][0] == pytest.approx(signed.cmd.value, rel=1e-5)
    assert meta["full"] == pytest.approx(alone.full.metric.mean()) and meta["remark"] is None


def test_the_smallest_circuits_reach_what_is_asked_and_the_next_smaller_do_not() -> None:
    model = tiny.model("llama", True)
    rows = tiny.rows_of(model, tiny.random_examples(2))
    own, other = scores(model.graph.n_edges, 0), scores(model.graph.n_edges, 1)
    smallest = faithfulness_tables(model, rows, 2, "logit_diff", (own, other))[1]["smallest_circuits"]
    assert smallest["tau"] == list(TAUS)
    for tau, size, below in zip(smallest["tau"], smallest["size"], smallest["below"], strict=True):
        pair = run_circuits(model, rows, 2, prefixes(order_of(own), [below, size]))
        assert pair.full
        f = faithfulness(pair.circuits.metric, pair.full.metric[0], pair.corrupted.metric[0]).f
        assert f[1] >= tau - 1e-6 > f[0] - 2e-6


def test_one_size_has_the_numbers_of_the_whole_curve_and_no_areas() -> None:
    model = tiny.model("gpt2", False)
    rows = tiny.rows_of(model, tiny.random_examples(2))
    pair = scores(model.graph.n_edges, 0), scores(model.graph.n_edges, 1)
    every = faithfulness_tables(model, rows, 2, "logit_diff", pair)[1]["circuit_runs"]
    meta, tables = faithfulness_tables(model, rows, 2, "logit_diff", pair, size=20)
    at = tables["circuit_runs"]
    assert "areas" not in meta and set(tables) == {"circuit_runs"} and set(at["size"]) == {20}
    key = ("circuit", "draw", "size", "part")
    f = {tuple(every[name][i] for name in key): every["f"][i] for i in range(len(every["f"]))}
    for i in range(len(at["f"])):
        assert at["f"][i] == pytest.approx(f[tuple(at[name][i] for name in key)], abs=1e-5)


def test_where_clean_and_corrupted_metric_are_the_same_no_f_is_given() -> None:
    model = tiny.model("llama", True)
    rows = tiny.rows_of(model, tiny.random_examples(2))
    same = [replace(row, corrupt=row.clean) for row in rows]
    pair = scores(model.graph.n_edges, 0), scores(model.graph.n_edges, 1)
    meta, tables = faithfulness_tables(model, same, 2, "logit_diff", pair)
    assert set(tables["circuit_runs"]["f"]) == {None} and set(tables["smallest_circuits"]["size"]) == {None}
    assert "not given" in meta["remark"] and "areas" not in meta
