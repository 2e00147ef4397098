"""The neurons page in every state, its numbers against numpy on the stored tables."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import streamlit as st
from numpy.typing import NDArray
from streamlit.testing.v1 import AppTest

from engine import settings
from engine.runs import cache_connection, lifecycle, read
from engine.runs.jobs import JobQueue
from engine.runs.records import Progress, Run, RunTables
from engine.runs.rows import ExampleRow, KeptInput, NeuronDetail, NeuronTokens
from engine.runs.spec import RunSpec
from pages.figures import neurons as figures
from pages.panels import neuron as panel
from pages.panels import neuron_data
from pages.shared import state
from pages.shared.sides import Side
from tests.fakes import HOSTILE, fake_compute
from tests.pages.test_pages import app, texts, until

LAYER, NEURON = 3, 11
MODELS = ("arm", "mdm")
NAMES = {"arm": "ARM", "mdm": "MDM"}


def run_of(model: str, task: str = "ioi") -> Run:
    found = lifecycle.find(RunSpec(model=model, task=task))
    assert found
    return found


def column(model: str, name: str, layer: int | None = LAYER, task: str = "ioi") -> NDArray[np.float32]:
    return np.array(read.table(run_of(model, task).key, "neurons", layer=layer)[name].to_pylist(), dtype=np.float32)


def opened(**query: str) -> AppTest:
    return app("neurons", **{"layer": str(LAYER), **query})


def htmls(page: AppTest) -> list[str]:
    return [element.proto.body for element in page.get("html")]


def metric(page: AppTest, label: str) -> str:
    return str(next(one.value for one in page.metric if one.label.startswith(label)))


def table(page: AppTest, name: str = "neuron table") -> AppTest:
    return next(frame.value for frame in page.dataframe if (frame.key or "").startswith(name))


def ranks(values: NDArray[np.float32]) -> NDArray[np.int_]:
    """1 for the largest |value|, by counting."""
    return np.array([1 + (np.abs(values) > abs(value)).sum() for value in values])


@pytest.mark.usefixtures("pair", "queue_of")
def test_nothing_computed_offers_to_compute() -> None:
    page = app("neurons", task="sudoku")
    assert "Not computed yet with these settings: the ARM and the MDM on SUDOKU 4x4." in texts(page)
    assert page.button(key="compute 0").label == "Compute the ARM, the MDM and the control"
    assert not page.metric


@pytest.mark.usefixtures("pair")
def test_computing_then_computed(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("fake_compute")
    page = app("neurons", n="8")
    page.button(key="compute 0").click().run()
    assert not page.exception
    until(lambda: queue.jobs()[0].state == "done")
    page.run()
    assert len(page.get("plotly_chart")) == 1
    assert "Click a dot, tick a row" in texts(page)


@pytest.mark.usefixtures("pair")
def test_a_failure_says_why(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("moody_compute")
    page = app("neurons", seed="13")
    page.button(key="compute 0").click().run()
    until(lambda: queue.jobs()[0].state == "failed")
    page.run()
    assert "There is no model in this folder" in texts(page)
    assert page.button(key="compute 0")


@pytest.mark.usefixtures("seeded", "queue_of")
def test_it_begins_with_the_layer_of_the_strongest_neuron() -> None:
    page = app("neurons")
    both = [column(model, "attribution", None).reshape(6, -1) for model in MODELS]
    strongest = int(np.abs(np.stack(both)).max(axis=(0, 2)).argmax())
    assert page.selectbox(key=state.LAYER).value == strongest
    assert "Click a dot, tick a row" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_tiles_are_numpys_numbers() -> None:
    page = opened()
    arm, mdm = (column(model, "attribution") for model in MODELS)
    top = len(arm) // 4
    assert float(metric(page, "Correlation")) == pytest.approx(np.corrcoef(arm, mdm)[0, 1], abs=5e-4)

    def strongest(values: NDArray[np.float32]) -> set[int]:
        return set(np.argsort(-np.abs(values))[:top].tolist())

    def overlap(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
        return len(strongest(a) & strongest(b)) / len(strongest(a) | strongest(b))

    assert float(metric(page, f"Overlap of the {top} strongest")) == pytest.approx(overlap(arm, mdm), abs=5e-4)
    selves = [overlap(column(model, "half_a"), column(model, "half_b")) for model in MODELS]
    ways = [
        overlap(column("arm", f"half_{one}"), column("mdm", f"half_{other}")) for one, other in (("a", "b"), ("b", "a"))
    ]
    assert float(metric(page, "Overlap on halves")) == pytest.approx(sum(ways) / 2, abs=5e-4)
    assert f"ARM {selves[0]:.3f}, MDM {selves[1]:.3f}" in [element.delta for element in page.metric]
    assert metric(page, "Sum of attributions") == f"{arm.sum():+.3g} / {mdm.sum():+.3g}"


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_mlps_of_the_circuits_are_told() -> None:
    page = opened(k="10")
    graph = run_of("arm").meta.graph
    inside = {}
    for model in MODELS:
        edges = read.edge_table(run_of(model).key, limit=10).edge
        ends = {graph.edge_name(int(edge)).partition("<")[0] for edge in edges}
        inside[model] = {name for end in ends for name in end.split("->") if name.startswith("m")}
    said = next(one.value for one in page.caption if one.value.startswith("MLPs at K = 10"))
    groups = {what: set(names.split(", ")) for what, names in re.findall(r"in ([^:;]+): \*\*([^*]+)\*\*", said)}
    assert groups.get("both circuits", set()) == inside["arm"] & inside["mdm"]
    assert groups.get("the ARM's only", set()) == inside["arm"] - inside["mdm"]
    assert groups.get("the MDM's only", set()) == inside["mdm"] - inside["arm"]
    assert set.union(*groups.values()) == {f"m{layer}" for layer in range(6)}


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_table_has_both_models_numbers_of_every_neuron() -> None:
    page = opened()
    shown = table(page)
    order = shown["Neuron"].to_numpy()
    assert sorted(order) == list(range(24))
    both = [np.abs(column(model, "attribution")) for model in MODELS]
    assert order.tolist() == np.argsort(-np.maximum(*both), kind="stable").tolist()
    for model, name in NAMES.items():
        values = column(model, "attribution")
        assert np.allclose(shown[f"{name} attribution"], values[order])
        assert shown[f"{name} rank"].tolist() == ranks(values)[order].tolist()
    for which in ("in", "gate", "out"):
        assert np.allclose(shown[f"Cosine {which}"], column("mdm", f"cos_{which}")[order])


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("order", ["ARM", "MDM", "difference"])
def test_the_table_can_be_ordered(order: str) -> None:
    page = opened(sort=order)
    arm, mdm = (column(model, "attribution") for model in MODELS)
    strength = np.abs({"ARM": arm, "MDM": mdm, "difference": mdm - arm}[order])
    assert table(page)["Neuron"].tolist() == np.argsort(-strength, kind="stable").tolist()


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("task", ["ioi", "countdown"])
def test_the_panel_tells_attribution_and_rank_in_both_models(task: str) -> None:
    page = opened(task=task, neuron=str(NEURON))
    said = texts(page)
    for model in MODELS:
        values, everywhere = column(model, "attribution", task=task), column(model, "attribution", None, task)
        halves = [column(model, name, task=task)[NEURON] for name in ("half_a", "half_b")]
        place = ranks(values)[NEURON], ranks(everywhere)[LAYER * 24 + NEURON]
        assert (
            f"Attribution **{values[NEURON]:+.4g}** (even examples {halves[0]:+.4g}, odd {halves[1]:+.4g}). Rank "
            f"**{place[0]}** of 24 in its layer, {place[1]} of 144 overall." in said
        )
    assert "Neuron 11 of layer 3 (m3.11)" in said


@pytest.mark.usefixtures("seeded", "queue_of")
def test_cosines_stand_among_the_layers() -> None:
    page = opened(neuron=str(NEURON))
    for label, name in (("Up weights", "cos_in"), ("Gate weights", "cos_gate"), ("Output weights", "cos_out")):
        values = column("mdm", name)
        tile = next(one for one in page.metric if one.label.startswith(label))
        assert tile.value == f"{values[NEURON]:.3f}"
        assert tile.delta == f"above {(values < values[NEURON]).mean():.0%} of the layer"


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("task", ["ioi", "countdown"])
def test_the_correlation_is_numpys_over_the_prompts_both_models_read(task: str) -> None:
    page = opened(task=task, neuron=str(NEURON))
    arm, mdm = (run_of(model, task) for model in MODELS)
    first_steps = {one.example: one for one in reversed(read.rows(KeptInput, mdm.key))}
    values: dict[str, list[float]] = {"arm": [], "mdm": []}
    rows = {
        model: {row.input: row.activations for row in read.rows(NeuronTokens, run.key, layer=LAYER, neuron=NEURON)}
        for model, run in (("arm", arm), ("mdm", mdm))
    }
    for one in read.rows(KeptInput, arm.key):
        values["arm"] += rows["arm"][one.input][: one.start]
        values["mdm"] += rows["mdm"][first_steps[one.example].input][: one.start]
    tile = next(one for one in page.metric if one.label.startswith("Activations"))
    assert float(tile.value) == pytest.approx(np.corrcoef(values["arm"], values["mdm"])[0, 1], abs=5e-4)
    assert tile.delta == f"over {len(values['arm'])} prompt tokens"
    at = table(page)["Neuron"].tolist().index(NEURON)
    assert table(page)["Correlation"][at] == pytest.approx(float(tile.value), abs=5e-4)


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("quantity", ["activation", "gate", "up"])
def test_every_token_carries_its_number(quantity: str) -> None:
    page = opened(task="countdown", neuron=str(NEURON), input="1", input_step="step-02", quantity=quantity)
    part = page.selectbox(key=state.INPUT_STEP).value
    for model, body in zip(MODELS, htmls(page), strict=False):
        run = run_of(model, "countdown")
        seen = next(
            one for one in read.rows(KeptInput, run.key) if one.example == 1 and (model == "arm" or one.part == part)
        )
        row = next(
            row for row in read.rows(NeuronTokens, run.key, layer=LAYER, neuron=NEURON) if row.input == seen.input
        )
        values = {"activation": row.activations, "gate": row.gates, "up": row.ups}[quantity]
        told = re.findall(r'title="([+-][^ ]+) at position (\d+)[^"]*">([^<]*)</span>', body)
        assert [number for number, _, _ in told] == [f"{value:+.4g}" for value in values]
        assert [int(position) for _, position, _ in told] == list(range(len(values)))
        assert html.unescape(told[0][2]) == HOSTILE
        assert body.index("the answer begins here") < body.index(f"at position {seen.start}")
        assert body.index("the answer begins here") > body.index(f"at position {seen.start - 1}")


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_step_is_chosen_where_the_mdm_has_several() -> None:
    page = opened(task="countdown", neuron=str(NEURON))
    parts = [one.part for one in read.rows(KeptInput, run_of("mdm", "countdown").key) if one.example == 0]
    assert page.selectbox(key=state.INPUT_STEP).options == parts
    first = htmls(page)[:2]
    page.selectbox(key=state.INPUT_STEP).set_value(parts[-1]).run()
    last = htmls(page)[:2]
    assert last[0] == first[0]
    assert last[1].count("&lt;mask&gt;") < first[1].count("&lt;mask&gt;")
    page.selectbox(key=state.TASK).set_value("ioi").run()
    assert not page.exception
    assert page.selectbox(key="only step").disabled


@pytest.mark.usefixtures("seeded", "queue_of")
def test_tokens_it_promotes_and_reads_are_listed_and_escaped() -> None:
    page = opened(neuron=str(NEURON))
    joined = "\n".join(htmls(page))
    for model in MODELS:
        found = read.neuron(run_of(model).key, LAYER, NEURON)
        for value in (*found.promoted_logit, *found.suppressed_logit):
            assert f">{value:+.3f}</td>" in joined
        detail = read.row(NeuronDetail, run_of(model).key, layer=LAYER, neuron=NEURON)
        assert detail
        for value in (*detail.gate_cosine, *detail.up_cosine):
            assert f">{value:+.3f}</td>" in joined
        for value, example in zip(detail.top_value, detail.top_input_example, strict=True):
            assert f"<b>{value:+.3f}, example {example}" in joined
    assert html.escape(HOSTILE) in joined
    assert HOSTILE not in joined


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_strongest_prompts_hide_what_the_mdm_did_not_see_yet() -> None:
    run = run_of("mdm", "countdown")
    side = Side("mdm", run, "total")
    answer = read.rows(ExampleRow, run.key)[7].answer
    prompt = read.rows(ExampleRow, run.key)[7].prompt
    reveals = [
        row["index"] for row in read.table(run.key, "reveals").to_pylist() if row["example"] == 7 and row["step"] < 3
    ]
    assert len(reveals) == 3
    shown = panel.seen_tokens(side, 7, "step-03")
    assert shown == [*prompt, *(token if t in reveals else "<mask>" for t, token in enumerate(answer))]
    arm = Side("arm", run_of("arm", "countdown"), "total")
    assert panel.seen_tokens(arm, 7, "site-01") == [*prompt, *answer]


def reading(inputs: list[KeptInput]) -> Callable[..., list[Any]]:
    """`cached_reads.rows` that knows other inputs."""
    return lambda kind, key, **where: inputs if kind is KeptInput else read.rows(kind, key, **where)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_where_words_are_not_tokens_no_position_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    side = Side("arm", run_of("arm"), "total")
    kept = read.rows(KeptInput, side.run.key)
    pieces = [replace(one, tokens=("<s>", *(f"Ġ{token}" for token in one.tokens)), start=one.start + 1) for one in kept]
    monkeypatch.setattr(panel.cached_reads, "rows", reading(pieces))
    assert panel.seen_tokens(side, 7, "site-00") is None
    whole = [replace(one, tokens=("<s>", *one.tokens), start=one.start + 1) for one in kept]
    monkeypatch.setattr(panel.cached_reads, "rows", reading(whole))
    row = read.rows(ExampleRow, side.run.key)[7]
    assert panel.seen_tokens(side, 7, "site-00") == ["<s>", *row.prompt, *row.answer]


@pytest.mark.usefixtures("pair", "queue_of")
def test_a_neuron_without_detail_says_so_in_its_column() -> None:
    def without(spec: RunSpec, on_progress: Callable[[Progress], None]) -> RunTables:
        made = fake_compute(spec, on_progress)
        if spec.is_arm:
            for name in ("neuron_detail", "neuron_tokens"):
                rows = made.tables[name]
                keep = pa.compute.not_equal(rows["neuron"], NEURON)
                made.tables[name] = rows.filter(keep)
        return made

    for model in MODELS:  # a seed of its own: readings are kept by run key for as long as the process lives
        lifecycle.run(RunSpec(model=model, seed=21), compute=without)
    page = opened(neuron=str(NEURON), seed="21")
    assert texts(page).count("is not among them there") == 1
    assert "The ARM's run keeps tokens" in texts(page)
    tile = next(one for one in page.metric if one.label.startswith("Activations"))
    assert (tile.value, tile.delta) == ("not known", "no detail in both models")
    at = table(page)["Neuron"].tolist().index(NEURON)
    assert np.isnan(table(page)["Correlation"][at])
    assert "Not kept for this neuron." in texts(page)


@pytest.mark.usefixtures("pair", "queue_of")
def test_an_mlp_without_a_gate_offers_no_gated_part() -> None:
    def plain(spec: RunSpec, on_progress: Callable[[Progress], None]) -> RunTables:
        made = fake_compute(spec, on_progress)
        for name, columns in (("neuron_detail", ("up_tokens", "up_cosine")), ("neuron_tokens", ("ups",))):
            rows = made.tables[name]
            for one in columns:
                empty = pa.array([[]] * rows.num_rows, rows.schema.field(one).type)
                rows = rows.set_column(rows.schema.get_field_index(one), one, empty)
            made.tables[name] = rows
        rows = made.tables["neurons"]
        gone = pa.nulls(rows.num_rows, pa.float32())
        made.tables["neurons"] = rows.set_column(rows.schema.get_field_index("cos_gate"), "cos_gate", gone)
        return made

    for model in MODELS:
        lifecycle.run(RunSpec(model=model, seed=22), compute=plain)
    page = opened(neuron=str(NEURON), seed="22", quantity="up")
    assert not page.exception
    assert page.segmented_control(key=state.QUANTITY).options == ["activation", "gate"]
    labels = [one.label for one in page.metric]
    assert "Input weights, cosine" in labels
    assert "Gate weights, cosine" not in labels
    assert "Cosine gate" not in table(page).columns
    assert "nearest to its up direction" not in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("typed", ["Mary", "' Mary'", "ĠMary", "▁Mary", "␣Mary", "24", HOSTILE])
def test_a_token_finds_its_promoters_in_both_models(typed: str) -> None:
    token = typed.strip(" Ġ▁␣'")
    page = opened(search=typed)
    shown = table(page, "neuron search")
    wanted = {}
    for model in MODELS:
        for row in read.table(run_of(model).key, "neurons").to_pylist():
            if token in row["promoted"]:
                logit = row["promoted_logit"][row["promoted"].index(token)]
                wanted[row["layer"], row["neuron"], NAMES[model]] = logit
    found = {}
    for _, row in shown.iterrows():
        for name in NAMES.values():
            if not np.isnan(row[f"{name} logit"]):
                found[row["Layer"], row["Neuron"], name] = row[f"{name} logit"]
                assert row["Promoted in"] in {"both", name}
    assert found == pytest.approx(wanted)
    strengths = np.maximum(shown["ARM attribution"].abs(), shown["MDM attribution"].abs())
    assert (np.diff(strengths) <= 0).all()
    for _, row in shown.iterrows():
        for model, name in NAMES.items():
            assert row[f"{name} attribution"] == column(model, "attribution", row["Layer"])[row["Neuron"]]


@pytest.mark.usefixtures("seeded", "queue_of")
def test_choosing_a_result_opens_it_whatever_its_layer() -> None:
    page = opened(search="Mary")
    box = page.selectbox(key="found neuron")
    label = next(option for option in box.options if not option.startswith(f"m{LAYER}."))
    box.set_value(label).run()
    layer, neuron = (int(part) for part in label.split()[0].removeprefix("m").split("."))
    assert page.selectbox(key=state.LAYER).value == layer
    assert f"Neuron {neuron} of layer {layer} (m{layer}.{neuron})" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize(
    ("typed", "layer", "neuron"), [("5:7", 5, 7), ("m2.9", 2, 9), ("11", LAYER, 11), (" 5.7 ", 5, 7)]
)
def test_a_place_opens_its_neuron(typed: str, layer: int, neuron: int) -> None:
    page = opened()
    page.text_input(key=state.SEARCH).set_value(typed).run()
    assert f"Neuron {neuron} of layer {layer} (m{layer}.{neuron})" in texts(page)
    assert page.text_input(key=state.SEARCH).value == ""


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_number_that_is_also_a_token_offers_both() -> None:
    page = opened()
    page.text_input(key=state.SEARCH).set_value("17").run()
    assert "neurons promote 17" in texts(page)
    page.button(key="by place").click().run()
    assert "Neuron 17 of layer 3 (m3.17)" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_search_without_result_says_so_and_what_is_alike() -> None:
    page = opened(search="Marie")
    assert "No neuron has **Marie** among the 5 tokens it promotes most, in either model." in texts(page)
    assert re.search(r"Similar tokens that some neuron promotes: .*\*\*Mary\*\*", texts(page))
    page = opened(search="99:5")
    assert "There is no neuron 5 in layer 99: layers go from 0 to 5, neurons from 0 to 23." in texts(page)
    page = opened(search="<i>zzzzzzzzzzz</i>")
    assert "No neuron has **<i>zzzzzzzzzzz</i>**" in texts(page)
    assert "<i>" not in "".join(str(one.value) for one in page.markdown).replace("\\<i\\>", "")


@pytest.mark.usefixtures("seeded", "queue_of")
def test_pins_are_compared_and_taken_off() -> None:
    page = opened(neuron=str(NEURON), pins="3:5,0:2,9:9,nonsense,3:5")
    assert "Not in these models: m9.9." in texts(page)
    assert "Not read as neurons: “nonsense”." in texts(page)
    page.button(key="pin neuron").click().run()
    assert page.text_input(key=state.PINS).value == "3:5,0:2,9:9,3:11"
    shown = table(page, "neuron pins")
    assert list(zip(shown["Layer"], shown["Neuron"], strict=True)) == [(3, 5), (0, 2), (3, 11)]
    for _, row in shown.iterrows():
        for model, name in NAMES.items():
            values = column(model, "attribution", row["Layer"])
            assert row[f"{name} attribution"] == values[row["Neuron"]]
            assert row[f"{name} rank"] == ranks(values)[row["Neuron"]]
    page.button(key="unpin m0.2").click().run()
    assert page.text_input(key=state.PINS).value == "3:5,9:9,3:11"
    assert page.button(key="pin neuron").label == "Unpin"
    page.button(key="pin neuron").click().run()
    assert table(page, "neuron pins")["Neuron"].tolist() == [5]


@pytest.mark.usefixtures("seeded", "queue_of")
def test_another_layer_lets_the_neuron_go() -> None:
    page = opened(neuron=str(NEURON))
    page.selectbox(key=state.LAYER).set_value(1).run()
    assert page.number_input(key=state.NEURON).value is None
    assert "Click a dot, tick a row" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_checkpoint_takes_the_place_of_the_mdm() -> None:
    page = opened(step="100", neuron=str(NEURON))
    assert "MDM after 100 steps" in texts(page)
    other = lifecycle.find(RunSpec(model="step:100"))
    assert other
    value = read.neuron(other.key, LAYER, NEURON).attribution
    assert f"Attribution **{value:+.4g}**" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_downloads_hold_every_neuron_and_the_whole_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    files: dict[str, str] = {}

    def offered(label: str, data: Callable[[], bytes], key: str, **_: object) -> None:
        files[key] = data().decode()

    monkeypatch.setattr(st, "download_button", offered)
    page = opened(neuron=str(NEURON), pins="1:2")
    layer = list(csv.DictReader(io.StringIO(files["download neurons-m3"])))
    assert [int(row["Neuron"]) for row in layer] == table(page)["Neuron"].tolist()
    assert [float(row["ARM attribution, even examples"]) for row in layer] == pytest.approx(
        [column("arm", "half_a")[int(row["Neuron"])] for row in layer]
    )
    (pin,) = csv.DictReader(io.StringIO(files["download pinned"]))
    assert (pin["Layer"], pin["Neuron"]) == ("1", "2")
    assert (pin["task"], pin["arm_run"], pin["mdm_run"]) == ("ioi", run_of("arm").key, run_of("mdm").key)
    told = json.loads(files["download neuron"])
    for model in MODELS:
        assert told[model]["attribution"] == read.neuron(run_of(model).key, LAYER, NEURON).attribution
        assert told[model]["run"] == run_of(model).key


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_click_in_the_scatter_toggles(monkeypatch: pytest.MonkeyPatch) -> None:
    session: dict[str, object] = {}
    monkeypatch.setattr(panel.st, "session_state", session)

    def click(points: list[dict[str, object]]) -> object:
        session["chart"] = {"selection": {"points": points}}
        panel.take_click("chart", 2)
        return session.get(state.NEURON)

    assert click([{"customdata": 7}]) == 7
    assert session[state.LAYER] == 2
    assert click([]) is None  # the point it holds, clicked again
    assert click([{"x": 0.0}]) == 7  # and again, with a line beside it
    assert click([{"customdata": [5]}]) == 5
    session[state.NEURON] = 3  # chosen elsewhere
    assert click([]) == 5


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_scatter_holds_every_neuron_once() -> None:
    drawn = []
    page = opened(neuron=str(NEURON))
    spec = json.loads(page.get("plotly_chart")[0].proto.spec or page.get("plotly_chart")[0].proto.figure.spec)
    for trace in spec["data"]:
        if trace.get("meta") == figures.POINTS_TRACE:
            drawn += trace["customdata"]
    assert sorted(drawn) == list(range(24))


@pytest.mark.usefixtures("pair", "queue_of")
def test_an_unreadable_cache_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.setenv("CIRCUITS_DB", str(tmp_path / "folder"))
    assert "is not a file that can be written" in opened().error[0].value.replace("\\", "")


@pytest.mark.usefixtures("seeded")
def test_the_page_needs_no_torch() -> None:
    code = (
        "import sys\n"
        "from tests.pages.test_pages import app\n"
        "page = app('neurons', layer='3', neuron='11', search='Mary', pins='1:2', task='countdown')\n"
        "assert not page.error, page.error\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    cache_connection.close()
    done = subprocess.run([sys.executable, "-c", code], cwd=settings.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_place_is_read_from_a_text() -> None:
    assert neuron_data.spot_of("3:117") == neuron_data.spot_of("m3.117") == neuron_data.spot_of(" 3 : 117 ") == (3, 117)
    assert neuron_data.spot_of("117", 4) == (4, 117)
    assert neuron_data.spot_of("117") is None
    for text in ("", "m3", "3:", ":5", "-1:5", "3:1e5", "Mary", "3:5:7"):
        assert neuron_data.spot_of(text, 1) is None


def test_spellings_leave_what_was_typed_first() -> None:
    assert neuron_data.spellings(" Mary")[0] == " Mary"
    assert set(neuron_data.spellings("Mary")) == {"Mary", " Mary", "ĠMary", "▁Mary"}
    assert set(neuron_data.spellings("ĠMary")) == {"Mary", " Mary", "ĠMary", "▁Mary"}
    assert neuron_data.spellings(" ") == [" "]
    assert "\n" in neuron_data.spellings("⏎")
