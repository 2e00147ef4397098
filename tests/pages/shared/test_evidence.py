"""Evidence on pages: read with the usual other model, kept by key, and told what is being done where it is missing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from engine.runs import cache_connection
from engine.runs import evidence as stored_evidence
from engine.runs.jobs import JobQueue
from pages.shared import artifacts, evidence
from pages.shared.artifacts import Awaited
from pages.shared.evidence import Wanted
from tests.pages.evidence import examine, run_of
from tests.pages.test_pages import app, texts
from tests.waiting import until


@pytest.mark.usefixtures("seeded")
def test_evidence_is_that_beside_the_usual_other_model() -> None:
    assert evidence.of(run_of("arm"), 0, "knockouts") is None
    arm, checkpoint = examine("knockouts", "arm", "step:100")
    assert evidence.of(run_of("arm"), 0, "knockouts") == arm
    assert evidence.of(run_of("arm"), 2, "knockouts") is None
    assert evidence.of(run_of("step:100"), 0, "knockouts") == checkpoint
    assert evidence.of(run_of("mdm"), 0, "audit") is None


@pytest.mark.usefixtures("seeded")
def test_single_sizes_are_named_where_faithfulness_is_not_measured_over_k() -> None:
    assert evidence.faithfulness_of(run_of("arm"), 0) == []
    alone = [*examine("faithfulness_at", "arm", size=50), *examine("faithfulness_at", "arm", size=1000)]
    assert evidence.faithfulness_of(run_of("arm"), 0) == alone
    assert evidence.faithfulness_of(run_of("arm"), 2) == [], "the MDM of two denoising steps is not here"
    assert evidence.single_sizes(alone) == "K = 50 and K = 1,000"
    (grid,) = examine("faithfulness", "arm")
    assert evidence.faithfulness_of(run_of("arm"), 0) == [grid, *alone]
    assert evidence.single_sizes([grid, *alone]) == evidence.single_sizes([]) == ""


@pytest.mark.usefixtures("seeded")
def test_tables_are_kept_by_key_and_a_missing_number_is_nan_in_columns_and_none_in_rows() -> None:
    (there,) = examine("knockouts", "arm")
    expected = stored_evidence.table(there, "knockouts", node=5)
    before = evidence.columns(there, "knockouts", node=5)
    assert list(before) == expected.column_names and before["change"].tolist() == expected["change"].to_pylist()
    parts = before["part"] != "total"
    assert np.isnan(before["right"][parts]).all() and not np.isnan(before["right"][~parts]).any()
    rows = evidence.rows(there, "knockouts", node=5)
    assert rows == expected.to_pylist() and [row["right"] is None for row in rows] == parts.tolist()
    cache_connection.store().delete(there.key)
    rows.pop()
    assert evidence.rows(there, "knockouts", node=5) == expected.to_pylist()
    assert evidence.columns(there, "knockouts", node=5)["part"].tolist() == before["part"].tolist()


@pytest.mark.usefixtures("seeded")
def test_a_job_is_that_of_the_kinds_it_computes(
    queue_of: Callable[[str], JobQueue], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = tmp_path_factory.mktemp("gates")
    monkeypatch.setenv("FAKE_GATES", str(gates))
    queue, run = queue_of("gated_compute"), run_of("arm")
    wanted = Wanted(run, 0, "knockouts")
    assert (wanted.job, wanted.state) == (None, "absent") and wanted.key
    queue.submit([run.spec], "Knockouts", lambda: stored_evidence.plan([run.spec], ["knockouts"]), ("knockouts",))
    assert wanted.state == "coming" and Wanted(run, 0, "faithfulness").job is None and Awaited(run, "lens").job is None
    (gates / "arm-knockouts").touch()
    until(lambda: wanted.stored is not None)
    assert wanted.key == "" and queue.jobs()[0].plan is not None


@pytest.mark.usefixtures("seeded")
def test_a_job_that_failed_is_tried_again_with_its_own_plan(queue_of: Callable[[str], JobQueue]) -> None:
    queue, run = queue_of("no_such_compute"), run_of("arm")
    queue.submit([run.spec], "Audit", lambda: stored_evidence.plan([run.spec], ["audit"]), ("audit",))
    until(lambda: queue.jobs()[0].state == "failed")
    page = app("runs")
    page.button(key=f"again {queue.jobs()[0].id}").click().run()
    assert not page.exception and [job.kinds for job in queue.jobs()] == [("audit",)]
    assert queue.jobs()[0].id == "job-2" and queue.jobs()[0].plan is not None


@pytest.mark.usefixtures("seeded", "queue_of")
def test_why_it_could_not_be_computed_is_told_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "failure_of", lambda key: "There is no *memory* left.")
    page = app("circuits", task="ioi", node="a2.h3")
    assert "Could not be computed: the knockouts of the ARM and the MDM. There is no *memory* left." in texts(page)
    assert page.button(key="compute knockouts").label == "Try again"
