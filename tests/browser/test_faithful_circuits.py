"""Faithfulness and knockouts on the circuits page: a button sets K, a click on a node shows what is lost without it."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from playwright.sync_api import Page, expect

from engine.runs import evidence
from engine.runs.evidence import Evidence
from engine.schema.artifacts import EvidenceKind
from tests.browser.workbench import Watched, Workbench, overlap_of
from tests.pages.evidence import run_of
from tools.browser import ROOT, wait_until_still

TASK = "ioi"
SEED = f"""
from tests.pages.evidence import examine
for kind in ("faithfulness", "knockouts"):
    examine(kind, "arm", "mdm", task={TASK!r})
"""


@pytest.fixture(scope="module")
def examined(environment: dict[str, str], address: str) -> str:
    """The app's address; another process has made evidence of a task."""
    subprocess.run([sys.executable, "-c", SEED], cwd=ROOT, env={**os.environ, **environment}, check=True)
    return address


def evidence_of(model: str, kind: EvidenceKind) -> Evidence:
    there = evidence.find(run_of(model, TASK), kind, run_of("mdm" if model == "arm" else "arm", TASK))
    assert there
    return there


def smallest(model: str, tau: str) -> int:
    rows = evidence.table(evidence_of(model, "faithfulness"), "smallest_circuits").to_pylist()
    return int(next(row["size"] for row in rows if f"{row['tau']:g}" == tau))


@pytest.mark.usefixtures("runs")
def test_a_button_sets_k_to_the_smallest_faithful_circuit(page: Page, examined: str) -> None:
    watched, bench = Watched(page), Workbench(page)
    bench.open(f"{examined}circuits?task={TASK}&k=20")
    before, curve = bench.pictures(), bench.picture("curve")
    for model in ("mdm", "arm"):
        k = smallest(model, "0.85")
        bench.part("smallest").get_by_role("button", name=f"{model.upper()} K = {k:,}").click()
        bench.has_k(k)
        bench.until(lambda k=k: f"k={k}" in page.url)  # type: ignore[misc]
        assert bench.overlap == pytest.approx(overlap_of(TASK, k), abs=5e-4)
        assert f"of {k:,} in each circuit" in bench.tile("Shared edges")[1]
    assert all(was != now for was, now in zip(before, bench.pictures(), strict=True))

    bench.part("tau").select_option("0.5")
    k = smallest("arm", "0.5")
    expect(bench.part("smallest").get_by_role("button", name=f"ARM K = {k:,}")).to_be_visible()
    bench.until(lambda: "tau=0.5" in page.url)
    bench.settle()
    assert bench.k == smallest("arm", "0.85"), "another faithfulness moves its marks, not K"
    assert bench.picture("curve") != curve
    page.reload()
    bench.settle()
    expect(bench.part("tau")).to_have_value("0.5")
    assert not watched.errors


@pytest.mark.usefixtures("runs")
def test_the_faithfulness_of_the_nearest_measured_size_stands_beside_the_numbers(page: Page, examined: str) -> None:
    runs = evidence.table(evidence_of("arm", "faithfulness"), "circuit_runs", circuit="own", part="total").to_pylist()
    f = {run["size"]: f"ARM {run['f']:.2f}" for run in runs}
    bench = Workbench(page)
    bench.open(f"{examined}circuits?task={TASK}&k=100")
    expect(bench.part("measured")).to_contain_text(f"Faithfulness, measured at K = 100: {f[100]}, MDM")
    bench.part("k").fill("130")
    bench.part("k").press("Enter")
    expect(bench.part("measured")).to_contain_text(f"Faithfulness, measured at K = 100: {f[100]}, MDM")
    expect(bench.part("measured").locator("b").first).to_have_attribute("title", re.compile("95% interval"))


def test_without_evidence_one_line_leads_to_the_evidence_page(page: Page, address: str) -> None:
    bench = Workbench(page)
    bench.open(f"{address}circuits?task=countdown&k=77")
    row = bench.part("faithful")
    assert row.inner_text().split("\n") == ["How faithful these circuits are: not measured yet. Evidence"]
    link = row.get_by_role("link", name="Evidence")
    link.evaluate("(link) => link.addEventListener('click', (event) => event.preventDefault())")
    link.click()
    asked = link.get_attribute("href") or ""
    assert asked.startswith("evidence?") and "task=countdown" in asked and "k=77" in asked


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("width", [1440, 420])
def test_a_click_on_a_node_shows_what_both_models_lose_without_it(page: Page, examined: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 1300})
    bench = Workbench(page)
    bench.open(f"{examined}circuits?task={TASK}&k=200")
    inspector = page.locator(".st-key-inspector")
    expect(inspector.get_by_text("Knockout", exact=True)).to_have_count(2)
    bench.graph("arm").scroll_into_view_if_needed()
    bench.click("arm", "a2.h3")
    expect(inspector.get_by_text(re.compile(r"ARM without it: metric 8\.00 → "))).to_be_visible()
    expect(inspector.get_by_text(re.compile(r"MDM without it: metric 8\.00 → "))).to_be_visible()
    inspector.get_by_role("button", name="By denoising step and site").click()
    expect(page.get_by_role("table", name="Change of the metric of the MDM without the node, by part")).to_be_visible()
    wait_until_still(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing lies beside the page"
