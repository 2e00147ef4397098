"""Claims and stability on the evidence page: every verdict as the engine gives it, texts that are never interpreted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import streamlit as st

from engine.circuits.intervals import Estimate
from engine.circuits.verdicts import FAILS, HOLDS, UNKNOWN
from engine.runs import claims, evidence, lifecycle, read, stability, stored
from engine.runs.claims import Claim
from engine.runs.jobs import JobQueue
from engine.runs.spec import RunSpec
from pages.figures.palette import LIGHT
from pages.panels.evidence_claims import not_asked, number_of, record, summary, table
from tests.fakes import HOSTILE, fake_compute, tiny_compute
from tests.pages.evidence import ARM, MDM
from tests.pages.evidence_page import claims_table, labels, run_of
from tests.pages.test_pages import TIMEOUT, app, figures, texts
from tests.waiting import until

CLAIM = Claim(
    "name", f"The {HOSTILE} holds.", {HOSTILE: "0.5"}, HOSTILE, Estimate(0.25, 0.2, 0.3), HOSTILE, HOLDS, HOSTILE,
    "circuits", {"task": "own-<b>\"x", "k": "200"},
)  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    yield
    st.cache_data.clear()


@pytest.mark.usefixtures("seeded", "queue_of")
def test_every_claim_is_there_with_its_verdict_and_its_reason() -> None:
    page = app("evidence", task="ioi", k="200")
    shown, wanted = claims_table(page), claims.claims(MDM, 200)
    assert shown.count("<tr>") == len(wanted) + 1
    for verdict in (HOLDS, FAILS, UNKNOWN):
        escaped = verdict.replace("'", "&#x27;")
        assert shown.count(f" {escaped}</b>") == sum(row.verdict == verdict for row in wanted)
    for row in wanted:
        assert number_of(row) in shown
    assert summary(wanted) in texts(page)
    missing = {spec for row in wanted for spec in row.missing}
    assert f"Compute what is missing ({len(missing)} runs)" in labels(page)


@pytest.mark.usefixtures("seeded")
def test_the_runs_that_claims_lack_are_computed(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("slow_compute")
    page = app("evidence", task="ioi")
    page.button(key="compute claims").click().run()
    assert {spec.task for spec in queue.jobs()[0].specs} == {"greater_than", "sudoku"}
    assert "Being computed: runs on other tasks, which claims are about." in texts(page)
    queue.cancel(queue.jobs()[0].id)


def test_texts_of_claims_are_shown_as_they_are() -> None:
    shown = table([CLAIM, replace(CLAIM, verdict=UNKNOWN, number=Estimate(float("nan"), None, None))], LIGHT, {})
    assert "<b>x</b>" not in shown and shown.count("&lt;b&gt;x&lt;/b&gt;") == 2 * HOSTILE.count("<b>x</b>") * 5
    assert "0.250 (0.200 to 0.300)" in shown and "none" in shown
    assert 'href="circuits?task=own-%3Cb%3E%22x&amp;k=200"' in shown
    assert record(CLAIM)["low"] == 0.2 and record(CLAIM)["verdict"] == HOLDS


def test_an_address_says_the_settings_of_the_numbers() -> None:
    shown = table([CLAIM], LIGHT, {"task": "sudoku", "n": "16", "metric": "kl"})
    assert 'href="circuits?task=own-%3Cb%3E%22x&amp;n=16&amp;metric=kl&amp;k=200"' in shown


@pytest.mark.usefixtures("pair", "queue_of")
def test_claims_follow_the_settings_but_neither_template_nor_steps() -> None:
    lifecycle.run_all(
        [replace(spec, n=16, template=2) for spec in (ARM, MDM)] + [replace(spec, n=16) for spec in (ARM, MDM)],
        compute=tiny_compute,
    )
    page = app("evidence", task="ioi", n="16", template="2", k="20")
    shown = claims_table(page)
    assert number_of(claims.claims(replace(MDM, n=16), 20)[10]) in shown
    assert "n=16" in shown and "template" not in shown
    assert "They are about each task's usual prompts, not the template chosen above." in texts(page)


def test_choices_that_claims_do_not_follow_are_named() -> None:
    assert not_asked(MDM) == ""
    told = not_asked(replace(MDM, model="step:3", task="countdown", denoising_steps=2))
    assert told == (
        " They are about the final MDM, not the one chosen above."
        " They are about each task's usual number of denoising steps, not the one chosen above."
    )


def test_a_summary_counts_verdicts() -> None:
    rows = [CLAIM, replace(CLAIM, verdict=FAILS), replace(CLAIM, verdict=FAILS)]
    assert summary(rows) == "Of 3 claims about this pair, **1 holds**, **2 do not hold** and **0 can't be told**."


@pytest.mark.usefixtures("seeded", "queue_of")
def test_overlaps_by_setting_are_those_of_stored_circuits() -> None:
    other = [replace(spec, seed=1) for spec in (ARM, MDM)]
    lifecycle.run_all(other, compute=fake_compute)
    page = app("evidence", task="ioi", k="100")
    names = stability.heat_map(stability.overlaps(stability.settings_of(MDM), [100]), 100).names
    drawn = next(figure for figure in _heat_maps(page) if "seed 1" in figure["layout"]["yaxis"]["ticktext"])
    assert drawn["layout"]["yaxis"]["ticktext"] == ["these settings", "seed 1"] and "seed 1" in names
    wanted = read.overlap(run_of(other[0]).key, run_of(other[1]).key, 100)
    assert f"<b>{wanted:.2f}</b>" in str(drawn["data"][0]["text"])
    table = next(frame.value for frame in page.dataframe if "Component overlap" in frame.value)
    numbers = dict(zip(table["Circuits"], table["Edge overlap"], strict=True))
    pair = read.overlap(run_of(ARM).key, run_of(MDM).key, 100)
    assert numbers["ARM with MDM"].startswith(f"{pair:.3f} (")
    own = read.overlap(run_of(ARM).key, run_of(other[0]).key, 100)
    assert numbers["ARM with itself at another seed"] == f"{own:.3f}"


@pytest.mark.usefixtures("seeded")
def test_missing_settings_are_computed_as_circuits_alone(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("fake_compute")
    page = app("evidence", task="ioi")
    page.button(key="compute settings").click().run()
    (job,) = queue.jobs()
    assert job.kinds == ("circuit",)
    assert set(job.specs) == set(stability.missing(stability.settings_of(MDM)))
    until(lambda: not queue.jobs()[0].is_open, TIMEOUT)
    assert queue.jobs()[0].state == "done", queue.jobs()[0].error
    run = lifecycle.find(replace(MDM, seed=1))
    assert run and "lens" in stored.missing(run)
    page.run()
    assert "compute settings" not in [button.key for button in page.button]


@pytest.mark.usefixtures("pair", "queue_of")
def test_a_single_prompt_has_no_halves_and_no_intervals() -> None:
    lifecycle.run_all([RunSpec(model=model, n=1) for model in ("arm", "mdm")], compute=tiny_compute)
    page = app("evidence", task="ioi", n="1", k="20")
    table = next(frame.value for frame in page.dataframe if "Component overlap" in frame.value)
    assert not [name for name in table["Circuits"] if name.startswith("Split-half")]
    assert "(" not in table["Edge overlap"][0]


def _heat_maps(page: Any) -> list[dict[str, Any]]:
    return [figure for figure in map(json.loads, figures(page)) if figure["data"][0]["type"] == "heatmap"]


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_circuit_on_the_prompts_of_another_seed_appears_among_what_the_overlap_is_compared_with() -> None:
    def compared() -> list[str]:
        table = next(
            frame.value for frame in app("evidence", task="ioi", k="200").dataframe if "Circuits" in frame.value
        )
        of_seeds = table["Circuits"].str.endswith("with itself at another seed")
        return list(table["Edge overlap"][of_seeds])

    assert compared() == ["not computed yet", "not computed yet"]
    other = [replace(spec, seed=1) for spec in (ARM, MDM)]
    evidence.compute_circuits(other, compute=fake_compute)
    assert compared() == [
        f"{read.overlap(run_of(spec).key, run_of(again).key, 200):.3f}"
        for spec, again in zip((ARM, MDM), other, strict=True)
    ]
