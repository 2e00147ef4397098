"""What is stored is read as it was computed; what is not there is refused by name."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from engine.circuits import comparison
from engine.errors import UserError
from engine.runs import cache_connection, lifecycle, provenance, read, stored
from engine.runs.rows import ExampleRow, LayerLens, Neuron, NodeLens, ReadoutRow
from engine.runs.spec import RunSpec
from engine.schema.artifacts import KINDS, Kind, columns_in, tables_in
from engine.schema.tables import TABLES
from tests.fakes import HOSTILE, tiny_compute, tiny_run

SPEC = RunSpec(n=4)


@pytest.mark.usefixtures("workspace")
def test_there_are_no_halves_of_one_example() -> None:
    arm, mdm = (lifecycle.run(replace(SPEC, model=m, n=1), compute=tiny_compute) for m in ("arm", "mdm"))
    assert not arm.has_halves and read.split_half(arm, mdm, 5) is None


@pytest.mark.usefixtures("workspace")
def test_like_with_like_reads_the_stored_halves() -> None:
    arm, mdm = (lifecycle.run(replace(SPEC, model=m), compute=tiny_compute) for m in ("arm", "mdm"))
    halves = read.split_half(arm, mdm, 9)
    assert halves is not None
    assert halves.arm == read.overlap(arm.key, arm.key, 9, "half-a", "half-b")
    assert halves.mdm == read.overlap(mdm.key, mdm.key, 9, "half-a", "half-b")
    ways = [read.overlap(arm.key, mdm.key, 9, *way) for way in (("half-a", "half-b"), ("half-b", "half-a"))]
    assert halves.pair == pytest.approx(sum(ways) / 2)


@pytest.mark.usefixtures("workspace")
def test_rows_come_as_records() -> None:
    made = tiny_run(SPEC, lifecycle.ignore).tables
    key = lifecycle.run(SPEC, compute=tiny_compute).key
    examples = read.rows(ExampleRow, key)
    assert [row.example for row in examples] == list(range(4))
    assert examples[0].prompt[0] == HOSTILE and isinstance(examples[0].answer, tuple)
    assert [row.tokens for row in read.rows(ReadoutRow, key)] == [
        tuple(t) for t in made["readouts"]["tokens"].to_pylist()
    ]
    lens = read.node_lens(key, 1, 4)
    assert (lens.readout, lens.node) == (1, 4)
    assert read.rows(NodeLens, key, readout=1)[4] == lens
    assert lens.promoted == tuple(made["node_lens"].to_pylist()[7 + 4]["promoted"])  # 7 sources per readout
    assert [row.layer for row in read.rows(LayerLens, key, readout=1)] == [0, 1, 2]


@pytest.mark.usefixtures("workspace")
def test_what_is_not_there_is_refused_by_name() -> None:
    key = lifecycle.run(SPEC, compute=tiny_compute).key
    with pytest.raises(UserError, match="no run with the key 'nope'"):
        stored.get("nope")
    with pytest.raises(UserError, match=r"no part 'site-77'.*total, half-a, half-b, step-00"):
        read.edge_table(key, "site-77")
    with pytest.raises(UserError, match="no lens of node 99"):
        read.node_lens(key, 0, 99)
    with pytest.raises(UserError, match=r"pair called 'x'"):
        provenance.resolve(replace(SPEC, pair="x"))
    with pytest.raises(UserError, match=r"task called 'x'"):
        provenance.resolve(replace(SPEC, task="x"))


@pytest.mark.usefixtures("workspace")
def test_overlap_at_every_size_is_that_of_the_circuits() -> None:
    a = lifecycle.run(SPEC, compute=tiny_compute).key
    b = lifecycle.run(replace(SPEC, model="arm"), compute=tiny_compute).key
    curve = read.overlap_curve(a, b)
    tops = [read.edge_table(key).edge for key in (a, b)]
    brute = [len(set(tops[0][:k]) & set(tops[1][:k])) for k in range(1, len(tops[0]) + 1)]
    assert curve.k.tolist() == comparison.curve_sizes(len(brute)).tolist()
    assert curve.shared.tolist() == [brute[k - 1] for k in curve.k]
    for k in (1, 7, len(brute)):
        assert read.overlap(a, b, k) == brute[k - 1] / (2 * k - brute[k - 1])
    other = read.overlap_curve(a, a, "half-a", "half-b")
    assert read.overlap_curve(b, a).shared.tolist() == curve.shared.tolist()
    again = read.overlap_curve(a, a, "half-b", "half-a")
    assert again.shared.tolist() == other.shared.tolist() != curve.shared.tolist()


@pytest.mark.usefixtures("workspace")
def test_some_edges_are_read_with_their_rank_and_score() -> None:
    key = lifecycle.run(SPEC, compute=tiny_compute).key
    table = read.edge_table(key, "half-b")
    wanted = np.array([3, 0, 11], dtype=np.int32)
    ranked = read.edges_among(key, "half-b", wanted)
    rows = {
        edge: (rank, score)
        for edge, rank, score in zip(ranked.edge.tolist(), ranked.rank.tolist(), ranked.score, strict=True)
    }
    order = table.edge.tolist()
    assert rows == {edge: (order.index(edge), table.score[order.index(edge)]) for edge in wanted.tolist()}


@pytest.mark.usefixtures("workspace")
def test_graphs_of_different_size_are_not_compared() -> None:
    from tests.fakes import fake_compute

    a = lifecycle.run(SPEC, compute=tiny_compute).key
    b = lifecycle.run(replace(SPEC, seed=1), compute=fake_compute).key
    with pytest.raises(UserError, match=r"only circuits of one architecture"):
        read.overlap_curve(a, b)
    with pytest.raises(UserError, match=r"no part 'site-77'"):
        read.overlap_curve(a, a, "site-77")


@pytest.mark.usefixtures("workspace")
def test_one_example_has_no_second_half() -> None:
    single, double = (lifecycle.run(replace(SPEC, n=n), compute=tiny_compute) for n in (1, 2))
    assert (single.has_halves, double.has_halves) == (False, True)
    read.edge_table(double.key, "half-b")
    read.edge_table(single.key, "half-a")
    for refused_read in (
        lambda: read.edge_table(single.key, "half-b"),
        lambda: read.overlap(single.key, single.key, 5, "half-a", "half-b"),
        lambda: read.overlap_curve(single.key, single.key, "half-a", "half-b"),
        lambda: read.overlap_curve(single.key, double.key, "half-b", "half-b"),
    ):
        with pytest.raises(UserError, match="is of one example, so that it has no second half"):
            refused_read()


@pytest.mark.usefixtures("workspace")
def test_a_table_is_read_by_columns_and_values() -> None:
    key = lifecycle.run(SPEC, compute=tiny_compute).key
    whole = read.table(key, "neurons")
    chosen = read.table(key, "neurons", ("neuron", "attribution"), layer=1)
    assert chosen.column_names == ["neuron", "attribution"]
    expected = [(row["neuron"], row["attribution"]) for row in whole.to_pylist() if row["layer"] == 1]
    assert [tuple(row.values()) for row in chosen.to_pylist()] == expected
    assert read.table(key, "neurons", layer=None).equals(whole)
    assert read.table(key, "examples", ("example",), correct=True).num_rows <= 4
    assert read.table(key, "reveals", example=99).num_rows == 0


@pytest.mark.usefixtures("workspace")
def test_columns_of_several_artifacts_are_joined_and_read_without_those_that_are_not_asked_for() -> None:
    run = lifecycle.run(SPEC, compute=tiny_compute)
    expected = tiny_run(SPEC, lifecycle.ignore).tables["neurons"]
    assert read.table(run.key, "neurons").equals(expected)
    promoted = read.neurons_promoting(run.key, "Mary", 3).to_pylist()
    assert promoted and all("Mary" in row["promoted"] for row in promoted)
    cache_connection.store().delete(run.companions["activity"])
    chosen = ["layer", "neuron", "attribution", "promoted"]
    assert read.table(run.key, "neurons", chosen, layer=1).equals(
        expected.filter(pc.equal(expected["layer"], 1)).select(chosen)
    )
    assert read.neurons_promoting(run.key, "Mary", 3).to_pylist() == promoted


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "circuit"])
@pytest.mark.usefixtures("workspace")
def test_what_is_not_computed_yet_says_so(kind: Kind) -> None:
    run = lifecycle.run(SPEC, compute=tiny_compute)
    cache_connection.store().delete(run.companions[kind])
    assert stored.missing(run) == (kind,) and not stored.has(run, kind)
    for name in tables_in(kind):
        with pytest.raises(read.NotComputed, match=f"The {kind} artifact of the run .* is not computed yet") as error:
            read.table(run.key, name)
        assert error.value.kind == kind
    for name in tables_in("circuit"):
        assert read.table(run.key, name, [column.name for column in columns_in("circuit", name)]).num_rows


@pytest.mark.usefixtures("workspace")
def test_a_row_is_the_first_or_none() -> None:
    key = lifecycle.run(SPEC, compute=tiny_compute).key
    assert read.row(Neuron, key, layer=0, neuron=2) == read.neuron(key, 0, 2)
    assert read.row(Neuron, key, layer=99) is None


@pytest.mark.parametrize(
    ("table", "columns", "where", "message"),
    [
        ("nothing", (), {}, "no table 'nothing'. Choose one of: edges, "),
        ("heads", ("nothing",), {}, "The table heads has no column 'nothing'. Choose from: node, "),
        ("heads", (), {"nothing": 1}, "has no column 'nothing'"),
        ("heads", (), {"node = 1 OR 1": 1}, "has no column"),
        ("neurons", (), {"promoted": "a"}, "'promoted' of neurons holds lists"),
        ("heads", (), {"node": "x"}, "'node' of heads holds numbers; it was asked for 'x'"),
        ("trajectories", (), {"sampler": 3}, "'sampler' of trajectories holds texts; it was asked for 3"),
    ],
)
@pytest.mark.usefixtures("workspace")
def test_what_no_table_has_is_refused(
    table: str, columns: tuple[str, ...], where: dict[str, Any], message: str
) -> None:
    key = lifecycle.run(SPEC, compute=tiny_compute).key
    with pytest.raises(UserError, match=message):
        read.table(key, table, columns, **where)


@pytest.mark.usefixtures("workspace")
def test_a_run_that_is_not_there_is_named() -> None:
    for ask in (lambda: read.table("nope", "heads"), lambda: read.rows(ReadoutRow, "nope")):
        with pytest.raises(UserError, match="no run with the key 'nope'"):
            ask()


def test_every_row_class_has_the_columns_of_its_table() -> None:
    for kind, name in read.TABLE_OF.items():
        columns = {column.name for column in TABLES[name].columns}
        assert {field.name for field in fields(kind)} <= columns, name
