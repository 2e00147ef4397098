"""Where numbers come from is told in full: keys, settings, versions."""

from __future__ import annotations

import pytest

from engine.exchange.report_parts import Grid
from engine.exchange.report_sources import sources_section
from engine.runs import evidence
from engine.runs.spec import RunSpec
from tests.fakes import tiny_compute
from tests.stored_evidence import question, store


@pytest.mark.usefixtures("workspace")
def test_every_artifact_is_listed_with_its_key_and_settings() -> None:
    store(seed=3)
    asked = question()
    runs, evidence = sources_section(asked).blocks
    assert isinstance(runs, Grid) and isinstance(evidence, Grid) and asked.control
    rows = {row[0]: list(row[1:]) for row in runs.rows}
    assert runs.head == ("of", "ARM", "MDM", "control")
    assert rows["key"] == [asked.arm.run.key, asked.mdm.run.key, asked.control.key]
    assert rows["seed"] == ["3"] * 3 and rows["n"] == ["4"] * 3 and rows["method"] == ["eap-ig"] * 3
    assert {"points", "metric", "order", "dtype", "versions", "weights", "imported"} < set(rows)
    keys = {artifact.key for _, of_model in asked.models for artifact in of_model.by_kind.values()}
    assert {row[2] for row in evidence.rows} == keys and len(keys) == 6
    assert all("torch " in row[3] for row in evidence.rows)


@pytest.mark.usefixtures("workspace")
def test_evidence_at_a_single_size_is_listed_with_its_size() -> None:
    store(control=False, kinds=())
    evidence.compute([RunSpec(n=4, model="arm")], ["faithfulness_at"], 7, compute=tiny_compute)
    asked = question()
    (there,) = asked.arm.faithfulness
    _, listed = sources_section(asked).blocks
    assert isinstance(listed, Grid)
    assert [tuple(row[:3]) for row in listed.rows] == [("faithfulness at K = 7", "ARM", there.key)]


@pytest.mark.usefixtures("workspace")
def test_without_evidence_there_are_runs_only() -> None:
    store(kinds=(), control=False)
    (runs,) = sources_section(question()).blocks
    assert isinstance(runs, Grid) and runs.head == ("of", "ARM", "MDM")
