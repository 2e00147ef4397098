"""Every page in every state of runs that are computed in part: what is there is shown, what is not says so."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from cache.folder import ArtifactFolder
from engine.runs import lifecycle, parts, stored
from engine.runs.cache_connection import store
from engine.runs.jobs import JobQueue
from engine.runs.provenance import resolve
from engine.runs.records import Run, size_text
from engine.runs.rows import ReadoutRow
from engine.runs.spec import RunSpec
from engine.schema.artifacts import KINDS, Kind
from pages.shared import artifacts, cached_reads
from pages.shared.words import ARTIFACTS
from tests.fakes import fake_compute
from tests.pages.test_pages import TIMEOUT, app, figures, texts
from tests.waiting import until

PAGES = {"circuits": {"node": "a2.h3"}, "activations": {}, "neurons": {"layer": "3", "neuron": "11"}, "denoising": {}}
SHOWN = {  # by page, the artifacts without which one of its panels has nothing to show
    "circuits": {"lens"},  # the tab of the inspector that is open
    "activations": {"lens", "activity", "weights"},
    "neurons": {"activity", "weights"},
    "denoising": {"ability", "lens"},
}
COMPANIONS: tuple[Kind, ...] = KINDS[1:]


def run_of(model: str, task: str = "countdown") -> Run:
    run = lifecycle.find(RunSpec(model=model, task=task))
    assert run
    return run


def drop(run: Run, *kinds: Kind) -> None:
    for kind in kinds:
        store().delete(run.companions[kind])


def boxes(page: AppTest) -> list[str]:
    return [box.value.replace("\\", "") for box in page.info if "comput" in box.value]


def drawn(page: AppTest) -> int:
    """Figures and circuit components."""
    return len(figures(page)) + len(page.get("bidi_component"))


def hold(key: str, pid: int) -> Path:
    """Let another process compute an artifact."""
    lease = store().lease_of(key)
    lease.write_text(json.dumps({"pid": pid, "host": "elsewhere", "since": time.time()}))
    return lease


@pytest.fixture
def another_process() -> int:
    return os.getppid()


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("kind", COMPANIONS)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_what_is_there_and_says_what_is_not(page: str, kind: Kind) -> None:
    whole = app(page, task="countdown", **PAGES[page])
    assert not boxes(whole) and "compute rest" not in [button.key for button in whole.button]
    drop(run_of("mdm"), kind)
    shown = app(page, task="countdown", **PAGES[page])
    assert not shown.error
    assert f"The circuits are here. Not computed yet: {ARTIFACTS[kind]}." in texts(shown)
    told = f"the {ARTIFACTS[kind]} of the MDM"
    assert any(told in box for box in boxes(shown)) == (kind in SHOWN[page])
    assert 0 < drawn(shown) <= drawn(whole)
    assert drawn(shown) < drawn(whole) or kind == "weights" or kind not in SHOWN[page]


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("page", [*PAGES, "overview", "runs", "prompts"])
def test_a_page_opens_with_nothing_but_the_circuits(page: str) -> None:
    for model in ("arm", "mdm", "control"):
        drop(run_of(model), *COMPANIONS)
    query = {"task": "countdown", **PAGES[page]} if page in PAGES else {}
    shown = app(page, **query)
    assert not shown.error
    for kind in SHOWN.get(page, ()):
        assert f"the {ARTIFACTS[kind]} of the ARM and the MDM" in texts(shown)


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("page", PAGES)
def test_what_is_missing_is_computed_and_appears(page: str, queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("fake_compute")
    for model in ("arm", "mdm"):
        drop(run_of(model), *COMPANIONS)
    shown = app(page, task="countdown", **PAGES[page])
    place = next(button.key for button in shown.button if button.label == "Compute what is missing")
    shown.button(key=place).click().run()
    (job,) = queue.jobs()
    assert {spec.model for spec in job.specs} == {"arm", "mdm"}
    until(lambda: queue.job(job.id).state == "done", TIMEOUT)
    assert queue.job(job.id).step_index == queue.job(job.id).n_steps == 2 * len(COMPANIONS)
    shown.run()
    assert not shown.exception and not shown.error and not boxes(shown)


@pytest.mark.usefixtures("pair")
def test_what_a_job_computes_says_how_far_it_is(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("stuck_compute")
    job = queue.submit([RunSpec(model=model, n=4) for model in ("arm", "mdm")], "Two runs")
    until(lambda: queue.job(job).progress.stage == "lenses" and queue.job(job).progress.done > 1, TIMEOUT)
    page = app("circuits", n="4", k="10", node="a1.h1")
    assert not page.error and page.get("bidi_component")
    assert "the logit lens of the ARM and the MDM (lenses " in boxes(page)[0]
    attention = app("circuits", n="4", k="10", node="a1.h1", tab="Attention")
    rest = "the activations of the ARM and the MDM and the analysis of the weights of the ARM and the MDM"
    assert f"Still being computed: {rest}. It appears here by itself." in boxes(attention)
    assert "logit lens of the MDM, 4 of 10" in texts(page)
    assert "compute rest" not in [button.key for button in page.button]


@pytest.mark.usefixtures("pair")
def test_what_failed_says_why_and_can_be_tried_again(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("blind_compute")
    job = queue.submit([RunSpec(model=model, n=4) for model in ("arm", "mdm")], "Two runs")
    until(lambda: queue.job(job).state == "failed", TIMEOUT)
    page = app("circuits", n="4", k="10", node="a1.h1")
    reasons = [error.value.replace("\\", "") for error in page.error]
    assert "Could not be computed: the logit lens of the MDM. The unembedding is not here." in reasons
    assert "Could not be computed: the logit lens of the ARM. The unembedding is not here." in reasons
    of_job = "logit lens of the MDM on Indirect object identification, the logit lens of the ARM on Indirect object"
    assert any(of_job in reason for reason in reasons)
    assert "failed, 8 of 10 parts of 2 runs are kept" in texts(page)
    page.button(key="compute node lens").click().run()
    assert not page.exception and len(queue.jobs()) == 2
    until(lambda: not queue.jobs()[-1].is_open, TIMEOUT)
    second = queue.jobs()[-1].id
    page.run().button(key=f"again {second}").click().run()
    assert not page.exception and [known.id for known in queue.jobs()] == [job, "job-3"]


@pytest.mark.usefixtures("seeded", "queue_of")
def test_what_another_process_computes_is_said(another_process: int) -> None:
    run = run_of("mdm", "ioi")
    drop(run, "lens")
    lease = hold(run.companions["lens"], another_process)
    page = app("circuits", task="ioi", node="a2.h3")
    told = f"Still being computed by process {another_process} on elsewhere: the logit lens of the MDM."
    assert any(told in box for box in boxes(page))
    assert "compute rest" not in [button.key for button in page.button]
    lease.unlink()
    assert any("Not computed yet: the logit lens of the MDM." in box for box in boxes(page.run()))


@pytest.mark.usefixtures("pair", "queue_of")
@pytest.mark.parametrize("n", [4, 600])
def test_a_circuit_that_another_process_computes_is_waited_for(another_process: int, n: int) -> None:
    """A large one is computed in parts."""
    run = resolve(RunSpec(n=n))
    hold(parts.key_of(run, run.parts[1]) if run.parts else run.key, another_process)
    page = app("circuits", n=str(n))
    assert any(f"Process {another_process} on elsewhere is computing" in box for box in boxes(page))
    assert "compute 0" not in [button.key for button in page.button]


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_page_is_drawn_again_when_what_it_lacks_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Callable[[], object]] = []
    monkeypatch.setattr(artifacts, "watch", lambda look_up, every: asked.append(look_up))
    specs = [RunSpec(model=model, task="countdown") for model in ("arm", "mdm")]
    artifacts.watch_runs(specs)
    assert asked == []  # nothing is missing
    drop(run_of("mdm"), "lens")
    artifacts.watch_runs(specs)
    artifacts.watch_cache(("lens",))
    before = [ask() for ask in asked]
    assert before == [ask() for ask in asked]
    lifecycle.run_all(specs, compute=fake_compute)
    after = [ask() for ask in asked]
    assert before[0] != after[0] and before[1] != after[1]

    reruns: list[str] = []
    monkeypatch.setattr(st, "rerun", lambda scope="app": reruns.append(scope))
    artifacts._compare(asked[0], before[0])
    artifacts._compare(asked[0], after[0])
    assert reruns == ["app"]


@pytest.mark.usefixtures("seeded")
def test_nothing_is_kept_of_a_read_that_failed() -> None:
    run = run_of("mdm", "ioi")
    st.cache_resource.clear()
    drop(run, "lens")
    for _ in range(2):
        with pytest.raises(lifecycle.UserError, match="lens"):
            cached_reads.rows(ReadoutRow, run.key)
    lifecycle.run(run.spec, compute=fake_compute)
    assert cached_reads.rows(ReadoutRow, run.key)


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("page", [*PAGES, "overview", "runs"])
def test_a_run_that_another_tab_deletes_is_no_exception(page: str) -> None:
    query = {"task": "countdown", **PAGES[page]} if page in PAGES else {}
    shown = app(page, **query)
    stored.delete(run_of("mdm").key)
    shown.run()
    assert not shown.exception
    if page in PAGES:
        assert "Not computed yet with these settings: the MDM on COUNTDOWN" in texts(shown)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_overview_counts_runs_that_are_there_in_part() -> None:
    before = app().button(key="compute missing").label
    for model in ("arm", "mdm", "control"):
        drop(run_of(model, "ioi"), "ability")
    page = app()
    assert page.button(key="compute missing").label == "Compute what is missing (9 runs)" != before
    assert "9 runs of 12 not computed in full yet" in texts(page)
    others = page.dataframe[1].value
    assert others["Solved, MDM"].isna().tolist() == [True, False]


@pytest.mark.usefixtures("seeded", "queue_of")
def test_runs_tells_what_is_missing_and_how_large_the_rest_is() -> None:
    run = run_of("mdm")
    drop(run, "ability", "lens")
    page = app("runs")
    table, sizes = (frame.value.set_index("Run") for frame in page.dataframe)
    assert table.loc[run.key[:10], "Missing"] == "accuracy, logit lens"
    assert table.loc[run_of("arm").key[:10], "Missing"] == ""
    assert table.loc[run.key[:10], "MiB"] == pytest.approx(sum(stored.sizes_of(run).values()) / 2**20)
    assert sizes.loc[run.key[:10], "Circuit"] == pytest.approx(stored.sizes_of(run)["circuit"] / 2**20)
    assert sizes["Logit lens"].isna().sum() == 1
    assert f"{size_text(sum(stored.sizes().values()))} on disk" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_runs_reads_the_folder_as_often_for_many_runs_as_for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    original, listings = ArtifactFolder.records, list[int]()

    def counted(self: ArtifactFolder) -> Any:
        listings.append(1)
        return original(self)

    monkeypatch.setattr(ArtifactFolder, "records", counted)
    app("runs")
    few = len(listings)
    more = [RunSpec(model=model, seed=seed) for model in ("arm", "mdm") for seed in (1, 2)]
    lifecycle.run_all(more, compute=fake_compute)
    listings.clear()
    page = app("runs")
    assert len(page.dataframe[0].value) == 12 and len(listings) == few


@pytest.mark.usefixtures("seeded", "queue_of")
def test_runs_deletes_what_is_chosen_and_says_what_that_freed() -> None:
    run = run_of("mdm")
    page = app("runs")
    page.session_state["chosen runs"] = [run.key]
    page.run()
    assert [button.label for button in page.button if button.key == "delete"] == ["Delete for good"]
    page.button(key="delete").click().run()
    assert lifecycle.find(run.spec) is None
    (sentence,) = [element.value for element in page.success]
    assert sentence.startswith("Deleted 1 run: ") and sentence.endswith("iB freed.")
    assert not app("runs").success


@pytest.mark.usefixtures("seeded", "queue_of")
def test_runs_that_were_deleted_elsewhere_are_not_deleted_twice() -> None:
    run = run_of("mdm")
    page = app("runs")
    page.session_state["chosen runs"] = [run.key]
    page.run()
    stored.delete(run.key)
    page.button(key="delete").click().run()
    assert not page.exception and "There is no run with the key" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_runs_frees_space_of_old_runs_once_it_is_confirmed() -> None:
    page = app("runs")
    assert "There is nothing so old." in texts(page) and "prune" not in [button.key for button in page.button]
    time.sleep(1.1)  # times are kept to the second
    page.number_input(key="prune days").set_value(0).run()
    runs = len(stored.list_runs())
    assert f"That deletes **{runs} runs** and frees about" in texts(page)
    page.button(key="prune").click().run()
    assert stored.list_runs() == [] and f"Deleted {runs} runs: " in page.success[0].value


def test_models_and_artifacts_have_plain_names() -> None:
    assert artifacts.artifact_names([("lens", "arm"), ("lens", "mdm")]) == "the logit lens of the ARM and the MDM"
    mixed = artifacts.artifact_names([("weights", "step:1000"), ("circuit", "control")])
    assert mixed == "the circuit of the control and the analysis of the weights of the MDM after 1,000 steps"


def test_a_spec_without_weights_has_no_key() -> None:
    assert artifacts._keys_of(replace(RunSpec(), pair="dream")) == ()
