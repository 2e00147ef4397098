"""The inspector in every state: no node, a head, an MLP, input, logits, a node that is not there, no lens yet."""

from __future__ import annotations

import html
import re

import pytest
from streamlit.testing.v1 import AppTest

from engine.circuits.node_differences import differ_most, share_most
from engine.circuits.paths import BY, strongest_paths
from engine.runs import cache_connection, lifecycle, read
from engine.runs.records import Run
from engine.runs.rows import ReadoutRow
from engine.runs.spec import RunSpec
from pages.figures.lens import TOKENS
from pages.panels.inspector_paths import COMPARED_BY, COUNT
from pages.shared import state
from tests.fakes import GRAPH, HOSTILE
from tests.pages.test_pages import app, caption, figures, texts

HEAD = "a2.h3"


def html_of(page: AppTest) -> str:
    return "\n".join(element.proto.body for element in page.get("html"))


def lens_tables(page: AppTest) -> dict[str, str]:
    """The tables of the component lens, by model."""
    tables = re.findall(r'<table class="component-lens" data-model="(\w+)"(.*?)</table>', html_of(page))
    return dict(tables)


def tab(page: AppTest) -> AppTest:
    return page.segmented_control(key=state.TAB)


def choose(page: AppTest, node: str) -> None:
    """What a click in the graph does."""
    page.session_state[state.NODE] = node
    page.run()


def run_of(model: str, task: str = "ioi") -> Run:
    run = lifecycle.find(RunSpec(task=task, model=model))
    assert run
    return run


@pytest.mark.usefixtures("seeded", "queue_of")
def test_without_a_node_it_lists_what_to_begin_with_and_why() -> None:
    page = app("circuits", k="100")
    assert "**Click a node**" in texts(page)
    circuits = [read.edge_table(run_of(model).key, limit=100) for model in ("arm", "mdm")]
    for key, measure in (("differ", differ_most), ("common", share_most)):
        expected = measure(GRAPH, *circuits, 5)
        assert len(expected) == 5
        for place, entry in enumerate(expected):
            name = GRAPH.node_names[entry.node]
            label = f"**{name}** · ARM {entry.arm:.1%} · MDM {entry.mdm:.1%}"
            assert page.button(key=f"{key} {place}").label == label
    name = GRAPH.node_names[differ_most(GRAPH, *circuits, 5)[2].node]
    page.button(key="differ 2").click().run()
    assert not page.exception and f"({name})" in texts(page)
    page.button(key="let go of node").click().run()
    assert "**Click a node**" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_lens_of_both_models_is_shown_at_the_same_token() -> None:
    page = app("circuits", node=HEAD, k="100")
    assert f"Head 3 of layer 2 ({HEAD})" in texts(page)
    tables = lens_tables(page)
    assert list(tables) == ["arm", "mdm"]
    for model, table in tables.items():
        key = run_of(model).key
        readout = read.rows(ReadoutRow, key)[0]
        lens = read.node_lens(key, readout.readout, GRAPH.node_names.index(HEAD))
        values = [float(value) for value in re.findall(r"<span>([+-][0-9.]+)</span>", table)]
        expected = [lens.answer_logit, lens.foil_logit, *lens.promoted_logit[:TOKENS], *lens.suppressed_logit[:TOKENS]]
        assert values == pytest.approx(expected, abs=0.005)
        assert "(answer)" in table and "(foil)" in table
    assert sum("after layer" in figure for figure in figures(page)) == 1, "both models' residual lens is one chart"


@pytest.mark.usefixtures("seeded", "queue_of")
def test_nothing_of_the_lens_depends_on_k() -> None:
    pages = [app("circuits", node=HEAD, k=k) for k in ("50", "500")]
    residual = [next(figure for figure in figures(page) if "after layer" in figure) for page in pages]
    assert residual[0] == residual[1] and "K =" not in caption(residual[0])
    assert html_of(pages[0]) == html_of(pages[1])


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_hostile_token_is_text() -> None:
    page = app("circuits", node="input")  # the first row of a fake lens promotes the hostile token
    shown = html_of(page)
    assert html.escape(HOSTILE, quote=False) in shown and HOSTILE not in shown


@pytest.mark.usefixtures("seeded", "queue_of")
def test_another_token_shows_another_lens() -> None:
    page = app("circuits", node=HEAD, task="countdown")
    before = lens_tables(page)
    box = page.selectbox(key=state.READOUT)
    box.set_value(box.options[-1]).run()
    assert not page.exception and lens_tables(page) != before


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_tabs_are_those_of_the_node_and_the_chosen_one_stays() -> None:
    page = app("circuits", node=HEAD)
    assert tab(page).options == ["Lens", "Attention", "Edges"]
    tab(page).set_value("Edges").run()
    assert "Strongest incoming edges" in texts(page) and not lens_tables(page)
    choose(page, "m3")
    assert tab(page).options == ["Lens", "Neurons", "Edges"] and tab(page).value == "Edges"
    tab(page).set_value("Neurons").run()
    assert "Strongest neurons of layer 3" in texts(page)
    choose(page, "a1.h1")
    assert tab(page).value == "Attention" and "What this head attends to" in texts(page)
    choose(page, "input")
    assert tab(page).options == ["Lens", "Edges"] and tab(page).value == "Lens"
    assert not page.exception and len(lens_tables(page)) == 2


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize(("node", "link", "shown"), [("m3", "Edges", "Edges"), ("m3", "Attention", "Neurons")])
def test_a_link_opens_a_tab_that_the_node_has(node: str, link: str, shown: str) -> None:
    assert tab(app("circuits", node=node, tab=link)).value == shown


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_chosen_token_stays_while_edges_are_shown() -> None:
    page = app("circuits", node=HEAD, task="countdown")
    box = page.selectbox(key=state.READOUT)
    chosen = box.options[-1]
    box.set_value(chosen).run()
    tab(page).set_value("Edges").run()
    tab(page).set_value("Lens").run()
    assert page.selectbox(key=state.READOUT).value == chosen


