"""The neurons page in every state, its numbers against numpy on the stored tables."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import streamlit as st
from numpy.typing import NDArray

from engine import settings
from engine.runs import cache_connection, lifecycle, read
from engine.runs.jobs import JobQueue
from engine.runs.spec import RunSpec
from pages.figures import neurons as figures
from pages.shared import state
from tests.pages.neurons import LAYER, MODELS, NAMES, NEURON, column, metric, opened, ranks, run_of, table
from tests.pages.test_pages import TIMEOUT, app, texts
from tests.waiting import until


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
    until(lambda: queue.jobs()[0].state == "done", TIMEOUT)
    page.run()
    assert len(page.get("plotly_chart")) == 1
    assert "Click a dot, tick a row" in texts(page)


@pytest.mark.usefixtures("pair")
def test_a_failure_says_why(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("moody_compute")
    page = app("neurons", seed="13")
    page.button(key="compute 0").click().run()
    until(lambda: queue.jobs()[0].state == "failed", TIMEOUT)
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
        overlap(column("arm", f"half_{half}"), column("mdm", f"half_{other}"))
        for half, other in (("a", "b"), ("b", "a"))
    ]
    assert float(metric(page, "Split-half overlap")) == pytest.approx(sum(ways) / 2, abs=5e-4)
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
    text = next(entry.value for entry in page.caption if entry.value.startswith("MLPs at K = 10"))
    groups = {where: set(names.split(", ")) for where, names in re.findall(r"in ([^:;]+): \*\*([^*]+)\*\*", text)}
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
def test_tiny_attributions_are_shown_with_their_significant_digits() -> None:
    (element,) = (frame for frame in opened().dataframe if (frame.key or "").startswith("neuron table"))
    formats = json.loads(element.proto.columns)
    for name in NAMES.values():
        assert formats[f"{name} attribution"]["type_config"]["format"] == "%+.3g"


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("order", ["ARM", "MDM", "difference"])
def test_the_table_can_be_ordered(order: str) -> None:
    page = opened(sort=order)
    arm, mdm = (column(model, "attribution") for model in MODELS)
    strength = np.abs({"ARM": arm, "MDM": mdm, "difference": mdm - arm}[order])
    assert table(page)["Neuron"].tolist() == np.argsort(-strength, kind="stable").tolist()


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
def test_the_scatter_holds_every_neuron_once() -> None:
    drawn = []
    page = opened(neuron=str(NEURON))
    spec = json.loads(page.get("plotly_chart")[0].proto.spec or page.get("plotly_chart")[0].proto.figure.spec)
    for trace in spec["data"]:
        if trace.get("meta") == figures.POINTS_TRACE:
            drawn += trace["customdata"]
    assert sorted(drawn) == list(range(24))


@pytest.mark.usefixtures("pair", "queue_of")
@pytest.mark.usefixtures("seeded")
def test_the_page_needs_no_torch() -> None:
    code = (
        "import sys\n"
        "from tests.pages.test_pages import TIMEOUT, app\n"
        "page = app('neurons', layer='3', neuron='11', search='Mary', pins='1:2', task='countdown')\n"
        "assert not page.error, page.error\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    cache_connection.close()
    done = subprocess.run([sys.executable, "-c", code], cwd=settings.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
