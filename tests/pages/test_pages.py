"""Every page in every state: nothing computed, computing, failed, computed."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine import settings
from engine.circuits.edges import EdgeTable
from engine.circuits.pruning import prune
from engine.runs import cache_connection, device_plan, lifecycle, read
from engine.runs.jobs import JobQueue, JobView
from engine.runs.records import Progress, RunTables
from engine.runs.spec import RunSpec
from engine.tasks import TASKS, task_named
from pages.shared import cached_reads, state
from pages.shared.choose_k import SLIDER
from pages.shared.jobs_panel import made, overall, time_left
from tests.fakes import REMARK, remarked_compute, tiny_compute

MODELS = ("arm", "mdm", "control")
APP = str(settings.ROOT / "app.py")
TIMEOUT = 30


def app(page: str = "overview", **query: str) -> AppTest:
    opened = AppTest.from_file(APP, default_timeout=TIMEOUT)
    if page != "overview":
        opened.switch_page(f"pages/{page}.py")
    for name, value in query.items():
        opened.query_params[name] = value
    opened.run()
    assert not opened.exception
    return opened


def texts(page: AppTest) -> str:
    shown = [*page.markdown, *page.caption, *page.info, *page.warning, *page.error, *page.title, *page.subheader]
    return "\n".join(str(element.value) for element in shown).replace("\\", "")


def overlap(page: AppTest) -> float:
    return float(next(metric.value for metric in page.metric if metric.label.startswith("Overlap")))


def figures(page: AppTest) -> list[str]:
    return [element.proto.spec or element.proto.figure.spec for element in page.get("plotly_chart")]


def caption(figure: str) -> str:
    """What a figure says of where it comes from."""
    text = json.loads(figure)["layout"]["title"]["text"]
    return re.sub(r"<[^>]+>", "", text.replace("<br>", " "))


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(0.05)


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("page", ["circuits", "activations", "neurons", "denoising"])
def test_a_method_and_a_metric_that_give_rounding_errors_are_answered_with_a_sentence(page: str) -> None:
    shown = app(page, method="eap", metric="kl")
    assert "Choose the method eap-ig, or the metric logit_diff or log_prob." in texts(shown)
    assert not [button for button in shown.button if str(button.key).startswith("compute")]
    shown.selectbox(key=state.METHOD).set_value("eap-ig").run()
    assert not shown.exception and "rounding errors" not in texts(shown)


@pytest.mark.usefixtures("pair", "queue_of")
def test_the_overview_offers_to_compute_what_is_missing() -> None:
    page = app()
    assert page.button(key="compute missing").label == f"Compute what is missing ({3 * len(TASKS)} runs)"
    assert "Nothing is computed for this pair yet" in texts(page)
    assert "left to right" in texts(page)


@pytest.mark.usefixtures("seeded")
def test_the_overview_computes_only_what_is_missing(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("slow_compute")
    page = app()
    page.button(key="compute missing").click().run()
    (job,) = queue.jobs()
    wanted = {RunSpec(task=task, model=model) for task in ("greater_than", "sudoku") for model in MODELS[:3]}
    assert set(job.specs) == wanted
    assert "compute missing" not in [button.key for button in page.button]


@pytest.mark.usefixtures("pair")
def test_a_running_job_shows_what_it_does_and_can_be_cancelled(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("slow_compute")
    job = queue.submit([RunSpec(), RunSpec(model="arm")], "Two runs")
    until(lambda: queue.job(job).progress.done > 1)
    page = app()
    assert "Two runs" in texts(page)
    assert re.search(r"run 1 of 2, about \d+ (s|min) left", texts(page))
    page.button(key=f"cancel {job}").click().run()
    until(lambda: queue.job(job).state == "cancelled")
    assert lifecycle.list_runs() == []
    assert not app().get("progress")


@pytest.mark.usefixtures("pair")
def test_cancel_is_seen_at_once(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("deaf_compute")
    job = queue.submit([RunSpec(), RunSpec(model="arm")], "Two runs")
    until(lambda: queue.job(job).progress.done > 0)
    page = app("runs")
    page.button(key=f"cancel {job}").click().run()
    assert "cancelling: it stops when it reports next" in texts(page)
    assert page.button(key=f"cancel {job}").disabled
    assert "Not computed yet" in texts(app("circuits"))  # nobody waits for them
    until(lambda: queue.job(job).state == "cancelled")
    assert "cancelled, 2 runs" in texts(app("runs"))


@pytest.mark.usefixtures("pair")
def test_a_finished_job_leads_to_what_it_made_and_can_be_dismissed(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("tiny_compute")
    specs = [RunSpec(task=task, n=4, model=model) for task in ("ioi", "countdown") for model in ("arm", "step:100")]
    job = queue.submit(specs, "Four runs")
    until(lambda: queue.job(job).state == "done")
    assert made(queue.job(job)) == [
        (f"Fake pair: {task_named(task).title}", {"pair": "embedded", "task": task, "n": "4", "step": "100"})
        for task in ("ioi", "countdown")
    ]
    page = app("runs")
    links = [link.proto.label.replace("\\", "") for link in page.get("page_link")]
    assert links[:2] == ["Fake pair: Indirect object identification", "Fake pair: COUNTDOWN"]
    page.button(key=f"dismiss {job}").click().run()
    assert queue.jobs() == [] and "Four runs" not in texts(page)
    assert len(lifecycle.list_runs()) == 4


@pytest.mark.usefixtures("pair")
def test_a_cancelled_job_leads_only_to_what_it_finished() -> None:
    ended = JobView(
        id="1", title="", state="cancelled", specs=(RunSpec(task="ioi"), RunSpec(task="sudoku")), n_runs=2,
        progress=Progress("Scoring", 1, 2), run_index=1, eta_seconds=None, error=None, submitted=0.0, started=1.0,
        finished=2.0,
    )  # fmt: skip
    assert [chosen["task"] for _, chosen in made(ended)] == ["ioi"]
    assert made(replace(ended, run_index=0)) == []


@pytest.mark.usefixtures("pair")
def test_a_failed_job_says_why_on_the_overview(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("moody_compute")
    job = queue.submit([RunSpec(seed=13)], "One run")
    until(lambda: queue.job(job).state == "failed")
    page = app()
    assert [e.value.replace("\\", "") for e in page.error] == ["There is no model in this folder. Choose another pair."]
    assert page.button(key="compute missing")


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_overview_tells_the_engines_numbers_beside_the_published_ones() -> None:
    page = app(k="50")
    runs = {
        (task, model): lifecycle.find(RunSpec(task=task, model=model))
        for task in ("ioi", "countdown")
        for model in MODELS[:3]
    }
    keys = {name: run.key for name, run in runs.items()}
    found = {task: read.overlap(keys[task, "arm"], keys[task, "mdm"], 50) for task in ("ioi", "countdown")}
    ours, others, published = (frame.value for frame in page.dataframe)
    assert list(ours["Overlap"]) == pytest.approx([found["ioi"], found["countdown"]])
    assert list(ours["Chance"]) == pytest.approx([50 / (2 * 3628 - 50)] * 2)
    controls = [read.overlap(keys[task, "arm"], keys[task, "control"], 50) for task in ("ioi", "countdown")]
    assert list(ours["Control"]) == pytest.approx(controls)
    halves = [read.split_half(runs[task, "arm"], runs[task, "mdm"], 50) for task in ("ioi", "countdown")]
    for column in ("pair", "arm", "mdm"):
        told = ours[f"Halves: {column if column == 'pair' else column.upper()}"]
        assert list(told) == pytest.approx([getattr(one, column) for one in halves])
    solved = [100 * runs[task, "control"].meta.accuracy for task in ("ioi", "countdown")]
    assert list(others["Solved, control"]) == pytest.approx(solved)
    said = texts(page)
    assert (
        f"overlap by {found['ioi']:.2f} on tasks that need only what came before, by {found['countdown']:.2f}" in said
    )
    low, high = min(controls), max(controls)
    assert f"(the step-0 control) overlap with the ARM by {low:.2f} to {high:.2f}." in said
    assert list(published["Overlap"]) == [0.193, 0.008, 0.088, 0.032]


@pytest.mark.usefixtures("queue_of")
def test_a_pair_without_weights_does_not_hide_the_others(
    pair_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = pair_file.read_text() + '\n[gone]\ntitle = "Gone pair"\narm = "gone/arm"\nmdm = "gone/mdm"\n'
    file = pair_file.parent / "two.toml"
    file.write_text(more)
    monkeypatch.setenv("CIRCUITS_PAIRS", str(file))
    monkeypatch.setattr(device_plan, "devices", lambda: [device_plan.Device("cpu", 2**33, 2**32)])
    page = app()
    assert page.header[0].value == "Fake pair"
    assert "Gone pair" not in [header.value for header in page.header]
    (gone,) = [expander for expander in page.expander if expander.label == "Gone pair"]
    assert gone.code[0].value == "hf download gone/arm\nhf download gone/mdm"
    (dream,) = [expander for expander in page.expander if "Dream" in expander.label and "Coder" not in expander.label]
    assert "hf download Dream-org/Dream-v0-Base-7B" in dream.code[0].value
    assert "It does not fit this machine: bfloat16 on cpu, needs about" in dream.caption[0].value.replace("\\", "")
    assert page.button(key="compute missing").label.endswith(f"({3 * len(TASKS)} runs)")


@pytest.mark.usefixtures("pair", "queue_of")
def test_circuits_offers_to_compute_two_missing_runs() -> None:
    page = app("circuits", task="sudoku")
    assert "Not computed yet with these settings: the ARM and the MDM on SUDOKU 4x4." in texts(page)
    assert page.button(key="compute 0").label == "Compute the ARM, the MDM and the control"
    assert not page.metric


@pytest.mark.usefixtures("pair")
def test_circuits_computes_and_then_shows(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("fake_compute")
    page = app("circuits", n="8")
    page.button(key="compute 0").click().run()
    assert not page.exception
    until(lambda: queue.jobs()[0].state == "done")
    page.run()
    assert len(figures(page)) == 4
    assert {run.spec.n for run in lifecycle.list_runs()} == {8}


@pytest.mark.usefixtures("seeded", "queue_of")
def test_circuits_shows_the_overlap_at_the_chosen_k() -> None:
    page = app("circuits", task="countdown", k="100")
    keys = [lifecycle.find(RunSpec(task="countdown", model=model)).key for model in ("arm", "mdm")]
    assert overlap(page) == pytest.approx(read.overlap(*keys, 100), abs=5e-4)
    page.select_slider(key=SLIDER).set_value(1000).run()
    assert overlap(page) == pytest.approx(read.overlap(*keys, 1000), abs=5e-4)
    for key in keys:
        assert key[:10] in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_moving_k_reads_no_edges_within_the_prefix_that_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, int | None]] = []
    edge_table = read.edge_table

    def watched(key: str, part: str = "total", limit: int | None = None) -> EdgeTable:
        asked.append((key, part, limit))
        return edge_table(key, part, limit)

    monkeypatch.setattr(read, "edge_table", watched)
    monkeypatch.setattr(cached_reads, "PREFIXES", (500, 2**31 - 1))
    page = app("circuits", k="100")
    before = set(asked)
    assert {limit for _, _, limit in asked} == {500} and len(asked) == len(before)
    page.select_slider(key=SLIDER).set_value(500).run()
    assert set(asked) == before and overlap(page) < 1
    page.select_slider(key=SLIDER).set_value(600).run()
    assert {limit for _, _, limit in set(asked) - before} == {2**31 - 1}


@pytest.mark.usefixtures("seeded", "queue_of")
def test_without_a_node_the_panel_says_what_to_click() -> None:
    page = app("circuits")
    assert "Click a node in either graph" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_node_in_the_address_opens_its_panel() -> None:
    page = app("circuits", node="a2.h3")
    assert "Head 3 of layer 2 (a2.h3)" in texts(page)
    # graphs, curves; drift; lens and residual of both models; their attention patterns and roles, the head's scores
    assert len(figures(page)) == 4 + 1 + 4 + 5
    assert "Click a node in either graph" not in texts(page)
    page.selectbox(key=state.NODE).set_value("logits").run()
    assert not page.exception
    assert "The logits write nothing" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_node_panel_tells_rank_and_score_in_both_models() -> None:
    page = app("circuits", node="m0", k="10")
    incoming = next(
        f.value for f in page.dataframe if "ARM rank" in f.value and all("->m0" in e for e in f.value["Edge"])
    )
    graph = lifecycle.list_runs()[0].meta.graph
    for model, name in (("arm", "ARM"), ("mdm", "MDM")):
        table = read.edge_table(lifecycle.find(RunSpec(model=model)).key)
        order = table.edge.tolist()
        for _, row in incoming.iterrows():
            rank = order.index(graph.edge_named(row["Edge"]))
            assert row[f"{name} rank"] == rank + 1
            assert row[f"{name} score"] == pytest.approx(table.score[rank])


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_checkpoint_takes_the_place_of_the_mdm() -> None:
    page = app("circuits", step="100", k="50")
    keys = [lifecycle.find(RunSpec(model=model)).key for model in ("arm", "step:100")]
    assert overlap(page) == pytest.approx(read.overlap(*keys, 50), abs=5e-4)
    assert "MDM after 100 steps" in texts(page)


def tile(page: AppTest, label: str) -> tuple[str, str]:
    return next((metric.value, metric.delta) for metric in page.metric if metric.label == label)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_circuits_shows_what_the_overlap_is_read_against() -> None:
    page = app("circuits", k="50")
    arm, mdm, control = (lifecycle.find(RunSpec(model=model)) for model in MODELS)
    value, note = tile(page, "ARM with its control")
    assert float(value) == pytest.approx(read.overlap(arm.key, control.key, 50), abs=5e-4)
    assert note == f"control solves {control.meta.accuracy:.0%}"
    halves = read.split_half(arm, mdm, 50)
    assert tile(page, "ARM with MDM, on halves") == (
        f"{halves.pair:.3f}",
        f"ARM {halves.arm:.3f}, MDM {halves.mdm:.3f}",
    )
    drawn = next(figure for figure in figures(page) if "overlap (Jaccard)" in figure)
    for name in ("ARM with MDM", "control", "halves: pair", "halves: ARM", "halves: MDM", "chance"):
        assert f'"name":"{name}"' in drawn


@pytest.mark.usefixtures("seeded")
def test_a_missing_control_is_offered_and_hides_nothing(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("slow_compute")
    control = RunSpec(model="control")
    lifecycle.delete(lifecycle.find(control).key)
    page = app()
    assert "The step-0 control is not computed yet: Indirect object identification." in texts(page)
    assert list(page.dataframe[0].value["Overlap"].notna()) == [True, True]
    page = app("circuits", k="50")
    assert overlap(page) and tile(page, "ARM with its control") == ("none", "not computed yet")
    assert "and with its control" in texts(app("circuits", k="50", task="countdown"))
    assert "ARM with MDM: circuits of all prompts. Halves:" in texts(page)
    page.button(key="compute control").click().run()
    assert queue.jobs()[0].specs == (control,)
    assert "The step-0 control is being computed." in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_control_can_stand_for_the_mdm() -> None:
    page = app("circuits", step="control", k="50")
    keys = [lifecycle.find(RunSpec(model=model)).key for model in ("arm", "control")]
    assert overlap(page) == pytest.approx(read.overlap(*keys, 50), abs=5e-4)
    assert "Step-0 control" in texts(page)
    said = "Below, “MDM” stands for the control."
    assert said in texts(page) and said not in texts(app("circuits", k="50"))
    for name in ("activations", "neurons", "denoising"):
        told = texts(app(name, step="control", k="50"))
        assert keys[1][:10] in told and said in told


@pytest.mark.parametrize("page", ["circuits", "activations", "neurons", "denoising"])
@pytest.mark.parametrize(
    ("model", "query", "name"),
    [
        ("mdm", {}, "The MDM"),
        ("step:100", {"step": "100"}, "The MDM after 100 steps"),
        ("control", {"step": "control"}, "The control"),
    ],
)
@pytest.mark.usefixtures("pair", "queue_of")
def test_a_model_that_cannot_do_the_task_is_marked_on_every_page(
    page: str, model: str, query: dict[str, str], name: str
) -> None:
    def unable(spec: RunSpec, on_progress: lifecycle.OnProgress) -> RunTables:
        tables = tiny_compute(spec, on_progress)
        return replace(tables, meta=replace(tables.meta, accuracy=0.1)) if spec.model == model else tables

    for which in {"arm", "mdm", model}:
        lifecycle.run(RunSpec(model=which, n=4), compute=unable)
    said = f"**{name} cannot do this task.** It solves 10% of 200 problems, less than 50%: its circuit explains little."
    assert [w.value.replace("\\", "") for w in app(page, n="4", k="10", **query).warning] == [said]


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_part_of_the_answer_has_an_overlap_of_its_own() -> None:
    page = app("circuits", task="countdown", k="50")
    arm, mdm = (lifecycle.find(RunSpec(task="countdown", model=model)) for model in ("arm", "mdm"))
    page.selectbox(key=state.ARM_PART).set_value(arm.meta.parts[0])
    page.selectbox(key=state.MDM_PART).set_value(mdm.meta.parts[1]).run()
    expected = read.overlap(arm.key, mdm.key, 50, arm.meta.parts[0], mdm.meta.parts[1])
    assert overlap(page) == pytest.approx(expected, abs=5e-4)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_filters_change_what_is_drawn_and_not_the_numbers() -> None:
    page = app("circuits", k="100")
    before, drawn = overlap(page), figures(page)[:2]
    page.segmented_control(key=state.SHOW).set_value("shared").run()
    assert overlap(page) == before
    assert figures(page)[:2] != drawn
    keys = [lifecycle.find(RunSpec(model=model)).key for model in ("arm", "mdm")]
    arm, mdm = (set(read.edge_table(key, limit=100).edge.tolist()) for key in keys)
    both = len(arm & mdm)
    assert f"{both} of 100 edges drawn. {100 - both} are not among those asked for (shared)." in texts(page)
    assert "Overlap and all other numbers speak of all 100." in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("k", ["10", "20"])
def test_a_circuit_of_which_pruning_leaves_nothing_says_so_beside_its_overlap(k: str) -> None:
    page = app("circuits", task="countdown", k=k, prune="true")
    size = int(k)
    for name, model in (("ARM", "arm"), ("MDM", "mdm")):
        run = lifecycle.find(RunSpec(task="countdown", model=model))
        assert run
        left = int(prune(run.meta.graph, read.edge_table(run.key, limit=size).edge).sum())
        drawn = f"{left} of {size} edges drawn." if left else f"None of the {size} edges is drawn."
        why = f"Pruning leaves out {size - left if left else 'all of them'}: on no path from input to logits"
        assert f"{drawn} {why} within the circuit. Overlap and all other numbers speak of all {size}." in texts(page)
        assert f"{name}, {left} of {size} edges (pruned):" in texts(page)
        told = [caption(figure) for figure in figures(page)[:2]]
        assert any(f"circuit of the {name} · {left} of {size} edges drawn · pruned" in line for line in told)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_downloads_are_of_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    files: dict[str, tuple[str, Callable[[], bytes]]] = {}

    def offered(label: str, data: Callable[[], bytes], file_name: str, key: str, **_: object) -> None:
        files[key] = file_name, data

    monkeypatch.setattr(st, "download_button", offered)
    app("circuits", k="100", sign="positive", show="only", task="countdown")
    keys = {model: lifecycle.find(RunSpec(task="countdown", model=model)).key for model in ("arm", "mdm")}
    tops = {model: read.edge_table(key, limit=100) for model, key in keys.items()}
    for model, other in (("arm", "mdm"), ("mdm", "arm")):
        others = set(tops[other].edge.tolist())
        rows = zip(tops[model].edge.tolist(), tops[model].score.tolist(), strict=True)
        wanted = [edge for edge, score in rows if score > 0 and edge not in others]
        name, data = files[f"download {model} csv"]
        assert name == f"embedded-{model}-countdown-total-100-positive-only-{keys[model][:10]}.csv"
        told = list(csv.DictReader(io.StringIO(data().decode())))
        assert [int(row["edge"]) for row in told] == wanted
        assert {(row["filters"], row["run"]) for row in told} == {("positive, not shared", keys[model])}
        name, data = files[f"download {model} html"]
        assert name == f"embedded-{model}-countdown-total-100-positive-only-{keys[model][:10]}.html"
        page = data().decode()
        assert f"<title>{name.removesuffix('.html')}</title>" in page
        page = page.replace("\\u003cbr\\u003e", " ")  # lines are broken where half a page ends
        assert f"{len(wanted)} of 100 edges drawn" in page and keys[model][:10] in page


@pytest.mark.usefixtures("pair", "queue_of")
def test_runs_says_that_there_are_none() -> None:
    page = app("runs")
    assert "Nothing is computed yet." in texts(page)
    assert "No job since the app was started" in texts(page)


@pytest.mark.usefixtures("pair")
def test_runs_starts_what_the_form_asks_for(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("tiny_compute")
    page = app("runs")
    page.number_input(key="start seed").set_value(7)
    page.number_input(key="start n").set_value(4)
    page.button(key="start run").click().run()
    assert not page.exception
    until(lambda: queue.jobs()[0].state == "done")
    assert {(run.spec.model, run.spec.seed, run.spec.n) for run in lifecycle.list_runs()} == {
        ("arm", 7, 4),
        ("mdm", 7, 4),
        ("control", 7, 4),
    }
    assert set(app("runs").dataframe[0].value["Seed"]) == {7}


@pytest.mark.usefixtures("pair")
def test_runs_refuses_a_method_and_a_metric_that_give_rounding_errors(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("tiny_compute")
    page = app("runs")
    page.selectbox(key="start method").set_value("eap")
    page.selectbox(key="start metric").set_value("kl")
    page.button(key="start run").click().run()
    assert not page.exception and queue.jobs() == []
    assert "Choose the method eap-ig, or the metric logit_diff or log_prob." in texts(page)


@pytest.mark.usefixtures("pair")
def test_one_example_is_shown_without_halves_and_with_what_is_to_be_said() -> None:
    for model in ("arm", "mdm"):
        lifecycle.run(RunSpec(model=model, n=1), compute=remarked_compute)
    page = app("circuits", n="1")
    assert texts(page).count(REMARK) == 2
    assert next(metric.value for metric in page.metric if metric.label.startswith("ARM with MDM, on halves")) == "none"


@pytest.mark.usefixtures("pair")
def test_runs_shows_failed_jobs_with_their_reason(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("moody_compute")
    job = queue.submit([RunSpec(seed=14)], "A bug")
    until(lambda: queue.job(job).state == "failed")
    assert texts(app("runs")).count("shapes do not match") == 1


def test_progress_is_a_share_of_the_time() -> None:
    running = JobView(
        id="1", title="", state="running", specs=(RunSpec(),) * 4, progress=Progress("Scoring", 1, 2), run_index=1,
        n_runs=4, eta_seconds=30.0, error=None, submitted=0.0, started=100.0, finished=None,
    )  # fmt: skip
    assert overall(running, now=110.0) == pytest.approx(0.25)
    assert overall(replace(running, eta_seconds=0.0), now=110.0) == 1.0
    assert overall(replace(running, eta_seconds=None), now=110.0) == 0.25
    assert time_left(None) == ""
    assert time_left(0.2) == ", about 1 s left"
    assert time_left(150.0) == ", about 2 min left"


@pytest.mark.parametrize("page", ["overview", "circuits", "activations", "neurons", "denoising", "runs"])
def test_an_unreadable_cache_is_a_sentence(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.setenv("CIRCUITS_DB", str(tmp_path / "folder"))
    opened = app(page)
    assert "is not a file that can be written" in opened.error[0].value.replace("\\", "")


@pytest.mark.usefixtures("seeded")
def test_pages_need_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from streamlit.testing.v1 import AppTest\n"
        f"app = AppTest.from_file({APP!r}, default_timeout={TIMEOUT})\n"
        "for page in ('circuits', 'overview', 'activations', 'neurons', 'denoising', 'prompts', 'runs'):\n"
        "    app.switch_page(f'pages/{page}.py')\n"
        "    app.query_params['node'] = 'm1'\n"
        "    app.run()\n"
        "    assert not app.exception, app.exception\n"
        "    assert not app.error, app.error\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    cache_connection.close()
    done = subprocess.run([sys.executable, "-c", code], cwd=settings.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_what_a_model_sees_is_shown_as_text() -> None:
    def script() -> None:
        from pages.shared.widgets import token_strip

        token_strip(["<b>x</b>", "`y`", "\n"], 0, 2)

    (strip,) = AppTest.from_function(script).run().get("html")
    assert "&lt;b&gt;x&lt;/b&gt;" in strip.proto.body
    assert "<b>" not in strip.proto.body
    assert "⏎" in strip.proto.body
