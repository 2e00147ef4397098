"""Kept pairs on the Runs page, and how their MDM is read on every page that shows them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.models.pair import Pair
from engine.models.pairs import keep, pair_named, pairs
from engine.models.shift_evidence import ShiftEvidence
from engine.runs import kept_pairs, lifecycle, stored
from engine.runs.spec import RunSpec
from tests.fakes import tiny_compute
from tests.pages.test_pages import app, texts

NAME = "arm+mdm-0123ab"


@pytest.fixture
def kept_pair(pair: None, queue_of: object) -> Pair:
    """A kept pair whose MDM is read the wrong way, with two runs."""
    fake = pair_named("embedded")
    folders = {"arm": fake.folder("arm"), "mdm": fake.folder("mdm")}
    evidence = ShiftEvidence("told", "w", -0.5, -6.0, -4.0)
    entry = keep(Pair(NAME, "arm <b>/ mdm", **folders, mask_id=3, shift_evidence=evidence, steps=()))
    for model in ("arm", "mdm"):
        lifecycle.run(RunSpec(pair=NAME, model=model), compute=tiny_compute)
    return entry


@pytest.mark.parametrize("page", ["overview", "circuits", "runs"])
def test_a_pair_that_is_read_the_wrong_way_says_so(kept_pair: Pair, page: str) -> None:
    shown = app(page, **({"pair": NAME} if page == "circuits" else {}))
    assert not shown.exception
    assert any("BUT its answers say the opposite" in entry.value.replace("\\", "") for entry in shown.warning)


def test_a_pair_is_renamed(kept_pair: Pair) -> None:
    page = app("runs")
    page.text_input(key=f"kept title {NAME}").set_value("Mine *and* yours")
    page.button(key="rename pair").click().run()
    assert not page.exception and pairs()[NAME] == replace(pair_named(NAME), title="Mine *and* yours")
    page.text_input(key=f"kept title {NAME}").set_value("  ")
    page.button(key="rename pair").click().run()
    assert "The title is empty" in texts(page) and pairs()[NAME].title == "Mine *and* yours"


@pytest.mark.parametrize("with_runs", [False, True])
def test_a_pair_is_removed(kept_pair: Pair, with_runs: bool) -> None:
    page = app("runs")
    page.checkbox(key=f"kept with runs {NAME}").set_value(with_runs)
    page.button(key="remove pair").click().run()
    assert not page.exception and kept_pairs.kept() == []
    assert "Kept pair" not in texts(page) and len(stored.list_runs()) == (0 if with_runs else 2)
    again = app("runs")
    assert not again.exception
    if not with_runs:  # runs whose pair is gone stay in the list
        assert set(again.dataframe[0].value["Pair"]) == {NAME}


def test_one_of_two_is_removed(kept_pair: Pair) -> None:
    keep(replace(kept_pair, name="other", title="Other"))
    page = app("runs")
    page.selectbox(key="kept pair").set_value("other").run()
    page.button(key="remove pair").click().run()
    assert not page.exception and [entry.pair.name for entry in kept_pairs.kept()] == [NAME]
    assert page.text_input(key=f"kept title {NAME}").value == "arm <b>/ mdm"
