"""The report's tables of models and overlap hold what the arrays do."""

from __future__ import annotations

import pytest

from engine.circuits import comparison
from engine.exchange import report_circuits
from engine.exchange.report_parts import Grid, Paragraph, Picture
from engine.runs import read
from tests.fakes import fake_compute, remarked_compute
from tests.stored_evidence import question, store


@pytest.mark.usefixtures("workspace")
def test_overlap_is_that_of_the_stored_circuits() -> None:
    store(kinds=(), compute=fake_compute)
    asked = question()
    section = report_circuits.overlap_section(asked)
    grid = next(block for block in section.blocks if isinstance(block, Grid))
    rows = {row[0]: row[1:] for row in grid.rows}
    assert grid.head == ("", "K = 50", "K = 200", "K = 1,000") and len(rows) == 12
    arm, mdm, control = asked.arm.run, asked.mdm.run, asked.control
    assert control
    for i, k in enumerate((50, 200, 1000)):
        sides = [read.edge_table(run.key, limit=k) for run in (arm, mdm)]
        compared = comparison.compare(arm.meta.graph, sides[0], sides[1], k)
        halves = read.split_half(arm, mdm, k)
        assert halves
        assert rows["Overlap of ARM and MDM"][i] == f"{compared.jaccard:.3f}"
        assert rows["chance: two random circuits"][i] == f"{compared.chance:.3f}"
        beside = rows["ARM and step-0 control: its own weights read as the MDM is"][i]
        assert beside == f"{read.overlap(arm.key, control.key, k):.3f}"
        for name, value in (
            ("ARM with MDM", halves.pair),
            ("ARM with itself", halves.arm),
            ("MDM with itself", halves.mdm),
        ):
            assert rows[f"halves of the examples: {name}"][i] == f"{value:.3f}"
        assert rows["early ratio: MDM / ARM of these shares"][i] == f"{compared.early_ratio:.2f}"
    pictures = [block for block in section.blocks if isinstance(block, Picture)]
    assert len(pictures) == 1 and "ARM and step-0 control" in pictures[0].svg
    last = section.blocks[-1]
    assert isinstance(last, Paragraph) and arm.key[:10] in last.text and "eap-ig with 5 points" in last.text


@pytest.mark.usefixtures("workspace")
def test_models_are_listed_with_their_accuracy_and_remarks() -> None:
    store(kinds=(), compute=remarked_compute)
    section = report_circuits.models_section(question())
    grid, *remarks = section.blocks
    assert isinstance(grid, Grid) and [row[0] for row in grid.rows] == ["ARM", "MDM", "step-0 control"]
    accuracy = question().arm.run.accuracy
    assert accuracy and grid.rows[0][2].startswith(f"{accuracy.accuracy:.1%} (")
    assert [block.text for block in remarks if isinstance(block, Paragraph)][:2] == [
        "ARM: All scores are *exactly* zero.", "ARM: And another.",
    ]  # fmt: skip


@pytest.mark.usefixtures("workspace")
def test_what_there_is_not_is_named() -> None:
    store(kinds=(), control=False, n=1)
    texts = [block.text for block in report_circuits.overlap_section(question()).blocks if isinstance(block, Paragraph)]
    assert "The step-0 control is not computed." in texts and "There are no halves of a single example." in texts
