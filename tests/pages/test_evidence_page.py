"""The evidence page in every state: nothing measured, some of it, all; what it says is what is stored."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import streamlit as st

from engine.models import pairs
from engine.runs import cache_connection, evidence, execution, lifecycle, read, stored
from engine.runs.evidence_lines import AUDITED_NAMES
from engine.runs.execution import OnProgress
from engine.runs.jobs import JobQueue
from engine.runs.records import ArtifactTables, EvidenceInputs, Run
from engine.runs.spec import RunSpec
from engine.schema.artifacts import AnyKind, EvidenceKind
from pages.panels.evidence_audit import NAMES, of_method_first
from pages.panels.evidence_data import at_size
from pages.panels.evidence_knockouts import of_heads
from pages.shared import downloads, state
from pages.shared.sides import Side
from tests.fakes import fake_compute
from tests.pages.test_pages import TIMEOUT, app, figures, texts
from tests.waiting import until

ARM, MDM = RunSpec(model="arm"), RunSpec(model="mdm")
KINDS: tuple[EvidenceKind, ...] = ("faithfulness", "knockouts", "audit")
REMARK = "The metric is nearly the same on clean and corrupted prompts."


def measure(
    *specs: RunSpec, kinds: tuple[EvidenceKind, ...] = KINDS, size: int | None = None, compute: Any = None
) -> None:
    execution.carry_out(evidence.plan(specs, kinds, size), compute or fake_compute, lambda progress: None)


def run_of(spec: RunSpec) -> Run:
    run = lifecycle.find(spec)
    assert run
    return run


def rows(spec: RunSpec, kind: EvidenceKind, table: str, at: int | None = None, **where: Any) -> list[dict[str, Any]]:
    there = evidence.find(run_of(spec), kind, run_of(evidence.other_of(spec)), at)
    assert there
    return evidence.table(there, table, **where).to_pylist()


def labels(page: Any) -> list[str]:
    return [button.label for button in page.button if str(button.key).startswith("compute")]


def lines(page: Any, title: str) -> dict[str, dict[str, Any]]:
    """The traces, by name, of the first figure one of whose traces is called `title`."""
    for figure in map(json.loads, figures(page)):
        traces = {trace.get("name"): trace for trace in figure["data"]}
        if title in traces:
            return traces
    raise AssertionError(f"no figure has {title}")


def values(trace: dict[str, Any], axis: str) -> list[float]:
    """Of a trace as it is sent: a list, or an array in base 64."""
    data = trace[axis]
    if isinstance(data, dict):
        return np.frombuffer(base64.b64decode(data["bdata"]), dtype=data["dtype"]).tolist()
    return list(data)


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


@pytest.fixture(scope="module")
def measured_folder(seeded_folder: Path, pair_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The seeded cache with all evidence of both models on IOI, made once."""
    folder = tmp_path_factory.mktemp("measured")
    shutil.copytree(seeded_folder, folder, copy_function=os.link, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRCUITS_CACHE", str(folder))
        patch.setenv("CIRCUITS_PAIRS", str(pair_file))
        measure(ARM, MDM)
        cache_connection.close()
    return folder


@pytest.fixture
def measured(pair: None, measured_folder: Path, tmp_path: Path, queue_of: Callable[[str], JobQueue]) -> None:
    shutil.copytree(measured_folder, tmp_path, copy_function=os.link, dirs_exist_ok=True)


@pytest.mark.usefixtures("pair", "queue_of")
def test_without_circuits_these_are_offered_and_nothing_else() -> None:
    page = app("evidence", task="ioi")
    assert "Not computed yet with these settings: the ARM and the MDM" in texts(page)
    assert labels(page)[0] == "Compute the ARM, the MDM and the control" and not figures(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_what_is_not_measured_is_offered_with_a_button_a_section() -> None:
    page = app("evidence", task="ioi", k="200")
    offered = labels(page)
    for label in (
        "Compute faithfulness (ARM, MDM)", "Measure at K = 200 (ARM, MDM)", "Compute knockouts (ARM, MDM)",
        "Compute audit of the estimators (ARM, MDM)",
        "Measure at K = 200 (MDM after 0 steps, MDM after 100 steps)",
    ):  # fmt: skip
        assert offered.count(label) == 1
    assert "Not computed yet: the knockouts of the ARM and the MDM." in texts(page)
    assert not page.error and not [button for button in page.button if button.disabled]


@pytest.mark.usefixtures("seeded", "queue_of")
def test_of_a_model_that_is_measured_alone_its_half_is_shown_and_the_other_offered() -> None:
    measure(ARM)
    page = app("evidence", task="ioi")
    assert {"Compute faithfulness (MDM)", "Compute knockouts (MDM)", "Compute audit of the estimators (MDM)"} <= set(
        labels(page)
    )
    assert [head.value for head in page.subheader][:1] == ["ARM"]
    assert "In the ARM" in texts(page) and "In the MDM" not in texts(page)
    assert "The scatter of both models appears when the knockouts of both are computed." in texts(page)


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


@pytest.mark.usefixtures("measured")
def test_the_matrix_is_that_of_k_and_another_k_can_be_measured(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("fake_compute")
    page = app("evidence", task="ioi", k="275")
    assert "Measured at K = 200, the measured size nearest to K = 275." in texts(page)
    page.button(key="compute at k").click().run()
    until(lambda: queue.jobs()[0].state == "done", TIMEOUT)
    page.run()
    assert "Measured at K = 275." in texts(page) and "Measure at K = 275 (ARM, MDM)" not in labels(page)
    (other,) = rows(ARM, "faithfulness_at", "circuit_runs", 275, circuit="other", part="total")
    assert f"the MDM's 275 edges {other['f']:.2f} ({other['f_low']:.2f} to {other['f_high']:.2f})" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_circuit_on_the_prompts_of_another_seed_appears_among_what_the_overlap_is_compared_with() -> None:
    def compared() -> list[str]:
        table = next(
            frame.value for frame in app("evidence", task="ioi", k="200").dataframe if "Circuits" in frame.value
        )
        of_seeds = table["Circuits"].str.endswith("with itself at another seed")
        return list(table["Edge overlap"][of_seeds])

    assert compared() == ["not computed yet", "not computed yet"]
    other = [replace(spec, seed=1) for spec in (ARM, MDM)]
    evidence.compute_circuits(other, compute=fake_compute)
    assert compared() == [
        f"{read.overlap(run_of(spec).key, run_of(again).key, 200):.3f}"
        for spec, again in zip((ARM, MDM), other, strict=True)
    ]


@pytest.mark.usefixtures("measured")
def test_checkpoints_are_drawn_in_their_order() -> None:
    measure(RunSpec(model="step:0"), RunSpec(model="step:100"), kinds=("faithfulness_at",), size=200)
    page = app("evidence", task="ioi", k="200")
    (row,) = rows(RunSpec(model="step:100"), "faithfulness_at", "circuit_runs", 200, circuit="other", part="total")
    drawn = lines(page, "ARM's circuit")["ARM's circuit"]
    assert list(drawn["customdata"]) == ["0", "100"] and values(drawn, "y")[1] == row["f"]
    page = app("evidence", task="ioi", k="200", step="100")
    assert "the final MDM's 200 edges" in texts(page) and "In the MDM after 100 steps" in texts(page)
    assert "They are about the final MDM, not the one chosen above." in texts(page)


@pytest.mark.usefixtures("measured")
def test_circuits_and_faithfulness_of_checkpoints_are_one_click_away(queue_of: Callable[[str], JobQueue]) -> None:
    queue, checkpoints = queue_of("fake_compute"), [RunSpec(model=f"step:{step}") for step in (0, 100)]
    stored.delete(run_of(checkpoints[1]).key)
    page = app("evidence", task="ioi", k="200")
    assert "Not computed yet: circuits and faithfulness at K = 200 of checkpoints." in texts(page)
    assert "Compute what is missing (2 checkpoints)" in labels(page)
    page.button(key="compute checkpoints").click().run()
    until(lambda: queue.jobs()[0].state == "done", TIMEOUT)
    assert set(queue.jobs()[0].specs) == set(checkpoints)
    for spec in checkpoints:
        assert rows(spec, "faithfulness_at", "circuit_runs", 200, circuit="other")
    page.run()
    assert list(lines(page, "ARM's circuit")["ARM's circuit"]["customdata"]) == ["0", "100"]
    assert "compute checkpoints" not in [button.key for button in page.button]


@pytest.mark.usefixtures("measured")
def test_a_component_is_shown_with_both_its_numbers() -> None:
    page = app("evidence", task="ioi", node="a2.h3")
    node = run_of(ARM).meta.graph.node_names.index("a2.h3")
    for spec in (ARM, MDM):
        (row,) = rows(spec, "knockouts", "knockouts", node=node, replaced_by="corrupted", part="total")
        assert f"metric 8.00 → {8 + row['change']:.2f}, change {row['change']:+.2f}" in texts(page)
        assert f"right tokens 100% → {row['right']:.0%}" in texts(page)
    page.selectbox(key=state.NODE).set_value("m4").run()
    assert page.query_params[state.NODE] == "m4" and not page.exception
    assert "is not run without it" in texts(app("evidence", task="ioi", node="input"))
    page = app("evidence", task="ioi", node="a2.h3", replaced="mean")
    (row,) = rows(ARM, "knockouts", "knockouts", node=node, replaced_by="mean", part="total")
    assert f"change {row['change']:+.2f} ({row['change_low']:+.2f} to {row['change_high']:+.2f})" in texts(page)
    points = lines(page, "head")["head"]
    assert len(points["customdata"]) == 48 and "a2.h3" in points["customdata"]


@pytest.mark.usefixtures("measured")
def test_the_audit_s_numbers_are_those_of_its_table() -> None:
    page = app("evidence", task="ioi", estimator="relp")
    table = next(frame.value for frame in page.dataframe if "Pearson, ARM" in frame.value)
    audited = rows(ARM, "audit", "audited_edges")
    exact, relp = ([row[name] for row in audited if row["selection"] == "strongest"] for name in ("exact", "relp"))
    of_relp = table[(table["Edges"] == AUDITED_NAMES["strongest"]) & (table["Estimator"] == NAMES["relp"])]
    assert list(of_relp["Pearson, ARM"]) == [f"{np.corrcoef(exact, relp)[0, 1]:.3f}"]
    assert set(table["Estimator"]) == set(NAMES.values())
    points = lines(page, "strongest edges")["strongest edges"]
    first = next(row for row in audited if row["selection"] == "strongest")
    assert values(points, "x")[0] == first["relp"] and values(points, "y")[0] == first["exact"]


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


@pytest.mark.usefixtures("measured")
def test_where_the_weights_are_not_here_what_is_stored_is_shown_and_buttons_say_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key, gone = run_of(ARM).key, pairs.pair_named("embedded")
    there = gone.folder("arm"), gone.folder("mdm")
    away = tmp_path / "away.toml"
    text = Path(os.environ["CIRCUITS_PAIRS"]).read_text()
    for folder in there:
        text = text.replace(str(folder), str(tmp_path / "nowhere"))
    away.write_text(text)
    monkeypatch.setenv("CIRCUITS_PAIRS", str(away))
    page = app("evidence", task="ioi", k="275")
    assert key[:10] in texts(page) and lines(page, "own circuit")
    disabled = [button for button in page.button if button.disabled]
    assert "Measure at K = 275 (ARM, MDM)" in [button.label for button in disabled]
    assert "It cannot be computed here." in texts(page)


@pytest.mark.usefixtures("seeded")
def test_a_button_computes_its_kind_alone_and_the_page_says_so(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("slow_compute")
    stored.delete(run_of(RunSpec(model="control")).key)
    page = app("evidence", task="ioi")
    page.button(key="compute knockouts").click().run()
    (job,) = queue.jobs()
    assert job.kinds == ("knockouts",) and set(job.specs) == {ARM, MDM}
    assert "Still being computed: the knockouts of the ARM and the MDM. It appears here by itself." in texts(page)
    assert "Compute faithfulness (ARM, MDM)" in labels(page)
    queue.cancel(job.id)


@pytest.mark.usefixtures("measured")
def test_names_of_pairs_are_shown_and_never_interpreted(
    queue_of: Callable[[str], JobQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = queue_of("slow_compute")
    hostile = Path(os.environ["CIRCUITS_PAIRS"]).with_name("hostile.toml")
    title = "<img src=x onerror=alert(1)> **bold** [link](http://x)"
    hostile.write_text(Path(os.environ["CIRCUITS_PAIRS"]).read_text().replace("Fake pair", title))
    monkeypatch.setenv("CIRCUITS_PAIRS", str(hostile))
    page = app("evidence", task="ioi", k="275")
    page.button(key="compute at k").click().run()
    assert title in queue.jobs()[0].title
    shown = [str(element.value) for element in [*page.markdown, *page.caption, *page.info]]
    assert not [text for text in shown if "<img" in text.replace("\\<", "") or "**bold**" in text]
    assert not [html for html in page.get("html") if "<img" in html.proto.body]
    queue.cancel(queue.jobs()[0].id)


@pytest.mark.usefixtures("seeded")
def test_what_failed_says_why_and_can_be_tried_again(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("refused_evidence")
    page = app("evidence", task="ioi")
    page.button(key="compute audit").click().run()
    until(lambda: queue.jobs()[0].state == "failed", TIMEOUT)
    page.run()
    assert "Could not be computed: the audit of the estimators of the ARM and the MDM. There is no room." in texts(page)
    (card,) = [button for button in page.button if str(button.key).startswith("again")]
    card.click().run()
    again = queue.jobs()[-1]
    assert again.kinds == ("audit",) and again.plan


@pytest.mark.usefixtures("measured")
def test_what_is_downloaded_is_what_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    files: dict[str, bytes] = {}

    def keep(label: str, data: Any, file_name: str, **more: Any) -> None:
        files[file_name] = data() if callable(data) else data

    monkeypatch.setattr(downloads, "file_button", keep)
    app("evidence", task="ioi", k="200")
    tables = {name: list(csv.DictReader(io.StringIO(data.decode("utf-8-sig")))) for name, data in files.items()}
    runs = next(table for name, table in tables.items() if name.startswith("circuit-runs") and "-arm-" in name)
    wanted = rows(ARM, "faithfulness", "circuit_runs")
    assert len(runs) == len(wanted) and float(runs[5]["f"]) == pytest.approx(wanted[5]["f"])
    matrix = next(table for name, table in tables.items() if name.startswith("transfer"))
    assert len(matrix) == 10 and {row["circuit"] for row in matrix} >= {"own", "other", "shared", "only"}
    audited = next(table for name, table in tables.items() if name.startswith("audited-edges"))
    assert "->" in audited[0]["name"]


def test_the_estimators_begin_with_that_of_the_run_s_method() -> None:
    first = {
        RunSpec(): "eap_ig_5", RunSpec(points=20): "eap_ig_20", RunSpec(points=7): "eap",
        RunSpec(method="clean-corrupted"): "clean_corrupted", RunSpec(method="eap-ig-midpoint"): "eap",
        RunSpec(method="relp"): "relp",
    }  # fmt: skip
    for spec, name in first.items():
        assert of_method_first(spec)[0] == name and set(of_method_first(spec)) == set(NAMES)


@pytest.mark.usefixtures("seeded")
def test_one_head_is_told_as_one() -> None:
    rows = [
        {"selection": name, "removed": removed, "right": 0.5, "metric": 1.0}
        for name, removed in (("shared", 1), ("only", 2), ("random", 3))
    ]
    assert of_heads(Side("arm", run_of(ARM), "total"), rows) == [
        "**ARM** without the 1 head that is important in both models: 50% of tokens right, metric 1.00.",
        "**ARM** without the 2 heads that are important in it alone: 50% of tokens right, metric 1.00.",
    ]


def test_estimates() -> None:
    table = [
        {"circuit": "random", "size": 5, "f": f, "f_low": 0.0, "f_high": 9.0, "right": None} for f in (0.1, 0.3)
    ] + [{"circuit": "own", "size": 5, "f": None, "f_low": None, "f_high": None, "right": 0.5}]
    random = at_size(table, "random", 5)
    assert random and (random.value, random.low, random.high) == (pytest.approx(0.2), 0.1, 0.3)
    assert at_size(table, "own", 5) is None and at_size(table, "own", 6) is None
    right = at_size(table, "own", 5, "right")
    assert right and (right.value, right.low) == (0.5, None)
