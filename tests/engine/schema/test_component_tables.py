"""Tables of what components do: a row for every neuron, head, layer and region, and bins that all models share."""

from __future__ import annotations

import pytest

from engine.runs.records import RunTables
from engine.runs.spec import RunSpec
from engine.schema.component_tables import COMPONENT_TABLES
from engine.schema.vocabulary import BINS, REGIONS
from tests.fakes import fake_run


@pytest.fixture(scope="module", params=["arm", "mdm"])
def run(request: pytest.FixtureRequest) -> RunTables:
    return fake_run(RunSpec(model=request.param, task="countdown", n=5), lambda progress: None)


def test_every_neuron_and_every_head_has_a_row(run: RunTables) -> None:
    graph = run.meta.graph
    assert run.tables["neurons"].num_rows == graph.n_layers * run.meta.n_neurons
    heads = [graph.head(layer, head) for layer in range(graph.n_layers) for head in range(graph.n_heads)]
    assert run.tables["heads"]["node"].to_pylist() == heads


def test_every_layer_has_a_histogram_of_every_region_in_the_same_bins(run: RunTables) -> None:
    histograms = run.tables["activation_histograms"]
    places = list(zip(histograms["layer"].to_pylist(), histograms["region"].to_pylist(), strict=True))
    assert sorted(places) == sorted((layer, name) for layer in range(run.meta.n_layers) for name in REGIONS)
    assert {len(counts) for counts in histograms["counts"].to_pylist()} == {BINS}


def test_cosines_are_missing_where_nothing_is_compared(run: RunTables) -> None:
    neurons = run.tables["neurons"]
    missing = {name: neurons[name].null_count for name in ("cos_in", "cos_out")}
    is_arm = run.meta.parts[0].startswith("site-")
    assert missing == dict.fromkeys(missing, neurons.num_rows if is_arm else 0)


def test_a_run_fills_every_table_with_the_columns_that_it_has(run: RunTables) -> None:
    for table in COMPONENT_TABLES:
        assert run.tables[table.name].column_names == [column.name for column in table.columns]
        assert run.tables[table.name].num_rows > 0
