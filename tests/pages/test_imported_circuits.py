"""A circuit from elsewhere on the pages: taken on the Runs page, a method of the head, shown by its edges alone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from engine.exchange.export import export
from engine.exchange.import_circuit import import_bytes
from engine.runs import lifecycle, read, stored
from engine.runs.records import Run, short_key
from engine.runs.spec import METHODS, RunSpec
from pages.shared import imported, state
from pages.shared.state import Question
from tests.pages.payloads import line, overlap, payload_of
from tests.pages.test_pages import app, texts

pytestmark = pytest.mark.usefixtures("seeded", "queue_of")
NAME = "their_*circuit*.json"  # which Markdown would read as emphasis
K = "100"


def original(model: str = "arm") -> Run:
    run = lifecycle.find(RunSpec(model=model))
    assert run
    return run


def content(model: str = "arm", change: float = 0.0) -> bytes:
    """The circuit of a model as EAP-IG's JSON, with `change` added to the score of one edge."""
    fields = json.loads(export(original(model).key, 200, "json"))
    fields["edges"]["input->m0"]["score"] += change
    return json.dumps(fields).encode()


def taken(model: str = "arm", change: float = 0.0) -> Run:
    return import_bytes(content(model, change), NAME, RunSpec(model=model)).run


def opened(run: Run, page: str = "circuits", **query: str) -> AppTest:
    return app(page, task="ioi", method=imported.method_of(run.spec), **query)


@pytest.mark.parametrize("model", ["arm", "mdm"])
def test_it_stands_beside_the_other_models_computed_circuit(model: str) -> None:
    run = taken(model)
    page = opened(run, k=K)
    arm, mdm = (original(name).key for name in ("arm", "mdm"))
    assert overlap(page) == pytest.approx(read.overlap(arm, mdm, int(K)), rel=1e-6)
    assert line(page, "half-pair") is None and line(page, "control") is not None
    header, _ = payload_of(page)
    assert header["notes"]["halves"] == "not part of an imported circuit"
    assert short_key(run.key) in " ".join(header["origin"]) and "circuit from elsewhere" in header["origin"][-1]
    assert f"{model.upper()}:** This circuit is from elsewhere: the file {NAME}." in texts(page)
    assert f"from the file {NAME}, imported {run.created[:10]}" in texts(page)
    offered = page.selectbox(key=state.METHOD).options
    assert len(offered) == len(METHODS) + 1 and offered[-1] == f"imported: {NAME}"


def test_another_method_is_one_choice_away() -> None:
    run = taken(change=50.0)
    page = opened(run, k="1")
    before = overlap(page)
    page.selectbox(key=state.METHOD).set_value(METHODS[0]).run()
    assert not page.exception and "from elsewhere" not in texts(page)
    page.selectbox(key=state.METHOD).set_value(imported.method_of(run.spec)).run()
    assert overlap(page) == before and imported.method_of(run.spec) in page.query_params["method"]


@pytest.mark.parametrize("tab", [state.LENS, state.EDGES, state.NEURONS, state.ATTENTION])
def test_the_inspector_shows_what_there_is(tab: str) -> None:
    node = "m2" if tab == state.NEURONS else "a1.h0"
    page = opened(taken(), node=node, tab=tab)
    assert not page.exception and not page.error
    wanted = {state.NEURONS: "Neurons are not part of an imported", state.ATTENTION: "not part of an imported circuit"}
    assert wanted.get(tab, "Strongest incoming" if tab == state.EDGES else "What it writes") in texts(page)


@pytest.mark.parametrize("page", ["activations", "neurons", "denoising"])
@pytest.mark.parametrize("model", ["arm", "mdm"])
def test_pages_of_what_depends_on_examples_say_that_it_is_not_part(page: str, model: str) -> None:
    shown = opened(taken(model), page)
    assert f"is not part of an imported circuit: {NAME} (the {model.upper()}) holds scores of edges" in texts(shown)
    assert not shown.error and shown.selectbox(key=state.METHOD).value == imported.method_of(taken(model).spec)


def test_a_link_to_one_that_is_not_here_says_so() -> None:
    page = app("circuits", task="ioi", method="imported-" + "0" * 20)
    assert "The circuit from elsewhere that it names is not in the cache." in texts(page)
    run = taken()
    page = app("circuits", task="countdown", method=imported.method_of(run.spec))
    assert (
        "an imported circuit that is of another pair or task" in texts(page)
        and page.selectbox(key=state.METHOD).value == METHODS[0]
    )


def test_the_runs_page_takes_a_file_and_leads_to_it() -> None:
    page = app("runs")
    page.selectbox(key="circuit model").set_value("mdm").run()
    page.get("file_uploader")[-1].set_value((NAME, content("mdm"), "application/json")).run()
    assert not page.exception
    (run,) = [run for run in stored.list_runs() if run.spec.is_imported]
    shown = "".join(box.value for box in page.success).replace("\\", "")
    assert f"The circuit of the MDM is the run {short_key(run.key)}." in shown
    rows = page.dataframe[0].value
    assert rows["From"].tolist()[0] == f"file {NAME}" and rows["Method"].tolist()[0] == "imported"
    assert run.spec == replace(RunSpec(model="mdm"), method="imported", source=run.spec.source)


def test_the_runs_page_refuses_what_is_no_circuit() -> None:
    page = app("runs")
    page.get("file_uploader")[-1].set_value(("bad.json", b'{"cfg": {}}', "application/json")).run()
    assert not page.exception and "lacks the field 'nodes'" in texts(page)
    assert not [run for run in stored.list_runs() if run.spec.is_imported]


def test_a_question_names_it_and_asks_the_others_by_the_default_method() -> None:
    run = taken()
    question = Question.of(run.spec)
    assert question.method == imported.method_of(run.spec) and question.spec("arm") == run.spec
    assert question.spec("mdm") == RunSpec() and question.address["method"] == question.method
    assert imported.methods_for("embedded", "ioi") == {question.method: f"imported: {NAME}"}
    assert imported.methods_for("embedded", "countdown") == {}
    assert imported.method_of(RunSpec(method="eap")) == "eap" and imported.runs_of("eap") == []


@pytest.mark.parametrize("page", ["overview", "runs"])
def test_other_pages_stay_as_they_are(page: str) -> None:
    taken()
    shown = app(page)
    assert not shown.exception and not shown.error
