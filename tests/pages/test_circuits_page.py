"""The circuits page: what it tells its component, what stands for the MDM, what it downloads.

What the component makes of it is tested in tests/browser, as it happens in the browser alone.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator

import pytest
import streamlit as st

from engine.circuits.edges import EdgeTable
from engine.circuits.pruning import prune
from engine.runs import lifecycle, read, stored
from engine.runs.jobs import JobQueue
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from pages.panels import circuit_content
from pages.shared import cached_reads, state
from tests.pages.payloads import line, overlap, payload_of
from tests.pages.test_pages import MODELS, TIMEOUT, app, figures, texts
from tests.waiting import until


def run_of(model: str, task: str = "ioi") -> Run:
    run = lifecycle.find(RunSpec(task=task, model=model))
    assert run
    return run


@pytest.mark.usefixtures("pair", "queue_of")
def test_circuits_offers_to_compute_two_missing_runs() -> None:
    page = app("circuits", task="sudoku")
    assert "Not computed yet with these settings: the ARM and the MDM on SUDOKU 4x4." in texts(page)
    assert page.button(key="compute 0").label == "Compute the ARM, the MDM and the control"
    assert not page.get("bidi_component")


@pytest.mark.usefixtures("pair")
def test_circuits_computes_and_then_shows(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("fake_compute")
    page = app("circuits", n="8")
    page.button(key="compute 0").click().run()
    assert not page.exception
    until(lambda: queue.jobs()[0].state == "done", TIMEOUT)
    page.run()
    assert overlap(page) > 0
    assert {run.spec.n for run in stored.list_runs()} == {8}


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_overlap_at_the_chosen_k_is_that_of_the_runs() -> None:
    page = app("circuits", task="countdown", k="100")
    keys = [run_of(model, "countdown").key for model in ("arm", "mdm")]
    assert overlap(page) == pytest.approx(read.overlap(*keys, 100), rel=1e-6)
    page.session_state[state.K] = 1000
    page.run()
    assert payload_of(page)[0]["chosen"]["k"] == 1000
    assert overlap(page) == pytest.approx(read.overlap(*keys, 1000), rel=1e-6)
    for key in keys:
        assert key[:10] in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_what_the_address_says_is_told_the_component_and_what_it_does_not_say_is_told_as_usual() -> None:
    usual = {
        "k": state.DEFAULT_K,
        "node": None,
        "pins": [],
        "view": "side",
        "kinds": ["q", "k", "v", "MLP", "logits"],
        "sign": "both",
        "show": "all",
        "prune": False,
        "tau": "0.85",
    }
    assert payload_of(app("circuits"))[0]["chosen"] == usual
    asked = {"k": "77", "node": "m2", "graphs": "one", "sign": "negative", "show": "only", "prune": "true"}
    assert payload_of(app("circuits", **asked, kinds="MLP", nodes="a1.h1"))[0]["chosen"] == {
        "k": 77,
        "node": "m2",
        "pins": ["a1.h1"],
        "view": "one",
        "kinds": ["MLP"],
        "sign": "negative",
        "show": "only",
        "prune": True,
        "tau": "0.85",
    }


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_choice_of_the_servers_is_told_once_under_a_new_number() -> None:
    page = app("circuits")
    first = payload_of(page)[0]
    page.run()
    again = payload_of(page)[0]
    assert (again["chosen"], again["serial"]) == (first["chosen"], first["serial"])
    page.button(key="differ 0").click().run()
    later = payload_of(page)[0]
    assert later["serial"] > first["serial"]
    assert later["chosen"] == {**first["chosen"], "node": later["chosen"]["node"]}
    assert later["chosen"]["node"] in page.button(key="let go of node").label + texts(page)
    assert later["version"] == first["version"], "the same circuits: the component keeps what it has drawn"


@pytest.fixture
def few_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The browser is sent 500 edges of either model, and as many are read at once."""
    monkeypatch.setattr(cached_reads, "PREFIXES", (500, 2**31 - 1))
    monkeypatch.setattr(circuit_content, "HERE", 500)
    circuit_content.arrays_of.clear()
    yield
    circuit_content.arrays_of.clear()


@pytest.mark.usefixtures("seeded", "queue_of", "few_here")
def test_moving_k_reads_no_edges_within_the_prefix_that_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, int | None]] = []
    edge_table = read.edge_table

    def watched(key: str, part: str = "total", limit: int | None = None) -> EdgeTable:
        asked.append((key, part, limit))
        return edge_table(key, part, limit)

    monkeypatch.setattr(read, "edge_table", watched)
    page = app("circuits", k="100")
    before = set(asked)
    assert {limit for _, _, limit in asked} == {500} and len(asked) == len(before)
    page.session_state[state.K] = 500
    page.run()
    assert not page.exception and set(asked) == before
    page.session_state[state.K] = 600
    page.run()
    assert not page.exception and {limit for _, _, limit in set(asked) - before} == {
        None,
        2**31 - 1,
    }  # all, past what is kept


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_checkpoint_takes_the_place_of_the_mdm() -> None:
    page = app("circuits", step="100", k="50")
    keys = [run_of(model).key for model in ("arm", "step:100")]
    assert overlap(page) == pytest.approx(read.overlap(*keys, 50), rel=1e-6)
    header, _ = payload_of(page)
    assert header["models"]["mdm"] == {"label": "MDM at step 100", "title": "MDM after 100 steps"}
    steps = next(slide for slide in header["slides"] if slide["name"] == "step")
    assert steps["value"] == "100" and {"0", "100", "final"} <= set(steps["options"])


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_overlap_comes_with_what_it_is_read_against() -> None:
    page = app("circuits", k="50")
    arm, mdm, control = map(run_of, MODELS)
    for style, run in (("control", arm), ("control-mdm", mdm)):
        assert line(page, style) == pytest.approx(read.overlap(run.key, control.key, 50), rel=1e-6)
    halves = read.split_half(arm, mdm, 50)
    for style, expected in (("half-pair", halves.pair), ("half-arm", halves.arm), ("half-mdm", halves.mdm)):
        assert line(page, style) == pytest.approx(expected, rel=1e-6)
    header, _ = payload_of(page)
    halves_of = [f"split-half: {name}" for name in ("ARM with MDM", "ARM", "MDM")]
    names = ["ARM with MDM", "ARM with control", "MDM with control", *halves_of]
    assert [drawn["name"] for drawn in header["lines"]] == names


