"""The activations page in every state, its numbers against the engine's and the cache's."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs

import numpy as np
import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from engine.circuits import comparison, intervals, profiles
from engine.circuits.graph import Graph
from engine.circuits.intervals import Scored
from engine.inspection import bins
from engine.models.pairs import pair_named
from engine.runs import lifecycle, read
from engine.runs.jobs import JobQueue
from engine.runs.records import Progress, Run, RunTables
from engine.runs.rows import Head, LayerHistogram
from engine.runs.spec import RunSpec
from engine.schema.vocabulary import COMPONENT_EXAMPLES
from pages.figures.activations import TARGETS
from pages.panels import activation_files as files
from pages.shared import downloads, state
from pages.shared.run_selector import Asked
from pages.shared.state import Question
from tests.fakes import HOSTILE, by_kind, fake_compute, fake_run
from tests.pages.test_pages import TIMEOUT, app, figures, texts
from tests.waiting import until

K = 100


def runs(task: str = "ioi", mdm: str = "mdm") -> tuple[Run, Run]:
    arm, other = (lifecycle.find(RunSpec(task=task, model=model)) for model in ("arm", mdm))
    assert arm and other
    return arm, other


def tables(page: AppTest) -> list[list[int]]:
    """The neurons that the panel lists, ARM and MDM."""
    return [list(frame.value["Neuron"]) for frame in page.dataframe if "Neuron" in frame.value]


def spread(page: AppTest) -> dict[str, dict[str, str]]:
    (frame,) = (frame.value for frame in page.dataframe if "Measure" in frame.value)
    return {row["Measure"]: row for row in frame.to_dict("records")}


def drawn(page: AppTest) -> list[dict[str, object]]:
    return [json.loads(figure) for figure in figures(page)]


def links(page: AppTest) -> Iterator[dict[str, list[str]]]:
    for link in page.get("page_link"):
        if link.proto.page == "neurons":
            yield parse_qs(link.proto.query_string)


@pytest.mark.usefixtures("pair", "queue_of")
def test_it_offers_to_compute_two_missing_runs() -> None:
    page = app("activations", task="sudoku")
    assert "Not computed yet with these settings: the ARM and the MDM on SUDOKU 4x4." in texts(page)
    assert page.button(key="compute 0").label == "Compute the ARM, the MDM and the control"
    assert not figures(page)


@pytest.mark.usefixtures("pair")
def test_it_shows_a_job_on_its_way_and_then_the_numbers(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("fake_compute")
    page = app("activations", n="8")
    page.button(key="compute 0").click().run()
    until(lambda: queue.jobs()[0].state == "done", TIMEOUT)
    page.run()
    assert not page.exception
    assert len(figures(page)) == 6


@pytest.mark.usefixtures("pair")
def test_a_failed_job_says_why(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("moody_compute")
    page = app("activations", seed="13")
    page.button(key="compute 0").click().run()
    until(lambda: queue.jobs()[0].state == "failed", TIMEOUT)
    page = app("activations", seed="13")
    assert "There is no model in this folder. Choose another pair." in texts(page)
    assert page.button(key="compute 0")


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("boundary", [2, 4])
def test_early_shares_and_their_ratio_are_the_engines(boundary: int) -> None:
    page = app("activations", k=str(K), early=str(boundary))
    arm, mdm = runs()
    sides = []
    for run in (arm, mdm):
        table = read.edge_table(run.key, limit=K)
        sides.append(Scored(table.edge, table.score, read.edge_blocks(run.key)))
    at = comparison.compare(arm.meta.graph, *(read.edge_table(run.key, limit=K) for run in (arm, mdm)), K, boundary)
    ratio = intervals.specialisation(arm.meta.graph, sides[0], sides[1], 64, boundary).early_ratio
    assert ratio.value == pytest.approx(at.early_ratio, rel=1e-5)
    ratio_text = f"Ratio MDM / ARM: {at.early_ratio:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
    assert ratio_text in texts(page)
    assert f"(first {boundary} of 6 layers): ARM {at.arm.early_share:.1%} (" in texts(page)
    assert page.slider(key=state.EARLY).value == boundary


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_early_boundary_is_a_third_unless_it_is_moved() -> None:
    page = app("activations")
    assert page.slider(key=state.EARLY).value == profiles.early_boundary(6)
    page.slider(key=state.EARLY).set_value(6).run()
    assert "(first 6 of 6 layers): ARM 100.0%" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_layer_shows_the_neurons_with_the_largest_attribution_of_both_models() -> None:
    page = app("activations", layer="3")
    for run, listed in zip(runs(), tables(page), strict=True):
        table = read.table(run.key, "neurons", ("neuron", "attribution"), layer=3).to_pylist()
        expected = sorted(table, key=lambda row: -abs(row["attribution"]))[:10]
        assert listed == [row["neuron"] for row in expected]
    assert "Layer 3: the neurons that matter most" in texts(page)
    page.selectbox(key=state.LAYER).set_value(5).run()
    assert "Layer 5: the neurons that matter most" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_bin_shows_the_neurons_with_the_most_activations_in_it() -> None:
    page = app("activations", layer="3", bin=bins.label(18))
    for run, listed in zip(runs(), tables(page), strict=True):
        counts = [row["counts"][18] for row in read.table(run.key, "neurons", ("counts",), layer=3).to_pylist()]
        assert sorted((counts[neuron] for neuron in listed), reverse=True) == sorted(counts, reverse=True)[:10]
        assert counts[listed[0]] == max(counts)
    assert "over all tokens of all inputs" in texts(page)
    page.selectbox(key=state.LAYER).set_value(2).run()
    assert page.selectbox(key=state.BIN).value is None  # another layer's bin is another question


@pytest.mark.usefixtures("seeded", "queue_of")
def test_every_listed_neuron_links_to_its_page_with_what_was_chosen() -> None:
    page = app("activations", layer="1", step="100", k=str(K))
    told = list(links(page))
    assert [int(link["neuron"][0]) for link in told] == [*tables(page)[0], *tables(page)[1]]
    for link in told:
        link.pop("neuron")
        assert link == {"pair": ["embedded"], "task": ["ioi"], "k": [str(K)], "layer": ["1"], "step": ["100"]}


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("region", ["prompt", "answer", "readout"])
def test_the_histogram_is_that_of_layer_and_region(region: str) -> None:
    page = app("activations", layer="2", region=region)
    target = next(trace for trace in drawn(page)[1]["data"] if trace["name"] == TARGETS)
    middle = next(hover for hover in target["text"] if hover.startswith(bins.label(20)))
    for run, name in zip(runs(), ("ARM", "MDM"), strict=True):
        (row,) = [r for r in read.rows(LayerHistogram, run.key) if (r.layer, r.region) == (2, region)]
        assert f"{name} {row.n:,}" in texts(page)
        assert f"{name} {row.active:.1%}" in texts(page)
        assert f"{name}: {row.counts[20]:,} (" in middle


@pytest.mark.usefixtures("seeded", "queue_of")
def test_norms_of_heads_are_those_of_the_region() -> None:
    for region in ("prompt", "readout"):
        page = app("activations", region=region)
        arm = runs()[0]
        heads = sorted(read.rows(Head, arm.key), key=lambda head: head.node)
        expected = np.array([getattr(head, f"norm_{region}") for head in heads]).reshape(6, 8)
        assert f"at {region} tokens, in the same colours" in texts(page)
        assert np.allclose(_numbers(drawn(page)[4]["data"][0]["customdata"]), expected)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_chosen_head_shows_its_norms_in_both_models_and_leads_to_its_circuit() -> None:
    page = app("activations", k=str(K))
    assert "Click a head." in texts(page)
    page.session_state[state.NODE] = "a2.h3"
    page.run()
    assert "Head 3 of layer 2 (a2.h3)" in texts(page)
    (frame,) = (frame.value for frame in page.dataframe if "Mean norm at" in frame.value)
    for run, name in zip(runs(), ("ARM", "MDM"), strict=True):
        head = sorted(read.rows(Head, run.key), key=lambda head: head.node)[2 * 8 + 3]
        assert list(frame[name]) == pytest.approx([head.norm_prompt, head.norm_answer, head.norm_readout])
    told = parse_qs(next(link.proto.query_string for link in page.get("page_link") if link.proto.page == "circuits"))
    assert told == {"pair": ["embedded"], "task": ["ioi"], "k": [str(K)], "node": ["a2.h3"]}


@pytest.mark.usefixtures("seeded", "queue_of")
def test_norms_of_the_residual_stand_at_their_position() -> None:
    table = read.table(runs()[1].key, "residual_norms").to_pylist()
    heat = drawn(app("activations"))[3]["data"][1]
    norms, offsets = _numbers(heat["customdata"]), list(_numbers(heat["x"]))
    for row in table:
        assert norms[row["layer"], offsets.index(row["offset"])] == pytest.approx(row["mean"])


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_table_tells_how_specialised_both_are_and_the_difference() -> None:
    page = app("activations", task="countdown", k=str(K))
    arm, mdm = runs("countdown")
    at = comparison.compare(arm.meta.graph, *(read.edge_table(run.key, limit=K) for run in (arm, mdm)), K)
    rows = spread(page)
    number = rows[f"Circuit at K = {K}: effective components"]
    assert number["ARM"].startswith(f"{at.arm.effective_number:.1f} (")
    assert number["MDM"].startswith(f"{at.mdm.effective_number:.1f} (")
    assert number["ARM - MDM"].startswith(f"{at.arm.effective_number - at.mdm.effective_number:.1f} (")
    table = read.table(arm.key, "neurons", ("attribution", "half_a", "half_b")).to_pydict()
    values = [profiles.gini(np.abs(table[name])) for name in ("attribution", "half_a", "half_b")]
    assert rows["MLP neurons: Gini"]["ARM"] == f"{values[0]:.3f} ({values[1]:.3f} / {values[2]:.3f})"
    lens = [np.mean(read.table(run.key, "lens_layers")["residual_entropy"].to_pylist()) for run in (arm, mdm)]
    told = rows["Residual lens: entropy, nats"]["ARM - MDM"]
    value, low, high = (float(part) for part in re.findall(r"-?\d+\.\d+", told))
    assert value == pytest.approx(lens[0] - lens[1], abs=6e-4)
    assert low < value < high


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_lens_by_layer_is_the_mean_over_examples() -> None:
    page = app("activations", measure="Components: top-1")
    kept = read.table(runs()[1].key, "lens_layers")["node_top"].drop_null().to_numpy().reshape(-1, 6)
    expected = kept.mean(0)
    assert len(kept) == COMPONENT_EXAMPLES
    line = next(trace for trace in drawn(page)[5]["data"] if trace["name"] == "MDM")
    assert np.allclose(_numbers(line["y"]), expected)
    assert any(trace["name"] == "ARM - MDM, 95 % interval" for trace in drawn(page)[5]["data"])


@pytest.mark.usefixtures("pair", "queue_of")
def test_few_examples_have_numbers_and_no_intervals() -> None:
    for model in ("arm", "mdm"):
        lifecycle.run(RunSpec(model=model, n=4), compute=fake_compute)
    page = app("activations", n="4")
    assert "No intervals from 4 examples: choose 8 or more in Settings." in texts(page)
    assert re.search(r"Ratio MDM / ARM: \d+\.\d\d\*", texts(page))
    assert not any("interval" in str(trace.get("name")) for trace in drawn(page)[5]["data"])


@pytest.mark.usefixtures("pair", "queue_of")
def test_a_circuit_beyond_what_is_resampled_says_so() -> None:
    def short(spec: RunSpec, on_progress: Callable[..., None]) -> RunTables:
        made = fake_run(spec, on_progress)
        made.tables["edge_blocks"] = made.tables["edge_blocks"].slice(0, 150)
        return made

    for model in ("arm", "mdm"):
        lifecycle.run(RunSpec(model=model, seed=23), compute=by_kind(short))
    assert "Only the 150 strongest edges are resampled" in texts(app("activations", seed="23", k="200"))
    assert "are resampled" not in texts(app("activations", seed="23", k="100"))


@pytest.mark.usefixtures("pair", "queue_of")
def test_a_region_without_tokens_is_a_sentence() -> None:
    def without_answers(spec: RunSpec, on_progress: Callable[..., None]) -> RunTables:
        made = fake_run(spec, on_progress)
        table = made.tables["activation_histograms"]
        nothing = {"counts": [0] * bins.BINS, "n": 0}
        rows = [row | (nothing if row["region"] == "answer" else {}) for row in table.to_pylist()]
        made.tables["activation_histograms"] = type(table).from_pylist(rows, schema=table.schema)
        return made

    for model in ("arm", "mdm"):
        lifecycle.run(RunSpec(model=model, seed=21), compute=by_kind(without_answers))
    assert "no tokens of the kind “answer”" in texts(app("activations", seed="21", region="answer"))
    assert "no tokens of the kind" not in texts(app("activations", seed="21", region="prompt"))


@pytest.mark.usefixtures("pair", "queue_of")
def test_a_model_of_one_layer_has_a_page_too() -> None:
    def flat(spec: RunSpec, on_progress: Callable[..., None]) -> RunTables:
        return fake_run(spec, on_progress, Graph(1, 2))

    for model in ("arm", "mdm"):
        lifecycle.run(RunSpec(model=model, seed=24), compute=by_kind(flat))
    page = app("activations", seed="24")
    assert "(first 1 of 1 layers): ARM 100.0%" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_checkpoint_takes_the_place_of_the_mdm() -> None:
    page = app("activations", step="100")
    assert "MDM after 100 steps" in texts(page)
    assert runs(mdm="step:100")[1].key[:10] in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_hostile_tokens_are_text() -> None:
    page = app("activations")
    shown = [cell for frame in page.dataframe if "Promotes" in frame.value for cell in frame.value["Promotes"]]
    assert any(HOSTILE in cell for cell in shown)
    assert HOSTILE not in "".join(str(element.proto.body) for element in page.get("html"))


@pytest.mark.usefixtures("seeded", "queue_of")
def test_every_download_has_its_rows() -> None:
    page = app("activations", k=str(K))
    asked = Asked(Question("embedded", "ioi"), pair_named("embedded"), *runs(), K)
    made = {
        "importance-by-layer": files.profile_rows(asked),
        "histograms": files.histogram_rows(asked),
        "residual-norms": files.norm_rows(asked),
        "head-norms": files.head_rows(asked, "answer"),
        "lens-by-layer": files.lens_rows(asked),
    }
    offered = {str(button.key).removeprefix("download ") for button in page.get("download_button")}
    assert offered == {*made, "specialisation"}
    norms = sum(read.table(run.key, "residual_norms").num_rows for run in runs())
    assert [len(rows) for rows in made.values()] == [6, 2 * 6 * 3, norms, 6 * 8, 4 * 3 * 6]
    for rows in made.values():
        lines = list(csv.DictReader(io.StringIO(downloads.table_csv(rows, asked.sides.origin()).decode())))
        for written, row in zip(lines, rows, strict=True):
            assert [_value(written[name]) for name in row] == list(row.values())
            assert written["pair"] == "embedded" and written["k"] == str(K)
    (row,) = [row for row in read.rows(LayerHistogram, runs()[1].key) if (row.layer, row.region) == (2, "answer")]
    (counted,) = [r for r in made["histograms"] if (r["model"], r["layer"], r["region"]) == ("mdm", 2, "answer")]
    assert tuple(counted[f"from {edge:.6g}"] for edge in bins.EDGES[:-1]) == row.counts


def _value(cell: str) -> object:
    """A cell of a CSV file as the number, text or nothing that it is."""
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell or None


def _numbers(stored: object) -> np.ndarray:
    """An array as Plotly writes it into JSON: plain, or typed and in base 64."""
    if isinstance(stored, dict):
        kind = np.dtype(stored["dtype"])
        flat = np.frombuffer(base64.b64decode(stored["bdata"]), dtype=kind)
        return flat.reshape([int(n) for n in str(stored.get("shape", len(flat))).split(",")])
    return np.array(stored, dtype=float)


@pytest.mark.usefixtures("pair")
def test_numbers_that_are_none_are_called_so() -> None:
    """Activations that do not vary have no kurtosis, scores of zero no shares and no intervals."""

    def empty(spec: RunSpec, on_progress: Callable[[Progress], None]) -> RunTables:
        made = fake_run(spec, on_progress)
        tables = made.tables
        zeros = {
            "edges": ("score", pa.array(np.zeros(tables["edges"].num_rows, np.float32))),
            "activation_histograms": ("kurtosis", pa.nulls(tables["activation_histograms"].num_rows, pa.float32())),
            "edge_blocks": (
                "scores",
                pa.array([[0.0] * min(32, spec.n)] * tables["edge_blocks"].num_rows, pa.list_(pa.float32())),
            ),
        }
        for name, (column, values) in zeros.items():
            place = tables[name].schema.get_field_index(column)
            tables[name] = tables[name].set_column(place, column, values)
        return made

    for model in ("arm", "mdm"):
        lifecycle.run(
            RunSpec(model=model, task="sudoku"), compute=by_kind(empty)
        )  # a key that nothing else is stored under
    page = app("activations", task="sudoku")
    text = texts(page)
    assert "Excess kurtosis: ARM none, as nothing varies, MDM none, as nothing varies." in text.replace("**", "")
    assert "ARM none, MDM none. Ratio MDM / ARM: none." in text.replace("**", "")
    assert not re.search(r"\bnan\b", text)
    circuits = app("circuits", task="sudoku")
    assert not re.search(r"\bnan\b", texts(circuits) + texts(app("overview")))