@pytest.mark.usefixtures("seeded", "queue_of")
def test_logits_and_input_have_edges_one_way() -> None:
    page = app("circuits", node="logits")
    assert "Logits (logits)" in texts(page) and "The logits write nothing" in texts(page)
    tab(page).set_value("Edges").run()
    assert "This node has no outgoing edges." in texts(page)
    choose(page, "input")
    assert "Token embedding (input)" in texts(page) and "This node has no incoming edges." in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_edges_have_rank_and_score_in_both_models() -> None:
    page = app("circuits", node="m0", k="10")
    tab(page).set_value("Edges").run()
    table = next(part for part in re.findall(r"<table.*?</table>", html_of(page)) if "incoming" in part)
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr><td.*?</tr>", table)]
    assert rows
    for model, rank_at in (("arm", 1), ("mdm", 3)):
        edges = read.edge_table(run_of(model).key)
        order = edges.edge.tolist()
        for row in rows:
            rank = order.index(GRAPH.edge_named(f"{row[0]}->m0"))
            assert row[rank_at] == f"{rank + 1:,}"
            assert float(row[rank_at + 1]) == pytest.approx(edges.score[rank], abs=5e-5)
    for row in rows:
        inside = [name for name, at in (("ARM", 1), ("MDM", 3)) if int(row[at].replace(",", "")) <= 10]
        assert row[5] == {0: "no", 2: "both"}.get(len(inside), "".join(inside))


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("by", BY)
def test_the_strongest_paths_through_the_node_are_listed_for_both_models(by: str) -> None:
    page = app("circuits", node="m2", k="2000", tab="Edges")
    page.segmented_control(key=COMPARED_BY).set_value(by).run()
    tables = [table for table in re.findall(r"<table.*?</table>", html_of(page)) if "Strongest paths of the" in table]
    assert len(tables) == 2
    for model, table in zip(("arm", "mdm"), tables, strict=True):
        edges = read.edge_table(run_of(model).key, limit=2000)
        expected = strongest_paths(GRAPH, edges.edge, edges.score, [GRAPH.mlp(2)], COUNT, by)
        assert 1 < len(expected) <= COUNT
        names = [[GRAPH.node_names[node] for node in path.nodes] for path in expected]
        rows = re.findall(r"<tr><td[^>]*>(.*?)</td>", table)
        assert [[re.sub(r"<[qkv]>", "", end) for end in html.unescape(row).split(" → ")] for row in rows] == names


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_node_that_is_on_no_path_says_so() -> None:
    page = app("circuits", node="m2", k="1", tab="Edges")
    assert texts(page).count("no path from input to logits within its circuit goes through this node") == 2


@pytest.mark.usefixtures("seeded", "queue_of")
def test_neurons_are_the_strongest_of_the_layer() -> None:
    page = app("circuits", node="m3")
    tab(page).set_value("Neurons").run()
    arm, mdm = (read.table(run_of(model).key, "neurons", layer=3).to_pylist() for model in ("arm", "mdm"))
    strength = {a["neuron"]: max(abs(a["attribution"]), abs(m["attribution"])) for a, m in zip(arm, mdm, strict=True)}
    table = next(part for part in re.findall(r"<table.*?</table>", html_of(page)) if "neurons of layer 3" in part)
    shown = [int(row) for row in re.findall(r"<tr><td[^>]*>(\d+)</td>", table)]
    assert shown == sorted(strength, key=lambda neuron: -strength[neuron])[: len(shown)] and len(shown) == 12


@pytest.mark.usefixtures("seeded", "queue_of")
def test_runs_without_a_lens_say_so_and_keep_their_edges() -> None:
    run = run_of("mdm")
    cache_connection.store().delete(run.key_of("lens"))
    page = app("circuits", node=HEAD)
    assert "Not computed yet: the logit lens of the MDM." in texts(page)
    assert page.button(key="compute node lens") and not lens_tables(page)
    tab(page).set_value("Edges").run()
    assert "Strongest outgoing edges" in texts(page)
    tab(page).set_value("Attention").run()
    assert not page.exception and "mean attention by what a token is" in texts(page)


PANEL = """
import streamlit as st
from engine.runs import lifecycle
from engine.runs.spec import RunSpec
from pages.panels.inspector import inspector
from pages.panels.inspector_paths import COMPARED_BY, COUNT
from pages.shared import state
from pages.shared.sides import Side, Sides

st.session_state.setdefault(state.NODE, "a9.h99<b>*x*")
arm, mdm = (lifecycle.find(RunSpec(model=model)) for model in ("arm", "mdm"))
inspector(Sides(arm.meta.graph, 100, Side("arm", arm, "total"), Side("mdm", mdm, "total")))
"""


@pytest.mark.usefixtures("seeded")
def test_a_node_that_is_not_there_is_named_and_others_are_offered() -> None:
    page = AppTest.from_string(PANEL, default_timeout=30).run()
    assert not page.exception
    assert "This model has no node “a9.h99<b>*x*”." in texts(page)
    assert r"\<b\>" in page.warning[0].value
    page.button(key="common 0").click().run()
    assert not page.exception and len(lens_tables(page)) == 2