@pytest.mark.usefixtures("seeded")
def test_a_missing_control_is_offered_and_hides_nothing(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("slow_compute")
    control = RunSpec(model="control")
    stored.delete(run_of("control").key)
    page = app()
    assert "The step-0 control is not computed yet: Indirect object identification." in texts(page)
    assert list(page.dataframe[0].value["Overlap"].notna()) == [True, True]
    page = app("circuits", k="50")
    assert overlap(page) and line(page, "control") is None
    assert payload_of(page)[0]["notes"]["control"] == "not computed yet"
    assert line(app("circuits", k="50", task="countdown"), "control") is not None
    page.button(key="compute control").click().run()
    assert queue.jobs()[0].specs == (control,)
    assert "The step-0 control is being computed." in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_control_can_stand_for_the_mdm() -> None:
    page = app("circuits", step="control", k="50")
    keys = [run_of(model).key for model in ("arm", "control")]
    assert overlap(page) == pytest.approx(read.overlap(*keys, 50), rel=1e-6)
    header, _ = payload_of(page)
    assert header["models"]["mdm"] == {"label": "control", "title": "Step-0 control"}
    assert line(page, "control") is None, "it would repeat the overlap"
    assert header["notes"]["control"] == "the control stands for the MDM here"
    text = "Below, “MDM” stands for the control."
    assert text in texts(page) and text not in texts(app("circuits", k="50"))
    for name in ("activations", "neurons", "denoising"):
        shown = texts(app(name, step="control", k="50"))
        assert keys[1][:10] in shown and text in shown


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_part_of_the_answer_has_an_overlap_of_its_own() -> None:
    arm, mdm = (run_of(model, "countdown") for model in ("arm", "mdm"))
    site, step = arm.meta.parts[0], mdm.meta.parts[1]
    page = app("circuits", task="countdown", k="50", **{state.ARM_PART: site, state.MDM_PART: step})
    expected = read.overlap(arm.key, mdm.key, 50, site, step)
    assert overlap(page) == pytest.approx(expected, rel=1e-6)
    slides = {slide["name"]: slide["value"] for slide in payload_of(page)[0]["slides"]}
    assert (slides["site"], slides["denoising"]) == (site, step)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_filters_change_no_number_of_the_payload() -> None:
    before = payload_of(app("circuits", k="100"))
    after = payload_of(app("circuits", k="100", show="shared", sign="positive", prune="true"))
    assert after[0]["chosen"] != before[0]["chosen"]
    assert after[0]["version"] == before[0]["version"]
    assert {name: array.tolist() for name, array in after[1].items()} == {
        name: array.tolist() for name, array in before[1].items()
    }


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_circuit_of_which_pruning_leaves_nothing_says_so_beside_its_files() -> None:
    page = app("circuits", task="countdown", k="10", prune="true")
    for name, model in (("ARM", "arm"), ("MDM", "mdm")):
        run = run_of(model, "countdown")
        left = int(prune(run.meta.graph, read.edge_table(run.key, limit=10).edge).sum())
        assert f"{name}, {left} of 10 edges (pruned):" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_page_has_the_trajectory_below_the_component() -> None:
    assert [figure for figure in figures(app("circuits")) if "trajectory" in figure or "step" in figure]


@pytest.mark.usefixtures("seeded", "queue_of")
def test_downloads_are_of_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    files: dict[str, tuple[str, Callable[[], bytes]]] = {}

    def offered(label: str, data: Callable[[], bytes], file_name: str, key: str, **_: object) -> None:
        files[key] = file_name, data

    monkeypatch.setattr(st, "download_button", offered)
    app("circuits", k="100", sign="positive", show="only", task="countdown")
    keys = {model: run_of(model, "countdown").key for model in ("arm", "mdm")}
    tops = {model: read.edge_table(key, limit=100) for model, key in keys.items()}
    for model, other in (("arm", "mdm"), ("mdm", "arm")):
        others = set(tops[other].edge.tolist())
        rows = zip(tops[model].edge.tolist(), tops[model].score.tolist(), strict=True)
        wanted = [edge for edge, score in rows if score > 0 and edge not in others]
        name, data = files[f"download {model} csv"]
        assert name == f"embedded-{model}-countdown-total-100-positive-only-{keys[model][:10]}.csv"
        told = list(csv.DictReader(io.StringIO(_table(data().decode()))))
        assert [int(row["edge"]) for row in told] == wanted
        assert {(row["filters"], row["run"]) for row in told} == {("positive, not shared", keys[model])}


def _table(text: str) -> str:
    """A CSV without the lines that begin with #."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))
