"""Records of evidence say what the stored tables do: means and ranges of draws, order, nearest sizes."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import UserError
from engine.runs import evidence, lifecycle
from engine.runs import evidence_summary as summary
from engine.runs.evidence_summary import CircuitPoint, ModelEvidence
from engine.runs.spec import RunSpec
from engine.schema.evidence_tables import CIRCUITS, ESTIMATORS
from tests.stored_evidence import store


@pytest.fixture
def stored() -> ModelEvidence:
    store(control=False)
    there = summary.evidence_of(RunSpec(n=4, model="mdm"))
    assert there
    return there


def point(circuit: str, size: int) -> CircuitPoint:
    return CircuitPoint(circuit, size, size, 0.5, None, None, 1.0)


@pytest.mark.usefixtures("workspace")
def test_what_is_stored_is_listed_by_kind(stored: ModelEvidence) -> None:
    assert set(stored.by_kind) == {"faithfulness", "knockouts", "audit"} and stored.get("faithfulness_at") is None
    evidence.compute([RunSpec(n=4, model="mdm")], ["faithfulness_at"], 7, compute=_refuse_circuits)
    at_one = summary.evidence_of(RunSpec(n=4, model="mdm"), 7)
    assert at_one and {p.size for p in summary.circuit_points(at_one.by_kind["faithfulness_at"])} == {7}
    assert summary.evidence_of(RunSpec(n=5)) is None


@pytest.mark.usefixtures("workspace")
def test_all_sizes_are_those_of_the_grid_and_the_single_ones_each_once(stored: ModelEvidence) -> None:
    of_grid = summary.circuit_points(stored.by_kind["faithfulness"])
    on_grid = {p.size for p in of_grid}
    assert 10 in on_grid and 13 not in on_grid and summary.all_points(stored) == of_grid
    for size in (10, 13):
        evidence.compute([RunSpec(n=4, model="mdm")], ["faithfulness_at"], size, compute=_refuse_circuits)
    there = summary.evidence_of(RunSpec(n=4, model="mdm"))
    assert there and set(there.by_kind) == set(stored.by_kind)
    points = summary.all_points(there)
    assert {p.size for p in points} == {13, *on_grid} and [p for p in points if p.size != 13] == of_grid


def test_of_a_size_that_several_tables_have_the_first_s_rows_are_taken() -> None:
    first = [{"size": 1, "f": 0.1}, {"size": 1, "f": 0.2}]
    assert summary.joined([first, [{"size": 1, "f": 0.3}, {"size": 2, "f": 0.4}]]) == [*first, {"size": 2, "f": 0.4}]
    assert summary.joined([]) == []


def _refuse_circuits(spec, kind, on_progress, *inputs):  # type: ignore[no-untyped-def]
    from tests.fakes import tiny_compute

    assert kind != "circuit", "it is stored"
    return tiny_compute(spec, kind, on_progress, *inputs)


@pytest.mark.usefixtures("workspace")
def test_circuits_have_one_point_a_size_and_random_ones_their_range(stored: ModelEvidence) -> None:
    artifact = stored.by_kind["faithfulness"]
    points = summary.circuit_points(artifact)
    rows = evidence.table(artifact, "circuit_runs", part="total").to_pylist()
    assert {p.circuit for p in points} == set(CIRCUITS)
    assert len(points) == len({(row["circuit"], row["size"]) for row in rows})
    for p in points:
        own = [row for row in rows if (row["circuit"], row["size"]) == (p.circuit, p.size)]
        assert p.f == pytest.approx(np.mean([row["f"] for row in own]))
        assert p.right == pytest.approx(np.mean([row["right"] for row in own]))
        ends = (own[0]["f_low"], own[0]["f_high"])
        if p.circuit == "random":
            assert len(own) == 5
            ends = (min(row["f"] for row in own), max(row["f"] for row in own))
        assert (p.low, p.high) == pytest.approx(ends)
    assert summary.areas(artifact, "own")["cpr"] == [0.9, 0.85, 0.95] and summary.areas(artifact, "shared") == {}


def test_the_nearest_size_is_so_by_ratio_and_k_itself_where_it_is_measured() -> None:
    assert [summary.nearest_size((0, 10, 40, 1000), k) for k in (1, 10, 20, 21, 199, 201)] == [10, 10, 10, 40, 40, 1000]
    assert summary.nearest_size((0,), 20) is None


def test_common_sizes_have_all_that_is_compared_in_every_model() -> None:
    rows = [{"circuit": circuit, "size": size} for circuit in ("own", "other", "random") for size in (0, 10, 20)]
    assert summary.common_sizes([rows, rows]) == {10, 20} and summary.common_sizes([]) == set()
    assert summary.common_sizes([rows, rows[:-1]]) == {10} and summary.common_sizes([rows, []]) == set()


def test_sizes_are_the_nearest_that_were_run() -> None:
    points = [point("own", size) for size in (0, 10, 51, 190, 3628)]
    assert summary.nearest_sizes(points) == [51, 190, 3628]
    assert summary.nearest_sizes(points, (5000, 3000)) == [3628] and summary.nearest_sizes([]) == []


@pytest.mark.usefixtures("workspace")
def test_the_smallest_faithful_circuit(stored: ModelEvidence) -> None:
    artifact = stored.by_kind["faithfulness"]
    table = evidence.table(artifact, "smallest_circuits", circuit="own").to_pylist()
    sizes = {round(row["tau"], 2): row["size"] for row in table}
    assert summary.smallest_faithful(artifact) == sizes[0.85] and summary.smallest_faithful(artifact, 0.5) == sizes[0.5]
    assert sizes[0.85] > sizes[0.5]
    with pytest.raises(UserError, match=r"tau is 0.42. Choose one of: 0.50, "):
        summary.smallest_faithful(artifact, 0.42)


@pytest.mark.usefixtures("workspace")
def test_knockouts_come_strongest_first_and_groups_by_size(stored: ModelEvidence) -> None:
    artifact = stored.by_kind["knockouts"]
    rows = evidence.table(artifact, "knockouts", replaced_by="mean", part="total").to_pylist()
    listed = summary.knockouts(artifact, "mean")
    assert sorted(k.change for k in listed) == sorted(row["change"] for row in rows)
    assert [abs(k.change) for k in listed] == sorted((abs(k.change) for k in listed), reverse=True)
    groups = summary.group_knockouts(artifact)
    random = [g for g in groups if g.selection == "random"]
    table = evidence.table(artifact, "group_knockouts", selection="random").to_pylist()
    assert [g.removed for g in random] == sorted({row["removed"] for row in table}) and len(random) > 2
    drawn = evidence.table(artifact, "group_knockouts", selection="random", removed=4)["right"].to_pylist()
    four = next(g for g in random if g.removed == 4)
    assert len(drawn) == 5 and (four.low, four.high) == (min(drawn), max(drawn))
    assert four.right == pytest.approx(np.mean(drawn))


@pytest.mark.usefixtures("workspace")
def test_agreement_is_that_of_the_audited_edges(stored: ModelEvidence) -> None:
    artifact = stored.by_kind["audit"]
    columns = evidence.table(artifact, "audited_edges").to_pydict()
    listed = summary.agreements(artifact)
    assert {a.estimator for a in listed} == set(ESTIMATORS)
    chosen = [i for i, selection in enumerate(columns["selection"]) if selection == "strongest"]
    exact, relp = (np.array(columns[name])[chosen] for name in ("exact", "relp"))
    (own,) = [a for a in listed if (a.selection, a.estimator) == ("strongest", "relp")]
    assert own.edges == len(chosen) and own.pearson == pytest.approx(np.corrcoef(exact, relp)[0, 1])


@pytest.mark.usefixtures("workspace")
def test_evidence_is_of_the_other_model_s_circuit_too(stored: ModelEvidence) -> None:
    other = lifecycle.find(RunSpec(n=4, model="arm"))
    alone = summary.evidence_of_run(stored.run, None)
    assert set(alone.by_kind) == {"audit"}
    assert summary.evidence_of_run(stored.run, other).by_kind == stored.by_kind
