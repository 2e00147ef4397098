"""Transfer is read from stored faithfulness, at the size nearest to K."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from engine.circuits.intervals import Estimate
from engine.runs import evidence, execution, lifecycle
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from engine.runs.transfer import transfer_at, transfers_of
from tests.fakes import tiny_compute

SPEC = RunSpec(n=8)


def row(circuit: str, size: int, f: float | None, draw: int = 0) -> dict[str, Any]:
    ends = (None, None) if f is None else (f - 0.1, f + 0.1)
    return {"circuit": circuit, "size": size, "draw": draw, "f": f, "f_low": ends[0], "f_high": ends[1]}


def rows_of(shift: float) -> list[dict[str, Any]]:
    rows = [row("own", size, shift + size / 100) for size in (10, 20, 50)]
    rows += [row("other", size, shift + size / 200) for size in (10, 20)]
    return rows + [row("random", size, size / 1000 * draw, draw) for size in (10, 20, 50) for draw in (1, 2, 3)]


def test_the_nearest_size_that_all_have_is_taken() -> None:
    arm, mdm = rows_of(0.0), rows_of(0.5)
    assert [transfer_at(arm, mdm, k).k for k in (1, 13, 15, 50, 1000)] == [10, 10, 20, 20, 20]
    at = transfer_at(arm, mdm, 20)
    assert at.own_in_arm == Estimate(0.2, pytest.approx(0.1), pytest.approx(0.3))
    assert (at.own_in_mdm.value, at.arm_in_mdm.value, at.mdm_in_arm.value) == (0.7, 0.6, 0.1)
    assert at.random_in_arm == at.random_in_mdm == pytest.approx(0.06)


def test_what_is_not_there_gives_no_number() -> None:
    assert transfer_at(rows_of(0.0), [row("own", 10, 0.5)], 20) is None
    meaningless = [replaced | {"f": None, "f_low": None, "f_high": None} for replaced in rows_of(0.0)]
    at = transfer_at(rows_of(0.0), meaningless, 20)
    assert math.isnan(at.arm_in_mdm.value) and math.isnan(at.random_in_mdm) and at.arm_in_mdm.low is None


@pytest.mark.usefixtures("workspace")
def test_it_is_there_for_tasks_whose_faithfulness_is_stored_of_both_models() -> None:
    assert transfers_of(SPEC, 20) == {}
    for model in ("arm", "mdm"):
        assert transfers_of(SPEC, 20) == {}
        steps = evidence.plan([replace(SPEC, model=model)], ["faithfulness"])
        execution.carry_out(steps, tiny_compute, lambda progress: None)
    transfers = transfers_of(SPEC, 20)
    assert list(transfers) == ["ioi"] and transfers["ioi"].k > 0
    assert transfers["ioi"].arm_in_mdm.low is not None
    assert transfers_of(SPEC, 7)["ioi"].k != 7
    for model in ("arm", "mdm"):
        steps = evidence.plan([replace(SPEC, model=model)], ["faithfulness_at"], 7)
        execution.carry_out(steps, tiny_compute, lambda progress: None)
    assert transfers_of(SPEC, 7)["ioi"].k == 7 and transfers_of(SPEC, 20) == transfers


@pytest.mark.usefixtures("workspace")
def test_of_single_sizes_the_nearest_that_both_models_have_is_taken() -> None:
    def measure(model: str, *sizes: int) -> None:
        for size in sizes:
            evidence.compute([replace(SPEC, model=model)], ["faithfulness_at"], size, compute=tiny_compute)

    measure("arm", 7, 15)
    measure("mdm", 9)
    assert transfers_of(SPEC, 9) == {}
    measure("mdm", 7, 15)
    assert [transfers_of(SPEC, k)["ioi"].k for k in (1, 9, 14, 500)] == [7, 7, 15, 15]
    evidence.compute([replace(SPEC, model="arm")], ["faithfulness"], compute=tiny_compute)
    at = transfers_of(SPEC, 9)["ioi"]
    assert at.k == 7
    mdm, arm = (evidence_run(model) for model in ("mdm", "arm"))
    stored = evidence.find(mdm, "faithfulness_at", arm, 7)
    assert stored
    (other,) = evidence.table(stored, "circuit_runs", circuit="other", part="total").to_pylist()
    assert at.arm_in_mdm == Estimate(other["f"], other["f_low"], other["f_high"])


def evidence_run(model: str) -> Run:
    run = lifecycle.find(replace(SPEC, model=model))
    assert run
    return run
