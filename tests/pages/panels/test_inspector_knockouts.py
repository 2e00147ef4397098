"""What the inspector says of knockouts: a line for each model as stored, the parts on demand, or what is missing."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from engine.runs import evidence as stored_evidence
from engine.runs.evidence import Evidence
from engine.runs.jobs import JobQueue
from pages.panels.inspector_knockouts import Change
from tests.fakes import GRAPH
from tests.pages.evidence import examine, run_of
from tests.pages.test_pages import app, texts
from tests.waiting import until

HEAD, TASK = "a2.h3", "ioi"
BUTTON = "compute knockouts"


def row_of(there: Evidence, node: str, part: str = "total", by: str = "corrupted") -> dict[str, float]:
    number = GRAPH.node_names.index(node)
    (row,) = stored_evidence.table(there, "knockouts", node=number, part=part, replaced_by=by).to_pylist()
    return dict(row)


def lines(page: AppTest) -> list[tuple[str, str]]:
    """The lines on knockouts and their tooltips."""
    captions = [(str(shown.value), str(shown.proto.help)) for shown in page.caption]
    return [(line.replace("\\", ""), told.replace("\\", "")) for line, told in captions if "without it" in line]


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize("node", [HEAD, "m3"])
def test_both_models_have_a_line_with_metric_and_right_tokens(node: str) -> None:
    both = examine("knockouts", "arm", "mdm")
    shown = lines(app("circuits", task=TASK, node=node))
    assert len(shown) == 2
    for (line, told), label, there in zip(shown, ("ARM", "MDM"), both, strict=True):
        row, mean = row_of(there, node), row_of(there, node, by="mean")
        full = there.meta["full"]
        assert line == (
            f"**{label}** without it: metric {full:.2f} → **{full + row['change']:.2f}**, "
            f"right tokens 100% → **{row['right']:.0%}**"
        )
        assert f"{row['change']:+.2f} ({row['change_low']:+.2f} to {row['change_high']:+.2f})" in told
        assert f"{full:.2f} → {full + mean['change']:.2f}" in told and "logit_diff" in told


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_change_at_every_part_is_in_a_table() -> None:
    arm, _ = examine("knockouts", "arm", "mdm")
    page = app("circuits", task=TASK, node=HEAD)
    tables = [element.proto.body for element in page.get("html") if "without the node, by part" in element.proto.body]
    assert len(tables) == 2
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr><td.*?</tr>", tables[0])]
    for part, change, interval in rows:
        row = row_of(arm, HEAD, part)
        assert change == f"{row['change']:+.2f}"
        assert html.unescape(interval) == f"{row['change_low']:+.2f} to {row['change_high']:+.2f}"
    assert [row[0] for row in rows] == ["step-00", "step-01"]


@pytest.mark.usefixtures("seeded", "queue_of")
def test_input_and_logits_are_not_knocked_out() -> None:
    for node in ("input", "logits"):
        page = app("circuits", task=TASK, node=node)
        assert not lines(page) and "knockouts" not in texts(page)


@pytest.mark.usefixtures("seeded")
def test_what_is_missing_is_said_in_a_line_and_computed_by_a_click(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("fake_compute")
    examine("knockouts", "arm")
    page = app("circuits", task=TASK, node=HEAD)
    assert [line[:7] for line, _ in lines(page)] == ["**ARM**"]
    assert "Not computed yet: the knockouts of the MDM." in texts(page)
    page.button(key=BUTTON).click().run()
    assert not page.exception
    until(lambda: [job.state for job in queue.jobs()] == ["done"])
    (job,) = queue.jobs()
    assert job.kinds == ("knockouts",) and job.title == "The knockouts of the MDM"
    assert stored_evidence.find(run_of("mdm"), "knockouts", run_of("arm"))
    page.run()
    assert len(lines(page)) == 2 and "Not computed yet" not in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_list_of_components_has_a_column_where_knockouts_are_computed() -> None:
    assert "Knockout" not in [str(shown.value) for shown in app("circuits", task=TASK).caption]
    both = examine("knockouts", "arm", "mdm")
    page = app("circuits", task=TASK)
    captions = [str(shown.value).replace("\\", "") for shown in page.caption]
    name = page.button(key="differ 0").label.replace("*", "").split(" ")[0]
    assert captions.count("Knockout") == 2
    assert " / ".join(f"{row_of(there, name)['change']:+.2f}" for there in both) in captions


def test_a_change_without_an_interval_is_a_number() -> None:
    assert Change("total", -5.804, float("nan"), float("nan"), 0.43).words == "-5.80"
    assert Change("total", -5.804, -6.1, -5.5, 0.43).words == "-5.80 (-6.10 to -5.50)"
