"""What is audited and with what: selections of edges, and a table whose columns are the estimators' own scores."""

from __future__ import annotations

import numpy as np
import pytest

from engine.attribution.edge_scores import attribute
from engine.circuits.agreement import agreement
from engine.evidence.audit import ESTIMATORS, audit_tables, passes, select_edges
from engine.evidence.edge_patching import patch_edges
from engine.schema.evidence_tables import AUDITED_EDGES
from engine.schema.evidence_tables import ESTIMATORS as COLUMNS
from tests import tiny
from tests.linear_model import linear_model


def test_the_strongest_and_one_of_every_interval_of_ranks_are_chosen() -> None:
    scores = np.random.default_rng(1).normal(size=3628)
    chosen = select_edges(scores, seed=3)
    strongest = chosen.selection == "strongest"
    by_size = np.argsort(-np.abs(scores))
    assert np.array_equal(chosen.edge[strongest], by_size[:100]) and np.array_equal(
        chosen.rank[strongest], np.arange(100)
    )
    even = chosen.rank[~strongest]
    assert np.array_equal(chosen.edge, by_size[chosen.rank]) and np.array_equal(chosen.rank, np.sort(chosen.rank))
    bounds = np.linspace(0, 3628, 201).astype(int)
    assert len(even) == 200 and (even >= bounds[:-1]).all() and (even < bounds[1:]).all()


def test_the_seed_alone_decides_which_even_ones() -> None:
    scores = np.random.default_rng(1).normal(size=1000)
    first, again, other = (select_edges(scores, seed).edge for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_of_few_edges_all_are_chosen() -> None:
    chosen = select_edges(np.arange(10.0), seed=0)
    assert sorted(chosen.edge[chosen.selection == "even"]) == list(range(10))
    assert sorted(chosen.edge[chosen.selection == "strongest"]) == list(range(10))


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
def test_the_table_holds_exact_scores_and_those_of_every_estimator(causal: bool) -> None:
    model = tiny.model("llama", causal)
    rows, graph, counted = tiny.rows_of(model, tiny.random_examples(2)), model.graph, []
    scores = np.random.default_rng(0).normal(size=graph.n_edges)
    meta, tables = audit_tables(model, rows, 2, "logit_diff", scores, 0, counted.append)
    table = tables["audited_edges"]
    assert list(table) == [column.name for column in AUDITED_EDGES.columns]
    assert tuple(ESTIMATORS) == COLUMNS
    effects = patch_edges(model, rows, 2, table["edge"])
    np.testing.assert_allclose(table["exact"], effects.exact, rtol=1e-5, atol=1e-6)
    expected = attribute(model, rows, 2, "eap-ig", 20).total.numpy() / 2
    at = graph.edge_source[table["edge"]], graph.edge_destination[table["edge"]]
    np.testing.assert_allclose(table["eap_ig_20"], expected[at], rtol=1e-5, atol=1e-7)
    assert meta["full"] == pytest.approx(effects.full.mean()) and meta["corrupted"] == pytest.approx(
        effects.corrupted.mean()
    )
    assert counted == sorted(counted) and counted[-1] == passes() * len(rows)


def test_every_estimator_agrees_with_the_exact_scores_of_a_linear_model() -> None:
    model = linear_model(causal=True)
    rows = tiny.rows_of(model, tiny.random_examples(2))
    meta, tables = audit_tables(model, rows, 2, "logit_diff", np.arange(model.graph.n_edges) - 50.0, 0)
    for each in agreement(tables["audited_edges"], 10 * meta["rounding"], list(ESTIMATORS)):
        assert each.pearson > 0.9999 and each.signs == 1, each
