"""The attention panel: both models' patterns on a kept input, its choices, and what it says of a head."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from engine.runs import lifecycle, read
from engine.runs.records import Progress, RunTables
from engine.runs.rows import Head, KeptInput, RoleAttention
from engine.runs.spec import RunSpec
from pages.figures.attention import CLEAR, verdict
from pages.shared import state
from tests.fakes import GRAPH, by_kind, tiny_run
from tests.pages.test_denoising_page import values
from tests.pages.test_pages import app, figures, texts

NODE = GRAPH.head(2, 3)


def panel(task: str, node: int, n: int, example: int | None) -> None:
    from engine.runs import lifecycle
    from engine.runs.spec import RunSpec
    from pages.panels.attention import attention_panel
    from pages.shared.sides import Side, Sides

    arm, mdm = (lifecycle.find(RunSpec(task=task, model=model, n=n)) for model in ("arm", "mdm"))
    sides = Sides(arm.meta.graph, 50, Side("arm", arm, "total"), Side("mdm", mdm, "total"))
    attention_panel(sides, node, example)


def opened(task: str = "countdown", node: int = NODE, n: int = 64, example: int | None = 0) -> AppTest:
    page = AppTest.from_function(panel, args=(task, node, n, example), default_timeout=30).run()
    assert not page.exception
    return page


def key(model: str, task: str = "countdown") -> str:
    run = lifecycle.find(RunSpec(task=task, model=model))
    assert run
    return run.key


def patterns(page: AppTest) -> list[np.ndarray]:
    shown = [
        json.loads(figure)
        for figure in figures(page)
        if "query token" in figure and "attends to" in figure and "mean of" not in figure
    ]
    return [matrix(figure["data"][0]["z"]) for figure in shown]


def matrix(data: object) -> np.ndarray:
    if isinstance(data, dict):
        rows, columns = (int(side) for side in data["shape"].split(","))
        return np.array(values(data)).reshape(rows, columns)
    return np.array(data, dtype=float)


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("task", ["ioi", "countdown"])
def test_both_models_patterns_are_those_of_the_first_kept_input(task: str) -> None:
    arm, mdm = patterns(opened(task))
    for model, shown in (("arm", arm), ("mdm", mdm)):
        first = next(kept for kept in read.rows(KeptInput, key(model, task)) if kept.example == 0)
        assert shown == pytest.approx(read.attention_patterns(key(model, task), NODE)[first.input])
        assert shown.sum(1) == pytest.approx(np.ones(len(shown)), abs=0.1)
    assert np.triu(arm, 1).sum() == 0
    assert np.triu(mdm, 1).sum() > 0


@pytest.mark.usefixtures("seeded")
def test_another_step_of_the_mdm_shows_its_pattern_and_leaves_the_arms() -> None:
    page = opened()
    before = patterns(page)
    kept = [entry for entry in read.rows(KeptInput, key("mdm")) if entry.example == 0]
    assert page.selectbox(key=state.INPUT_STEP).options == [entry.part for entry in kept]
    page.selectbox(key=state.INPUT_STEP).set_value(kept[-1].part).run()
    after = patterns(page)
    assert np.array_equal(before[0], after[0])
    assert after[1] == pytest.approx(read.attention_patterns(key("mdm"), NODE)[kept[-1].input])
    assert f"MDM at {kept[-1].part}" in texts(page)


@pytest.mark.usefixtures("seeded")
def test_another_example_shows_other_patterns() -> None:
    page = opened(example=1)
    kept = next(entry for entry in read.rows(KeptInput, key("arm")) if entry.example == 1)
    assert patterns(page)[0] == pytest.approx(read.attention_patterns(key("arm"), NODE)[kept.input])


@pytest.mark.usefixtures("seeded")
def test_without_an_example_it_is_the_first_one_kept() -> None:
    assert np.array_equal(patterns(opened(example=None))[1], patterns(opened(example=0))[1])


@pytest.mark.usefixtures("seeded")
def test_an_example_of_which_no_pattern_is_kept_says_which_ones_are() -> None:
    page = opened(example=5)
    assert "No attention pattern is kept for example 5. Choose an example above that has one: 0, 1." in texts(page)
    assert len(figures(page)) == 3


@pytest.mark.usefixtures("seeded")
def test_the_only_choice_is_the_step_where_there_are_several() -> None:
    assert [box.key for box in opened("countdown").selectbox] == [state.INPUT_STEP]
    assert not opened("ioi").selectbox


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("link", ["readout", "input", "none"])
def test_one_picker_chooses_the_example_of_lens_and_attention(link: str) -> None:
    options = app("circuits", node="a2.h3").selectbox(key=state.READOUT).options
    wanted = 1 if link != "none" else 0
    label = next(option for option in options if option.startswith(f"example {wanted},"))
    query = {"readout": {"readout": label}, "input": {"input": "1"}, "none": {}}[link]
    page = app("circuits", node="a2.h3", tab="Attention", **query)
    assert page.selectbox(key=state.READOUT).value == label
    kept = next(entry for entry in read.rows(KeptInput, key("arm", "ioi")) if entry.example == wanted)
    assert patterns(page)[0] == pytest.approx(read.attention_patterns(key("arm", "ioi"), NODE)[kept.input])
    assert state.INPUT not in [box.key for box in page.selectbox]


@pytest.mark.usefixtures("seeded")
def test_five_figures_are_all_that_a_click_draws() -> None:
    assert len(figures(opened())) == 5


@pytest.mark.usefixtures("seeded")
def test_the_roles_are_those_of_the_task_with_their_numbers() -> None:
    shown = [json.loads(figure) for figure in figures(opened("ioi")) if "mean of" in figure]
    for model, figure in zip(("arm", "mdm"), shown, strict=True):
        rows = {(row.query, row.key): row.weight for row in read.rows(RoleAttention, key(model, "ioi"), node=NODE)}
        labels = figure["layout"]["yaxis"]["ticktext"]
        assert set(labels) == {query for query, _ in rows}
        weights = matrix(figure["data"][0]["z"])
        for i, query in enumerate(labels):
            for j, at in enumerate(labels):
                assert weights[i, j] == pytest.approx(rows[query, at], rel=1e-5)


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("node", [GRAPH.head(0, 0), NODE, GRAPH.head(5, 7)])
def test_it_says_what_each_models_head_looks_like(node: int) -> None:
    text = texts(opened(node=node))
    for model, name in (("arm", "ARM"), ("mdm", "MDM")):
        head = next(head for head in read.rows(Head, key(model)) if head.node == node)
        kind = verdict(head)
        assert f"**{name}**: attends like {kind or 'none of the standard kinds'}; " in text
        does = "copies" if head.copying > CLEAR else "suppresses" if head.copying < -CLEAR else "neither copied"
        assert re.search(rf"{does}[^.]*\({re.escape(f'{head.copying:+.2f}')}\)", text)
        assert f"{head.norm_prompt:.2f} over the prompt" in text


@pytest.mark.usefixtures("pair")
def test_runs_whose_inputs_were_too_long_say_so_and_keep_roles_and_scores() -> None:
    def bare(spec: RunSpec, on_progress: Callable[[Progress], None]) -> RunTables:
        made = tiny_run(spec, on_progress)
        made.tables["attention_patterns"] = made.tables["attention_patterns"].slice(0, 0)
        return made

    for model in ("arm", "mdm"):
        lifecycle.run(RunSpec(task="countdown", model=model, n=8), compute=by_kind(bare))
    page = opened(node=2, n=8)
    assert "No attention pattern is kept" in texts(page)
    assert len(figures(page)) == 3


@pytest.mark.usefixtures("pair")
def test_a_head_that_writes_nothing_is_said_to() -> None:
    def without(spec: RunSpec, on_progress: Callable[[Progress], None]) -> RunTables:
        made = tiny_run(spec, on_progress)
        heads = made.tables["heads"]
        place = heads.schema.get_field_index("copying")
        made.tables["heads"] = heads.set_column(place, "copying", pa.nulls(heads.num_rows, pa.float32()))
        return made

    for model in ("arm", "mdm"):
        lifecycle.run(RunSpec(task="countdown", model=model, n=9), compute=by_kind(without))
    assert texts(opened(node=2, n=9)).count("it writes nothing, whatever it attends to") == 2
