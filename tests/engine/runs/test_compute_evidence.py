"""Evidence computed from a spec: what Computing makes of the embedded pair's model, stored and read back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from engine.circuits.graph import graph_of
from engine.runs import evidence, execution, lifecycle, read
from engine.runs.compute import Computing
from engine.runs.spec import RunSpec

ARM = RunSpec(model="arm", n=4)


@pytest.fixture(scope="module")
def computing() -> Iterator[Computing]:
    with Computing() as computing:
        yield computing


def test_faithfulness_of_the_embedded_arm(computing: Computing) -> None:
    reports: list[tuple[str, int, int]] = []
    execution.carry_out(
        evidence.plan([ARM], ["faithfulness"]),
        computing,
        lambda progress: reports.append((progress.stage, progress.done, progress.total)),
    )
    arm, mdm = lifecycle.find(ARM), lifecycle.find(evidence.other_of(ARM))
    assert arm and mdm
    there = evidence.find(arm, "faithfulness", mdm)
    assert there
    n_edges = graph_of(6, 8).n_edges
    own = evidence.table(there, "circuit_runs", circuit="own", part="total").to_pylist()
    assert [own[0]["size"], own[-1]["size"]] == [3, n_edges]
    assert own[-1]["f"] == pytest.approx(1, abs=1e-5) and own[-1]["right"] == 1
    assert there.meta["full"] == pytest.approx(arm.meta.metric_clean, rel=1e-4)
    assert there.meta["corrupted"] == pytest.approx(arm.meta.metric_corrupt, rel=1e-4)
    assert {"circuits", "the smallest faithful circuits"} <= {stage for stage, _, _ in reports}
    done = [(done, total) for stage, done, total in reports if stage == "circuits"]
    assert done[0][0] == 0 and done[-1][0] == done[-1][1] > 0


def test_scores_are_those_of_the_stored_circuit(computing: Computing) -> None:
    execution.carry_out(evidence.plan([ARM], ["faithfulness_at"], 50), computing, lambda progress: None)
    arm = lifecycle.find(ARM)
    assert arm
    scores, table = read.scores(arm.key), read.edge_table(arm.key)
    assert np.array_equal(scores[table.edge], table.score)
