"""The evidence page as a whole: what is offered, computed, refused and downloaded, of all its sections alike."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.models import pairs
from engine.runs import stored
from engine.runs.jobs import JobQueue
from engine.runs.spec import RunSpec
from pages.shared import downloads
from tests.pages.evidence import ARM, MDM, measure
from tests.pages.evidence_page import labels, lines, rows, run_of
from tests.pages.test_pages import TIMEOUT, app, figures, texts
from tests.waiting import until


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
        "Compute faithfulness over K (ARM, MDM)", "Measure at K = 200 (ARM, MDM)", "Compute knockouts (ARM, MDM)",
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
    assert {
        "Compute faithfulness over K (MDM)",
        "Compute knockouts (MDM)",
        "Compute audit of the estimators (MDM)",
    } <= set(labels(page))
    assert [head.value for head in page.subheader][:1] == ["ARM"]
    assert "In the ARM" in texts(page) and "In the MDM" not in texts(page)
    assert "The scatter of both models appears when the knockouts of both are computed." in texts(page)


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
    assert "Compute faithfulness over K (ARM, MDM)" in labels(page)
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
