"""Faithfulness on the evidence page: curves, areas, the smallest faithful circuit, and why f is not given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import streamlit as st

from engine.runs.execution import OnProgress
from engine.runs.records import ArtifactTables, EvidenceInputs
from engine.runs.spec import RunSpec
from engine.schema.artifacts import AnyKind
from pages.panels.evidence_data import at_size
from pages.shared import state
from tests.fakes import fake_compute
from tests.pages.evidence import ARM, MDM, measure
from tests.pages.evidence_page import claims_table, labels, lines, rows, run_of, values
from tests.pages.test_pages import app, texts

REMARK = "The metric is nearly the same on clean and corrupted prompts."


def without_f(spec: RunSpec, kind: AnyKind, on_progress: OnProgress, *inputs: EvidenceInputs) -> ArtifactTables:
    """`fake_compute` of a model whose metric says nothing, so that f is not given."""
    made = fake_compute(spec, kind, on_progress, *inputs)
    if not kind.startswith("faithfulness"):
        return made
    tables = dict(made.tables)
    for name in ("f", "f_low", "f_high"):
        table = tables["circuit_runs"]
        nothing = pa.nulls(len(table), table.schema.field(name).type)
        tables["circuit_runs"] = table.set_column(table.schema.get_field_index(name), table.schema.field(name), nothing)
    if "smallest_circuits" in tables:
        table = tables["smallest_circuits"]
        for name in ("size", "below"):
            nothing = pa.nulls(len(table), table.schema.field(name).type)
            table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), nothing)
        tables["smallest_circuits"] = table
    meta = {name: value for name, value in made.meta.items() if name != "areas"} | {"remark": REMARK}
    return replace(made, meta=meta, tables=tables)


@pytest.mark.usefixtures("measured")
def test_lines_and_sentences_are_what_is_stored() -> None:
    page = app("evidence", task="ioi", k="200")
    assert not labels(page) or all("faithfulness" not in label for label in labels(page))
    own = rows(ARM, "faithfulness", "circuit_runs", circuit="own", part="total")
    drawn = lines(page, "own circuit")
    assert values(drawn["own circuit"], "x") == [row["size"] for row in own if row["size"]]
    assert values(drawn["own circuit"], "y") == [row["f"] for row in own if row["size"]]
    random = [row["f"] for row in rows(ARM, "faithfulness", "circuit_runs", circuit="random", size=500)]
    at = values(drawn["random edges (mean, range)"], "x").index(500)
    assert values(drawn["random edges (mean, range)"], "y")[at] == pytest.approx(np.mean(random))
    (at_200,) = [row for row in own if row["size"] == 200]
    assert f"Measured at K = 200: **f {at_200['f']:.2f} ({at_200['f_low']:.2f} to {at_200['f_high']:.2f})**" in texts(
        page
    )
    assert not page.warning and "the smallest with f = 0.85 or more is" in texts(page)
    table = next(frame.value for frame in page.dataframe if "CPR, ARM" in frame.value)
    assert table["CPR, MDM"][0] == "0.900 (0.850 to 0.950)" and table["CMD, ARM"][3] == "0.700"


@pytest.mark.usefixtures("seeded", "queue_of")
def test_single_sizes_are_named_beside_the_line_that_is_not_measured_and_the_nearest_is_shown() -> None:
    for size in (50, 300):
        measure(ARM, MDM, kinds=("faithfulness_at",), size=size)
    page = app("evidence", task="ioi", k="100")
    text = texts(page)
    assert "Not computed yet: the faithfulness over K of the ARM and the MDM." in text
    assert (
        "Measured at single sizes only: ARM and MDM at K = 50 and K = 300. [Whose circuit in which model](#tr" in text
    )
    assert "Not computed yet: the faithfulness at K = 100 of the ARM and the MDM." in text
    assert "Measured at K = 50, the measured size nearest to K = 100." in text
    (own,) = rows(ARM, "faithfulness_at", "circuit_runs", 50, circuit="own", part="total")
    assert f"its own 50 edges give f = {own['f']:.2f} (" in text
    assert "measured at K = 50; the MDM" in claims_table(page)
    assert "Measured at K = 300." in texts(app("evidence", task="ioi", k="300"))


@pytest.mark.usefixtures("seeded", "queue_of")
def test_models_without_a_common_size_are_not_compared() -> None:
    measure(ARM, kinds=("faithfulness_at",), size=50)
    measure(MDM, kinds=("faithfulness_at",), size=300)
    page = app("evidence", task="ioi", k="100")
    assert "Measured at single sizes only: ARM at K = 50; MDM at K = 300." in texts(page)
    assert "The two models are measured at no common size" in texts(page)
    assert "Not computed yet: the faithfulness of both models&#x27; circuits at a common size." in claims_table(page)


@pytest.mark.usefixtures("measured")
def test_a_single_size_is_told_where_the_line_over_k_is() -> None:
    measure(ARM, kinds=("faithfulness_at",), size=137)
    page = app("evidence", task="ioi", k="137")
    (own,) = rows(ARM, "faithfulness_at", "circuit_runs", 137, circuit="own", part="total")
    assert f"Measured at K = 137: **f {own['f']:.2f} (" in texts(page)
    drawn = lines(page, "own circuit")["own circuit"]
    assert values(drawn, "y")[values(drawn, "x").index(137)] == own["f"]
    assert "single sizes only" not in texts(page)


@pytest.mark.usefixtures("measured")
def test_tau_is_in_the_address_and_its_k_is_one_click_away() -> None:
    (row,) = [row for row in rows(MDM, "faithfulness", "smallest_circuits") if row["tau"] == pytest.approx(0.95)]
    page = app("evidence", task="ioi", tau="0.95")
    assert f"the smallest with f = 0.95 or more is **K = {row['size']:,}** (" in texts(page)
    page.button(key="k at tau mdm").click().run()
    assert page.session_state[state.K] == row["size"] and page.query_params[state.K] == str(row["size"])
    assert "“0.99”, which is not here. Possible: 0.5" in texts(app("evidence", task="ioi", tau="0.99"))


@pytest.mark.usefixtures("measured")
def test_lines_can_be_shares_of_right_tokens_and_those_of_a_step() -> None:
    page = app("evidence", task="ioi", k="200", lines="right")
    own = rows(ARM, "faithfulness", "circuit_runs", circuit="own", part="total")
    assert values(lines(page, "own circuit")["own circuit"], "y") == [row["right"] for row in own if row["size"]]
    (read_so,) = [caption.value for caption in page.caption if "the upper line is the whole model" in caption.value]
    assert read_so.endswith("Band: of random edges the range of five draws.") and "95 %" not in read_so


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_denoising_step_is_shown_alone() -> None:
    specs = [replace(spec, task="countdown") for spec in (ARM, MDM)]
    measure(*specs, kinds=("faithfulness", "knockouts"))
    (part, *_) = [part for part in run_of(specs[1]).meta.parts if part in ("step-00", "step-01")]
    page = app("evidence", task="countdown", k="200", denoising=part, node="m1")
    assert f"MDM, {part}" in [head.value for head in page.subheader]
    assert "Of one denoising step only the own circuit and the other model's are measured." in texts(page)
    own, other = (rows(specs[1], "faithfulness", "circuit_runs", circuit=name, part=part) for name in ("own", "other"))
    drawn = lines(page, "the other's circuit")
    for name, wanted in (("own circuit", own), ("the other's circuit", other)):
        assert values(drawn[name], "y") == [row["f"] for row in wanted if row["size"]]
    node = run_of(MDM).meta.graph.node_names.index("m1")
    (row,) = rows(specs[1], "knockouts", "knockouts", node=node, replaced_by="corrupted", part="step-00")
    if part == "step-00":
        assert f"without it: metric {row['change']:+.2f} (" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_where_f_is_not_given_it_is_said_why() -> None:
    st.cache_data.clear()  # a key stands for the same numbers everywhere but here
    measure(ARM, MDM, kinds=("faithfulness",), compute=without_f)
    page = app("evidence", task="ioi", k="200")
    assert texts(page).count(f"f is not given. {REMARK}") == 2
    assert "f is not given for these models: see above why." in texts(page)
    assert not [frame for frame in page.dataframe if "CPR, ARM" in frame.value]
    page = app("evidence", task="ioi", k="200", lines="right")
    assert lines(page, "own circuit") and "f is not given. " not in texts(page)
    st.cache_data.clear()


@pytest.mark.usefixtures("seeded", "queue_of")
def test_where_f_is_not_given_at_a_single_size_it_is_said_why() -> None:
    st.cache_data.clear()
    measure(ARM, MDM, kinds=("faithfulness_at",), size=200, compute=without_f)
    page = app("evidence", task="ioi", k="200")
    assert f"ARM: f is not given. {REMARK}" in texts(page) and f"MDM: f is not given. {REMARK}" in texts(page)
    assert "f is not given for these models: see above why." in texts(page)
    st.cache_data.clear()


def test_estimates() -> None:
    table = [
        {"circuit": "random", "size": 5, "f": f, "f_low": 0.0, "f_high": 9.0, "right": None} for f in (0.1, 0.3)
    ] + [{"circuit": "own", "size": 5, "f": None, "f_low": None, "f_high": None, "right": 0.5}]
    random = at_size(table, "random", 5)
    assert random and (random.value, random.low, random.high) == (pytest.approx(0.2), 0.1, 0.3)
    assert at_size(table, "own", 5) is None and at_size(table, "own", 6) is None
    right = at_size(table, "own", 5, "right")
    assert right and (right.value, right.low) == (0.5, None)
