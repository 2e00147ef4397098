"""Tables of how answers come about: those of an MDM's steps are empty for an ARM, which has none."""

from __future__ import annotations

import pytest

from engine.runs.spec import RunSpec
from engine.schema.answer_tables import ANSWER_TABLES
from engine.schema.vocabulary import SAMPLERS
from tests.fakes import fake_run

MDM_ONLY = {"reveals", "trajectories", "accuracy_steps"}


@pytest.mark.parametrize("model", ["arm", "mdm"])
def test_tables_of_steps_are_an_mdms_alone(model: str) -> None:
    run = fake_run(RunSpec(model=model, task="countdown", n=5), lambda progress: None)
    assert {table.name for table in ANSWER_TABLES if table.mdm_only} == MDM_ONLY
    for table in ANSWER_TABLES:
        stored = run.tables[table.name]
        assert stored.column_names == [column.name for column in table.columns]
        assert (stored.num_rows > 0) == (model == "mdm" or not table.mdm_only), table.name


def test_trajectories_know_the_samplers_alone() -> None:
    run = fake_run(RunSpec(model="mdm", task="countdown", n=5), lambda progress: None)
    (trajectories,) = (table for table in ANSWER_TABLES if table.name == "trajectories")
    (sampler,) = (column for column in trajectories.columns if column.name == "sampler")
    assert sampler.one_of == SAMPLERS
    assert set(run.tables["trajectories"]["sampler"].to_pylist()) <= set(SAMPLERS)
