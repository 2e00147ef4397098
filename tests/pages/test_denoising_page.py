"""The denoising page in every state, and that what it says is what the run says."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from engine.runs import lifecycle, read
from engine.runs.jobs import JobQueue
from engine.runs.records import Progress, Run, RunTables
from engine.runs.rows import ExampleRow, TrajectoryStep
from engine.runs.spec import RunSpec
from engine.schema.vocabulary import SAMPLERS as FAKE_SAMPLERS
from pages.panels import denoising_data, denoising_files
from pages.shared import state
from pages.shared.downloads import table_csv
from pages.shared.run_selector import Asked
from tests.fakes import by_kind, fake_run
from tests.pages.test_pages import TIMEOUT, app, figures, texts
from tests.waiting import until


def runs(task: str = "countdown") -> tuple[Run, Run]:
    arm, mdm = (lifecycle.find(RunSpec(task=task, model=model)) for model in ("arm", "mdm"))
    assert arm and mdm
    return arm, mdm


def drawn(page: AppTest, axis: str) -> list[dict[str, object]]:
    """The figures in which this text is."""
    return [json.loads(figure) for figure in figures(page) if axis in figure]


def metrics(page: AppTest) -> dict[str, float]:
    return {metric.label: float(metric.value) for metric in page.metric}


@pytest.mark.usefixtures("pair", "queue_of")
def test_it_offers_to_compute_what_is_missing() -> None:
    page = app("denoising", task="sudoku")
    assert "Not computed yet with these settings: the ARM and the MDM on SUDOKU 4x4." in texts(page)
    assert not figures(page)


@pytest.mark.usefixtures("pair")
def test_it_shows_what_is_being_computed(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("slow_compute")
    queue.submit([RunSpec(task="countdown"), RunSpec(task="countdown", model="arm")], "Two runs")
    until(lambda: queue.jobs()[0].progress.done > 0, TIMEOUT)
    page = app("denoising", task="countdown")
    assert "appear here when they are computed" in texts(page)
    assert not figures(page)


@pytest.mark.usefixtures("pair")
def test_a_failed_job_says_why(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("moody_compute")
    job = queue.submit([RunSpec(seed=13)], "One run")
    until(lambda: queue.job(job).state == "failed", TIMEOUT)
    page = app("denoising", seed="13")
    (reason,) = [error.value.replace("\\", "") for error in page.error]
    assert reason.endswith("There is no model in this folder. Choose another pair.")


@pytest.mark.usefixtures("pair", "queue_of")
def test_a_run_without_trajectories_says_so() -> None:
    def bare(spec: RunSpec, on_progress: Callable[[Progress], None]) -> RunTables:
        made = fake_run(spec, on_progress)
        made.tables["trajectories"] = made.tables["trajectories"].slice(0, 0)
        return made

    for model in ("arm", "mdm"):
        lifecycle.run(RunSpec(task="countdown", model=model, n=8), compute=by_kind(bare))
    assert "This run keeps no trajectories" in texts(app("denoising", task="countdown", n="8"))


@pytest.mark.usefixtures("seeded", "queue_of")
def test_every_sampler_is_offered_and_draws_its_own_trajectory() -> None:
    _, mdm = runs()
    page = app("denoising", task="countdown")
    box = page.selectbox(key=state.SAMPLER)
    assert box.options == list(FAKE_SAMPLERS) == list(denoising_data.SAMPLERS)
    for sampler in FAKE_SAMPLERS:
        page.selectbox(key=state.SAMPLER).set_value(sampler).run()
        assert not page.exception
        assert denoising_data.SAMPLERS[sampler] in texts(page)
        (shown,) = drawn(page, '"confidence"')
        revealed = next(trace for trace in shown["data"] if trace["name"] == "revealed")
        steps = read.rows(TrajectoryStep, mdm.key, sampler=sampler, example=0)
        boxed = [sum(text.startswith("<b>") for text in row) for row in revealed["text"]]
        assert boxed[: len(steps)] == [sum(step.revealed) for step in steps]
        ends = "solved" if steps[-1].correct else "not solved"
        assert shown["layout"]["yaxis"]["ticktext"][-1] == f"<b>{ends}</b>"


@pytest.mark.usefixtures("seeded", "queue_of")
def test_another_example_has_another_trajectory_and_prompt() -> None:
    page = app("denoising", task="countdown")
    rows = read.rows(ExampleRow, runs()[1].key)
    before = drawn(page, '"confidence"')
    page.selectbox(key=state.EXAMPLE).set_value(1).run()
    assert drawn(page, '"confidence"') != before
    strips = " ".join(element.proto.body for element in page.get("html"))
    assert all(f">{token}<" in strips for token in rows[1].prompt[:3])


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_samplers_are_compared_over_the_examples() -> None:
    page = app("denoising", task="countdown")
    table = next(frame.value for frame in page.dataframe if "Sampler" in frame.value)
    mdm = runs()[1]
    for _, row in table.iterrows():
        right = [read.rows(TrajectoryStep, mdm.key, sampler=row["Sampler"], example=e)[-1].correct for e in (0, 1)]
        assert [row["Example 0"] == "✓", row["Example 1"] == "✓"] == right
        assert row["Solved"] == f"{sum(right)} of 2"


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("step", [2, 4])
def test_a_steps_overlaps_are_those_of_the_engine(step: int) -> None:
    arm, mdm = runs()
    page = app("denoising", task="countdown", at=str(step), k="100")
    part, before = f"step-{step:02d}", mdm.meta.parts[mdm.meta.parts.index(f"step-{step:02d}") - 1]

    def at_100(key: str, name: str) -> float:
        return read.overlap(mdm.key, key, 100, part, name)

    assert metrics(page) == pytest.approx(
        {
            f"Overlap with {before}": at_100(mdm.key, before),
            "Overlap with the MDM's whole run": at_100(mdm.key, "total"),
            f"Overlap with the ARM's site-{step:02d}": at_100(arm.key, f"site-{step:02d}"),
        },
        abs=5e-4,
    )
    assert f"At step {step}, 100% of the examples reveal answer position {step}" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_step_without_a_contrast_says_so_and_keeps_its_lens() -> None:
    mdm = runs()[1]
    step = next(step for step in range(11) if f"step-{step:02d}" not in mdm.meta.parts)
    page = app("denoising", task="countdown", at=str(step), position="10")
    assert "no contrast to explain" in texts(page)
    assert not page.metric
    assert f"Through the layers at step {step}" in texts(page)
    assert drawn(page, "probability of the answer")


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_page_starts_at_the_first_step_with_a_circuit_and_the_position_revealed_last() -> None:
    page = app("denoising", task="countdown")
    first = int(runs()[1].meta.parts[0].partition("-")[2])
    assert page.select_slider(key=state.AT).value == first
    assert page.selectbox(key=state.POSITION).value == 10
    assert f"The circuit of step {first}" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_lens_is_that_of_the_step_and_the_position() -> None:
    arm, mdm = runs()
    page = app("denoising", task="countdown", at="4", position="7")
    (shown,) = drawn(page, "probability of the answer")
    for run, name, step in ((arm, "ARM", 0), (mdm, "MDM", 4)):
        rows = read.table(run.key, "position_lens", example=0).to_pylist()
        start = min(row["target"] for row in rows)
        ours = [row for row in rows if row["step"] == step and row["target"] == start + 7]
        want = [row["answer_probability"] for row in sorted(ours, key=lambda row: row["layer"])]
        lines = [trace for trace in shown["data"] if trace["name"] == name]
        assert values(lines[0]["y"]) == pytest.approx(want, rel=1e-5)
        assert values(lines[1]["y"]) == [row["answer_rank"] + 1 for row in sorted(ours, key=lambda r: r["layer"])]


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_revealed_token_shows_its_last_lens() -> None:
    page = app("denoising", task="countdown", at="8", position="3")
    assert "At step 8 this token is already revealed: the MDM's lens is that of step 3." in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_one_token_answers_need_no_step() -> None:
    page = app("denoising")
    text = texts(page)
    assert "Here the answer is one token, revealed at once" in text
    assert "The whole answer is revealed at one step" in text
    assert "The answer takes one step. Held-out problems solved: ARM" in text
    assert state.AT not in [slider.key for slider in page.select_slider]
    assert "play steps" not in [button.key for button in page.button]
    assert drawn(page, "probability of the answer")
    table = page.dataframe[0].value
    steps = [
        read.rows(TrajectoryStep, runs("ioi")[1].key, sampler="confidence", example=e)[0] for e in table["Example"]
    ]
    assert list(table["Answer of the MDM"]) == [step.tokens[0] for step in steps]
    assert list(table["Confidence"]) == pytest.approx([step.confidences[0] for step in steps])
    assert state.SAMPLER not in [box.key for box in page.selectbox]


@pytest.mark.usefixtures("seeded", "queue_of")
def test_play_goes_to_the_end_and_stops() -> None:
    page = app("denoising", task="countdown", at="9")
    page.button(key="play steps").click().run()
    assert not page.exception
    assert page.button(key="play steps").label == "Pause"
    assert page.select_slider(key=state.AT).value == 9
    page.run()  # the clock's first tick
    assert page.select_slider(key=state.AT).value == 10
    page.run()
    assert page.button(key="play steps").label == "Play"
    assert page.select_slider(key=state.AT).value == 10
    page.button(key="play steps").click().run()
    assert page.select_slider(key=state.AT).value == 0  # from the start again


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_step_that_the_reader_chooses_while_it_plays_is_shown() -> None:
    page = app("denoising", task="countdown", at="2")
    page.button(key="play steps").click().run()
    page.select_slider(key=state.AT).set_value(6).run()
    assert page.select_slider(key=state.AT).value == 6
    page.run()
    assert page.select_slider(key=state.AT).value == 7


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_checkpoint_takes_the_place_of_the_mdm() -> None:
    page, final = app("denoising", step="100"), app("denoising")
    run = lifecycle.find(RunSpec(model="step:100"))
    assert run
    assert f"MDM after 100 steps: run {run.key[:10]}" in texts(page)
    answers = [
        row.tokens[0] for e in (0, 1) for row in read.rows(TrajectoryStep, run.key, sampler="confidence", example=e)
    ]
    assert list(page.dataframe[0].value["Answer of the MDM"]) == answers
    assert drawn(page, "probability of the answer") != drawn(final, "probability of the answer")


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_downloads_hold_what_the_run_holds() -> None:
    arm, mdm = runs()
    row = read.rows(ExampleRow, mdm.key)[1]
    examined = denoising_data.Examined(Asked(None, None, arm, mdm, 50), 1, row, 11)  # type: ignore[arg-type]

    def parsed(rows: denoising_files.Rows) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(table_csv(rows, examined.asked.sides.origin()).decode())))

    cells = parsed(denoising_files.trajectory_rows(examined))
    assert len(cells) == len(FAKE_SAMPLERS) * 11 * 11
    assert sum(cell["state"] == "revealed" for cell in cells) == len(FAKE_SAMPLERS) * 11
    lens = parsed(denoising_files.lens_rows(examined))
    assert len(lens) == sum(read.table(run.key, "position_lens", example=1).num_rows for run in (arm, mdm))
    assert {cell["answer"] for cell in lens if cell["position"] == "1"} == {row.answer[1]}
    steps = parsed(denoising_files.overlap_rows(examined.asked))
    assert len(steps) == len(mdm.meta.parts) * (len(mdm.meta.parts) + len(arm.meta.parts))
    expected = read.overlap(mdm.key, arm.key, 50, "step-01", "site-04")
    overlap = next(r for r in steps if (r["step"], r["model"], r["part"]) == ("step-01", "arm", "site-04"))
    assert float(overlap["jaccard"]) == pytest.approx(expected)
    solved = parsed(denoising_files.accuracy_rows(mdm))
    assert [int(r["steps"]) for r in solved] == [1, 2, 4, 11]
    assert all(float(r["low"]) - 1e-9 <= int(r["correct"]) / 200 <= float(r["high"]) + 1e-9 for r in solved)


def values(data: object) -> list[float]:
    """Plotly sends arrays as base64."""
    if isinstance(data, dict):
        return np.frombuffer(base64.b64decode(data["bdata"]), dtype=data["dtype"]).tolist()
    return list(data)  # type: ignore[call-overload]
