"""Every page in every state: nothing computed, computing, failed, computed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from engine import settings
from engine.runs import cache_connection, device_plan, lifecycle, read, stored
from engine.runs.execution import OnProgress, Step
from engine.runs.job_view import StepNow
from engine.runs.jobs import JobQueue, JobView
from engine.runs.provenance import resolve
from engine.runs.records import Accuracy, Progress, RunTables
from engine.runs.spec import RunSpec
from engine.tasks.registry import TASKS, task_named
from pages.shared import state
from pages.shared.jobs_panel import headline, made, overall, places, time_left
from tests.fakes import REMARK, by_kind, remarked_compute, tiny_run
from tests.pages.payloads import line
from tests.waiting import until

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


def figures(page: AppTest) -> list[str]:
    return [element.proto.spec or element.proto.figure.spec for element in page.get("plotly_chart")]


def caption(figure: str) -> str:
    """What a figure says of where it comes from."""
    text = json.loads(figure)["layout"]["title"]["text"]
    return re.sub(r"<[^>]+>", "", text.replace("<br>", " "))


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("page", ["circuits", "evidence", "activations", "neurons", "denoising"])
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
    assert "No task of this pair has the circuits of both models yet" in texts(page)
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
    until(lambda: queue.job(job).progress.done > 1, TIMEOUT)
    page = app()
    assert "Two runs" in texts(page)
    assert re.search(r"circuit of the MDM, 1 of 10, about \d+ (s|min) left", texts(page))
    page.button(key=f"cancel {job}").click().run()
    until(lambda: queue.job(job).state == "cancelled", TIMEOUT)
    assert stored.list_runs() == []
    assert not app().get("progress")


@pytest.mark.usefixtures("pair")
def test_cancel_is_seen_at_once(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("deaf_compute")
    job = queue.submit([RunSpec(), RunSpec(model="arm")], "Two runs")
    until(lambda: queue.job(job).progress.done > 0, TIMEOUT)
    page = app("runs")
    page.button(key=f"cancel {job}").click().run()
    assert "cancelling: it stops when it reports next" in texts(page)
    assert page.button(key=f"cancel {job}").disabled
    assert "Not computed yet" in texts(app("circuits"))  # nobody waits for them
    until(lambda: queue.job(job).state == "cancelled", TIMEOUT)
    assert "cancelled, 2 runs" in texts(app("runs"))


@pytest.mark.usefixtures("pair")
def test_a_finished_job_leads_to_what_it_made_and_can_be_dismissed(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("tiny_compute")
    specs = [RunSpec(task=task, n=4, model=model) for task in ("ioi", "countdown") for model in ("arm", "step:100")]
    job = queue.submit(specs, "Four runs")
    until(lambda: queue.job(job).state == "done", TIMEOUT)
    assert made(queue.job(job)) == [
        (f"Fake pair: {task_named(task).title}", {"pair": "embedded", "task": task, "n": "4", "step": "100"})
        for task in ("ioi", "countdown")
    ]
    page = app("runs")
    links = [link.proto.label.replace("\\", "") for link in page.get("page_link")]
    assert links[:2] == ["Fake pair: Indirect object identification", "Fake pair: COUNTDOWN"]
    page.button(key=f"dismiss {job}").click().run()
    assert queue.jobs() == [] and "Four runs" not in texts(page)
    assert len(stored.list_runs()) == 4


@pytest.mark.usefixtures("pair")
def test_a_cancelled_job_leads_only_to_what_it_finished() -> None:
    ended = JobView(
        id="1", title="", state="cancelled", specs=(RunSpec(task="ioi"), RunSpec(task="sudoku")), n_steps=10,
        progress=Progress("Scoring", 1, 2), step=None, step_index=2, failures=(), eta_seconds=None, error=None,
        submitted=0.0, started=1.0, finished=2.0, without_circuit=(RunSpec(task="sudoku"),),
    )  # fmt: skip
    assert [chosen["task"] for _, chosen in made(ended)] == ["ioi"]
    assert made(replace(ended, without_circuit=ended.specs)) == []
    assert headline(ended) == "cancelled, 2 of 10 parts of 2 runs are kept"


@pytest.mark.usefixtures("pair")
def test_a_failed_job_says_why_on_the_overview(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("moody_compute")
    job = queue.submit([RunSpec(seed=13)], "One run")
    until(lambda: queue.job(job).state == "failed", TIMEOUT)
    page = app()
    (reason,) = [error.value.replace("\\", "") for error in page.error]
    assert reason.startswith("The circuit of the MDM on Indirect object identification: There is no model in this")
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
    overlaps = {task: read.overlap(keys[task, "arm"], keys[task, "mdm"], 50) for task in ("ioi", "countdown")}
    ours, others, published = (frame.value for frame in page.dataframe)
    assert all(json.loads(frame.proto.columns)["Task"]["pinned"] for frame in page.dataframe[:2])
    assert list(ours["Overlap"]) == pytest.approx([overlaps["ioi"], overlaps["countdown"]])
    assert list(ours["Chance"]) == pytest.approx([50 / (2 * 3628 - 50)] * 2)
    with_mdm = [read.overlap(keys[task, "mdm"], keys[task, "control"], 50) for task in ("ioi", "countdown")]
    assert list(ours["MDM with control"]) == pytest.approx(with_mdm)
    controls = [read.overlap(keys[task, "arm"], keys[task, "control"], 50) for task in ("ioi", "countdown")]
    assert list(ours["ARM with control"]) == pytest.approx(controls)
    halves = [read.split_half(runs[task, "arm"], runs[task, "mdm"], 50) for task in ("ioi", "countdown")]
    for column in ("pair", "arm", "mdm"):
        shown = ours[f"Split-half: {'ARM with MDM' if column == 'pair' else column.upper()}"]
        assert list(shown) == pytest.approx([getattr(halves_of_task, column) for halves_of_task in halves])
    solved = [100 * runs[task, "control"].accuracy.accuracy for task in ("ioi", "countdown")]
    assert list(others["Solved, control"]) == pytest.approx(solved)
    text = texts(page)
    assert (
        f"overlap by {overlaps['ioi']:.2f} on tasks that need only what came before, by {overlaps['countdown']:.2f}"
        in text
    )
    low, high = min(controls), max(controls)
    assert f"(the step-0 control), overlaps with the ARM's by {low:.2f} to {high:.2f}." in text
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
    def unable(spec: RunSpec, on_progress: OnProgress) -> RunTables:
        tables = tiny_run(spec, on_progress)
        return replace(tables, accuracy=Accuracy(0.1, 200)) if spec.model == model else tables

    for which in {"arm", "mdm", model}:
        lifecycle.run(RunSpec(model=which, n=4), compute=by_kind(unable))
    text = (
        f"**{name} cannot do this task.** It solves 10% of 200 problems, less than 50%: its circuit is not informative."
    )
    assert [w.value.replace("\\", "") for w in app(page, n="4", k="10", **query).warning] == [text]


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
    until(lambda: queue.jobs()[0].state == "done", TIMEOUT)
    assert {(run.spec.model, run.spec.seed, run.spec.n) for run in stored.list_runs()} == {
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
    assert line(page, "half-pair") is None


@pytest.mark.usefixtures("pair")
def test_runs_shows_failed_jobs_with_their_reason(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("moody_compute")
    job = queue.submit([RunSpec(seed=14)], "A bug")
    until(lambda: queue.job(job).state == "failed", TIMEOUT)
    assert texts(app("runs")).count("shapes do not match") == 1


def test_progress_is_a_share_of_the_time() -> None:
    running = JobView(
        id="1", title="", state="running", specs=(RunSpec(),) * 4, progress=Progress("Scoring", 1, 2), step=None,
        step_index=1, n_steps=4, failures=(), eta_seconds=30.0, error=None, submitted=0.0, started=100.0, finished=None,
    )  # fmt: skip
    assert overall(running, now=110.0) == pytest.approx(0.25)
    assert overall(replace(running, eta_seconds=0.0), now=110.0) == 1.0
    assert overall(replace(running, eta_seconds=None), now=110.0) == 0.25
    assert places(running) == []
    step = Step(resolve(RunSpec(model="arm")), "circuit")
    now = (
        StepNow("GPU 0", step, Progress("Scoring edges", 12, 64)),
        StepNow("GPU 1", step, Progress("Starting", 0, 0)),
    )
    lines = places(replace(running, steps_now=now))
    assert lines[0].startswith("GPU 0: ") and lines[0].endswith(": Scoring edges 12 of 64")
    assert len(lines) == 2 and lines[1].endswith(": Starting") and places(replace(running, steps_now=now[:1])) == []
    assert time_left(None) == ""
    assert time_left(0.2) == ", about 1 s left"
    assert time_left(150.0) == ", about 2 min left"
    assert time_left(6000.0) == ", about 1 h 40 min left"


@pytest.mark.parametrize("page", ["overview", "circuits", "evidence", "activations", "neurons", "denoising", "runs"])
def test_an_unreadable_cache_is_a_sentence(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("no folder")
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path / "cache"))
    opened = app(page)
    assert "cannot be used: Not a directory. Choose another folder for it." in opened.error[0].value.replace("\\", "")


@pytest.mark.usefixtures("seeded")
def test_pages_need_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from streamlit.testing.v1 import AppTest\n"
        f"app = AppTest.from_file({APP!r}, default_timeout={TIMEOUT})\n"
        "for page in ('circuits', 'overview', 'evidence', 'activations', 'neurons', 'denoising', 'prompts', 'runs'):\n"
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
