"""What the overview says of stored runs that have other settings than a run's defaults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from cache.folder import ArtifactFolder
from engine.errors import UserError
from engine.runs import lifecycle, stored
from engine.runs.spec import RunSpec
from pages.shared import availability
from pages.shared.state import Question
from tests.fakes import fake_compute
from tests.pages.test_pages import app, figures, texts

IOI, SUDOKU = "Indirect object identification", "SUDOKU 4x4"
MORE = "of this pair: other settings, models or prompts"


def compute(spec: RunSpec, *models: str) -> None:
    for model in models or ("arm", "mdm"):
        lifecycle.run(replace(spec, model=model), compute=fake_compute)


def more(page: AppTest) -> Any:
    """The expander of the embedded pair, or None."""
    return next((entry for entry in page.expander if MORE in entry.label), None)


def links(page: AppTest) -> dict[str, set[str]]:
    """What is in the addresses that the expander leads to, by label."""
    return {
        link.proto.label.replace("\\", ""): set(filter(None, link.proto.query_string.split("&")))
        for link in more(page).get("page_link")
    }


@pytest.mark.usefixtures("seeded", "queue_of")
def test_other_settings_are_counted_and_one_click_away() -> None:
    before = app()
    assert more(before).label.startswith("2 more runs")  # both checkpoints
    assert set(links(before)) == {"All of them on the Runs page"}
    compute(RunSpec(task="ioi", n=4))
    compute(RunSpec(task="ioi", n=4, seed=1))
    page = app(k="50")
    assert more(page).label.startswith("6 more runs")
    there = links(page)
    assert list(there) == [f"{IOI} (n = 4)", f"{IOI} (n = 4, seed = 1)", "All of them on the Runs page"]
    assert there[f"{IOI} (n = 4, seed = 1)"] == {"pair=embedded", "task=ioi", "n=4", "seed=1", "k=50"}
    assert list(page.dataframe[0].value["Task"]) == [IOI, "COUNTDOWN"]


@pytest.mark.usefixtures("pair", "queue_of")
def test_nothing_is_said_where_there_is_no_more() -> None:
    compute(RunSpec(task="ioi"))
    assert more(app()) is None


@pytest.mark.usefixtures("seeded", "queue_of")
def test_other_settings_stand_in_for_defaults_that_are_missing_and_say_so() -> None:
    compute(RunSpec(task="sudoku", n=4))
    compute(RunSpec(task="sudoku", n=4, seed=1))  # newer, but further from the defaults
    page = app()
    title = f"{SUDOKU} (n = 4)"
    assert list(page.dataframe[0].value["Task"]) == [IOI, "COUNTDOWN", title]
    assert f"Shown with other settings, as not all runs with the default ones are stored: {title}." in texts(page)
    assert title in figures(page)[0]
    assert page.button(key="compute missing").label == "Compute what is missing (6 runs)"
    assert "6 runs of 12 not computed yet" in texts(page)
    assert f"{SUDOKU} (n = 4, seed = 1)" in links(page) and title not in links(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_defaults_that_are_there_are_shown_alone() -> None:
    compute(RunSpec(task="ioi", n=4))
    page = app()
    assert "Shown with other settings" not in texts(page)
    assert "n = 4" not in figures(page)[0]


@pytest.mark.usefixtures("pair", "queue_of")
def test_a_pair_of_which_no_two_circuits_are_compared_does_not_seem_empty() -> None:
    compute(RunSpec(task="ioi", n=4), "arm")
    page = app()
    assert "No task of this pair has the circuits of both models yet" in texts(page)
    assert more(page).label.startswith("1 more run of")


@pytest.mark.usefixtures("seeded", "queue_of")
def test_sentences_average_no_runs_of_different_settings() -> None:
    before = [line.value for line in app().markdown if "overlap by" in line.value]
    compute(RunSpec(task="sudoku", n=4, metric="log_prob"))
    page = app()
    assert [line.value for line in page.markdown if "overlap by" in line.value] == before
    assert "The sentences above leave them out." in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_run_of_a_template_that_is_gone_hides_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    compute(RunSpec(task="sudoku", n=4))
    known = lifecycle.resolve

    def gone(spec: RunSpec) -> Any:
        if spec.task == "sudoku" and spec.n == 4:
            raise UserError("template is 90, but there are 6.")
        return known(spec)

    monkeypatch.setattr(lifecycle, "resolve", gone)
    page = app()
    assert not page.error and list(page.dataframe[0].value["Task"]) == [IOI, "COUNTDOWN"]


@pytest.mark.usefixtures("seeded", "queue_of")
def test_many_runs_that_cannot_be_shown_are_looked_up_in_one_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, original = list[int](), ArtifactFolder.records

    def counted(self: ArtifactFolder) -> Any:
        counts.append(1)
        return original(self)

    monkeypatch.setattr(ArtifactFolder, "records", counted)
    asked = Question("embedded", "sudoku")
    for seeds in ((0, 1), (2, 3, 4, 5)):
        for seed in seeds:
            compute(RunSpec(task="sudoku", n=4, seed=seed))
        runs = stored.list_runs()
        counts.clear()
        assert len(list(availability.stored_questions(asked, runs))) == max(seeds) + 1
        assert len(counts) == 1


@pytest.mark.usefixtures("pair", "queue_of")
def test_the_link_to_the_evidence_leads_to_what_is_stored() -> None:
    compute(RunSpec(task="countdown", n=4))
    (link,) = [each for each in app().get("page_link") if each.proto.label.startswith("Evidence: are these")][:1]
    assert {"task=countdown", "n=4"} <= set(link.proto.query_string.split("&"))
