"""The attention panel as a person reaches it: the tab of a head on the circuits page, another input."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.test_inspector import _open
from tests.fakes import HOSTILE
from tools.browser import wait_until_still

WEIGHTS = """chart => {
    const figure = document.querySelector(`.st-key-${chart} .js-plotly-plot`);
    return figure._fullData[0].z.map(row => Array.from(row));
}"""
LABELS = """([chart, axis]) => [...document.querySelectorAll(`.st-key-${chart} .js-plotly-plot .${axis}tick text`)]
    .map(text => text.textContent)"""


def test_the_tab_of_a_head_shows_what_it_attends_to_in_both_models(page: Page, address: str) -> None:
    _open(page, address + "circuits?k=100&node=a2.h3")
    expect(page.get_by_text("What this head attends to")).to_have_count(0)
    page.get_by_role("radio", name="Attention").click()
    expect(page.get_by_text("What this head attends to")).to_be_visible()
    wait_until_still(page)
    first = [page.evaluate(WEIGHTS, f"pattern-{model}") for model in ("arm", "mdm")]
    assert all(weight == 0 for q, row in enumerate(first[0]) for weight in row[q + 1 :])
    assert any(weight > 0 for q, row in enumerate(first[1]) for weight in row[q + 1 :])
    for model in ("arm", "mdm"):
        labels = page.evaluate(LABELS, [f"pattern-{model}", "y"])
        assert labels[0] == HOSTILE
        assert page.evaluate(LABELS, [f"roles-{model}", "x"]) == page.evaluate(LABELS, [f"roles-{model}", "y"])
    assert "<mask>" in page.evaluate(LABELS, ["pattern-mdm", "y"])


def test_another_example_shows_other_patterns_and_the_address_brings_them_back(page: Page, address: str) -> None:
    _open(page, address + "circuits?k=100&node=a1.h2&tab=Attention&task=countdown")
    before = page.evaluate(WEIGHTS, "pattern-arm")
    _choose(page, "Example and predicted token", "example 1,")
    expect(page.get_by_text("MDM at step-00, example 1")).to_be_visible()
    wait_until_still(page)
    _choose(page, "Attention of the MDM at denoising step", "step-10")
    expect(page.get_by_text("MDM at step-10, example 1")).to_be_visible()
    expect(page).to_have_url(re.compile("readout=example"))
    expect(page).to_have_url(re.compile("input_step=step-10"))
    wait_until_still(page)
    assert page.evaluate(WEIGHTS, "pattern-arm") != before
    shown = [page.evaluate(WEIGHTS, f"pattern-{model}") for model in ("arm", "mdm")]

    other = page.context.browser.new_page(viewport={"width": 1440, "height": 1300})  # type: ignore[union-attr]
    _open(other, page.url)
    assert [other.evaluate(WEIGHTS, f"pattern-{model}") for model in ("arm", "mdm")] == shown
    other.close()


def _choose(page: Page, label: str, option: str) -> None:
    box = page.get_by_role("combobox", name=label)
    box.focus()
    box.press_sequentially(option)
    box.press("Enter")
