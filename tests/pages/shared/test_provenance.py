"""What figures and files say of where they come from: within, in columns, in their names, on every page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace

import plotly.graph_objects as go
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.runs import lifecycle
from engine.runs.records import Accuracy, Run
from engine.runs.spec import RunSpec
from pages.figures import palette
from pages.figures.caption import FONT, LINE, WIDEST, captioned
from pages.figures.overlap import drift_figure
from pages.shared.provenance import Origin, origin
from tests.pages.payloads import payload_of
from tests.pages.test_pages import app, caption

TASK, K = "countdown", "50"
PAGES = {
    "overview": {},
    "circuits": {"node": "a2.h3"},
    "activations": {},
    "neurons": {"layer": "3", "neuron": "11", "pins": "1:2"},
    "denoising": {},
}
WITH_K = {"overview": "all", "circuits": "overlap layers drift", "activations": "layer-profile", "neurons": "",
          "denoising": "circuit overlap layers-parts"}  # fmt: skip


def stored(model: str, task: str = TASK) -> Run:
    run = lifecycle.find(RunSpec(task=task, model=model))
    assert run
    return run


def shown(page: AppTest) -> list[tuple[str, str]]:
    """Of every figure what it says and what its picture is called."""
    captions = []
    for element in page.get("plotly_chart"):
        config = json.loads(element.proto.config)
        figure = element.proto.spec or element.proto.figure.spec
        captions.append((caption(figure), config["toImageButtonOptions"]["filename"]))
    return captions


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("page", PAGES)
def test_every_figure_names_its_runs_and_settings(page: str) -> None:
    keys = [stored(model).key for model in ("arm", "mdm")]
    query = PAGES[page] | {"k": K} | ({} if page == "overview" else {"task": TASK})
    figures_shown = shown(app(page, **query))
    assert figures_shown
    for text, file in figures_shown:
        told = [key for key in keys if key[:10] in text]
        assert told and text.startswith("embedded · ") and TASK in text, text
        assert "eap-ig m = 5, logit_diff, n = 64, seed 0, float32" in text
        assert "embedded" in file and TASK in file
        if page != "overview":
            assert any(key[:8] in file for key in told), file
        parts = WITH_K[page].split()
        graph = file.startswith("embedded-") and f"-{K}-" in file
        if graph or parts == ["all"] or any(file.startswith(part) for part in parts):
            assert f"K = {K}" in text, text
            assert graph or f"k{K}" in file, file
    assert len({file for _, file in figures_shown}) == len(figures_shown)


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("page", ["activations", "neurons", "denoising"])
def test_every_table_says_where_it_comes_from(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files: dict[str, bytes] = {}

    def offered(label: str, data: Callable[[], bytes | str], file_name: str, **_: object) -> None:
        made = data()
        files[file_name] = made if isinstance(made, bytes) else made.encode()

    monkeypatch.setattr(st, "download_button", offered)
    app(page, **PAGES[page], task=TASK, k=K)
    arm, mdm = (stored(model).key for model in ("arm", "mdm"))
    assert len(files) >= 3
    for name, content in files.items():
        assert "embedded" in name and TASK in name and mdm[:8] in name
        if name.endswith(".json"):
            told = json.loads(content)
            assert {model: told[model]["run"] for model in ("arm", "mdm")} == {"arm": arm, "mdm": mdm}
            assert {told[model]["task"] for model in told} == {TASK}
            continue
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        assert rows
        for row in rows:
            assert (row["pair"], row["task"], row["method"], row["mdm_run"]) == ("embedded", TASK, "eap-ig", mdm)
            assert row.get("arm_run", arm) == arm
            assert (f"-k{K}-" in name) == (row.get("k") == K)


@pytest.mark.usefixtures("seeded")
def test_what_is_to_know_of_a_run_is_said_in_the_picture() -> None:
    arm, mdm = stored("arm"), stored("mdm")
    unable = replace(mdm, accuracy=Accuracy(0.1, 200), imported="2026-01-01T00:00:00Z")
    lines = origin([arm, unable], 20).lines
    assert lines[1] == f"ARM run {arm.key[:10]}, MDM run {unable.key[:10]} (imported, cannot do the task)"


@pytest.mark.usefixtures("seeded")
def test_runs_of_several_tasks_have_a_line_each() -> None:
    runs = [stored(model, task) for task in ("ioi", "countdown") for model in ("arm", "mdm")]
    other = replace(runs[3], spec=replace(runs[3].spec, n=8))
    text = origin([*runs[:3], other], 1000)
    assert text.lines == [
        "embedded · ioi, countdown · K = 1,000",
        f"ioi: ARM run {runs[0].key[:10]}, MDM run {runs[1].key[:10]}",
        f"countdown: ARM run {runs[2].key[:10]}, MDM run {runs[3].key[:10]}",
        "eap-ig m = 5, logit_diff, n = 64, seed 0, float32; eap-ig m = 5, logit_diff, n = 8, seed 0, float32",
    ]
    assert text.stem("overview") == "overview-embedded-ioi-countdown-k1000"


@pytest.mark.usefixtures("seeded")
def test_a_checkpoint_is_named_as_what_it_is() -> None:
    arm, step = stored("arm", "ioi"), stored("step:100", "ioi")
    text = origin([arm, step])
    assert f"MDM after 100 steps run {step.key[:10]}" in text.lines[1]
    assert text.columns["step100_run"] == step.key
    assert Origin((("MDM", step),)).stem("lens") == f"lens-embedded-step100-ioi-{step.key[:8]}"


@pytest.mark.usefixtures("seeded")
def test_tables_of_one_example_say_which(monkeypatch: pytest.MonkeyPatch) -> None:
    files: dict[str, Callable[[], bytes]] = {}
    monkeypatch.setattr(st, "download_button", lambda label, data, key, **_: files.update({key: data}))
    app("denoising", task=TASK, example="1")
    for name in ("trajectories", "lens"):
        text = files[f"download {name}-example1"]().decode()
        assert {line["example"] for line in csv.DictReader(io.StringIO(text))} == {"1"}


@pytest.mark.parametrize("fixed", [False, True])
def test_a_caption_is_text_below_the_plot(fixed: bool) -> None:
    margin = {"t": 10, "b": 20, "autoexpand": not fixed}
    figure = go.Figure(data=[{"type": "scatter", "y": [1]}], layout={"height": 300, "margin": margin})
    lines = ["<b>x</b> & `y`", "long " * 40]
    made = captioned(figure, lines, palette.LIGHT)
    rows = made.layout.title.text.split("<br>")
    assert "&lt;b&gt;x&lt;/b&gt; &amp; `y`" in rows[0] and all(len(row) < WIDEST + 60 for row in rows)
    room = made.layout.height - 300
    assert room >= LINE * len(rows)
    assert made.layout.margin.b == 20 + (room if fixed else 0)
    assert made.layout.title.automargin is (not fixed)
    assert json.loads(go.Figure(made.to_dict()).to_json()) == json.loads(made.to_json())  # Plotly knows all of it
    assert {made.layout.legend.font.family, made.layout.xaxis.tickfont.family} == {FONT}
    assert captioned(made, ["again"], palette.LIGHT).layout.height == 300 + room


def test_every_axis_of_a_figure_is_measured_in_a_font_that_pictures_have() -> None:
    figure = captioned(
        drift_figure([0, 1], [0.5, 0.4], [None, None], [None, None], palette.LIGHT), ["x"], palette.LIGHT
    )
    assert {figure.layout.xaxis.tickfont.family, figure.layout.yaxis.tickfont.family} == {FONT}


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_control_in_the_mdms_place_is_said_on_the_page_and_in_every_picture_of_both() -> None:
    page = app("circuits", step="control", k="50")
    assert any("“MDM” stands for the control" in entry.value for entry in page.caption)
    control = f"Step-0 control run {stored('control', 'ioi').key[:10]} (drawn as MDM)"
    assert any(control in line for line in payload_of(page)[0]["origin"]), "in what is saved of both circuits"
    beside = origin([stored(model) for model in ("arm", "mdm", "control")])
    assert not any("drawn as MDM" in line for line in beside.lines), "there it stands beside the MDM"
