"""Knockouts and audits in a sweep's table against the stored tables, by another way of counting ranks."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from engine.runs import evidence, lifecycle
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from engine.sweeps.compared_runs import compared_runs
from engine.sweeps.stored_components import Components, StoredComponents
from engine.sweeps.stored_evidence import StoredEvidence
from engine.sweeps.table import incomplete, rows
from tests.engine.sweeps.stored_sweeps import N, small, store

KINDS = ("knockouts", "audit")
SPECS = {model: RunSpec(n=N, model=model) for model in ("arm", "mdm", "step:100")}


def runs() -> dict[str, Run]:
    return {model: run for model, spec in SPECS.items() if (run := lifecycle.find(spec))}


def told(arm: Run, other: Run) -> Components:
    return StoredComponents(StoredEvidence()).of(arm, other)


def frame(run: Run, kind: str, compared: Run | None, table: str) -> pd.DataFrame:
    there = evidence.find(run, kind, compared)  # type: ignore[arg-type]
    assert there
    return evidence.table(there, table).to_pandas()


def changes(run: Run, compared: Run) -> pd.Series:
    of = frame(run, "knockouts", compared, "knockouts")
    return of[(of.part == "total") & (of.replaced_by == "corrupted")].set_index("node").change


def right(run: Run, compared: Run) -> float | None:
    groups = frame(run, "knockouts", compared, "group_knockouts")
    shared = groups[groups.selection == "shared"].right
    return float(shared.iloc[0]) if len(shared) else None


def estimated(run: Run) -> float:
    edges = frame(run, "audit", None, "audited_edges").drop_duplicates("edge")
    return of_ranks(edges.exact, edges.eap_ig_5)


def of_ranks(x: pd.Series, y: pd.Series) -> float:
    """Spearman's correlation; pandas' own wants SciPy."""
    return float(x.rank().corr(y.rank()))


@pytest.mark.usefixtures("workspace")
def test_numbers_are_those_of_the_stored_tables() -> None:
    store(small().specs(), KINDS)
    there = runs()
    arm, mdm, step = there["arm"], there["mdm"], there["step:100"]
    of = told(arm, mdm)
    assert of.knockouts_spearman == pytest.approx(of_ranks(changes(arm, mdm), changes(mdm, arm)))
    assert (of.right_without_shared_arm, of.right_without_shared_other) == (right(arm, mdm), right(mdm, arm))
    assert of.audit_spearman_arm == pytest.approx(estimated(arm))
    assert of.audit_spearman_other == pytest.approx(estimated(mdm))
    of = told(arm, step)
    assert of.knockouts_spearman == pytest.approx(of_ranks(changes(arm, mdm), changes(step, arm)))
    assert of.right_without_shared_arm is None  # its groups are those it shares with the MDM
    (row,) = [row for row in rows(small(), (20,)).to_pylist() if row["model"] == "mdm"]
    assert {name: row[name] for name in vars(told(arm, mdm))} == vars(told(arm, mdm))


@pytest.mark.usefixtures("workspace")
def test_what_is_not_computed_is_empty_and_named() -> None:
    sweep = small(artifacts=["circuit"], evidence=list(KINDS))
    store(sweep.specs())
    there = runs()
    assert told(there["arm"], there["mdm"]) == Components()
    assert set(incomplete(sweep, compared_runs(sweep))) == set(sweep.specs())
    store([SPECS["mdm"]], KINDS)
    of = told(there["arm"], there["mdm"])
    assert of.knockouts_spearman is None and of.audit_spearman_arm is None
    assert of.audit_spearman_other is not None
    assert SPECS["mdm"] not in incomplete(sweep, compared_runs(sweep))
    assert SPECS["arm"] in incomplete(sweep, compared_runs(sweep))


@pytest.mark.usefixtures("workspace")
def test_a_method_that_no_audit_has_is_empty() -> None:
    sweep = small(methods=["eap-ig"], points=[3], models=["arm", "mdm"])
    store(sweep.specs(), ["audit"])
    arm, mdm = (lifecycle.find(replace(SPECS[model], points=3)) for model in ("arm", "mdm"))
    assert arm and mdm and evidence.find(arm, "audit")
    assert told(arm, mdm).audit_spearman_arm is None
