"""Tables as they are described: sorted by their columns, with lists and texts that there are."""

from __future__ import annotations

import pytest

from cache.layout import SORTED_BY
from engine.schema.evidence_tables import CIRCUITS, GROUPS, REPLACEMENTS, SELECTIONS
from engine.schema.tables import ALL_TABLES, NULLABLE
from engine.schema.vocabulary import BINS, COMMON_PARTS, REGIONS, SAMPLERS


def test_the_cache_keeps_every_table_sorted() -> None:
    assert SORTED_BY.keys() == ALL_TABLES.keys()


@pytest.mark.parametrize("name", ALL_TABLES)
def test_what_a_table_says_of_its_columns_names_columns(name: str) -> None:
    table = ALL_TABLES[name]
    columns = {column.name: column for column in table.columns}
    assert len(columns) == len(table.columns)
    assert {column for column, _ in table.numbered} <= columns.keys()
    assert all(columns[column].items for lists in table.alike for column in lists)
    assert all(column.type in ("text", "part") for column in table.columns if column.one_of)
    assert table.row.endswith(".")
    if table.order.replace(", ", "").replace("_", "").islower() and "absolute" not in table.order:
        assert set(table.order.split(", ")) <= columns.keys()


def test_what_may_be_missing_is_what_no_number_can_say() -> None:
    cosines = {("neurons", name) for name in ("cos_in", "cos_gate", "cos_out")}
    beyond = {("lens_layers", name) for name in ("node_entropy", "node_top")}  # beyond the examples of which they are
    no_difference = {("circuit_runs", name) for name in ("f", "f_low", "f_high", "right")}
    few_examples = {("knockouts", name) for name in ("change_low", "change_high", "right")}
    evidence = {*no_difference, *few_examples, ("smallest_circuits", "size"), ("smallest_circuits", "below")}
    assert {("activation_histograms", "kurtosis"), ("heads", "copying"), *cosines, *beyond, *evidence} == NULLABLE


def test_closed_lists_of_texts_are_those_of_the_vocabulary() -> None:
    closed = {(t.name, c.name): c.one_of for t in ALL_TABLES.values() for c in t.columns if c.one_of}
    assert closed == {
        ("edges", "part"): COMMON_PARTS,
        ("activation_histograms", "region"): REGIONS,
        ("trajectories", "sampler"): SAMPLERS,
        ("circuit_runs", "circuit"): CIRCUITS,
        ("circuit_runs", "part"): COMMON_PARTS,
        ("smallest_circuits", "circuit"): CIRCUITS,
        ("knockouts", "replaced_by"): REPLACEMENTS,
        ("knockouts", "part"): COMMON_PARTS,
        ("group_knockouts", "selection"): GROUPS,
        ("audited_edges", "selection"): SELECTIONS,
    }
    histograms = [c.items for t in ALL_TABLES.values() for c in t.columns if c.name == "counts"]
    assert histograms == [(BINS, BINS)] * 2
