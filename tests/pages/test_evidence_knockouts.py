"""Knockouts on the evidence page: the chosen component in numbers, and groups of heads in words."""

from __future__ import annotations

import pytest

from pages.panels.evidence_knockouts import of_heads
from pages.shared import state
from pages.shared.sides import Side
from tests.pages.evidence import ARM, MDM
from tests.pages.evidence_page import lines, rows, run_of
from tests.pages.test_pages import app, texts


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
