"""The panel of one neuron: its numbers against numpy on the stored tables, its tokens as text."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from engine.runs import lifecycle, read
from engine.runs.records import Progress, RunTables
from engine.runs.rows import ExampleRow, KeptInput, NeuronDetail, NeuronTokens
from engine.runs.spec import RunSpec
from pages.panels import neuron_tokens
from pages.shared import state
from pages.shared.sides import Side
from tests.fakes import HOSTILE, by_kind, fake_run
from tests.pages.neurons import LAYER, MODELS, NEURON, column, htmls, opened, ranks, run_of, table
from tests.pages.test_pages import texts


def coloured(page: AppTest) -> list[str]:
    """The kept example with a value at every token, as HTML: the ARM's and the MDM's."""
    return [body for body in htmls(page) if " at position " in body]


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("task", ["ioi", "countdown"])
def test_the_panel_tells_attribution_and_rank_in_both_models(task: str) -> None:
    page = opened(task=task, neuron=str(NEURON))
    text = texts(page)
    for model in MODELS:
        values, everywhere = column(model, "attribution", task=task), column(model, "attribution", None, task)
        halves = [column(model, name, task=task)[NEURON] for name in ("half_a", "half_b")]
        place = ranks(values)[NEURON], ranks(everywhere)[LAYER * 24 + NEURON]
        assert (
            f"Attribution **{values[NEURON]:+.4g}** (even examples {halves[0]:+.4g}, odd {halves[1]:+.4g}). Rank "
            f"**{place[0]}** of 24 in its layer, {place[1]} of 144 overall." in text
        )
    assert "Neuron 11 of layer 3 (m3.11)" in text


@pytest.mark.usefixtures("seeded", "queue_of")
def test_cosines_stand_among_the_layers() -> None:
    page = opened(neuron=str(NEURON))
    for label, name in (("Up weights", "cos_in"), ("Gate weights", "cos_gate"), ("Output weights", "cos_out")):
        values = column("mdm", name)
        tile = next(metric for metric in page.metric if metric.label.startswith(label))
        assert tile.value == f"{values[NEURON]:.3f}"
        assert tile.delta == f"above {(values < values[NEURON]).mean():.0%} of the layer"


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("task", ["ioi", "countdown"])
def test_the_correlation_is_numpys_over_the_prompts_both_models_read(task: str) -> None:
    page = opened(task=task, neuron=str(NEURON))
    arm, mdm = (run_of(model, task) for model in MODELS)
    first_steps = {kept.example: kept for kept in reversed(read.rows(KeptInput, mdm.key))}
    values: dict[str, list[float]] = {"arm": [], "mdm": []}
    rows = {
        model: {row.input: row.activations for row in read.rows(NeuronTokens, run.key, layer=LAYER, neuron=NEURON)}
        for model, run in (("arm", arm), ("mdm", mdm))
    }
    for kept in read.rows(KeptInput, arm.key):
        values["arm"] += rows["arm"][kept.input][: kept.start]
        values["mdm"] += rows["mdm"][first_steps[kept.example].input][: kept.start]
    tile = next(metric for metric in page.metric if metric.label.startswith("Activations"))
    assert float(tile.value) == pytest.approx(np.corrcoef(values["arm"], values["mdm"])[0, 1], abs=5e-4)
    assert tile.delta == f"over {len(values['arm'])} prompt tokens"
    at = table(page)["Neuron"].tolist().index(NEURON)
    assert table(page)["Correlation"][at] == pytest.approx(float(tile.value), abs=5e-4)


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("quantity", ["activation", "gate", "up"])
def test_every_token_carries_its_number(quantity: str) -> None:
    page = opened(task="countdown", neuron=str(NEURON), input="1", input_step="step-02", quantity=quantity)
    part = page.selectbox(key=state.INPUT_STEP).value
    for model, body in zip(MODELS, coloured(page), strict=True):
        run = run_of(model, "countdown")
        shown = next(
            kept
            for kept in read.rows(KeptInput, run.key)
            if kept.example == 1 and (model == "arm" or kept.part == part)
        )
        row = next(
            row for row in read.rows(NeuronTokens, run.key, layer=LAYER, neuron=NEURON) if row.input == shown.input
        )
        values = {"activation": row.activations, "gate": row.gates, "up": row.ups}[quantity]
        told = re.findall(r'title="([+-][^ ]+) at position (\d+)[^"]*">([^<]*)</span>', body)
        assert [number for number, _, _ in told] == [f"{value:+.4g}" for value in values]
        assert [int(position) for _, position, _ in told] == list(range(len(values)))
        assert html.unescape(told[0][2]) == HOSTILE
        assert body.index("the answer begins here") < body.index(f"at position {shown.start}")
        assert body.index("the answer begins here") > body.index(f"at position {shown.start - 1}")


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_step_is_chosen_where_the_mdm_has_several() -> None:
    page = opened(task="countdown", neuron=str(NEURON))
    parts = [kept.part for kept in read.rows(KeptInput, run_of("mdm", "countdown").key) if kept.example == 0]
    assert page.selectbox(key=state.INPUT_STEP).options == parts
    first = coloured(page)
    page.selectbox(key=state.INPUT_STEP).set_value(parts[-1]).run()
    last = coloured(page)
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
        neuron = read.neuron(run_of(model).key, LAYER, NEURON)
        for value in (*neuron.promoted_logit, *neuron.suppressed_logit):
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
    shown = neuron_tokens.seen_tokens(side, 7, "step-03")
    assert shown == [*prompt, *(token if t in reveals else "<mask>" for t, token in enumerate(answer))]
    arm = Side("arm", run_of("arm", "countdown"), "total")
    assert neuron_tokens.seen_tokens(arm, 7, "site-01") == [*prompt, *answer]


def reading(inputs: list[KeptInput]) -> Callable[..., list[Any]]:
    """`cached_reads.rows` that knows other inputs."""
    return lambda kind, key, **where: inputs if kind is KeptInput else read.rows(kind, key, **where)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_where_words_are_not_tokens_no_position_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    side = Side("arm", run_of("arm"), "total")
    kept = read.rows(KeptInput, side.run.key)
    pieces = [replace(entry, tokens=("<s>", *(f"Ġ{t}" for t in entry.tokens)), start=entry.start + 1) for entry in kept]
    monkeypatch.setattr(neuron_tokens.cached_reads, "rows", reading(pieces))
    assert neuron_tokens.seen_tokens(side, 7, "site-00") is None
    whole = [replace(entry, tokens=("<s>", *entry.tokens), start=entry.start + 1) for entry in kept]
    monkeypatch.setattr(neuron_tokens.cached_reads, "rows", reading(whole))
    row = read.rows(ExampleRow, side.run.key)[7]
    assert neuron_tokens.seen_tokens(side, 7, "site-00") == ["<s>", *row.prompt, *row.answer]


@pytest.mark.usefixtures("pair", "queue_of")
def test_a_neuron_without_detail_says_so_in_its_column() -> None:
    def without(spec: RunSpec, on_progress: Callable[[Progress], None]) -> RunTables:
        made = fake_run(spec, on_progress)
        if spec.is_arm:
            for name in ("neuron_detail", "neuron_tokens"):
                rows = made.tables[name]
                keep = pa.compute.not_equal(rows["neuron"], NEURON)
                made.tables[name] = rows.filter(keep)
        return made

    for model in MODELS:  # a seed of its own: readings are kept by run key for as long as the process lives
        lifecycle.run(RunSpec(model=model, seed=21), compute=by_kind(without))
    page = opened(neuron=str(NEURON), seed="21")
    assert texts(page).count("is not among them there") == 1
    assert "The ARM's run keeps tokens" in texts(page)
    tile = next(metric for metric in page.metric if metric.label.startswith("Activations"))
    assert (tile.value, tile.delta) == ("not known", "no detail in both models")
    at = table(page)["Neuron"].tolist().index(NEURON)
    assert np.isnan(table(page)["Correlation"][at])
    assert "Not kept for this neuron." in texts(page)


@pytest.mark.usefixtures("pair", "queue_of")
def test_an_mlp_without_a_gate_offers_no_gated_part() -> None:
    def plain(spec: RunSpec, on_progress: Callable[[Progress], None]) -> RunTables:
        made = fake_run(spec, on_progress)
        for name, columns in (("neuron_detail", ("up_tokens", "up_cosine")), ("neuron_tokens", ("ups",))):
            rows = made.tables[name]
            for field in columns:
                empty = pa.array([[]] * rows.num_rows, rows.schema.field(field).type)
                rows = rows.set_column(rows.schema.get_field_index(field), field, empty)
            made.tables[name] = rows
        rows = made.tables["neurons"]
        gone = pa.nulls(rows.num_rows, pa.float32())
        made.tables["neurons"] = rows.set_column(rows.schema.get_field_index("cos_gate"), "cos_gate", gone)
        return made

    for model in MODELS:
        lifecycle.run(RunSpec(model=model, seed=22), compute=by_kind(plain))
    page = opened(neuron=str(NEURON), seed="22", quantity="up")
    assert not page.exception
    assert page.segmented_control(key=state.QUANTITY).options == ["activation", "gate"]
    labels = [tile.label for tile in page.metric]
    assert "Input weights, cosine" in labels
    assert "Gate weights, cosine" not in labels
    assert "Cosine gate" not in table(page).columns
    assert "nearest to its up weights" not in texts(page)
