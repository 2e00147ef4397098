"""The audit of the estimators on the evidence page: its points, its correlations, the order of the estimators."""

from __future__ import annotations

import numpy as np
import pytest

from engine.runs.evidence_lines import AUDITED_NAMES
from engine.runs.spec import RunSpec
from pages.panels.evidence_audit import NAMES, of_method_first
from tests.pages.evidence import ARM
from tests.pages.evidence_page import lines, rows, values
from tests.pages.test_pages import app


@pytest.mark.usefixtures("measured")
def test_the_audit_s_numbers_are_those_of_its_table() -> None:
    page = app("evidence", task="ioi", estimator="relp")
    table = next(frame.value for frame in page.dataframe if "Pearson, ARM" in frame.value)
    audited = rows(ARM, "audit", "audited_edges")
    exact, relp = ([row[name] for row in audited if row["selection"] == "strongest"] for name in ("exact", "relp"))
    of_relp = table[(table["Edges"] == AUDITED_NAMES["strongest"]) & (table["Estimator"] == NAMES["relp"])]
    assert list(of_relp["Pearson, ARM"]) == [f"{np.corrcoef(exact, relp)[0, 1]:.3f}"]
    assert set(table["Estimator"]) == set(NAMES.values())
    points = lines(page, "strongest edges")["strongest edges"]
    first = next(row for row in audited if row["selection"] == "strongest")
    assert values(points, "x")[0] == first["relp"] and values(points, "y")[0] == first["exact"]


def test_the_estimators_begin_with_that_of_the_run_s_method() -> None:
    first = {
        RunSpec(): "eap_ig_5", RunSpec(points=20): "eap_ig_20", RunSpec(points=7): "eap",
        RunSpec(method="clean-corrupted"): "clean_corrupted", RunSpec(method="eap-ig-midpoint"): "eap",
        RunSpec(method="relp"): "relp",
    }  # fmt: skip
    for spec, name in first.items():
        assert of_method_first(spec)[0] == name and set(of_method_first(spec)) == set(NAMES)
