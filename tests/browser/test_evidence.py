"""The evidence page as a person uses it: it fills in by itself, K at tau is set, components and claims are clicked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.workbench import Workbench
from tests.fakes import register_fake_pair
from tools.browser import ROOT, running_app, wait_until_still

SEED = """
from engine.runs import lifecycle
from engine.runs.spec import RunSpec
from tests.fakes import fake_compute
for model in ("arm", "mdm"):
    lifecycle.run(RunSpec(task="countdown", model=model), compute=fake_compute)
"""
MEASURE_ALONE = """
from engine.runs import evidence
from engine.runs.spec import RunSpec
from tests.fakes import fake_compute
specs = [RunSpec(task="countdown", model=model, n=16) for model in ("arm", "mdm")]
for size in (50, 300):
    evidence.compute(specs, ["faithfulness_at"], size, compute=fake_compute)
"""
MEASURE = """
import sys
from engine.runs import evidence, execution
from engine.runs.spec import RunSpec
from tests.fakes import fake_compute
specs = [RunSpec(task="countdown", model=model) for model in ("arm", "mdm")]
execution.carry_out(evidence.plan(specs, sys.argv[1:]), fake_compute, lambda progress: None)
"""


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a process that knows a pair whose circuits are stored, but no evidence of them."""
    folder = tmp_path_factory.mktemp("evidence")
    pairs: Path = register_fake_pair(folder, steps=())
    return {"CIRCUITS_CACHE": str(folder / "cache"), "CIRCUITS_PAIRS": str(pairs)}


@pytest.fixture(scope="module")
def evidence_address(variables: dict[str, str]) -> Iterator[str]:
    _elsewhere(variables, SEED)
    with running_app(variables) as address:
        yield address


def test_what_another_process_measures_appears_and_is_used(
    page: Page, evidence_address: str, variables: dict[str, str]
) -> None:
    page.goto(f"{evidence_address}evidence?task=countdown&k=200")
    wait_until_still(page)
    expect(page.get_by_text("Not computed yet: the faithfulness over K of the ARM and the MDM.")).to_be_visible()
    expect(page.get_by_role("button", name="Compute faithfulness over K (ARM, MDM)")).to_be_enabled()
    _elsewhere(variables, MEASURE, "faithfulness", "knockouts", "audit")
    expect(page.get_by_text(re.compile(r"Measured at K = 200: f 0\.\d\d"))).to_have_count(2)
    expect(page.get_by_text("Not computed yet: the knockouts")).to_have_count(0)
    wait_until_still(page)
    expect(page.get_by_test_id("stException")).to_have_count(0)

    tau = page.get_by_role("slider", name="Faithfulness tau")
    tau.focus()
    tau.press("ArrowRight")
    page.wait_for_url("**tau=0.9*")
    button = page.get_by_role("button", name=re.compile("Set K to")).first
    expect(page.get_by_text(re.compile(r"the smallest with f = 0\.9 or more is K"))).to_have_count(2)
    chosen = re.sub(r"\D", "", button.inner_text())
    button.click()
    page.wait_for_url(f"**k={chosen}*")
    expect(page.get_by_role("spinbutton", name="K")).to_have_value(chosen)
    page.go_back()
    expect(page.get_by_role("spinbutton", name="K")).to_have_value("200")


@pytest.mark.parametrize("width", [1440, 420])
def test_single_sizes_are_told_on_both_pages(
    page: Page, evidence_address: str, variables: dict[str, str], width: int
) -> None:
    _elsewhere(variables, MEASURE_ALONE)
    page.set_viewport_size({"width": width, "height": 1300})
    bench = Workbench(page)
    bench.open(f"{evidence_address}circuits?task=countdown&n=16&k=100")
    expect(bench.part("measured")).to_have_text(
        re.compile(r"^Faithfulness, measured at K = 50: ARM 0\.\d\d, MDM 0\.\d\d$")
    )
    expect(bench.part("unmeasured")).to_have_text(
        "ARM and MDM: measured at K = 50 and K = 300 only; the line over K is not measured yet."
    )
    expect(bench.part("asked")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing lies beside the page"
    bench.part("k").fill("299")
    bench.part("k").press("Enter")
    expect(bench.part("measured")).to_contain_text("measured at K = 300: ARM")
    page.goto(f"{evidence_address}evidence?task=countdown&n=16&k=100")
    wait_until_still(page)
    expect(page.get_by_text("Measured at single sizes only: ARM and MDM at K = 50 and K = 300.")).to_be_visible()
    page.get_by_role("link", name="Whose circuit in which model", exact=True).click()
    expect(page.get_by_text("Measured at K = 50, the measured size nearest to K = 100.")).to_be_in_viewport()


def test_a_click_on_a_component_says_what_both_models_lose(
    page: Page, evidence_address: str, variables: dict[str, str]
) -> None:
    _elsewhere(variables, MEASURE, "knockouts")
    page.goto(f"{evidence_address}evidence?task=countdown")
    wait_until_still(page)
    chart = page.locator(".st-key-knockouts .js-plotly-plot")
    chart.scroll_into_view_if_needed()
    point = chart.locator(".scatterlayer .trace.scatter path.point").nth(3)
    point.click(force=True)
    page.wait_for_url("**node=*")
    expect(page.get_by_text(re.compile(r"without it: metric 8\.00"))).to_have_count(2)
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_a_claim_leads_to_the_view_that_shows_it(page: Page, evidence_address: str) -> None:
    page.goto(f"{evidence_address}evidence?task=countdown&k=100")
    wait_until_still(page)
    table = page.get_by_role("table", name="Published claims and our numbers")
    expect(table.get_by_text("On COUNTDOWN the MDM abandons the ARM's circuit.")).to_be_visible()
    row = table.get_by_role("row").filter(has_text="On COUNTDOWN the MDM abandons the ARM's circuit.")
    row.get_by_role("link", name="See it").click()
    page.wait_for_url("**/circuits?*task=countdown*")
    assert "k=100" in page.url
    wait_until_still(page)
    expect(page.get_by_test_id("stException")).to_have_count(0)


def _elsewhere(variables: dict[str, str], program: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-c", program, *arguments], cwd=ROOT, env={**os.environ, **variables}, check=True)
