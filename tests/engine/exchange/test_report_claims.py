"""The table of claims holds every claim as it is judged, with the transfer that is stored."""

from __future__ import annotations

from collections import Counter

import pytest

from engine.exchange.report_claims import claims_section
from engine.exchange.report_parts import Grid, Paragraph
from engine.runs import claims as judged
from engine.runs.evidence_lines import interval
from engine.runs.transfer import transfers_of
from tests.stored_evidence import question, store


@pytest.mark.usefixtures("workspace")
def test_every_claim_is_a_row_with_its_verdict() -> None:
    store(kinds=["faithfulness"])
    asked = question()
    spec = asked.mdm.run.spec
    text, grid = claims_section([asked]).blocks
    listed = judged.claims(spec, transfer=transfers_of(spec, judged.DEFAULT_K))
    assert isinstance(grid, Grid) and isinstance(text, Paragraph) and len(grid.rows) == len(listed)
    for row, claim in zip(grid.rows, listed, strict=True):
        number = interval(claim.number.value, claim.number.low, claim.number.high)
        assert row[0] == claim.claim and row[1] == f"{claim.measure}: {number}"
        assert row[4:] == (claim.verdict, claim.reason)
    for verdict, count in Counter(claim.verdict for claim in listed).items():
        assert f"{verdict}: {count}" in text.text
    (transfer,) = [row for row in grid.rows if row[0].startswith("On Indirect") and "explains the MDM" in row[0]]
    assert "none" not in transfer[1]


def test_without_a_task_of_the_program_there_are_none() -> None:
    (text,) = claims_section([]).blocks
    assert isinstance(text, Paragraph) and "none of which is here" in text.text
