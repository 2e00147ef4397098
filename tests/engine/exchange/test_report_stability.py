"""The report's tables of stability hold the overlaps, and name the settings that are not stored."""

from __future__ import annotations

import pytest

from engine.exchange.report_parts import Grid, Paragraph
from engine.exchange.report_stability import stability_section
from engine.runs import stability_lines
from tests.stored_evidence import question, store


@pytest.mark.usefixtures("workspace")
def test_tables_are_those_of_the_lines_and_missing_settings_are_named() -> None:
    store(kinds=())
    store(kinds=(), control=False, seed=1)
    asked = question(seed=0)
    k = stability_lines.size_of(asked.arm.run, asked.mdm.run)
    *grids, text = stability_section(asked).blocks
    assert [grid.head for grid in grids if isinstance(grid, Grid)] == [
        stability_lines.REDRAWN_HEAD, stability_lines.CONTROL_HEAD, stability_lines.SETTING_HEAD,
    ]  # fmt: skip
    assert isinstance(grids[0], Grid) and isinstance(grids[2], Grid) and isinstance(text, Paragraph)
    assert grids[0].rows == stability_lines.redrawn_rows(asked.arm.run, asked.mdm.run, asked.control, k)
    assert [row[0] for row in grids[2].rows] == ["default", "seed 1"]
    assert text.text.startswith("Not computed: seed 2, ") and "--only stability`" in text.text
