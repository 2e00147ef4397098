"""The circuits page: its numbers, its filters, what stands for the MDM, what it downloads."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.circuits.edges import EdgeTable
from engine.circuits.pruning import prune
from engine.runs import lifecycle, read, stored
from engine.runs.jobs import JobQueue
from engine.runs.spec import RunSpec
from pages.shared import cached_reads, state
from pages.shared.choose_k import SLIDER
from tests.pages.test_pages import MODELS, TIMEOUT, app, caption, figures, overlap, texts
from tests.waiting import until


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
    until(lambda: queue.jobs()[0].state == "done", TIMEOUT)
    page.run()
    assert len(figures(page)) == 4
    assert {run.spec.n for run in stored.list_runs()} == {8}


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
def test_a_checkpoint_takes_the_place_of_the_mdm() -> None:
    page = app("circuits", step="100", k="50")
    keys = [lifecycle.find(RunSpec(model=model)).key for model in ("arm", "step:100")]
    assert overlap(page) == pytest.approx(read.overlap(*keys, 50), abs=5e-4)
    assert "MDM after 100 steps" in texts(page)


SPLIT_HALF = ("split-half: ARM with MDM", "split-half: ARM", "split-half: MDM")


def tile(page: AppTest, label: str) -> tuple[str, str]:
    return next((metric.value, metric.delta) for metric in page.metric if metric.label == label)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_circuits_shows_what_the_overlap_is_read_against() -> None:
    page = app("circuits", k="50")
    arm, mdm, control = (lifecycle.find(RunSpec(model=model)) for model in MODELS)
    value, note = tile(page, "Overlap of ARM and control")
    assert float(value) == pytest.approx(read.overlap(arm.key, control.key, 50), abs=5e-4)
    assert note == f"MDM with control {read.overlap(mdm.key, control.key, 50):.3f}"
    halves = read.split_half(arm, mdm, 50)
    assert tile(page, "Split-half overlap") == (
        f"{halves.pair:.3f}",
        f"ARM {halves.arm:.3f}, MDM {halves.mdm:.3f}",
    )
    drawn = next(figure for figure in figures(page) if "overlap (Jaccard)" in figure)
    for name in ("ARM with MDM", "ARM with control", *SPLIT_HALF, "chance"):
        assert f'"name":"{name}"' in drawn


@pytest.mark.usefixtures("seeded")
def test_a_missing_control_is_offered_and_hides_nothing(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("slow_compute")
    control = RunSpec(model="control")
    stored.delete(lifecycle.find(control).key)
    page = app()
    assert "The step-0 control is not computed yet: Indirect object identification." in texts(page)
    assert list(page.dataframe[0].value["Overlap"].notna()) == [True, True]
    page = app("circuits", k="50")
    assert overlap(page) and tile(page, "Overlap of ARM and control") == ("none", "not computed yet")
    assert "and with the control" in texts(app("circuits", k="50", task="countdown"))
    assert "ARM with MDM: circuits of all prompts. Split-half:" in texts(page)
    page.button(key="compute control").click().run()
    assert queue.jobs()[0].specs == (control,)
    assert "The step-0 control is being computed." in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_control_can_stand_for_the_mdm() -> None:
    page = app("circuits", step="control", k="50")
    keys = [lifecycle.find(RunSpec(model=model)).key for model in ("arm", "control")]
    assert overlap(page) == pytest.approx(read.overlap(*keys, 50), abs=5e-4)
    assert "Step-0 control" in texts(page)
    value, _ = tile(page, "Overlap of control and MDM")
    mdm = lifecycle.find(RunSpec(model="mdm"))
    assert float(value) == pytest.approx(read.overlap(keys[1], mdm.key, 50), abs=5e-4)
    assert "Overlap of ARM and control" not in {metric.label for metric in page.metric}, "it would repeat the overlap"
    text = "Below, “MDM” stands for the control."
    assert text in texts(page) and text not in texts(app("circuits", k="50"))
    for name in ("activations", "neurons", "denoising"):
        shown = texts(app(name, step="control", k="50"))
        assert keys[1][:10] in shown and text in shown


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
    assert f"{both} of 100 edges drawn. {100 - both} are left out by the filters (shared)." in texts(page)
    assert "Overlap and all other numbers are of all 100." in texts(page)


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
        assert f"{drawn} {why} within the circuit. Overlap and all other numbers are of all {size}." in texts(page)
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
