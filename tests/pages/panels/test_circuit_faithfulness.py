"""What the circuit component is sent of faithfulness: as stored, as far as it is measured."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from engine.runs import evidence as stored_evidence
from engine.runs.evidence import Evidence
from engine.schema.evidence_tables import TAUS
from pages.panels.circuit_faithfulness import NOT_MEASURED, WHOLE_ANSWER, faithful
from pages.shared import evidence, state
from pages.shared.sides import Side, Sides
from tests.fakes import GRAPH
from tests.pages.evidence import examine, run_of
from tests.pages.payloads import payload_of
from tests.pages.test_pages import app, texts

COLUMNS = ("f", "f_low", "f_high", "right")


def sides(arm_part: str = "total", mdm: str = "mdm") -> Sides:
    return Sides(GRAPH, 200, Side("arm", run_of("arm"), arm_part), Side("mdm", run_of(mdm), "total"))


def told(of: Sides) -> dict[str, Any]:
    return dict(faithful(of))


@pytest.mark.usefixtures("seeded")
def test_the_smallest_circuits_and_every_measured_size_are_sent() -> None:
    both = examine("faithfulness", "arm", "mdm")
    sent = told(sides())
    assert (sent["note"], sent["link"], sent["taus"]) == ("", False, list(state.TAU_OPTIONS))
    assert list(sent["models"]) == ["arm", "mdm"]
    for of_model, there in zip(sent["models"].values(), both, strict=True):
        smallest = stored_evidence.table(there, "smallest_circuits", circuit="own").to_pylist()
        expected = {f"{row['tau']:g}": [row["size"], row["below"]] for row in smallest}
        assert of_model["smallest"] == expected and list(expected) == [f"{tau:g}" for tau in TAUS]
        runs = stored_evidence.table(there, "circuit_runs", circuit="own", part="total").to_pylist()
        runs = [run for run in runs if run["size"]]
        assert of_model["sizes"] == [run["size"] for run in runs] == sorted(of_model["sizes"])
        for column in ("f", "f_low", "f_high", "right"):
            assert of_model[column] == [run[column] for run in runs]


@pytest.mark.usefixtures("seeded")
def test_what_is_not_measured_is_said() -> None:
    none = told(sides())
    assert (none["models"], none["note"], none["link"]) == ({}, NOT_MEASURED, True)
    examine("faithfulness", "mdm")
    partly = told(sides())
    assert list(partly["models"]) == ["mdm"] and partly["note"] == "ARM: not measured yet." and partly["link"]
    assert told(sides(arm_part="site-00")) == {**none, "note": WHOLE_ANSWER, "link": False}


@pytest.mark.usefixtures("seeded")
def test_single_sizes_are_sent_without_smallest_circuits_and_the_note_says_which_they_are() -> None:
    there = {size: examine("faithfulness_at", "arm", "mdm", size=size) for size in (300, 50)}
    sent = told(sides())
    assert list(sent["models"]) == ["arm", "mdm"] and sent["link"]
    assert sent["note"] == (
        "ARM and MDM: measured at K = 50 and K = 300 only; the line over K is not measured yet."
    )  # fmt: skip
    for at, of_model in enumerate(sent["models"].values()):
        assert of_model["smallest"] is None and of_model["sizes"] == [50, 300]
        for i, size in enumerate(of_model["sizes"]):
            (run,) = stored_evidence.table(there[size][at], "circuit_runs", circuit="own", part="total").to_pylist()
            assert [of_model[name][i] for name in COLUMNS] == [run[name] for name in COLUMNS]


@pytest.mark.usefixtures("seeded")
def test_single_sizes_and_those_of_the_line_are_one_list_each_size_once() -> None:
    (grid,) = examine("faithfulness", "arm")
    for size in (137, 200):
        examine("faithfulness_at", "arm", size=size)
    examine("faithfulness_at", "mdm", size=137)
    sent = told(sides())
    of_arm = sent["models"]["arm"]
    on_grid = [size for size in stored_sizes(grid) if size]
    assert of_arm["sizes"] == sorted({137, *on_grid}) and 200 in on_grid and of_arm["smallest"]
    assert {len(of_arm[name]) for name in COLUMNS} == {len(of_arm["sizes"])}
    assert sent["models"]["mdm"]["sizes"] == [137] and sent["models"]["mdm"]["smallest"] is None
    assert sent["note"] == "MDM: measured at K = 137 only; the line over K is not measured yet." and sent["link"]


def stored_sizes(there: Evidence) -> list[int]:
    return stored_evidence.table(there, "circuit_runs", circuit="own", part="total")["size"].to_pylist()


@pytest.mark.usefixtures("seeded")
def test_single_sizes_beside_another_model_are_not_sent() -> None:
    examine("faithfulness_at", "arm", "step:100", size=50)
    assert list(told(sides(mdm="step:100"))["models"]) == ["arm", "mdm"]
    beside_the_mdm = told(sides())
    assert list(beside_the_mdm["models"]) == ["arm"] and "MDM: not measured yet." in beside_the_mdm["note"]


@pytest.mark.usefixtures("seeded")
def test_beside_a_checkpoint_the_arm_s_faithfulness_is_the_one_that_is_measured() -> None:
    examine("faithfulness", "arm", "step:100")
    assert list(told(sides(mdm="step:100"))["models"]) == ["arm", "mdm"]
    assert list(told(sides())["models"]) == ["arm"]


@pytest.mark.usefixtures("seeded")
def test_where_faithfulness_means_nothing_the_reason_stands_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    arm, mdm = examine("faithfulness", "arm", "mdm")
    vague = Evidence(replace(arm.record, meta={**arm.meta, "remark": "Hardly a difference."}))
    monkeypatch.setattr(evidence, "faithfulness_of", lambda run, *_: [vague if run.spec.is_arm else mdm])
    sent = told(sides())
    assert list(sent["models"]) == ["mdm"] and sent["note"] == "ARM: Hardly a difference."


@pytest.mark.usefixtures("seeded")
def test_a_faithfulness_that_no_circuit_reaches_has_no_size(monkeypatch: pytest.MonkeyPatch) -> None:
    examine("faithfulness", "arm", "mdm")
    rows = [{"tau": 0.5, "size": 10, "below": 9}, {"tau": 0.95, "size": None, "below": None}]
    monkeypatch.setattr(evidence, "rows", lambda _, name, **__: rows if name == "smallest_circuits" else [])
    assert told(sides())["models"]["arm"]["smallest"] == {"0.5": [10, 9], "0.95": None}


@pytest.mark.usefixtures("seeded")
def test_of_too_few_examples_there_is_faithfulness_without_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    examine("faithfulness", "arm", "mdm")
    few = [{"size": size, "f": f, "f_low": None, "f_high": None, "right": f / 2} for size, f in ((0, 0.0), (10, 0.5))]
    monkeypatch.setattr(evidence, "rows", lambda _, name, **__: few if name == "circuit_runs" else [])
    of_model = json.loads(json.dumps(told(sides()), allow_nan=False))["models"]["arm"]
    assert (of_model["sizes"], of_model["f"], of_model["right"]) == ([10], [0.5], [0.25])
    assert of_model["f_low"] == of_model["f_high"] == [None]


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_page_sends_it_and_the_address_says_which_faithfulness_is_asked_for() -> None:
    examine("faithfulness", "arm", "mdm")
    header, _ = payload_of(app("circuits", task="ioi"))
    assert header["chosen"]["tau"] == str(state.DEFAULT_TAU) and list(header["faithful"]["models"]) == ["arm", "mdm"]
    assert payload_of(app("circuits", task="ioi", tau="0.5"))[0]["chosen"]["tau"] == "0.5"
    page = app("circuits", task="ioi", tau="0.51")
    assert payload_of(page)[0]["chosen"]["tau"] == str(state.DEFAULT_TAU)
    assert "The link asked for the faithfulness “0.51”" in texts(page)
