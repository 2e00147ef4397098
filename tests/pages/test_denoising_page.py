"""The denoising page in every state, and that what it says is what the run says."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable
from urllib.parse import parse_qsl

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.runs import lifecycle, read
from engine.runs.jobs import JobQueue
from engine.runs.records import Progress, Run, RunTables
from engine.runs.rows import ExampleRow, TrajectoryStep
from engine.runs.spec import RunSpec
from engine.schema.vocabulary import SAMPLERS as FAKE_SAMPLERS
from pages.figures.heat import SELECT_TRACE
from pages.panels import denoising_data, denoising_files
from pages.panels.denoising_answer import MAPS
from pages.panels.step_circuit import nearest
from pages.shared import state
from pages.shared.downloads import table_csv
from pages.shared.run_selector import Asked
from tests.fakes import GRAPH, by_kind, fake_run
from tests.pages.payloads import payload_of
from tests.pages.test_pages import TIMEOUT, app, figures, texts
from tests.waiting import until


def runs(task: str = "countdown") -> tuple[Run, Run]:
    arm, mdm = (lifecycle.find(RunSpec(task=task, model=model)) for model in ("arm", "mdm"))
    assert arm and mdm
    return arm, mdm


def drawn(page: AppTest, axis: str) -> list[dict[str, object]]:
    """The figures in which this text is."""
    return [json.loads(figure) for figure in figures(page) if axis in figure]


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
        assert f"- {sampler}: {denoising_data.SAMPLERS[sampler]}" in page.selectbox(key=state.SAMPLER).help
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
def test_a_steps_circuit_stands_beside_that_of_the_matching_site(step: int) -> None:
    arm, mdm = runs()
    page = app("denoising", task="countdown", at=str(step), k="100")
    part, site = f"step-{step:02d}", f"site-{step:02d}"
    before = mdm.meta.parts[mdm.meta.parts.index(part) - 1]
    header, arrays = payload_of(page)
    assert (header["chosen"]["k"], header["guide"], header["slides"]) == (100, {}, [])
    assert [header["models"][model]["title"] for model in ("arm", "mdm")] == [f"ARM, {site}", f"MDM, {part}"]
    for model, run, name in (("arm", arm, site), ("mdm", mdm, part)):
        table = read.edge_table(run.key, name)
        assert arrays[f"{model}_score"].tolist() == table.score[: len(arrays[f"{model}_score"])].tolist()
        assert arrays[f"{model}_source"].tolist() == GRAPH.endpoints(table.edge)[0].tolist()
    assert arrays["line_0"][99] == pytest.approx(read.overlap(mdm.key, arm.key, 100, part, site), abs=1e-6)
    with_before = read.overlap(mdm.key, mdm.key, 100, part, before)
    whole = read.overlap(mdm.key, mdm.key, 100, part, "total")
    assert f"K = 100: {with_before:.3f} with {before} and {whole:.3f} with the MDM's whole run" in texts(page)
    assert f"At step {step}, 100% of the examples reveal answer position {step}: beside it stands {site}" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_step_without_a_contrast_says_so_and_keeps_its_lens_and_the_circuit_before() -> None:
    mdm = runs()[1]
    step = next(step for step in range(11) if f"step-{step:02d}" not in mdm.meta.parts)
    page = app("denoising", task="countdown", at=str(step), position="10")
    assert "no contrast to explain" in texts(page)
    assert f"Shown instead: the circuit of step {step - 1}." in texts(page)
    assert payload_of(page)[0]["models"]["mdm"]["title"] == f"MDM, step-{step - 1:02d}"
    assert f"Step {step}, position 10, right answer" in texts(page)
    assert drawn(page, "probability of the answer")


def test_the_circuit_of_a_step_without_one_is_the_last_before_or_the_first() -> None:
    parts = ("step-01", "step-02", "step-06")
    assert [nearest(parts, step) for step in (0, 1, 2, 5, 6, 9)] == [1, 1, 2, 2, 6, 6]
    assert nearest((), 3) is None


@pytest.mark.usefixtures("seeded", "queue_of")
def test_k_and_node_come_from_other_pages_and_the_node_leads_to_both_circuits() -> None:
    page = app("denoising", task="countdown", at="2", k="70", node="a2.h3")
    header, _ = payload_of(page)
    assert (header["chosen"]["k"], header["chosen"]["node"]) == (70, "a2.h3")
    assert "Head 3 of layer 2 (a2.h3)" in texts(page)
    (link,) = [link.proto for link in page.get("page_link") if "a2.h3" in link.proto.label]
    choices = dict(parse_qsl(link.query_string))
    assert choices == {
        "pair": "embedded", "task": "countdown", "k": "70", "denoising": "step-02", "site": "site-02", "node": "a2.h3",
    }  # fmt: skip
    circuits = app("circuits", **choices)
    assert payload_of(circuits)[1]["mdm_score"].tolist() == payload_of(page)[1]["mdm_score"].tolist()


@pytest.mark.usefixtures("seeded", "queue_of")
def test_k_changes_the_overlaps_of_all_steps() -> None:
    page = app("denoising", task="countdown", k="70")
    assert "the 70 strongest edges of every two parts" in texts(page)
    page.session_state[state.K] = 200
    page.run()
    assert "the 200 strongest edges of every two parts" in texts(page)
    assert payload_of(page)[0]["chosen"]["k"] == 200


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_maps_of_the_lens_stand_in_a_tab_and_mark_the_position() -> None:
    page = app("denoising", task="countdown", at="2", position="7")
    assert drawn(page, '"confidence"')
    page.session_state["tabs of the answer"] = MAPS
    page.run()
    assert not page.exception
    assert not drawn(page, '"confidence"')
    maps = drawn(page, f'"name":"{SELECT_TRACE}"')
    assert len(maps) == 2
    for shown in maps:
        box = next(trace for trace in shown["data"] if trace.get("name") == "box")
        assert {round(x) for x in box["x"] if x is not None} == {7}


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_page_starts_at_the_first_step_with_a_circuit_and_the_position_revealed_last() -> None:
    page = app("denoising", task="countdown")
    first = int(runs()[1].meta.parts[0].partition("-")[2])
    assert page.select_slider(key=state.AT).value == first
    assert page.selectbox(key=state.POSITION).value == 10
    assert f"The circuit of step {first}" in texts(page)
    assert payload_of(page)[0]["models"]["mdm"]["title"] == f"MDM, step-{first:02d}"


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


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest does not know the app's pages when it runs a fragment alone, so that a link to one could not be made."""
    monkeypatch.setattr(st, "page_link", lambda *_, **__: None)


@pytest.mark.usefixtures("seeded", "queue_of", "no_links")
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


@pytest.mark.usefixtures("seeded", "queue_of", "no_links")
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
    examined = denoising_data.Examined(Asked(None, None, arm, mdm, 50), 1, (0, 1), row, 11)  # type: ignore[arg-type]

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
